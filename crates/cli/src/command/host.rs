//! `rootcast host`

use crate::error::Error;
use crate::output::Output;
use crate::watch::now;
use crate::{arguments, files};
use clap::{Args, ValueEnum};
use rootcast_hosting::authority::CA_CERTIFICATE_FILE;
use rootcast_hosting::host::{HostCounters, HostEvent, MeshKey, UploadToken, Uploads};
use rootcast_hosting::identity::IdentitySource;
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};

/// How long running downloads may take to finish when the host is stopped.
const GRACE: Duration = Duration::from_secs(30);
/// Uploads need a token of this many characters.
const TOKEN_VARIABLE: &str = "ROOTCAST_TOKEN";

/// Serve a folder to nodes over HTTPS, until Ctrl-C
///
/// Range, strong ETags, HTTP/1.1 and 2, TLS 1.3. Without --cert the certificate comes from a development CA that is made
/// at the first start and kept in the data folder; nodes are given it once. Each request is a line, or with --json an
/// object. The first Ctrl-C lets running downloads finish, the second ends them.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast host ./firmware
  rootcast host ./firmware --listen 0.0.0.0:8443 --name 192.168.1.20
  rootcast host /srv/firmware --cert fullchain.pem --key privkey.pem --limit-per-mesh 500
  ROOTCAST_TOKEN=… rootcast host ./firmware --uploads")]
pub struct Host {
    /// The folder to serve, with those below it; made if it is not there
    folder: PathBuf,

    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,

    /// A name or address by which nodes reach this machine; may be given several times, the first stands in URLs
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,

    /// The certificate chain (PEM), read again when it changes
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Serve plain HTTP: behind a proxy that speaks TLS, or on a desk
    #[arg(long, conflicts_with_all = ["cert", "key"])]
    plain_http: bool,

    /// Where the development CA is kept; without it the platform's data folder
    #[arg(long, value_name = "DIR", env = "ROOTCAST_DATA")]
    data: Option<PathBuf>,

    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,

    /// kB a second, all downloads together
    #[arg(long, value_name = "KB", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    /// kB a second, each mesh
    #[arg(long, value_name = "KB", value_parser = clap::value_parser!(u64).range(1..))]
    limit_per_mesh: Option<u64>,

    /// What tells meshes apart
    #[arg(long, value_enum, default_value_t = MeshBy::Address)]
    mesh_by: MeshBy,

    /// Take uploads (PUT) from whoever has the token in ROOTCAST_TOKEN
    #[arg(long)]
    uploads: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum MeshBy {
    /// The client's address: one router, one mesh
    Address,
    /// The client's network, /24 or /64
    Network,
    /// `?mesh=NAME` in the URL
    Query,
}

#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    address: SocketAddr,
    url: String,
    folder: &'a PathBuf,
    uploads: bool,
    /// The CA that nodes must trust, if it is the development CA.
    ca: Option<&'a PathBuf>,
}

#[derive(Serialize)]
struct Stopped {
    event: &'static str,
    /// Whether all downloads finished.
    finished: bool,
    #[serde(flatten)]
    counters: HostCounters,
}

