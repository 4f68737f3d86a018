//! The listener: TLS, limits on connections, on slow clients and on time.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::problem::Problem;

/// Connections at a time; more wait to be taken.
const MAX_CONNECTIONS: usize = 512;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a request may take until its answer begins: an upload over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// Pause after a failed accept (too many open files): trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long answers that are being sent may take when the listener ends.
const GRACE: Duration = Duration::from_secs(5);

/// A listener that serves. Dropping it takes no more connections.
#[derive(Debug)]
pub struct ApiListener {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ApiListener {
    /// Listens, with TLS if there is a configuration for it.
    pub async fn start(address: SocketAddr, tls: Option<ServerConfig>, router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let task = tokio::spawn(accept(listener, tls, router, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens, with the port it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and waits a little for answers that are being sent.
    pub async fn stop(self) {
        // If it has ended already, all the better.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let permit = permits.clone().acquire_owned().await;
                (permit, listener.accept().await)
            } => accepted,
            _ = stopped.changed() => break,
        };
        let (Ok(permit), Ok((stream, peer))) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (tls, router, watcher) = (tls.clone(), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            // Small answers should not wait for more to be sent.
            let _ = stream.set_nodelay(true);
            match tls {
                None => serve(stream, peer, router, watcher).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                        serve(stream, peer, router, watcher).await;
                    }
                }
            }
            drop(permit);
        });
    }
    // What is still being sent after this is cut off.
    let _ = timeout(GRACE, graceful.shutdown()).await;
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = match timeout(REQUEST_TIMEOUT, router.oneshot(request)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(never)) => match never {},
                Err(_) => {
                    Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response()
                }
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answer);
    // A client that breaks the connection off is no event.
    let _ = watcher.watch(connection).await;
}
