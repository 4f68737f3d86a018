//! One node's part in a rollout.
//!
//! ```text
//!                        ┌────────────────── active ──────────────────┐
//!  scheduled ─trigger─▶ triggered ─▶ downloading ─▶ installed ─▶ restarting ─▶ trial ─▶ soaking ─▶ SUCCEEDED
//!   │   │                 │              │              │            │           │         │
//!   │   │                 └──────────────┴──────────────┘            └───────────┴─────────┴─▶ ROLLED BACK
//!   │   │                 the node says no, or the deadline passes ─▶ FAILED        (the old image runs again)
//!   │   │                 abort, before the switch ─▶ ABORTED
//!   │   └─ stop or abort before its turn ─▶ ABORTED                   silence past the deadline, anywhere ─▶ LOST
//!   └─ nothing to do, not possible, away for the rollout's life ─▶ SKIPPED
//! ```
//!
//! Words in capitals are ends: an update that has one keeps it, whatever is heard afterwards.

use crate::release::Expected;
use crate::{Moment, Running};

/// How far an update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Its turn has not come.
    Scheduled,
    /// A trigger names it; it has not begun.
    Triggered,
    /// It downloads, or verifies what it has.
    Downloading,
    /// The image is complete and verified in the update slot; the old one runs.
    Installed,
    /// It restarts into the new image.
    Restarting,
    /// The new image runs on trial.
    Trial,
    /// The new image was seen running, confirmed; it has to stay healthy for the soak time.
    Soaking,
    /// It runs the new image and stayed healthy. End.
    Succeeded,
    /// It ran the new image and is back on the old one. End.
    RolledBack,
    /// It ended before the switch, or never did what was asked; the old image runs. End.
    Failed,
    /// Nothing was heard of it past its deadline. End.
    Lost,
    /// It was left out, for the reason given. End.
    Skipped,
    /// The rollout stopped before it switched. End.
    Aborted,
}

impl State {
    /// Every state.
    pub const ALL: [State; 13] = [
        State::Scheduled,
        State::Triggered,
        State::Downloading,
        State::Installed,
        State::Restarting,
        State::Trial,
        State::Soaking,
        State::Succeeded,
        State::RolledBack,
        State::Failed,
        State::Lost,
        State::Skipped,
        State::Aborted,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Triggered => "triggered",
            State::Downloading => "downloading",
            State::Installed => "installed",
            State::Restarting => "restarting",
            State::Trial => "trial",
            State::Soaking => "soaking",
            State::Succeeded => "succeeded",
            State::RolledBack => "rolled_back",
            State::Failed => "failed",
            State::Lost => "lost",
            State::Skipped => "skipped",
            State::Aborted => "aborted",
        }
    }

    /// The state with this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether it is an end.
    pub const fn is_end(self) -> bool {
        matches!(
            self,
            State::Succeeded
                | State::RolledBack
                | State::Failed
                | State::Lost
                | State::Skipped
                | State::Aborted
        )
    }

    /// Whether something is going on: triggered, and neither soaking nor at an end. This is what limits count.
    pub const fn is_in_flight(self) -> bool {
        matches!(
            self,
            State::Triggered | State::Downloading | State::Installed | State::Restarting | State::Trial
        )
    }

    /// Whether it counts against a wave's threshold.
    pub const fn is_failure(self) -> bool {
        matches!(self, State::RolledBack | State::Failed | State::Lost)
    }

    /// Whether an abort can still keep the old image running.
    pub const fn can_be_dropped(self) -> bool {
        matches!(self, State::Triggered | State::Downloading | State::Installed)
    }
}

/// One node's part in a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its wave, from 0.
    pub wave: usize,
    /// Which image of the release it gets.
    pub variant: usize,
    /// By what that image is recognised.
    pub expected: Expected,
    /// What ran before, where known.
    pub before: Option<Running>,
    /// How far it is.
    pub state: State,
    /// Since when.
    pub since: Moment,
    /// Which attempt this is, from 1; every retry counts.
    pub attempt: u32,
    /// The first trigger of this attempt.
    pub triggered_at: Option<Moment>,
    /// The last trigger of this attempt.
    pub last_trigger_at: Option<Moment>,
    /// Triggers sent in this attempt.
    pub triggers: u32,
    /// Whether the node has answered the last trigger.
    pub answered: bool,
    /// When it was last told to drop the update.
    pub dropped_at: Option<Moment>,
    /// Why it ended or stands where it does, for people.
    pub reason: String,
    /// The node's error code, if it gave one, or one of the planner's own (`deadline`, `away`).
    pub code: Option<String>,
}

impl Update {
    /// An update whose turn has not come.
    pub fn scheduled(wave: usize, variant: usize, expected: Expected, now: Moment) -> Self {
        Update {
            wave,
            variant,
            expected,
            before: None,
            state: State::Scheduled,
            since: now,
            attempt: 1,
            triggered_at: None,
            last_trigger_at: None,
            triggers: 0,
            answered: false,
            dropped_at: None,
            reason: String::new(),
            code: None,
        }
    }

    /// Takes a move over. An end is never left.
    pub fn apply(&mut self, change: &Move, now: Moment) {
        if self.state.is_end() {
            return;
        }
        if self.state != change.to || change.again {
            self.since = now;
        }
        self.state = change.to;
        self.reason.clone_from(&change.reason);
        self.code.clone_from(&change.code);
    }

    /// Notes that a trigger for it is about to be sent.
    pub fn trigger(&mut self, running: Option<Running>, now: Moment) {
        if self.state == State::Scheduled {
            self.state = State::Triggered;
            self.since = now;
            self.before = running;
            self.triggered_at = Some(now);
        }
        self.last_trigger_at = Some(now);
        self.triggers = self.triggers.saturating_add(1);
        self.answered = false;
        self.reason.clear();
        self.code = None;
    }
}

/// A change of state, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The new state.
    pub to: State,
    /// Why, for people.
    pub reason: String,
    /// The code of an error, where there is one.
    pub code: Option<String>,
    /// The state begins afresh although it is the same: the soak time counts from now.
    pub again: bool,
}

impl Move {
    /// A change without a code.
    pub fn to(to: State, reason: impl Into<String>) -> Self {
        Move { to, reason: reason.into(), code: None, again: false }
    }

    /// A change with a code.
    pub fn coded(to: State, code: &str, reason: impl Into<String>) -> Self {
        Move { to, reason: reason.into(), code: Some(code.to_owned()), again: false }
    }
}