impl Host {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        files::make_folder(&self.folder)?;
        let (options, ca) = self.options()?;
        let served = Files::with_folder(&self.folder)?;
        arguments::runtime()?.block_on(async {
            let host = FirmwareHost::start(options, served).await?;
            output.show(&Started {
                event: "started",
                address: host.address(),
                url: host.url("/"),
                folder: &self.folder,
                uploads: self.uploads,
                ca: ca.as_ref(),
            })?;
            let mut events = host.events();
            tell(&mut events, arguments::stopped(), output).await?;
            let meter = host.meter();
            let finished = tokio::select! {
                finished = host.stop(GRACE) => finished,
                _ = tokio::signal::ctrl_c() => false,
            };
            // What ended meanwhile.
            while let Ok(event) = events.try_recv() {
                output.show(&Happened(event))?;
            }
            output.show(&Stopped { event: "stopped", finished, counters: meter.counters() })
        })
    }

    /// How the host is set up, and where its CA's certificate is if it made one.
    fn options(&self) -> Result<(HostOptions, Option<PathBuf>), Error> {
        let (mut options, ca) = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let source = IdentitySource::Files { certificate: cert.clone(), key: key.clone() };
                (HostOptions::https(source), None)
            }
            _ if self.plain_http => (HostOptions::http(), None),
            _ => {
                let folder = match &self.data {
                    Some(folder) => folder.clone(),
                    None => arguments::data_folder()?,
                };
                let mut names: Vec<String> = self.name.clone();
                if !self.listen.ip().is_unspecified() {
                    names.push(self.listen.ip().to_string());
                }
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let identity = DevelopmentCa::keep_in(&folder)?.server_identity(&names)?;
                (HostOptions::https(identity), Some(folder.join(CA_CERTIFICATE_FILE)))
            }
        };
        options.address = self.listen;
        options.name = match self.name.first() {
            Some(name) => bracketed(name),
            None if self.listen.ip().is_loopback() => "localhost".to_string(),
            None => bracketed(&self.listen.ip().to_string()),
        };
        options.max_connections = self.max_connections as usize;
        options.limit_total = self.limit.map(|kb| kb.saturating_mul(1000));
        options.limit_per_mesh = self.limit_per_mesh.map(|kb| kb.saturating_mul(1000));
        options.mesh_key = match self.mesh_by {
            MeshBy::Address => MeshKey::Address,
            MeshBy::Network => MeshKey::Network,
            MeshBy::Query => MeshKey::Query,
        };
        if self.uploads {
            let token = std::env::var(TOKEN_VARIABLE).unwrap_or_default();
            let token = UploadToken::new(token).ok_or_else(|| {
                Error::Usage(format!("uploads need a token of 16 characters or more in {TOKEN_VARIABLE}"))
            })?;
            options.uploads = Some(Uploads::Token(token));
        }
        Ok((options, ca))
    }
}

/// Prints what happens until somebody stops it.
async fn tell(
    events: &mut broadcast::Receiver<HostEvent>,
    stop: impl Future<Output = ()>,
    output: &mut Output,
) -> Result<(), Error> {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => output.show(&Happened(event))?,
                Err(RecvError::Lagged(missed)) => output.show(&Missed { event: "missed", events: missed })?,
                Err(RecvError::Closed) => return Ok(()),
            },
            () = &mut stop => return Ok(()),
        }
    }
}

/// An IPv6 address as it stands in a URL.
fn bracketed(name: &str) -> String {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => name.to_string(),
    }
}

/// An event of the host: one line of the access log.
#[derive(Serialize)]
#[serde(transparent)]
struct Happened(HostEvent);

/// Events that came faster than they could be printed.
#[derive(Serialize)]
struct Missed {
    event: &'static str,
    events: u64,
}

impl fmt::Display for Started<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "serving {} at {}", self.folder.display(), self.url)?;
        if let Some(ca) = self.ca {
            writeln!(f, "  CA for the nodes   {}", ca.display())?;
        }
        if self.address.ip().is_loopback() {
            writeln!(
                f,
                "  on this machine only; for nodes give --listen 0.0.0.0:8443 and --name with this machine's address"
            )?;
        }
        if self.uploads {
            writeln!(
                f,
                "  takes uploads      rootcast publish APP.bin --to {}",
                self.url.trim_end_matches('/')
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", now())?;
        match &self.0 {
            HostEvent::Request(request) => {
                write!(
                    f,
                    "{} {} {} {} {}",
                    request.client, request.method, request.path, request.version, request.status
                )?;
                if let Some(start) = request.range_start {
                    write!(f, " from {start}")?;
                }
                let whole =
                    if request.complete { String::new() } else { format!(" of {}, cut", request.length) };
                write!(f, " {} bytes{whole} {} ms", request.sent, request.millis)
            }
            HostEvent::HandshakeFailed { client, error } => {
                write!(f, "{client} TLS handshake failed: {error}")
            }
            HostEvent::TooManyConnections { client } => {
                write!(f, "{client} turned away: too many connections")
            }
            HostEvent::IdentityReloaded => write!(f, "certificate files changed and are in use"),
            HostEvent::IdentityRefused { error } => {
                write!(f, "certificate files changed and are not usable, the old ones stay: {error}")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events came too fast to be printed", self.events)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.finished { "all downloads finished" } else { "some downloads were cut" };
        write!(
            f,
            "stopped, {how}: {} requests, {} bytes served",
            self.counters.requests, self.counters.bytes_served
        )
    }
}
