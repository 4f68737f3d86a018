//! [`HostOptions`]: how a host is set up.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::limits::MeshKey;
use super::upload::Uploads;
use crate::faults::FaultSource;
use crate::identity::{IdentitySource, TlsVersions};

/// The port a host listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 8443;
/// Connections at a time unless told otherwise: two thousand nodes at once, at under 150 KB each.
const DEFAULT_MAX_CONNECTIONS: usize = 2048;
/// A connection on which nothing moves for so long is closed.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often certificate files are looked at.
const DEFAULT_RELOAD_PERIOD: Duration = Duration::from_secs(2);

/// How a host is set up. Begin with [`HostOptions::https`] or [`HostOptions::http`] and change fields.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where to listen. Port 0 picks a free one. Default: 127.0.0.1:8443.
    pub address: SocketAddr,
    /// The name in the URLs the host prints; default `localhost`.
    pub name: String,
    /// The certificate; `None` serves plain HTTP.
    pub identity: Option<IdentitySource>,
    /// Versions of TLS.
    pub tls: TlsVersions,
    /// Whether HTTP/2 is offered (by ALPN).
    pub http2: bool,
    /// Connections at a time; more are closed at once.
    pub max_connections: usize,
    /// A connection on which nothing moves for so long is closed.
    pub idle_timeout: Duration,
    /// Bytes of content a second, all downloads together.
    pub limit_total: Option<u64>,
    /// Bytes of content a second, each mesh.
    pub limit_per_mesh: Option<u64>,
    /// What tells meshes apart.
    pub mesh_key: MeshKey,
    /// How often certificate files are looked at for changes.
    pub reload_period: Duration,
    /// Who may upload with `PUT`; `None` takes no uploads.
    pub uploads: Option<Uploads>,
    /// What goes wrong on purpose.
    pub faults: Option<FaultSource>,
}

impl HostOptions {
    /// HTTPS on 127.0.0.1:8443.
    pub fn https(identity: impl Into<IdentitySource>) -> Self {
        Self { identity: Some(identity.into()), ..Self::http() }
    }

    /// Plain HTTP on 127.0.0.1:8443: for tests, and behind a proxy that speaks TLS.
    pub fn http() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
            name: "localhost".to_owned(),
            identity: None,
            tls: TlsVersions::default(),
            http2: true,
            max_connections: DEFAULT_MAX_CONNECTIONS,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            limit_total: None,
            limit_per_mesh: None,
            mesh_key: MeshKey::default(),
            reload_period: DEFAULT_RELOAD_PERIOD,
            uploads: None,
            faults: None,
        }
    }

    /// The same on another address.
    #[must_use]
    pub fn on(mut self, address: impl Into<SocketAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// The same on a free port of 127.0.0.1.
    #[must_use]
    pub fn on_free_port(self) -> Self {
        self.on((Ipv4Addr::LOCALHOST, 0))
    }

    /// The same with faults.
    #[must_use]
    pub fn with_faults(mut self, faults: FaultSource) -> Self {
        self.faults = Some(faults);
        self
    }
}
