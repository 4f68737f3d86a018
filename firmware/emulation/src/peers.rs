//! Real servers: mosquitto as the broker, nginx with TLS as the firmware server, each on a free port of loopback.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The host as boards see it behind QEMU's router.
pub const HOST: &str = "10.0.2.2";

/// Whether the programs that this needs are installed; the name of one that is not.
pub fn missing_program() -> Option<&'static str> {
    let programs = ["qemu-system-riscv32", "mosquitto", "mosquitto_pub", "mosquitto_sub", "nginx"];
    programs.into_iter().find(|program| {
        let mut look = Command::new("sh");
        look.args(["-c", &format!("PATH=$PATH:/usr/sbin command -v {program}")]).stdout(Stdio::null());
        !look.status().is_ok_and(|status| status.success())
    })
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn wait_for(port: u16) -> io::Result<()> {
    let patience = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if Instant::now() > patience {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("nobody listens on port {port}")));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// mosquitto, and a subscriber that writes down everything that is published.
pub struct Broker {
    /// Its port.
    pub port: u16,
    heard: PathBuf,
    _broker: Server,
    _listener: Server,
}

impl Broker {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let port = free_port()?;
        let configuration = folder.join("mosquitto.conf");
        fs::write(
            &configuration,
            format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"),
        )?;
        let mut command = Command::new("sh");
        command.arg("-c").arg("PATH=$PATH:/usr/sbin exec mosquitto -c \"$0\"").arg(&configuration);
        let broker = Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        wait_for(port)?;
        let heard = folder.join("heard.txt");
        let mut listener = Command::new("mosquitto_sub");
        listener.args(["-p", &port.to_string(), "-t", "#", "-q", "1", "-F", "%t %p"]);
        let listener = Server(listener.stdout(File::create(&heard)?).stderr(Stdio::null()).spawn()?);
        Ok(Self { port, heard, _broker: broker, _listener: listener })
    }

    /// Publishes as anyone would.
    ///
    /// # Errors
    /// When `mosquitto_pub` fails.
    pub fn publish(&self, topic: &str, message: &str) -> io::Result<()> {
        let mut publisher = Command::new("mosquitto_pub");
        publisher.args(["-p", &self.port.to_string(), "-q", "1", "-t", topic, "-m", message]);
        if publisher.status()?.success() { Ok(()) } else { Err(io::Error::other("mosquitto_pub failed")) }
    }

    /// Every message so far: topic and JSON.
    pub fn messages(&self) -> Vec<(String, Value)> {
        let Ok(mut file) = File::open(&self.heard) else { return Vec::new() };
        let mut text = Vec::new();
        let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut text));
        let lines = BufReader::new(&text[..]).lines().map_while(Result::ok);
        lines
            .filter_map(|line| {
                let (topic, payload) = line.split_once(' ')?;
                Some((topic.to_owned(), serde_json::from_str(payload).unwrap_or(Value::Null)))
            })
            .collect()
    }

    /// The steps that a node has reported: state and error.
    pub fn reports(&self, id: u64) -> Vec<(String, String)> {
        let topic = format!("/switch/ota/{id}");
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let reports = self.messages().into_iter().filter(|(on, _)| *on == topic);
        reports.map(|(_, report)| (text(&report["state"]), text(&report["error"]))).collect()
    }
}

/// nginx with TLS 1.3 and a certificate of a CA made for it.
pub struct FirmwareServer {
    /// Its port.
    pub port: u16,
    /// The CA's certificate, PEM.
    pub ca_pem: String,
    files: PathBuf,
    _server: Server,
}

/// For whom the server's certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFor {
    /// The address that boards use.
    Host,
    /// Somebody else.
    Stranger,
}

impl FirmwareServer {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(folder: &Path, certificate: CertificateFor) -> io::Result<Self> {
        let folder = folder.join(format!("nginx-{certificate:?}"));
        let files = folder.join("files");
        fs::create_dir_all(&files)?;
        let port = free_port()?;
        let ca_pem = make_certificates(&folder, certificate).map_err(io::Error::other)?;
        let at = folder.display();
        fs::write(
            folder.join("nginx.conf"),
            format!(
                "daemon off; master_process off; worker_processes 1; pid {at}/nginx.pid; error_log {at}/error.log warn;\n\
                 events {{ worker_connections 64; }}\n\
                 http {{ access_log {at}/access.log; client_body_temp_path {at}/t1; proxy_temp_path {at}/t2;\n\
                 fastcgi_temp_path {at}/t3; uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;\n\
                 server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3; ssl_certificate {at}/server.pem;\n\
                 ssl_certificate_key {at}/server.key; root {at}/files; }} }}\n"
            ),
        )?;
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg("PATH=$PATH:/usr/sbin exec nginx -p \"$0\" -c \"$0/nginx.conf\" -e \"$0/error.log\"");
        let server = Server(command.arg(&folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        wait_for(port)?;
        Ok(Self { port, ca_pem, files, _server: server })
    }

    /// Puts a file there; its URL for boards.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<String> {
        fs::write(self.files.join(name), bytes)?;
        Ok(format!("https://{HOST}:{}/{name}", self.port))
    }

    /// The access log: how often, and with which status.
    pub fn accesses(&self) -> String {
        let log = self.files.parent().map(|folder| folder.join("access.log"));
        log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default()
    }
}

fn make_certificates(
    folder: &Path,
    certificate: CertificateFor,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.distinguished_name.push(rcgen::DnType::CommonName, "Emulation CA");
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(Vec::new())?;
    server.distinguished_name.push(rcgen::DnType::CommonName, "firmware server");
    server.subject_alt_names = vec![match certificate {
        CertificateFor::Host => SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2))),
        CertificateFor::Stranger => SanType::DnsName("somebody.example".try_into()?),
    }];
    fs::write(folder.join("server.pem"), server.signed_by(&key, &issuer)?.pem())?;
    fs::write(folder.join("server.key"), key.serialize_pem())?;
    Ok(ca_pem)
}
