//! [`FirmwareHost`]: a host that runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinHandle;

use super::events::{HostCounters, HostEvent, Journal};
use super::limits::Limits;
use super::options::HostOptions;
use super::reload::watch_files;
use super::respond::Site;
use super::serve::{Door, Stage};
use crate::content::Files;
use crate::identity::{CurrentIdentity, IdentitySource, server_config};
use crate::{HostingError, ServerIdentity};

/// A host's counters; they outlive it.
#[derive(Debug, Clone)]
pub struct Meter(Arc<Journal>);

impl Meter {
    /// Counters since the host's start.
    pub fn counters(&self) -> HostCounters {
        self.0.counters()
    }
}

/// A running host. Dropping it ends it at once; [`FirmwareHost::stop`] lets downloads finish.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};
///
/// let authority = DevelopmentCa::generate()?;
/// let files = Files::new();
/// files.insert("/fw.bin", &b"an image"[..]);
/// let options = HostOptions::https(authority.server_identity(&[])?).on_free_port();
/// let host = FirmwareHost::start(options, files).await?;
/// assert!(host.url("/fw.bin").starts_with("https://localhost:"));
/// host.stop(std::time::Duration::from_secs(5)).await;
/// # Ok::<(), rootcast_hosting::HostingError>(()) }).unwrap();
/// ```
pub struct FirmwareHost {
    address: SocketAddr,
    name: String,
    secure: bool,
    site: Arc<Site>,
    identity: Option<Arc<CurrentIdentity>>,
    stage: watch::Sender<Stage>,
    permits: Arc<Semaphore>,
    max_connections: u32,
    tasks: Vec<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for FirmwareHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FirmwareHost")
            .field("address", &self.address)
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

impl FirmwareHost {
    /// Starts a host on the tokio runtime this is called from.
    pub async fn start(options: HostOptions, files: Files) -> Result<Self, HostingError> {
        let listen_failed = |source| HostingError::Listen { address: options.address, source };
        let identity = match &options.identity {
            None => None,
            Some(IdentitySource::Fixed(identity)) => Some(CurrentIdentity::new(identity)?),
            Some(IdentitySource::Files { certificate, key }) => {
                Some(CurrentIdentity::new(&ServerIdentity::from_files(certificate, key)?)?)
            }
        };
        let tls = match &identity {
            Some(identity) => Some(server_config(identity.clone(), options.tls, options.http2)?),
            None => None,
        };
        let listener = TcpListener::bind(options.address).await.map_err(listen_failed)?;
        let address = listener.local_addr().map_err(listen_failed)?;
        let max_connections = options.max_connections.clamp(1, 1 << 20);
        let permits = Arc::new(Semaphore::new(max_connections));
        let journal = Arc::new(Journal::new());
        let site = Arc::new(Site {
            files,
            journal: journal.clone(),
            limits: Limits::new(options.limit_total, options.limit_per_mesh),
            mesh_key: options.mesh_key,
            faults: options.faults,
            uploads: options.uploads,
        });
        let (stage, watched) = watch::channel(Stage::Running);
        let door = Door {
            listener,
            tls,
            site: site.clone(),
            permits: permits.clone(),
            stage: watched,
            idle_timeout: options.idle_timeout,
        };
        let mut tasks = vec![tokio::spawn(door.keep())];
        if let (Some(current), Some(IdentitySource::Files { certificate, key })) =
            (&identity, options.identity)
        {
            tasks.push(tokio::spawn(watch_files(
                certificate,
                key,
                options.reload_period,
                current.clone(),
                journal,
            )));
        }
        tracing::info!(%address, secure = identity.is_some(), "firmware host listens");
        Ok(Self {
            address,
            name: options.name,
            secure: identity.is_some(),
            site,
            identity,
            stage,
            permits,
            max_connections: u32::try_from(max_connections).unwrap_or(u32::MAX),
            tasks,
            runtime: None,
        })
    }

    /// Starts a host on two threads of its own, for callers without a tokio runtime.
    pub fn start_in_background(options: HostOptions, files: Files) -> Result<Self, HostingError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("rootcast-host")
            .enable_all()
            .build()
            .map_err(HostingError::Runtime)?;
        let mut host = runtime.block_on(Self::start(options, files))?;
        host.runtime = Some(runtime);
        Ok(host)
    }

    /// Where it listens, with the port it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, with the host's name and port.
    pub fn url(&self, path: &str) -> String {
        self.url_with_name(&self.name, path)
    }

    /// The URL of a path under another name or address (IPv6 in brackets).
    pub fn url_with_name(&self, name: &str, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{name}:{}/{}", self.address.port(), path.trim_start_matches('/'))
    }

    /// What is served; insert into it at any time.
    pub fn files(&self) -> &Files {
        &self.site.files
    }

    /// Counters since the start.
    pub fn counters(&self) -> HostCounters {
        self.site.journal.counters()
    }

    /// The counters, also for after the end.
    pub fn meter(&self) -> Meter {
        Meter(self.site.journal.clone())
    }

    /// Events from now on. A listener that falls more than a thousand behind misses some, and is told how many.
    pub fn events(&self) -> broadcast::Receiver<HostEvent> {
        self.site.journal.subscribe()
    }

    /// Uses another certificate from the next handshake on. Without effect on a plain HTTP host.
    pub fn set_identity(&self, identity: &ServerIdentity) -> Result<(), HostingError> {
        self.identity.as_ref().map_or(Ok(()), |current| current.replace(identity))
    }

    /// Takes no more connections and requests, lets running answers finish for up to `grace`, then ends. Whether all finished.
    pub async fn stop(mut self, grace: Duration) -> bool {
        self.end(grace).await
    }

    /// [`FirmwareHost::stop`] for a host started in the background; not to be called from async code.
    pub fn stop_in_background(mut self, grace: Duration) -> bool {
        match self.runtime.take() {
            Some(runtime) => {
                let finished = runtime.block_on(self.end(grace));
                runtime.shutdown_background();
                finished
            }
            None => false,
        }
    }

    async fn end(&mut self, grace: Duration) -> bool {
        self.stage.send_replace(Stage::Stopping);
        let all_gone = self.permits.acquire_many(self.max_connections);
        let finished = tokio::time::timeout(grace, all_gone).await.is_ok();
        self.stage.send_replace(Stage::Ended);
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
        finished
    }
}

impl Drop for FirmwareHost {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Ended);
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
