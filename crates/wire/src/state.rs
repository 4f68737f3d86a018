//! How far one node is with one update.
//!
//! ```text
//!            ┌─────────┐  start granted ┌─────────────┐ all bytes ┌───────────┐ slot verified ┌───────────┐
//! accepted ─▶│ waiting │───────────────▶│ downloading │──────────▶│ verifying │──────────────▶│ installed │
//!    │       └─────────┘                └─────────────┘           └───────────┘               └─────┬─────┘
//!    │            │ nothing was written to otadata yet: the running image is untouched             ▼
//!    ▼            ▼                                                                          ┌────────────┐
//! refused       failed                                                                       │ restarting │
//!                                                                                            └─────┬──────┘
//!                              rolled_back ◀── crash, hang, not healthy in time ── trial ◀─────────┘
//!                                                                                    └── healthy ──▶ confirmed
//! ```

use core::fmt;

/// A step of one update on one node, as reported (DESIGN §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum UpdateState {
    /// The trigger has arrived and is for this node.
    Accepted = 1,
    /// Waiting for its turn, its time, or a retry.
    Waiting = 2,
    /// Bytes arrive and are written to the update slot.
    Downloading = 3,
    /// All bytes are there; the slot is read back and verified.
    Verifying = 4,
    /// The image is complete and verified in the update slot; the running image is still the old one.
    Installed = 5,
    /// The boot slot is set; the node restarts.
    Restarting = 6,
    /// The new image runs and has yet to prove itself.
    Trial = 7,
    /// The new image runs and is kept. Final.
    Confirmed = 8,
    /// The new image ran and did not prove itself; the old one runs. Final.
    RolledBack = 9,
    /// The update ended before the switch; the running image was never touched. Final.
    Failed = 10,
    /// The node would not begin. Final.
    Refused = 11,
}

impl UpdateState {
    /// Every state, in the order of the numbers.
    pub const ALL: [UpdateState; 11] = [
        UpdateState::Accepted,
        UpdateState::Waiting,
        UpdateState::Downloading,
        UpdateState::Verifying,
        UpdateState::Installed,
        UpdateState::Restarting,
        UpdateState::Trial,
        UpdateState::Confirmed,
        UpdateState::RolledBack,
        UpdateState::Failed,
        UpdateState::Refused,
    ];

    /// The name in report JSON.
    pub const fn name(self) -> &'static str {
        match self {
            UpdateState::Accepted => "accepted",
            UpdateState::Waiting => "waiting",
            UpdateState::Downloading => "downloading",
            UpdateState::Verifying => "verifying",
            UpdateState::Installed => "installed",
            UpdateState::Restarting => "restarting",
            UpdateState::Trial => "trial",
            UpdateState::Confirmed => "confirmed",
            UpdateState::RolledBack => "rolled_back",
            UpdateState::Failed => "failed",
            UpdateState::Refused => "refused",
        }
    }

    /// The number in mesh frames.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The state with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// True if no further step follows.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            UpdateState::Confirmed | UpdateState::RolledBack | UpdateState::Failed | UpdateState::Refused
        )
    }
}

impl fmt::Display for UpdateState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
