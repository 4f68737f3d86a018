//! A broker to test: the embedded one, or mosquitto with the same configuration.

use std::future::Future;
use std::net::TcpListener as StdListener;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rootcast_control::broker::{
    AccessPolicy, BrokerConfig, EmbeddedBroker, Rule, RunningBroker, TlsListener, TopicFilter, Users,
};

/// The packet limit both brokers are given, in bytes.
pub const MAX_PACKET_BYTES: usize = 64 * 1024;

/// Name and password of the users that a broker has when [`Setup::users`] is set.
pub const OPERATOR: (&str, &str) = ("operator", "operator's pass phrase");
pub const ROOT_NODE: (&str, &str) = ("root-node", "root node's pass phrase");

struct Rights {
    user: (&'static str, &'static str),
    reads: &'static [&'static str],
    writes: &'static [&'static str],
}

const RIGHTS: [Rights; 2] = [
    Rights { user: OPERATOR, reads: &["/switch/ota/#", "/switch/state/#"], writes: &["/switch/cmd/root"] },
    Rights { user: ROOT_NODE, reads: &["/switch/cmd/+"], writes: &["/switch/ota/#", "/switch/state/root"] },
];

#[derive(Clone, Copy, Default)]
pub struct Setup {
    pub users: bool,
    pub tls: bool,
}

/// How a case gets its broker.
pub type Start = fn(Setup) -> Pin<Box<dyn Future<Output = Peer> + Send>>;

pub struct Peer {
    pub port: u16,
    pub tls: Option<PeerTls>,
    // Kept for as long as the test runs; the broker ends with it.
    _running: Running,
}

pub struct PeerTls {
    pub port: u16,
    /// Trusts the broker's certificate authority and nothing else.
    pub client: Arc<rustls::ClientConfig>,
}

#[expect(dead_code, reason = "held for their Drop")]
enum Running {
    Embedded(RunningBroker),
    Mosquitto(Mosquitto),
}

pub fn embedded(setup: Setup) -> Pin<Box<dyn Future<Output = Peer> + Send>> {
    Box::pin(async move {
        let mut config = BrokerConfig::loopback();
        if setup.users {
            let filters = |topics: &[&str], rule: fn(TopicFilter) -> Rule| {
                topics.iter().map(|t| rule(TopicFilter::new(*t).unwrap())).collect::<Vec<_>>()
            };
            let mut users = Users::new().unwrap();
            for Rights { user: (name, password), reads, writes } in RIGHTS {
                let rules = [filters(reads, Rule::read), filters(writes, Rule::write)].concat();
                users = users.with_user(name, password, rules);
            }
            config.access = AccessPolicy::Users(users);
        }
        let identity = setup.tls.then(Identity::new);
        config.tls = identity.as_ref().map(|identity| TlsListener {
            listen: "127.0.0.1:0".parse().unwrap(),
            certificate_chain_pem: identity.certificate_pem.clone().into_bytes(),
            private_key_pem: identity.key_pem.clone().into_bytes(),
        });
        let broker = EmbeddedBroker::start(config).await.unwrap();
        let tls = broker
            .tls_address()
            .zip(identity)
            .map(|(address, identity)| PeerTls { port: address.port(), client: identity.client });
        Peer { port: broker.address().port(), tls, _running: Running::Embedded(broker) }
    })
}

/// Whether mosquitto can be run here; says so when not. `ROOTCAST_REQUIRE_PEERS=1` makes that a failure.
pub fn mosquitto_is_here() -> bool {
    let found = tool("mosquitto").is_some() && tool("mosquitto_passwd").is_some();
    if !found {
        let required = std::env::var_os("ROOTCAST_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "mosquitto is required here and is not on the PATH");
        println!("skipped: mosquitto is not on the PATH (cargo xtask test --install installs it)");
    }
    found
}

/// Debian puts servers where an ordinary user's PATH does not look.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

pub fn mosquitto(setup: Setup) -> Pin<Box<dyn Future<Output = Peer> + Send>> {
    Box::pin(async move {
        // Mosquitto cannot pick a port itself: another program may take the one we found, so try again.
        for _ in 0..5 {
            if let Some(peer) = start_mosquitto(setup).await {
                return peer;
            }
        }
        panic!("mosquitto did not start");
    })
}

struct Mosquitto {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn start_mosquitto(setup: Setup) -> Option<Peer> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let port = free_port();
    let mut conf = format!(
        "listener {port} 127.0.0.1\nmax_packet_size {MAX_PACKET_BYTES}\nallow_anonymous {}\n\
         persistence false\nlog_type none\n",
        !setup.users
    );
    if running_as_root() {
        // Else it gives up its rights and cannot read the files below.
        conf += "user root\n";
    }
    if setup.users {
        let mut acl = String::new();
        for Rights { user: (name, password), reads, writes } in RIGHTS {
            let create = if acl.is_empty() { &["-c"][..] } else { &[] };
            let status = Command::new(tool("mosquitto_passwd")?)
                .args(create)
                .args(["-b".as_ref(), file("passwords").as_os_str(), name.as_ref(), password.as_ref()])
                .stderr(Stdio::null())
                .status();
            assert!(status.unwrap().success());
            acl += &format!("user {name}\n");
            acl.extend(reads.iter().map(|topic| format!("topic read {topic}\n")));
            acl.extend(writes.iter().map(|topic| format!("topic write {topic}\n")));
        }
        std::fs::write(file("acl"), acl).unwrap();
        conf +=
            &format!("password_file {}\nacl_file {}\n", file("passwords").display(), file("acl").display());
    }
    let tls = setup.tls.then(|| {
        let identity = Identity::new();
        let tls_port = free_port();
        std::fs::write(file("cert.pem"), &identity.certificate_pem).unwrap();
        std::fs::write(file("key.pem"), &identity.key_pem).unwrap();
        conf += &format!(
            "listener {tls_port} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
            file("cert.pem").display(),
            file("key.pem").display()
        );
        PeerTls { port: tls_port, client: identity.client }
    });
    std::fs::write(file("mosquitto.conf"), conf).unwrap();
    let process = Command::new(tool("mosquitto")?)
        .arg("-c")
        .arg(file("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut mosquitto = Mosquitto { process, _folder: folder };
    let last_port = tls.as_ref().map_or(port, |tls| tls.port);
    loop {
        if mosquitto.process.try_wait().unwrap().is_some() {
            return None;
        }
        if tokio::net::TcpStream::connect(("127.0.0.1", last_port)).await.is_ok() {
            return Some(Peer { port, tls, _running: Running::Mosquitto(mosquitto) });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[cfg(unix)]
fn running_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn running_as_root() -> bool {
    false
}

/// A certificate for `localhost` from an authority made on the spot, and a client that trusts it.
pub struct Identity {
    pub certificate_pem: String,
    pub key_pem: String,
    pub client: Arc<rustls::ClientConfig>,
}

impl Identity {
    pub fn new() -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".into()])
            .unwrap()
            .signed_by(&key, &Issuer::new(ca, ca_key))
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca_certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem(), client: Arc::new(client) }
    }
}
