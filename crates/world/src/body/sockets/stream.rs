//! A connection to a firmware server: TCP, and TLS where the URL says https.

use super::NodeOptions;
use rootcast_wire::ErrorCode;
use rustls_pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Pieces that wait for the node at most: beyond that the server is held up, as TCP does it.
const MOST_WAITING: usize = 2;
/// Requests that wait at most; a download makes one a connection.
const MOST_REQUESTS: usize = 8;

/// What happens to a connection.
#[derive(Debug)]
pub(super) enum StreamEvent {
    Connected,
    Data(Vec<u8>),
    Closed,
    Failed(ErrorCode),
}

/// A connection, being made or standing. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Stream {
    events: mpsc::Receiver<StreamEvent>,
    requests: mpsc::Sender<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Stream {
    pub(super) fn open(host: String, port: u16, tls: bool, options: &Arc<NodeOptions>) -> Self {
        let (happened, events) = mpsc::channel(MOST_WAITING);
        let (requests, asked) = mpsc::channel(MOST_REQUESTS);
        let options = Arc::clone(options);
        let task = tokio::spawn(async move {
            let end = match serve(&host, port, tls, &options, &happened, asked).await {
                Ok(()) => StreamEvent::Closed,
                Err(code) => StreamEvent::Failed(code),
            };
            let _ = happened.send(end).await;
        });
        Self { events, requests, task }
    }

    /// The next thing that happens; nothing more after the end.
    pub(super) async fn next(&mut self) -> StreamEvent {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    pub(super) fn send(&self, bytes: Vec<u8>) {
        // A connection that has just ended says so by its last event.
        let _ = self.requests.try_send(bytes);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    host: &str,
    port: u16,
    tls: bool,
    options: &NodeOptions,
    happened: &mpsc::Sender<StreamEvent>,
    asked: mpsc::Receiver<Vec<u8>>,
) -> Result<(), ErrorCode> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let late = options.connect_timeout;
    let tcp = timeout(late, connect(bare, port)).await.unwrap_or(Err(ErrorCode::ConnectFailed))?;
    if tls {
        let (config, judge) =
            options.trust.client(options.clock_ahead_s).map_err(|_| ErrorCode::TlsFailed)?;
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| ErrorCode::CertificateWrongHost)?;
        let shaken = timeout(late, TlsConnector::from(config).connect(name, tcp)).await;
        let failed = judge.refusal().unwrap_or(ErrorCode::TlsFailed);
        pump(shaken.map_err(|_| failed)?.map_err(|_| failed)?, happened, asked).await
    } else {
        pump(tcp, happened, asked).await
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, ErrorCode> {
    let addresses = lookup_host((host, port)).await.map_err(|_| ErrorCode::DnsFailed)?;
    let mut outcome = Err(ErrorCode::DnsFailed);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(_) => outcome = Err(ErrorCode::ConnectFailed),
        }
    }
    outcome
}

/// Carries bytes both ways until one side ends. A connection that breaks counts as closed: what is missing, the HTTP
/// framing knows.
async fn pump(
    stream: impl AsyncRead + AsyncWrite,
    happened: &mpsc::Sender<StreamEvent>,
    mut asked: mpsc::Receiver<Vec<u8>>,
) -> Result<(), ErrorCode> {
    let _ = happened.send(StreamEvent::Connected).await;
    let (mut read, mut write) = split(stream);
    // A server may answer before it has read the whole request, so that the end of sending ends nothing.
    let sending = async {
        while let Some(bytes) = asked.recv().await {
            if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let receiving = async {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            if happened.send(StreamEvent::Data(buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = receiving => {}
        () = sending => {}
    }
    Ok(())
}
