//! Programs that tests run the control plane against, each an instance of its own on a free port of this machine.
#![allow(dead_code, reason = "each test uses some of it")]

pub mod mosquitto;
pub mod postgres;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

/// How long anything may take that should not take long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Says that a peer is not installed. `ROOTCAST_REQUIRE_PEERS=1` makes that a failure.
pub fn missing(what: &str) {
    let required = std::env::var_os("ROOTCAST_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "{what} is required here and is not installed");
    println!("skipped: {what} is not installed (cargo xtask test --install installs it)");
}

/// A program on the PATH, or where Debian puts servers.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Memory of a process in bytes, shared pages by their share (proportional set size); 0 where the system does not say.
pub fn memory_of(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib =
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The same of a process and its children.
pub fn memory_of_tree(process: u32) -> u64 {
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    memory_of(process) + children.map(memory_of).sum::<u64>()
}
