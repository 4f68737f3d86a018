//! What one pair took.

use crate::emulated::{Board, Run};
use crate::peers::{Peer, Peers};
use crate::places::{Pair, read, target};
use rootcast_patch::{Options, apply, create};
use std::fs;
use std::time::Instant;

pub struct Measured {
    pub pair: Pair,
    pub new_bytes: usize,
    pub patch_bytes: usize,
    pub made_s: f64,
    /// The most memory that making the patch took, images included.
    pub encoder_mib: Option<f64>,
    pub applied_ms_per_mb: f64,
    pub spent: Vec<(&'static str, f64)>,
    pub peers: Vec<Peer>,
    pub run: Option<Run>,
}

impl Measured {
    pub fn of(pair: Pair, peers: &Peers, board: &Board) -> Result<Self, String> {
        let (old, new) = (pair.old_bytes()?, read(&pair.new)?);
        forget_peak();
        let start = Instant::now();
        let made = create(&old, &new, &Options::default()).map_err(|error| error.to_string())?;
        let made_s = start.elapsed().as_secs_f64();
        let encoder_mib = peak_kib().map(|kib| kib as f64 / 1024.0);
        let start = Instant::now();
        if apply(&made.patch, &old).as_ref() != Ok(&new) {
            return Err(format!("{}: the patch does not make the new image", pair.name));
        }
        let applied_ms_per_mb = start.elapsed().as_secs_f64() * 1e3 / (new.len().max(1) as f64 / 1e6);
        let kept = target().join("delta-last.patch");
        fs::write(&kept, &made.patch).map_err(|error| format!("{}: {error}", kept.display()))?;
        let run = board.apply(&old, &made.patch)?;
        if let Some(run) = run.as_ref().filter(|run| run.made_bytes != new.len() as u64) {
            return Err(format!("{}: the emulated board made {} bytes", pair.name, run.made_bytes));
        }
        Ok(Self {
            new_bytes: new.len(),
            patch_bytes: made.patch.len(),
            made_s,
            encoder_mib,
            applied_ms_per_mb,
            spent: made.spent,
            peers: peers.measure(&pair),
            run,
            pair,
        })
    }

    /// The peer with the fewest bytes.
    pub fn smallest_peer(&self) -> Option<&Peer> {
        self.peers.iter().min_by_key(|peer| peer.bytes)
    }

    /// Our bytes to those of the smallest peer.
    pub fn ratio(&self) -> Option<f64> {
        self.smallest_peer().map(|peer| self.patch_bytes as f64 / peer.bytes.max(1) as f64)
    }
}

/// Begins a new peak of memory (Linux, `proc(5)`: 5 to `clear_refs`).
fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
