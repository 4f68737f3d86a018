//! What happened, waiting to be reported.

use heapless::Deque;
use rootcast_image::ImageHash;
use rootcast_wire::report::Detail;
use rootcast_wire::trigger::RolloutId;
use rootcast_wire::{ErrorCode, UpdateState};

/// Steps that wait at most: more than an update takes from start to end without its percentages.
const MAX_STEPS: usize = 10;

/// One step of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was reached.
    pub state: UpdateState,
    /// Why it went wrong, if it did.
    pub error: Option<ErrorCode>,
    /// More about it, for a person.
    pub detail: Detail,
    /// Share of the file on flash, 0 to 100.
    pub progress: u8,
    /// Hash of the new image, once known.
    pub target: Option<ImageHash>,
    /// Bytes that came for this update, from the server or from neighbours.
    pub bytes: u32,
    /// Those of them that came from neighbours.
    pub shared_bytes: u32,
    /// How manieth download this is.
    pub attempt: u8,
    /// The rollout that the update belongs to, empty for none.
    pub rollout: RolloutId,
}

/// Steps in the order in which they happened.
#[derive(Default)]
pub(crate) struct Steps {
    queue: Deque<Step, MAX_STEPS>,
}

impl Steps {
    /// Adds a step. A percentage replaces one that still waits, and gives way when there is no room.
    pub(crate) fn push(&mut self, step: Step) {
        if step.state == UpdateState::Downloading
            && self.queue.back().is_some_and(|last| last.state == UpdateState::Downloading)
        {
            self.queue.pop_back();
        }
        if self.queue.is_full() {
            self.queue.pop_front();
        }
        let _ = self.queue.push_back(step);
    }

    pub(crate) fn front(&self) -> Option<&Step> {
        self.queue.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Step> {
        self.queue.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
