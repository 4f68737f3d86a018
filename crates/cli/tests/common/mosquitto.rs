//! A mosquitto of the test's own, on free ports of this machine.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a peer may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running broker; dropping it ends it.
pub struct Mosquitto {
    broker: Child,
    /// Where it listens.
    pub port: u16,
    folder: TempDir,
}

impl Mosquitto {
    /// Starts a broker with these lines in its configuration, below `listener PORT 127.0.0.1`. `prepare` may put files
    /// into its folder. `None`, with a printed reason, where mosquitto is not installed.
    pub fn start(configuration: &str, prepare: impl FnOnce(&Path)) -> Option<Self> {
        let installed = Command::new("mosquitto").arg("-h").stdout(Stdio::null()).status().is_ok();
        if !installed {
            println!("skipped: mosquitto is not installed (apt install mosquitto mosquitto-clients)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder for mosquitto");
        prepare(folder.path());
        let port = free_port();
        let text = format!("user root\nlistener {port} 127.0.0.1\n{configuration}\n");
        std::fs::write(folder.path().join("mosquitto.conf"), text)
            .expect("mosquitto's configuration is written");
        let log = std::fs::File::create(folder.path().join("log")).expect("mosquitto's log is made");
        let broker = Command::new("mosquitto")
            .args(["-c", "mosquitto.conf"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mosquitto starts");
        let mosquitto = Self { broker, port, folder };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "mosquitto does not listen: {}", mosquitto.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(mosquitto)
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its address for `--broker`.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Subscribes with mosquitto_sub, whose first message is then its whole output.
    pub fn first_message(&self, topic: &str, login: &[&str]) -> Subscriber {
        let port = self.port.to_string();
        let subscriber = Command::new("mosquitto_sub")
            .args(["-p", &port, "-t", topic, "-C", "1", "-q", "1", "-W", "60"])
            .args(login)
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto_sub starts");
        self.wait_for_subscription(topic);
        Subscriber(subscriber)
    }

    /// Waits until somebody has subscribed to this with QoS 1; the log has to say so (`log_type all`).
    pub fn wait_for_subscription(&self, topic: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(&format!("{topic} (QoS 1)")) {
            assert!(Instant::now() < deadline, "mosquitto_sub does not subscribe: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Publishes with mosquitto_pub.
    pub fn publish(&self, topic: &str, message: &str) {
        let status = Command::new("mosquitto_pub")
            .args(["-p", &self.port.to_string(), "-t", topic, "-q", "1", "-m", message])
            .status()
            .expect("mosquitto_pub starts");
        assert!(status.success(), "mosquitto_pub");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.broker.kill();
        let _ = self.broker.wait();
    }
}

/// A mosquitto_sub that waits for one message.
pub struct Subscriber(Child);

impl Subscriber {
    /// The message.
    pub fn message(self) -> String {
        let output = self.0.wait_with_output().expect("mosquitto_sub ends");
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}
