//! Starting and stopping.

use super::upload::Gate;
use super::{BrokerChoice, PlaneError, Setup};
use crate::api;
use crate::api::listen::ApiListener;
use crate::broker::{
    AccessPolicy, BrokerConfig, EmbeddedBroker, Rule, RunningBroker, TlsListener, TopicFilter,
};
use crate::clock::Clock;
use crate::engine::{Engine, EngineHandle, EngineParts, connect};
use crate::home_assistant::{HomeAssistant, Options};
use crate::id::random;
use crate::metrics::Metrics;
use crate::mqtt::{Endpoint, Trust};
use crate::service::Service;
use crate::service::tokens::{Role, make_token};
use crate::store::{Place, Store};
use crate::web;
use crate::webhook::Webhooks;
use rootcast_hosting::authority::CA_CERTIFICATE_FILE;
use rootcast_hosting::host::Uploads;
use rootcast_hosting::identity::IdentitySource;
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions, ServerIdentity};
use rootcast_rollout::Spec;
use rootcast_wire::text::Hex;
use rustls::ServerConfig;
use std::fs::{self, File, TryLockError};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The folder of uploaded files, in the data folder.
const FILES: &str = "files";
/// The database, in the data folder.
const DATABASE: &str = "rootcast.db";
/// Held by the process that works with the data folder.
const LOCK: &str = "rootcast.lock";
/// The name of the control plane's own user of the embedded broker.
const OWN_USER: &str = "rootcast-control-plane";
/// How long running downloads may take to finish when the control plane ends.
const GRACE: Duration = Duration::from_secs(10);

/// A control plane that runs.
pub struct ControlPlane {
    service: Service,
    first_token: Option<String>,
    ca: Option<PathBuf>,
    broker: Option<RunningBroker>,
    broker_url: String,
    host: FirmwareHost,
    api: ApiListener,
    api_url: String,
    engine: EngineHandle,
    tasks: Vec<JoinHandle<()>>,
    home_assistant: Option<HomeAssistant>,
    webhooks: Webhooks,
    _lock: File,
}

