//! A virtual node as a process: `rootcast node` on a flash file like a board's.

use crate::machine::Factory;
use rootcast_image::{AppImage, ImageVerifier, PartitionTable, SlotId};
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A process, until it is dropped.
pub struct Process {
    /// Its node id.
    pub id: u64,
    flash: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts it. It finds its root at `root`.
    ///
    /// # Errors
    /// When the program is not built, or a file cannot be written.
    pub fn start(folder: &Path, factory: &Factory<'_>, root: SocketAddr) -> io::Result<Self> {
        let (flash, log) = (
            folder.join(format!("{:012x}.flash", factory.id)),
            folder.join(format!("{:012x}.log", factory.id)),
        );
        fs::write(&flash, factory.flash()?)?;
        let program = std::env::var_os("ROOTCAST_BIN").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/rootcast"),
            PathBuf::from,
        );
        let mut node = Command::new(&program);
        node.arg("node").arg("--flash").arg(&flash).arg("--root-address").arg(root.to_string());
        let out = File::create(&log)?;
        node.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = node.spawn().map_err(|error| {
            let hint = "build it: cargo build --workspace, or say where it is by ROOTCAST_BIN";
            io::Error::new(error.kind(), format!("{}: {error}; {hint}", program.display()))
        })?;
        Ok(Self { id: factory.id, flash, log, child })
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The verified image in a slot.
    pub fn slot(&self, slot: SlotId) -> Option<AppImage> {
        let table = PartitionTable::default_4mb();
        let place = table.slot(slot)?;
        let flash = fs::read(&self.flash).ok()?;
        let mut verifier = ImageVerifier::new();
        verifier.push(flash.get(place.offset as usize..)?.get(..place.size as usize)?).ok()?;
        verifier.finish().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
