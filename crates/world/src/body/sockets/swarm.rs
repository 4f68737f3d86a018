//! A whole mesh in this process.

use super::runner::{Command, NodeHandle, NodeRunner};
use super::view::NodeView;
use super::{NodeOptions, air};
use crate::body::mesh::Link;
use crate::body::radio::{Radio, RadioPace};
use crate::factory::Topology;
use crate::machine::Machine;
use crate::random::Random;
use rootcast_node::spread::Pace;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Microseconds from one packet of a sender to its next, at least, and for each node that this machine has to hear it.
const LEAST_PACKET_US: u32 = 400;
const PACKET_US_PER_NODE: u32 = 20;
/// How late, in milliseconds, a node may come to its turn.
const SCHEDULING_MS: u32 = 2;

/// Nodes and the air between them. Dropping it stops them.
#[derive(Debug)]
pub struct Swarm {
    nodes: Vec<NodeHandle>,
    air: JoinHandle<()>,
    frames: Arc<air::Counters>,
}

impl Swarm {
    /// Starts the machines of a mesh, in the topology's order. It must be called on a Tokio runtime.
    #[must_use]
    pub fn start(
        topology: &Topology,
        mut machines: Vec<Machine>,
        link: Link,
        pace: RadioPace,
        options: NodeOptions,
    ) -> Self {
        let pace_of_pages = pace_of_pages(machines.len(), link);
        for machine in &mut machines {
            machine.settings_mut().pace = pace_of_pages;
        }
        let radio = Radio::new(topology, link, pace, &Random::new(options.seed));
        let (ports, air, frames) = air::start(radio, machines.len());
        let options = Arc::new(options);
        let start = |(machine, port)| NodeRunner::start(machine, port, &options);
        Self { nodes: machines.into_iter().zip(ports).map(start).collect(), air, frames }
    }

    /// Every node as it is now, and as it changes, in the topology's order.
    #[must_use]
    pub fn watch(&self) -> Vec<watch::Receiver<NodeView>> {
        self.nodes.iter().map(NodeHandle::view).collect()
    }

    /// Every node as it is now, in the topology's order.
    #[must_use]
    pub fn views(&self) -> Vec<NodeView> {
        self.nodes.iter().map(|node| node.view().borrow().clone()).collect()
    }

    /// Frames sent over a link of the mesh, and lost on it, so far.
    #[must_use]
    pub fn frames(&self) -> (u64, u64) {
        (self.frames.sent.load(Ordering::Relaxed), self.frames.lost.load(Ordering::Relaxed))
    }

    /// Does something to one node.
    pub async fn command(&self, node: usize, command: Command) {
        if let Some(node) = self.nodes.get(node) {
            node.command(command).await;
        }
    }

    /// Stops every node and hands out what they ran on, in the topology's order; `None` for one that came to a bad end.
    pub async fn stop(mut self) -> Vec<Option<Machine>> {
        let mut machines = Vec::new();
        for node in std::mem::take(&mut self.nodes) {
            machines.push(node.stop().await);
        }
        machines
    }
}

/// The rhythm in which nodes share pages: there is no radio to be waited for, but one processor does the work of all.
fn pace_of_pages(nodes: usize, link: Link) -> Pace {
    let packet_us = LEAST_PACKET_US.max(nodes as u32 * PACKET_US_PER_NODE);
    let latency_ms = (link.neighbour_ms.1 + SCHEDULING_MS).min(255) as u8;
    Pace { packet_us, packets_per_frame: 1, latency_ms }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.air.abort();
    }
}
