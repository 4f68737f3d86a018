//! The listeners: each connection gets a permit, a TLS handshake where asked for, and then an `mqtt5`
//! client handler of its own.
//!
//! The accept loops are ours, not `mqtt5`'s: those count a client only once it has sent its CONNECT, and
//! run the TLS handshakes of all clients one after the other, so that a single silent client would lock
//! everybody else out.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mqtt5::broker::auth::AuthProvider;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig as Mqtt5Config;
use mqtt5::broker::resource_monitor::ResourceMonitor;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, FileBackend, MemoryBackend, StorageBackend};
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::tls_acceptor::TlsStreamWrapper;
use mqtt5::broker::transport::BrokerTransport;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::{BrokerConfig, BrokerError, BrokerLimits, TlsListener, adapter};

/// How long connections may take to close when the broker stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Between two sweeps of expired messages and sessions.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Pause after a failed accept (too many open files, say), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An MQTT broker inside this process; [`EmbeddedBroker::start`] is its one way in.
#[derive(Debug)]
pub struct EmbeddedBroker;

impl EmbeddedBroker {
    /// Opens the listeners and serves them on the current Tokio runtime until
    /// [`RunningBroker::stop`] or until the [`RunningBroker`] is dropped.
    pub async fn start(config: BrokerConfig) -> Result<RunningBroker, BrokerError> {
        config.check()?;
        let tls_acceptor = config.tls.as_ref().map(tls_acceptor).transpose()?;
        let plain = listen(config.listen).await?;
        let tls = match &config.tls {
            Some(tls) => Some(listen(tls.listen).await?),
            None => None,
        };
        let storage = Arc::new(open_storage(config.data.as_deref(), &config.limits).await?);
        let router = open_router(&storage, &config).await?;
        let (stop, _) = broadcast::channel(1);
        let house = Arc::new(House {
            config: Arc::new(adapter::configuration(&config.limits)),
            router,
            access: adapter::provider(config.access),
            storage,
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(ResourceMonitor::new(adapter::resource_limits(&config.limits))),
            permits: Arc::new(Semaphore::new(config.limits.max_clients)),
            tls_handshake_timeout: config.limits.tls_handshake_timeout,
            stop: stop.clone(),
        });

        let mut tasks = JoinSet::new();
        let address = serve(plain.0, plain.1, None, &house, &mut tasks);
        let tls_address = tls.map(|tls| serve(tls.0, tls.1, tls_acceptor, &house, &mut tasks));
        tasks.spawn(Arc::clone(&house).sweep());
        let task = tokio::spawn(async move { while tasks.join_next().await.is_some() {} });
        Ok(RunningBroker { address, tls_address, house, stop, task })
    }
}

/// A broker that serves its listeners. Dropping it ends the service at once; [`stop`](Self::stop) lets
/// connections close and writes the data folder first.
#[derive(Debug)]
pub struct RunningBroker {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    house: Arc<House>,
    stop: broadcast::Sender<()>,
    task: JoinHandle<()>,
}

impl RunningBroker {
    /// Where plain MQTT is spoken, with the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where MQTT over TLS is spoken, if anywhere.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Clients that are connected now.
    pub fn connected_clients(&self) -> usize {
        self.house.stats.clients_connected.load(Ordering::Relaxed)
    }

    /// Closes the listeners, lets connections end, writes what the data folder is owed.
    pub async fn stop(mut self) {
        // Nobody listens any more only if every task has ended already.
        let _ = self.stop.send(());
        if tokio::time::timeout(STOP_PATIENCE, &mut self.task).await.is_err() {
            warn!("broker: some connections did not end within {STOP_PATIENCE:?} and were cut");
            self.task.abort();
        }
        if let Err(error) = self.house.storage.shutdown().await {
            warn!("broker: the data folder may lack the last messages: {error}");
        }
    }
}

impl Drop for RunningBroker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What all connections share.
struct House {
    config: Arc<Mqtt5Config>,
    router: Arc<MessageRouter>,
    access: Arc<dyn AuthProvider>,
    storage: Arc<DynamicStorage>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    permits: Arc<Semaphore>,
    tls_handshake_timeout: Duration,
    stop: broadcast::Sender<()>,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
    }
}

