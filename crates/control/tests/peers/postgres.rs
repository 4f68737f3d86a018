//! PostgreSQL, started for a test.

use super::{PATIENCE, free_port, missing};
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// PostgreSQL in a folder of its own, on a free port of this machine.
pub struct Postgres {
    child: Child,
    pub port: u16,
    programs: PathBuf,
    user: Option<u32>,
    folder: tempfile::TempDir,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where Debian puts the newest version's programs.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|it| it.path()).collect();
    found.sort();
    found.pop().map(|version| version.join("bin")).filter(|folder| folder.join("initdb").exists())
}

/// Runs as the user `postgres` where this is root, whom PostgreSQL does not serve.
fn command(program: &Path, user: Option<u32>) -> Command {
    let mut command = Command::new(program);
    if let Some(user) = user {
        command.uid(user);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

impl Postgres {
    /// Starts it; `None`, with a printed reason, where it is not installed.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            missing("PostgreSQL");
            return None;
        };
        let user = match id(&["-u"]) {
            Some(0) => Some(id(&["-u", "postgres"]).expect("the package makes the user postgres")),
            _ => None,
        };
        let folder = tempfile::tempdir().unwrap();
        if let Some(user) = user {
            chown(folder.path(), Some(user), None).unwrap();
        }
        let made = command(&programs.join("initdb"), user)
            .args(["-U", "rootcast", "-A", "trust", "--no-sync", "-D"])
            .arg(folder.path().join("data"))
            .status()
            .unwrap();
        assert!(made.success(), "initdb");
        let port = free_port();
        let child = spawn(&programs, user, folder.path(), port);
        Some(Self { child, port, programs, user, folder })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("postgres://rootcast@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it as an operator would, every connection cut at once, and starts it again after a pause.
    pub fn restart(&mut self, pause: Duration) {
        let stopped = command(&self.programs.join("pg_ctl"), self.user)
            .args(["stop", "-m", "fast", "-D"])
            .arg(self.folder.path().join("data"))
            .status()
            .unwrap();
        assert!(stopped.success(), "pg_ctl stop");
        let _ = self.child.wait();
        std::thread::sleep(pause);
        self.child = spawn(&self.programs, self.user, self.folder.path(), self.port);
    }

    /// Memory of all its processes in bytes, shared pages counted once (proportional set size).
    pub fn memory(&self) -> u64 {
        super::memory_of_tree(self.child.id())
    }
}

fn spawn(programs: &Path, user: Option<u32>, folder: &Path, port: u16) -> Child {
    let child = command(&programs.join("postgres"), user)
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"])
        .arg(folder)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let is_ready = || {
        let mut ready = command(&programs.join("pg_isready"), None);
        ready.args(["-h", "127.0.0.1", "-p", &port.to_string()]).status().unwrap().success()
    };
    while !is_ready() {
        assert!(Instant::now() < deadline, "PostgreSQL does not listen");
        std::thread::sleep(Duration::from_millis(100));
    }
    child
}
