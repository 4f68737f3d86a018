//! Counters of the process, for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters since the process began. Metric names are in [`crate::api`].
#[derive(Debug, Default)]
pub struct Metrics {
    /// Messages that were understood.
    pub messages: AtomicU64,
    /// Messages that were turned down.
    pub rejected: AtomicU64,
    /// Messages that were dropped because they came faster than they could be taken in.
    pub dropped: AtomicU64,
    /// Reports among those understood.
    pub reports: AtomicU64,
    /// Triggers and aborts handed to the broker's connection.
    pub published: AtomicU64,
    /// Rounds of the engine.
    pub rounds: AtomicU64,
    /// How long the longest round took, in microseconds.
    pub longest_round_us: AtomicU64,
    /// Rounds that could not be written down.
    pub failed_rounds: AtomicU64,
    /// Nodes not taken up because there are too many.
    pub refused_nodes: AtomicU64,
    /// Requests without a valid token.
    pub unauthorized: AtomicU64,
    /// Messages that webhooks took.
    pub webhooks_delivered: AtomicU64,
    /// Messages that a webhook did not take, or not yet.
    pub webhooks_failed: AtomicU64,
}

impl Metrics {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}
