//! What happens when.

use rootcast_node::{MeshState, ResetReason};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Something that happens to one node, or to all.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Power, or the end of a reset: the first instruction.
    Start(ResetReason),
    /// The core wanted to hear that time has passed.
    Wake,
    /// The node's place in the mesh has changed.
    Mesh(MeshState),
    /// The broker has answered.
    MqttUp,
    /// The broker is gone.
    MqttDown,
    /// A message from the broker.
    Message { topic: Arc<str>, payload: Arc<[u8]> },
    /// A frame that the mesh brought, or one straight from a neighbour with its signal in dBm.
    Frame(Arc<[u8]>, Option<i8>),
    /// The connection stands, or not.
    StreamUp { connection: u64 },
    /// More comes over the connection, or its end.
    StreamMore { connection: u64 },
    /// The image panics.
    Crash,
    /// The image hangs.
    Hang,
    /// The watchdog bites.
    Watchdog,
    /// The application says how it is.
    Health(bool),
    /// Power goes, and returns so many milliseconds later.
    PowerCut { off_ms: u64 },
}

/// An event with its time and its node.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub at_ms: u64,
    order: u64,
    pub node: usize,
    /// The life of the node that the event belongs to; `None` for what outlives a reset.
    pub life: Option<u64>,
    pub event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

/// Events in the order of their time; those of one moment in the order in which they were scheduled.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Due>>,
    scheduled: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at_ms: u64, node: usize, life: Option<u64>, event: Event) {
        self.scheduled += 1;
        self.heap.push(Reverse(Due { at_ms, order: self.scheduled, node, life, event }));
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(due)| due.at_ms)
    }

    pub(super) fn pop(&mut self) -> Option<Due> {
        self.heap.pop().map(|Reverse(due)| due)
    }
}
