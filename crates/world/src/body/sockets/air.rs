//! The radios of a mesh in this process: [`Radio`] with a real clock.

use super::port::{Ear, MeshPort, ToMesh};
use crate::body::radio::Radio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Frames counted while they are carried.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Sent over a link.
    pub sent: AtomicU64,
    /// Lost on it.
    pub lost: AtomicU64,
}

/// Starts the radios of `nodes` nodes.
pub(super) fn start(radio: Radio, nodes: usize) -> (Vec<MeshPort>, JoinHandle<()>, Arc<Counters>) {
    // Unbounded: a node that speaks is never held up; what it says is bounded by the core's own pacing.
    let (to_mesh, said) = mpsc::unbounded_channel();
    let (ports, ears) = (0..nodes).map(|node| MeshPort::new(node, to_mesh.clone())).unzip();
    let counters = Arc::new(Counters::default());
    (ports, tokio::spawn(carry(radio, said, ears, Arc::clone(&counters))), counters)
}

async fn carry(
    mut radio: Radio,
    mut said: mpsc::UnboundedReceiver<(usize, ToMesh)>,
    ears: Vec<Ear>,
    counters: Arc<Counters>,
) {
    let begin = Instant::now();
    loop {
        let now_ms = begin.elapsed().as_millis() as u64;
        while let Some((node, event)) = radio.poll(now_ms) {
            // A full ear loses the frame.
            if let Some(ear) = ears.get(node) {
                let _ = ear.try_send(event);
            }
        }
        let next = radio.next_at().map(|at| begin + Duration::from_millis(at));
        let wait = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        let what = tokio::select! {
            what = said.recv() => what,
            () = wait => continue,
        };
        let now_ms = begin.elapsed().as_millis() as u64;
        match what {
            None => return,
            Some((node, ToMesh::Up { joins })) => radio.up(now_ms, node, joins),
            Some((node, ToMesh::Down)) => radio.down(now_ms, node),
            Some((node, ToMesh::Frame { to, bytes })) => radio.send(now_ms, node, to, &bytes),
        }
        let (sent, lost) = radio.mesh().tally();
        counters.sent.store(sent, Ordering::Relaxed);
        counters.lost.store(lost, Ordering::Relaxed);
    }
}
