//! A mesh of `rootcast node` processes, and the plain host that they download from.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::{self, File};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::mosquitto::free_port;

/// How long anything may take: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(150);

/// A process that ends with the test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a node on `NAME.flash` whose output goes to `NAME.log`.
pub fn node(folder: &Path, name: &str, arguments: &[&str]) -> Process {
    let log = File::create(folder.join(format!("{name}.log"))).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_rootcast"))
        .args(["node", "--json", "--flash", &format!("{name}.flash")])
        .args(arguments)
        .current_dir(folder)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("rootcast node starts");
    Process(child)
}

/// Waits until a line of a node's output has all that is wanted.
pub fn wait_for(folder: &Path, name: &str, wanted: &[&str]) {
    let log = || fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
    let said = || log().lines().any(|line| wanted.iter().all(|it| line.contains(it)));
    wait_until(said, || format!("{name} never said {wanted:?}:\n{}", log()));
}

/// Waits until something holds; past all patience, panics with what `otherwise` says.
pub fn wait_until(holds: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Python's HTTP server, which knows no Range; its log goes to `host.log`. `None`, with a printed reason, where there is
/// no Python.
pub fn python_host(folder: &Path) -> Option<(Process, u16)> {
    let port = free_port();
    let started = Command::new("python3")
        .args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("host.log")).unwrap())
        .spawn();
    let Ok(child) = started else {
        println!("skipped: python3 is not installed");
        return None;
    };
    let process = Process(child);
    let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait_until(listens, || "python3 -m http.server does not listen".to_string());
    Some((process, port))
}

/// An address on loopback that no UDP socket has.
pub fn free_udp_address() -> String {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
