//! Real servers, started on free loopback ports in folders of their own, ended with the test. A peer that is not installed is `None`, with the
//! reason printed.
#![allow(dead_code)]

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rootcast_hosting::ServerIdentity;
use tempfile::TempDir;

pub struct Peer {
    child: Child,
    pub address: SocketAddr,
    pub folder: TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn start(program: &str, make: impl Fn(&mut Command, SocketAddr, &Path)) -> Option<Self> {
        let Some(path) = find(program) else {
            let required = std::env::var_os("ROOTCAST_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "{program} is not installed");
            println!("skipped: {program} is not installed");
            return None;
        };
        // A port can be taken between asking for it and using it: a few tries.
        for _ in 0..5 {
            let address = free_port();
            let folder = tempfile::tempdir().unwrap();
            let mut command = Command::new(&path);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            make(&mut command, address, folder.path());
            let child = command.spawn().unwrap();
            let mut peer = Self { child, address, folder };
            if peer.wait() {
                return Some(peer);
            }
        }
        panic!("{program} does not start");
    }

    fn wait(&mut self) -> bool {
        for _ in 0..600 {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// S3.
    pub fn moto() -> Option<Self> {
        Self::start("moto_server", |command, address, _| {
            command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        })
    }

    /// Google Cloud Storage, with a bucket `firmware`.
    pub fn gcs() -> Option<Self> {
        Self::start("gcp-storage-emulator", |command, address, folder| {
            let port = address.port().to_string();
            command.args([
                "start",
                "--host=127.0.0.1",
                "--port",
                &port,
                "--in-memory",
                "--default-bucket=firmware",
            ]);
            command.current_dir(folder);
        })
    }

    /// Azure Blob Storage.
    pub fn azurite() -> Option<Self> {
        Self::start("azurite-blob", |command, address, folder| {
            let port = address.port().to_string();
            command.args([
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port,
                "--skipApiVersionCheck",
                "--silent",
                "--location",
            ]);
            command.arg(folder);
        })
    }

    /// `python3 -m http.server`.
    pub fn python(served: &Path) -> Option<Self> {
        Self::start("python3", |command, address, _| {
            command.args([
                "-m",
                "http.server",
                "--bind",
                "127.0.0.1",
                &address.port().to_string(),
                "--directory",
            ]);
            command.arg(served);
        })
    }

    /// nginx with TLS; `more` goes into its `server` block.
    pub fn nginx(served: &Path, identity: &ServerIdentity, more: &str) -> Option<Self> {
        let site = Site { identity: Some(identity.clone()), more: more.to_owned() };
        Self::nginx_sites(served, &[site]).map(|nginx| nginx.peer)
    }

    /// nginx with several sites, each on a port of its own, all serving the same folder.
    pub fn nginx_sites(served: &Path, sites: &[Site]) -> Option<Nginx> {
        let ports = std::cell::RefCell::new(Vec::new());
        let peer = Self::start("nginx", |command, address, folder| {
            let addresses: Vec<SocketAddr> =
                std::iter::once(address).chain(sites.iter().skip(1).map(|_| free_port())).collect();
            let blocks = sites.iter().zip(&addresses).enumerate().map(|(at, (site, address))| {
                let tls =
                    site.identity.as_ref().map(|identity| tls_lines(folder, &format!("{at}-"), identity));
                let (word, tls) =
                    if tls.is_some() { (" ssl", tls.unwrap_or_default()) } else { ("", String::new()) };
                format!(
                    "server {{ listen {address}{word}; root {};\n{tls}{}\n}}",
                    served.display(),
                    site.more
                )
            });
            write_nginx(command, folder, &blocks.collect::<Vec<_>>().join("\n"));
            *ports.borrow_mut() = addresses.iter().map(SocketAddr::port).collect();
        })?;
        Some(Nginx { peer, ports: ports.into_inner() })
    }

    /// apache2 with TLS; `more` goes into its configuration.
    pub fn apache(served: &Path, identity: &ServerIdentity, more: &str) -> Option<Self> {
        let modules = ["/usr/lib/apache2/modules", "/usr/libexec/apache2", "/usr/lib64/httpd/modules"]
            .into_iter()
            .find(|path| Path::new(path).is_dir());
        let Some(modules) = modules else {
            println!("skipped: apache2's modules are not installed");
            return None;
        };
        Self::start("apache2", |command, address, folder| {
            put_identity(folder, identity);
            let load: String = ["mpm_event", "authz_core", "ssl", "headers", "mime", "alias", "rewrite"]
                .into_iter()
                .filter(|name| Path::new(modules).join(format!("mod_{name}.so")).exists())
                .map(|name| format!("LoadModule {name}_module {modules}/mod_{name}.so\n"))
                .collect();
            let (at, root) = (folder.display(), served.display());
            let config = format!(
                "{load}ServerRoot {at}\nPidFile {at}/pid\nErrorLog {at}/error.log\nServerName localhost\nListen {address}\n\
                 Mutex file:{at}\nTypesConfig /dev/null\nDocumentRoot {root}\n<Directory {root}>\nRequire all granted\n</Directory>\n\
                 SSLEngine on\nSSLCertificateFile {at}/chain.pem\nSSLCertificateKeyFile {at}/key.pem\n{more}\n"
            );
            fs::write(folder.join("apache.conf"), config).unwrap();
            command.arg("-X").arg("-f").arg(folder.join("apache.conf"));
        })
    }
}

/// One site of an nginx.
pub struct Site {
    /// Its certificate; without one it speaks plain HTTP.
    pub identity: Option<ServerIdentity>,
    /// More for its `server` block. Its own `ssl_protocols` takes the place of the usual one.
    pub more: String,
}

/// An nginx with several sites.
pub struct Nginx {
    pub peer: Peer,
    /// The sites' ports, in order.
    pub ports: Vec<u16>,
}

fn tls_lines(folder: &Path, prefix: &str, identity: &ServerIdentity) -> String {
    let (chain, key) = (folder.join(format!("{prefix}chain.pem")), folder.join(format!("{prefix}key.pem")));
    fs::write(&chain, identity.chain_pem()).unwrap();
    fs::write(&key, identity.key_pem()).unwrap();
    format!("ssl_certificate {}; ssl_certificate_key {};\n", chain.display(), key.display())
}

fn write_nginx(command: &mut Command, folder: &Path, servers: &str) {
    let at = folder.display();
    let config = format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/error.log; events {{ worker_connections 2048; }}\n\
         http {{ access_log off; default_type application/octet-stream; client_body_temp_path {at}/b; proxy_temp_path {at}/p;\n\
         fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; sendfile on; tcp_nopush on;\n\
         ssl_protocols TLSv1.2 TLSv1.3;\n{servers}\n}}"
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
    command.args(["-c", "nginx.conf", "-e", "error.log", "-p"]).arg(folder);
    command.current_dir(folder);
}

fn put_identity(folder: &Path, identity: &ServerIdentity) {
    fs::write(folder.join("chain.pem"), identity.chain_pem()).unwrap();
    fs::write(folder.join("key.pem"), identity.key_pem()).unwrap();
}

pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A real image, or the reason why there is none.
pub fn real_image(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/images").join(name);
    match fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(_) => {
            println!("skipped: no real images beside the repository");
            None
        }
    }
}
