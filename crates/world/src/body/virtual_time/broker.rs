//! The broker of a virtual world: what was published, and who hears what.

use rootcast_node::Instant;
use rootcast_wire::{NodeId, Report, UpdateState};
use std::collections::BTreeMap;
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
    log: Vec<Published>,
    reports: BTreeMap<NodeId, Vec<(Instant, Report)>>,
    pub(super) subscriptions: Vec<(usize, Arc<str>)>,
    pub(super) is_down: bool,
}

impl Broker {
    pub(super) fn publish(&mut self, message: Published) {
        if let Ok(report) = Report::parse_json(&message.payload) {
            self.reports.entry(report.device).or_default().push((message.at, report));
        }
        self.log.push(message);
    }

    /// Everything that was published, in order.
    #[must_use]
    pub fn log(&self) -> &[Published] {
        &self.log
    }

    /// The reports of one node, in order, with the time of each.
    #[must_use]
    pub fn reports_of(&self, node: NodeId) -> &[(Instant, Report)] {
        self.reports.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Whether a node has reported this step since the log was last cleared.
    #[must_use]
    pub fn has_reported(&self, node: NodeId, state: UpdateState) -> bool {
        self.reports_of(node).iter().any(|(_, report)| report.state == state)
    }

    /// How a node's last update ended, as far as it has reported.
    #[must_use]
    pub fn outcome_of(&self, node: NodeId) -> Option<&Report> {
        self.reports_of(node).iter().map(|(_, report)| report).rfind(|report| report.state.is_final())
    }

    /// Forgets what was published so far.
    pub fn clear_log(&mut self) {
        self.log.clear();
        self.reports.clear();
    }
}
