//! The peers: other makers of patches, in Python's packages.

use crate::places::{Pair, read, root, target};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What one peer made of a pair.
pub struct Peer {
    pub name: String,
    pub bytes: usize,
    pub ms: u64,
}

/// The names in the order of the table.
pub const NAMES: [&str; 7] = [
    "bsdiff4",
    "detools-heatshrink",
    "detools-lzma",
    "hdiffpatch-lzma2",
    "hdiffpatch-zstd",
    "zstd-patch-from",
    "xz-full",
];

/// An interpreter that has them.
pub struct Peers {
    python: Option<PathBuf>,
}

fn here() -> PathBuf {
    root().join("crates/patch/benches/delta")
}

fn folder() -> PathBuf {
    target().join("delta-peers")
}

/// esptool, which makes app images of ELF files.
pub fn esptool() -> PathBuf {
    folder().join("bin/esptool")
}

impl Peers {
    pub const fn none() -> Self {
        Self { python: None }
    }

    /// Installs what is missing.
    pub fn install() -> Result<Self, String> {
        let list = here().join("requirements.txt");
        let wanted = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
        let (python, stamp) = (folder().join("bin/python3"), folder().join("requirements.installed"));
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(Self { python: Some(python) });
        }
        println!("installing the peers into {}", folder().display());
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder()))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        succeed(Command::new(&python).args(pip).arg(&list))?;
        fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
        Ok(Self { python: Some(python) })
    }

    /// What each of them makes of the pair. For an image without an old one only those that need none.
    pub fn measure(&self, pair: &Pair) -> Vec<Peer> {
        let Some(python) = &self.python else { return Vec::new() };
        let Ok(kept) = kept(pair) else { return Vec::new() };
        if let Ok(text) = fs::read_to_string(&kept) {
            return parse(&text);
        }
        let old = if pair.old.as_os_str().is_empty() { "-".as_ref() } else { pair.old.as_os_str() };
        let output = Command::new(python).arg(here().join("peers.py")).arg(old).arg(&pair.new).output();
        let Ok(output) = output else { return Vec::new() };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            println!("peers: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default());
        }
        if output.status.success()
            && let Some(folder) = kept.parent()
            && fs::create_dir_all(folder).is_ok()
        {
            let _ = fs::write(&kept, &text);
        }
        parse(&text)
    }
}

/// Where the peers' results for a pair are kept: they take minutes and do not change. Remove the folder to measure
/// them again.
fn kept(pair: &Pair) -> Result<PathBuf, String> {
    let mut hash = Sha256::new();
    hash.update(pair.old_bytes()?);
    hash.update(Sha256::digest(read(&pair.new)?));
    let name: String = hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    Ok(folder().join("measured").join(name))
}

fn parse(text: &str) -> Vec<Peer> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_string();
            Some(Peer { name, bytes: words.next()?.parse().ok()?, ms: words.next()?.parse().ok()? })
        })
        .collect()
}

/// Runs a program to its end.
pub fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("cannot run {name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}")) }
}
