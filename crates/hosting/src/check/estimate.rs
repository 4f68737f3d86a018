//! How long a mesh will take. Rough, and says what it assumes.

use serde::Serialize;

/// What one node downloads a second over Wi-Fi and TLS, in kB.
pub(super) const NODE_RATE_KB: u64 = 60;
/// Nodes that download at the same time, as the root allows them to.
const PARALLEL: u64 = 4;
/// ESP-NOW in the open, as the vendor measured it: 214 kbit/s.
const AIR_RATE_BYTES: f64 = 214_000.0 / 8.0;
/// Frames lost on the air.
const AIR_LOSS: f64 = 0.1;
/// Nodes that one forwarder reaches.
const NODES_PER_FORWARDER: u32 = 6;
/// Reading back, restarting, joining again, trial.
const SETTLING_SECONDS: u64 = 60;

/// How long an update of a whole mesh takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Nodes in the mesh.
    pub nodes: u32,
    /// Every node downloads by itself (`"mode":"direct"`), in seconds.
    pub direct_seconds: u64,
    /// Once into the mesh, then over the air to all (`"mode":"spread"`), in seconds.
    pub spread_seconds: u64,
    /// What this rests on.
    pub assumes: String,
}

/// Estimates for `bytes` of image and `nodes` nodes, with a server that sends `server_rate` bytes a second.
pub fn estimate(bytes: u64, nodes: u32, server_rate: u64) -> Estimate {
    let node_rate = NODE_RATE_KB * 1000;
    let together = (node_rate * PARALLEL.min(u64::from(nodes.max(1)))).min(server_rate.max(1));
    let direct = (bytes * u64::from(nodes)).div_ceil(together.max(1));
    let forwarders = nodes.saturating_sub(1).div_ceil(NODES_PER_FORWARDER);
    // DESIGN: airtime in one collision domain with f forwarders and loss p is at least (1 + f) · S / (R · (1 − p)).
    let air = f64::from(1 + forwarders) * bytes as f64 / (AIR_RATE_BYTES * (1.0 - AIR_LOSS));
    Estimate {
        nodes,
        direct_seconds: direct + SETTLING_SECONDS,
        spread_seconds: air.ceil() as u64 + SETTLING_SECONDS,
        assumes: format!(
            "direct: {PARALLEL} nodes at a time at {NODE_RATE_KB} kB/s each; spread: 27 kB/s on the air, 10% loss, {forwarders} forwarder(s); \
             {SETTLING_SECONDS} s to verify, restart and prove"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_nodes_take_longer_directly_and_a_slow_server_slows_all() {
        let (few, many) = (estimate(1_300_000, 4, 10_000_000), estimate(1_300_000, 64, 10_000_000));
        assert!(many.direct_seconds > few.direct_seconds);
        assert!(estimate(1_300_000, 4, 10_000).direct_seconds > few.direct_seconds);
        assert_eq!(few.direct_seconds, 22 + 60);
        assert_eq!(estimate(1_300_000, 4, 10_000_000).spread_seconds, 108 + 60);
    }
}
