//! Connections: accepted, shaken hands with, served, ended.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::events::HostEvent;
use super::respond::{Site, answer};

/// A handshake that takes longer is given up; the slowest nodes need about four seconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// A request's head must arrive within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Memory for what is on its way to one client, beside TLS's own 64 KiB.
const MAX_BUFFER_BYTES: usize = 32 << 10;
/// Pause after a failed accept (too many open files): trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const MAX_HTTP2_STREAMS: u32 = 16;

/// How far a host is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Stage {
    Running,
    /// No new connections and requests; running answers go on.
    Stopping,
    /// Everything ends.
    Ended,
}

/// What the accept loop needs.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) site: Arc<Site>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) idle_timeout: Duration,
}

impl Door {
    /// Accepts until told to stop.
    pub(crate) async fn keep(self) {
        let mut stage = self.stage.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = beyond(&mut stage, Stage::Running) => return,
            };
            match accepted {
                Ok((stream, client)) => self.admit(stream, client),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, client: SocketAddr) {
        let journal = &self.site.journal;
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            journal.refused.fetch_add(1, Relaxed);
            journal.tell(HostEvent::TooManyConnections { client });
            return;
        };
        journal.connections.fetch_add(1, Relaxed);
        let visit = Visit {
            client,
            site: self.site.clone(),
            stage: self.stage.clone(),
            idle_timeout: self.idle_timeout,
            _open: Open::new(self.site.clone(), permit),
        };
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            visit.greet(stream, tls).await;
        });
    }
}

/// Counts an open connection for as long as it lives.
struct Open {
    site: Arc<Site>,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(site: Arc<Site>, permit: OwnedSemaphorePermit) -> Self {
        site.journal.open.fetch_add(1, Relaxed);
        Self { site, _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.site.journal.open.fetch_sub(1, Relaxed);
    }
}

/// One connection.
struct Visit {
    client: SocketAddr,
    site: Arc<Site>,
    stage: watch::Receiver<Stage>,
    idle_timeout: Duration,
    _open: Open,
}

impl Visit {
    async fn greet(mut self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) {
        let moved = Arc::new(AtomicU64::new(0));
        let stream = Watched { stream, moved: moved.clone() };
        let Some(config) = tls else {
            return self.http1(stream, &moved).await;
        };
        let handshake = tokio::select! {
            done = tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)) => done,
            () = beyond(&mut self.stage, Stage::Running) => return,
        };
        match handshake {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.http2(stream, &moved).await
            }
            Ok(Ok(stream)) => self.http1(stream, &moved).await,
            Ok(Err(error)) => self.handshake_failed(error.to_string()),
            Err(_) => self.handshake_failed("no handshake in time".to_owned()),
        }
    }

    fn handshake_failed(&self, error: String) {
        let journal = &self.site.journal;
        journal.failed_handshakes.fetch_add(1, Relaxed);
        tracing::info!(client = %self.client, error, "TLS handshake failed");
        journal.tell(HostEvent::HandshakeFailed { client: self.client, error });
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, moved: &AtomicU64) {
        let (site, client) = (self.site.clone(), self.client);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let site = site.clone();
            async move { Ok::<_, Infallible>(answer(site, client, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        self.attend(connection, moved).await;
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, moved: &AtomicU64) {
        let (site, client) = (self.site.clone(), self.client);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let site = site.clone();
            async move { Ok::<_, Infallible>(answer(site, client, request).await) }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_HTTP2_STREAMS)
            .max_send_buf_size(MAX_BUFFER_BYTES)
            .max_header_list_size(16 << 10)
            .serve_connection(TokioIo::new(stream), service);
        self.attend(connection, moved).await;
    }

    /// Runs a connection to its end, to the host's end, or until nothing moves on it any more.
    async fn attend<C>(mut self, connection: C, moved: &AtomicU64)
    where
        C: GracefulConnection,
        C::Error: std::fmt::Display,
    {
        let mut connection = pin!(connection);
        let mut seen = moved.load(Relaxed);
        let mut told = Stage::Running;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(client = %self.client, %error, "connection ended early");
                    }
                    return;
                }
                () = beyond(&mut self.stage, told) => {
                    told = stage_of(&self.stage);
                    match told {
                        Stage::Ended => return,
                        _ => connection.as_mut().graceful_shutdown(),
                    }
                }
                () = tokio::time::sleep(self.idle_timeout) => {
                    let now = moved.load(Relaxed);
                    if now == seen {
                        tracing::debug!(client = %self.client, "nothing moved on this connection: closed");
                        return;
                    }
                    seen = now;
                }
            }
        }
    }
}

/// A host that is dropped has ended.
fn stage_of(stage: &watch::Receiver<Stage>) -> Stage {
    match stage.has_changed() {
        Ok(_) => *stage.borrow(),
        Err(_) => Stage::Ended,
    }
}

async fn beyond(stage: &mut watch::Receiver<Stage>, reached: Stage) {
    let _ = stage.wait_for(|now| *now > reached).await;
}

/// A socket that notes when bytes move in either direction.
struct Watched {
    stream: TcpStream,
    moved: Arc<AtomicU64>,
}

impl Watched {
    fn note<T>(&self, done: Poll<T>) -> Poll<T> {
        if done.is_ready() {
            self.moved.fetch_add(1, Relaxed);
        }
        done
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.note(done)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