impl House {
    /// One connection, from its first byte to its end.
    async fn receive(self: Arc<Self>, stream: TcpStream, from: SocketAddr, tls: Option<TlsAcceptor>) {
        // Commands and acknowledgements are small: waiting to fill a segment only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!("broker: {from}: cannot switch off Nagle's algorithm: {error}");
        }
        let transport = match tls {
            None => BrokerTransport::tcp(stream),
            Some(tls) => match tokio::time::timeout(self.tls_handshake_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => BrokerTransport::tls(TlsStreamWrapper::new(stream)),
                Ok(Err(error)) => return debug!("broker: {from}: TLS handshake failed: {error}"),
                Err(_) => return debug!("broker: {from}: no TLS handshake within the time allowed"),
            },
        };
        let handler = ClientHandler::new(
            transport,
            from,
            Arc::clone(&self.config),
            Arc::clone(&self.router),
            Arc::clone(&self.access),
            Some(Arc::clone(&self.storage)),
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            self.stop.subscribe(),
        );
        if let Err(error) = handler.run().await {
            debug!("broker: {from}: {error}");
        }
    }

    /// Forgets what has expired, until the broker stops.
    async fn sweep(self: Arc<Self>) {
        let mut stopped = self.stop.subscribe();
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                _ = interval.tick() => {
                    if let Err(error) = self.storage.cleanup_expired().await {
                        warn!("broker: expired messages and sessions could not be removed: {error}");
                    }
                    self.router.sweep_sessions().await;
                }
                _ = stopped.recv() => return,
            }
        }
    }
}

/// Starts one accept loop and returns the address it listens on.
fn serve(
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    house: &Arc<House>,
    tasks: &mut JoinSet<()>,
) -> SocketAddr {
    let house = Arc::clone(house);
    let mut stopped = house.stop.subscribe();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) => match Arc::clone(&house.permits).try_acquire_owned() {
                        Ok(permit) => {
                            let connection = Arc::clone(&house).receive(stream, from, tls.clone());
                            connections.spawn(async move {
                                connection.await;
                                drop(permit);
                            });
                        }
                        Err(_) => debug!("broker: {from}: refused, all connections are in use"),
                    },
                    Err(error) => {
                        warn!("broker: cannot accept a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                _ = stopped.recv() => break,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    });
    address
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BrokerError> {
    let listen_error = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BrokerError::PortTaken { address },
        _ => BrokerError::Listen { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    Ok((listener, address))
}

async fn open_storage(data: Option<&Path>, limits: &BrokerLimits) -> Result<DynamicStorage, BrokerError> {
    let queues = adapter::queue_limits(limits);
    let Some(path) = data else {
        return Ok(DynamicStorage::Memory(MemoryBackend::with_queue_limits(queues)));
    };
    let backend = FileBackend::with_queue_limits(path, queues)
        .await
        .map_err(|error| BrokerError::Data { path: path.to_path_buf(), reason: error.to_string() })?;
    Ok(DynamicStorage::File(backend))
}

/// A router that knows the sessions and retained messages of the data folder.
async fn open_router(
    storage: &Arc<DynamicStorage>,
    config: &BrokerConfig,
) -> Result<Arc<MessageRouter>, BrokerError> {
    let limits = &config.limits;
    let router = MessageRouter::with_storage(Arc::clone(storage))
        .with_fallback_queue_limits(adapter::queue_limits(limits))
        .with_retained_limits(limits.max_retained_messages, limits.max_packet_bytes);
    let max_age = u32::try_from(limits.max_session_age.as_secs()).unwrap_or(u32::MAX);
    let recovered = async {
        router.recover_sessions(max_age).await?;
        storage.cleanup_expired().await?;
        router.initialize().await
    };
    recovered.await.map_err(|error| BrokerError::Data {
        path: config.data.clone().unwrap_or_default(),
        reason: error.to_string(),
    })?;
    Ok(Arc::new(router))
}

fn tls_acceptor(tls: &TlsListener) -> Result<TlsAcceptor, BrokerError> {
    let wrong = |reason: String| BrokerError::Certificate { reason };
    let chain = CertificateDer::pem_slice_iter(&tls.certificate_chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(format!("the certificate chain is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(wrong("expected at least one PEM certificate, found none".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(&tls.private_key_pem)
        .map_err(|error| wrong(format!("the private key is no PEM key: {error}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| wrong(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
