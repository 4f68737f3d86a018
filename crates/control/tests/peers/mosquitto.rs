//! Mosquitto, started for a test.

use super::{PATIENCE, free_port, missing, tool};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A broker that lets everybody on this machine in, and keeps sessions and messages over a restart.
pub struct Mosquitto {
    child: Child,
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mosquitto {
    /// Starts it; `None`, with a printed reason, where it is not installed.
    pub fn start() -> Option<Self> {
        if tool("mosquitto").is_none() {
            missing("mosquitto");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        // As root it would give up its rights and could not write into the folder.
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\nlog_type none\n\
             max_queued_messages 0\nuser {}\n",
            folder.path().display(),
            if is_root() { "root" } else { "mosquitto" }
        );
        std::fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        let child = spawn(folder.path(), port);
        Some(Self { child, port, folder })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Kills it without a warning, and starts it again after a pause.
    pub fn restart(&mut self, pause: Duration) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        std::thread::sleep(pause);
        self.child = spawn(self.folder.path(), self.port);
    }

    /// Its memory in bytes.
    pub fn memory(&self) -> u64 {
        super::memory_of(self.child.id())
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

fn spawn(folder: &Path, port: u16) -> Child {
    let child = Command::new(tool("mosquitto").unwrap())
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "mosquitto does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}
