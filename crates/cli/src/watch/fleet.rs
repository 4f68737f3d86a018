//! What is known of the nodes of a mesh while an update goes on.
//!
//! Time is a parameter: the time since watching began.

use super::node::{Node, Sight};
use rootcast_wire::status::{StatusMessage, parse_status};
use rootcast_wire::topic::TopicKind;
use rootcast_wire::trigger::Targets;
use rootcast_wire::{NodeId, NodeType, Report, Topics};
use std::collections::BTreeMap;
use std::time::Duration;

/// Nodes that do not report within this time after the trigger are not there: every node says something of itself
/// every 15 seconds (`NodeStatus`), so by then all of them are known.
const CENSUS: Duration = Duration::from_secs(17);
/// All nodes heard of.
#[derive(Debug)]
pub struct Fleet {
    topics: Topics,
    targets: Targets,
    /// Reports of other rollouts are not ours.
    rollout: Option<String>,
    nodes: BTreeMap<NodeId, Node>,
    /// Nodes in the mesh, by the root's own count.
    mesh_size: Option<usize>,
    /// Nodes in the mesh, by whoever made it.
    expected: Option<usize>,
    root_connected: Option<bool>,
}

/// What a message changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node took a step.
    Step(NodeId),
    /// A node got further in its step.
    Progress(NodeId),
    /// Something else is known now.
    Known,
    /// Nothing.
    Nothing,
}

impl Fleet {
    /// A fleet of which nothing is known. `targets` are the nodes that are meant; with a `rollout`, reports of others
    /// are passed over.
    pub fn new(topics: Topics, targets: Targets, rollout: Option<String>) -> Self {
        Self {
            topics,
            targets,
            rollout,
            nodes: BTreeMap::new(),
            mesh_size: None,
            expected: None,
            root_connected: None,
        }
    }

    /// Takes an MQTT message.
    pub fn hear(&mut self, topic: &str, payload: &[u8], now: Duration) -> Change {
        match self.topics.classify(topic) {
            Some(TopicKind::Report(_)) => match Report::parse_json(payload) {
                Ok(report) => self.hear_report(&report, now),
                Err(_) => Change::Nothing,
            },
            Some(TopicKind::RootState) => match parse_status(payload) {
                Ok(message) => self.hear_status(&message, now),
                Err(_) => Change::Nothing,
            },
            _ => Change::Nothing,
        }
    }

    fn hear_report(&mut self, report: &Report, now: Duration) -> Change {
        if self.rollout.as_deref().is_some_and(|rollout| rollout != report.rollout) {
            return Change::Nothing;
        }
        let node = self.nodes.entry(report.device).or_insert_with(|| Node::new(report.device));
        node.hear_report(report, now)
    }

    fn hear_status(&mut self, message: &StatusMessage, now: Duration) -> Change {
        let status = match message {
            StatusMessage::Presence(presence) => {
                self.root_connected = Some(presence.is_connected);
                return Change::Known;
            }
            StatusMessage::Status(status) => status,
        };
        // The first dialect does not tell its station MAC; such a node counts by the number it gives.
        let id = status.station().unwrap_or(status.device);
        if status.is_root {
            self.root_connected = Some(true);
            self.mesh_size = status.peer_count.map(|peers| usize::from(peers) + 1).or(self.mesh_size);
        }
        let node = self.nodes.entry(id).or_insert_with(|| Node::new(id));
        let before = node.state;
        node.hear_status(status, now);
        if node.state == before { Change::Known } else { Change::Step(id) }
    }

    /// Says how many nodes there are, where that is known.
    pub fn expect(&mut self, nodes: usize) {
        self.expected = Some(nodes);
    }

    /// Takes what is to be seen of a node, where it can be seen.
    pub fn see(&mut self, sight: Sight<'_>) {
        self.nodes.entry(sight.id).or_insert_with(|| Node::new(sight.id)).see(&sight);
    }

    /// The nodes that are meant, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| self.is_meant(node))
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    fn is_meant(&self, node: &Node) -> bool {
        // A node that reports is meant, whatever is known of it.
        node.state.is_some()
            || self.targets.include(
                node.id,
                node.node_type.as_ref().unwrap_or(&NodeType::Switch),
                node.is_root,
            )
    }

    /// Whether the root is connected to the broker; `None` if nobody said so.
    pub fn root_connected(&self) -> Option<bool> {
        self.root_connected
    }

    /// Whether any node has reported.
    pub fn has_answered(&self) -> bool {
        self.nodes.values().any(|node| node.state.is_some())
    }

    /// Whether every node that is meant and can report has come to its end, and no more nodes are to be expected.
    pub fn is_done(&self, now: Duration) -> bool {
        let mut expected = self.nodes().filter(|node| node.reports).peekable();
        let all_known = self.expected.or(self.mesh_size).is_some_and(|size| self.nodes.len() >= size);
        expected.peek().is_some() && expected.all(Node::is_final) && (all_known || now >= CENSUS)
    }
}
