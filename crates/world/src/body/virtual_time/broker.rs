//! The broker of a virtual world: what was published, and who hears what.

use rootcast_node::Instant;
use rootcast_wire::{NodeId, Report};
use std::sync::Arc;

/// A message that a node published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// When.
    pub at: Instant,
    /// By which node.
    pub by: NodeId,
    /// On which topic.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: u8,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
}

/// The broker.
#[derive(Debug, Default)]
pub struct Broker {
    pub(super) log: Vec<Published>,
    pub(super) subscriptions: Vec<(usize, Arc<str>)>,
    pub(super) is_down: bool,
}

impl Broker {
    /// Everything that was published, in order.
    #[must_use]
    pub fn log(&self) -> &[Published] {
        &self.log
    }

    /// The reports among it, with the time of each.
    pub fn reports(&self) -> impl Iterator<Item = (Instant, Report)> {
        self.log
            .iter()
            .filter_map(|published| Some((published.at, Report::parse_json(&published.payload).ok()?)))
    }

    /// The reports of one node.
    pub fn reports_of(&self, node: NodeId) -> impl Iterator<Item = Report> {
        self.reports().map(|(_, report)| report).filter(move |report| report.device == node)
    }

    /// Forgets what was published so far.
    pub fn clear_log(&mut self) {
        self.log.clear();
    }
}
