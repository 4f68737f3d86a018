//! A whole mesh in this process.

use super::runner::{Command, NodeHandle, NodeRunner};
use super::view::NodeView;
use super::{NodeOptions, air};
use crate::body::mesh::Link;
use crate::body::radio::{Radio, RadioPace};
use crate::factory::Topology;
use crate::machine::Machine;
use crate::random::Random;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Nodes and the air between them. Dropping it stops them.
#[derive(Debug)]
pub struct Swarm {
    nodes: Vec<NodeHandle>,
    air: JoinHandle<()>,
}

impl Swarm {
    /// Starts the machines of a mesh, in the topology's order. It must be called on a Tokio runtime.
    #[must_use]
    pub fn start(
        topology: &Topology,
        machines: Vec<Machine>,
        link: Link,
        pace: RadioPace,
        options: NodeOptions,
    ) -> Self {
        let radio = Radio::new(topology, link, pace, &Random::new(options.seed));
        let (ports, air) = air::start(radio, machines.len());
        let options = Arc::new(options);
        let start = |(machine, port)| NodeRunner::start(machine, port, &options);
        Self { nodes: machines.into_iter().zip(ports).map(start).collect(), air }
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

impl Drop for Swarm {
    fn drop(&mut self) {
        self.air.abort();
    }
}