impl ControlPlane {
    /// Starts everything.
    pub async fn start(setup: Setup) -> Result<Self, PlaneError> {
        if !setup.api.ip().is_loopback() && setup.is_behind_proxy {
            tracing::info!(address = %setup.api, "the API speaks plain HTTP: the proxy before it has to speak TLS");
        }
        let lock = lock(&setup.data)?;
        let folder = setup.files.clone().unwrap_or_else(|| setup.data.join(FILES));
        fs::create_dir_all(&folder).map_err(|source| PlaneError::Data { path: folder.clone(), source })?;

        let clock = Clock::start();
        let place = match &setup.database {
            Some(url) => Place::Url(url.clone()),
            None => Place::File(setup.data.join(DATABASE)),
        };
        let store = Store::open(&place).await?;
        let first_token = match store.tokens().await?.is_empty() {
            false => None,
            true => {
                let (token, row) = make_token("first", Role::Admin, clock.now())?;
                store.add_token(&row).await?;
                Some(token)
            }
        };

        let identity = identity(&setup)?;
        let gate = Arc::new(Gate { store: store.clone(), clock });
        let mut options = host_options(&setup, &identity);
        options.uploads = Some(Uploads::Gate(gate));
        let host = FirmwareHost::start(options, Files::with_folder(&folder)?).await?;
        let files_url = match &setup.files_url {
            Some(url) => checked_files_url(url)?,
            None => host.url("/"),
        };
        let (broker, endpoint, trust) = broker(&setup, &identity).await?;
        let broker_url = endpoint.to_string();

        let metrics = Arc::new(Metrics::default());
        let parts = EngineParts {
            store: store.clone(),
            clock,
            metrics: metrics.clone(),
            files_url: files_url.clone(),
        };
        let (engine, wires, work) = Engine::start(parts).await?;
        let bridge = setup.home_assistant.as_ref().map(|prefix| Options {
            broker: endpoint.clone(),
            trust: trust.clone(),
            prefix: prefix.clone(),
            soak_s: Spec::default().soak_s,
        });
        let link = connect(endpoint, trust, wires);

        let ca = match &setup.certificate {
            Some(_) => None,
            None => Some(read_ca(&setup.data)?),
        };
        let service = Service {
            store,
            engine: engine.clone(),
            clock,
            metrics,
            files: Arc::new(folder),
            files_url: files_url.into(),
            upload_url: host.url("/").into(),
            ca,
        };
        let webhooks = Webhooks::start(service.clone());
        let home_assistant = bridge.map(|options| HomeAssistant::start(service.clone(), options));
        let tls = match setup.api.ip().is_loopback() || setup.is_behind_proxy {
            true => None,
            false => Some(tls_config(&identity)?),
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listen_failed = |source| PlaneError::Listen { address: setup.api, source };
        let is_secure = tls.is_some() || setup.is_behind_proxy;
        let pages = web::router(service.clone(), api::routes(service.clone()), is_secure);
        let api = ApiListener::start(setup.api, tls, pages).await.map_err(listen_failed)?;
        let api_url = format!("{scheme}://{}", place_of(api.address(), &setup.names));
        let ca = setup.certificate.is_none().then(|| setup.data.join(CA_CERTIFICATE_FILE));
        let tasks = vec![work, link];
        Ok(Self {
            service,
            first_token,
            ca,
            broker,
            broker_url,
            host,
            api,
            api_url,
            engine,
            tasks,
            home_assistant,
            webhooks,
            _lock: lock,
        })
    }

    /// What can be asked of it.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The first administrator's token, if it was made just now: it cannot be shown again.
    pub fn first_token(&self) -> Option<&str> {
        self.first_token.as_deref()
    }

    /// The certificate that nodes and clients have to trust, if it is the development CA's.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Where the API is.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The broker.
    pub fn broker_url(&self) -> &str {
        &self.broker_url
    }

    /// Where the embedded broker speaks plain MQTT, and TLS.
    pub fn broker_addresses(&self) -> Option<(SocketAddr, Option<SocketAddr>)> {
        self.broker.as_ref().map(|broker| (broker.address(), broker.tls_address()))
    }

    /// Where nodes find files.
    pub fn files_url(&self) -> &str {
        &self.service.files_url
    }

    /// Takes no more requests, writes everything down, lets downloads finish for a while, and ends.
    pub async fn stop(self) {
        if let Some(home_assistant) = self.home_assistant {
            home_assistant.stop().await;
        }
        self.engine.stop().await;
        self.webhooks.stop().await;
        self.api.stop().await;
        self.host.stop(GRACE).await;
        for task in self.tasks {
            // The engine has ended by itself; the connection to the broker ends when the engine does.
            let _ = tokio::time::timeout(GRACE, task).await;
        }
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        self.service.store.close().await;
    }
}

/// A URL that file names can be put behind.
fn checked_files_url(url: &str) -> Result<String, PlaneError> {
    let is_http = url.starts_with("https://") || url.starts_with("http://");
    if !is_http || url.contains(['?', '#', '"', ' ']) || url.chars().any(char::is_control) {
        return Err(PlaneError::FilesUrl { url: url.to_owned() });
    }
    Ok(format!("{}/", url.trim_end_matches('/')))
}

/// One process a data folder: two would trigger twice.
fn lock(data: &Path) -> Result<File, PlaneError> {
    let failed = |source| PlaneError::Data { path: data.to_owned(), source };
    fs::create_dir_all(data).map_err(failed)?;
    let file = File::options().create(true).append(true).open(data.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PlaneError::InUse { path: data.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn identity(setup: &Setup) -> Result<ServerIdentity, PlaneError> {
    Ok(match &setup.certificate {
        Some((certificate, key)) => ServerIdentity::from_files(certificate, key)?,
        None => {
            let mut names = setup.names.clone();
            let here = [setup.firmware.ip(), setup.api.ip()];
            names.extend(here.iter().filter(|ip| !ip.is_unspecified()).map(ToString::to_string));
            names.sort();
            names.dedup();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            DevelopmentCa::keep_in(&setup.data)?.server_identity(&names)?
        }
    })
}

fn read_ca(data: &Path) -> Result<Arc<str>, PlaneError> {
    let path = data.join(CA_CERTIFICATE_FILE);
    let text = fs::read_to_string(&path).map_err(|source| PlaneError::Data { path, source })?;
    Ok(text.into())
}

fn host_options(setup: &Setup, identity: &ServerIdentity) -> HostOptions {
    let source = match &setup.certificate {
        // Read again when it changes.
        Some((certificate, key)) => {
            IdentitySource::Files { certificate: certificate.clone(), key: key.clone() }
        }
        None => IdentitySource::Fixed(identity.clone()),
    };
    let mut options = HostOptions::https(source).on(setup.firmware);
    options.name = match setup.names.first() {
        Some(name) => bracketed(name),
        None if setup.firmware.ip().is_loopback() => "localhost".to_owned(),
        None => bracketed(&setup.firmware.ip().to_string()),
    };
    options
}

async fn broker(
    setup: &Setup,
    identity: &ServerIdentity,
) -> Result<(Option<RunningBroker>, Endpoint, Trust), PlaneError> {
    let (listen, tls, users) = match &setup.broker {
        BrokerChoice::External { endpoint, trust } => return Ok((None, endpoint.clone(), trust.clone())),
        BrokerChoice::Embedded { listen, tls, users } => (*listen, *tls, users.clone()),
    };
    let mut config =
        BrokerConfig { listen, data: Some(setup.data.join("broker")), ..BrokerConfig::loopback() };
    config.tls = tls.map(|listen| TlsListener {
        listen,
        certificate_chain_pem: identity.chain_pem().into_bytes(),
        private_key_pem: identity.key_pem().into_bytes(),
    });
    let mut login = None;
    if let Some(users) = users {
        let secret: [u8; 32] = random()?;
        let password = Hex(&secret).to_string();
        // "#" is a filter that cannot be wrong.
        let rules = TopicFilter::new("#").map(Rule::read_write).into_iter().collect();
        config.access = AccessPolicy::Users(users.with_user(OWN_USER, &password, rules));
        login = Some((OWN_USER.to_owned(), password));
    }
    let broker = EmbeddedBroker::start(config).await?;
    let address = broker.address();
    let ip = if address.ip().is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { address.ip() };
    let endpoint = Endpoint { host: ip.to_string(), port: address.port(), tls: false, login, identity: None };
    Ok((Some(broker), endpoint, Trust::PublicAuthorities))
}

fn tls_config(identity: &ServerIdentity) -> Result<ServerConfig, PlaneError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key().clone_key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Host and port as they stand in a URL.
fn place_of(address: SocketAddr, names: &[String]) -> String {
    let host = match names.first() {
        Some(name) if !address.ip().is_loopback() => bracketed(name),
        _ if address.ip().is_unspecified() => "localhost".to_owned(),
        _ => bracketed(&address.ip().to_string()),
    };
    format!("{host}:{}", address.port())
}

/// An IPv6 address as it stands in a URL.
fn bracketed(name: &str) -> String {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => name.to_owned(),
    }
}
