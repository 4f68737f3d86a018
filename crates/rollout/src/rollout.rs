//! A rollout as it stands.

use crate::plan::Action;
use crate::{Fleet, Moment, Spec, Update};
use rootcast_wire::NodeId;
use std::collections::BTreeMap;

/// How a rollout stands as a whole.
///
/// ```text
///              start                pause
/// Scheduled ──────────▶ Running ◀──────────▶ Paused      everybody at an end, nothing failed ─▶ SUCCEEDED
///     │                    │      resume        │        everybody at an end, some failed or were away ─▶ PARTIAL
///     └────── abort ───────┴────────────────────┴─▶ ABORTED         a threshold is crossed ─▶ STOPPED
/// ```
///
/// After `Stopped` and `Aborted` the updates that have switched still run to their ends. A retry leads back to `Running`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Its time has not come.
    Scheduled,
    /// Nodes are triggered as waves, limits and the mesh allow.
    Running,
    /// Nobody more is triggered until it is resumed.
    Paused,
    /// It stopped by itself.
    Stopped,
    /// An operator ended it.
    Aborted,
    /// Every node that it was for runs the new image.
    Succeeded,
    /// It is over, and not every node runs the new image.
    Partial,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 7] = [
        Phase::Scheduled,
        Phase::Running,
        Phase::Paused,
        Phase::Stopped,
        Phase::Aborted,
        Phase::Succeeded,
        Phase::Partial,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Scheduled => "scheduled",
            Phase::Running => "running",
            Phase::Paused => "paused",
            Phase::Stopped => "stopped",
            Phase::Aborted => "aborted",
            Phase::Succeeded => "succeeded",
            Phase::Partial => "partial",
        }
    }

    /// The phase with this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// Whether no further node will be triggered unless somebody retries.
    pub const fn is_over(self) -> bool {
        matches!(self, Phase::Stopped | Phase::Aborted | Phase::Succeeded | Phase::Partial)
    }
}

/// A rollout as it stands.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// What was asked for.
    pub spec: Spec,
    /// How it stands as a whole.
    pub phase: Phase,
    /// From when its life counts: when it was asked for, or retried.
    pub began_at: Moment,
    /// The wave that is open, from 0; earlier ones are open too.
    pub wave: usize,
    /// How many nodes of each mesh were present when it began: fewer now means that a mesh got worse.
    pub baseline: BTreeMap<String, u32>,
    /// The updates by node.
    pub updates: BTreeMap<NodeId, Update>,
    /// Bytes of the release's images, in the order that [`Update::variant`] counts in.
    pub image_bytes: Vec<u64>,
}

impl Rollout {
    /// Takes an action over as done. Whoever carries the plan out calls this for each action, in order, before anything
    /// is published: what is written down first cannot be done twice.
    pub fn apply(&mut self, action: &Action, fleet: &Fleet, now: Moment) {
        match action {
            Action::Begin { baseline, .. } => {
                self.phase = Phase::Running;
                self.baseline.clone_from(baseline);
            }
            Action::Move { node, change } => {
                if let Some(update) = self.updates.get_mut(node) {
                    update.apply(change, now);
                }
            }
            Action::Swap { above, below, .. } => {
                let wave = |id: &NodeId| self.updates.get(id).map(|update| update.wave);
                let (Some(earlier), Some(later)) = (wave(above), wave(below)) else { return };
                for (id, wave) in [(above, later), (below, earlier)] {
                    if let Some(update) = self.updates.get_mut(id) {
                        update.wave = wave;
                    }
                }
            }
            Action::Trigger { nodes, .. } => {
                for id in nodes {
                    let running = fleet.nodes.get(id).and_then(|node| node.running);
                    if let Some(update) = self.updates.get_mut(id) {
                        update.trigger(running, now);
                    }
                }
            }
            Action::Drop { nodes, .. } => {
                for id in nodes {
                    if let Some(update) = self.updates.get_mut(id) {
                        update.dropped_at = Some(now);
                    }
                }
            }
            Action::EnterWave { wave, .. } => self.wave = *wave,
            Action::End { phase, .. } => self.phase = *phase,
        }
    }

    /// Bytes of the image that an update brings; 0 if the release does not have it.
    pub(crate) fn bytes(&self, update: &Update) -> u64 {
        self.image_bytes.get(update.variant).copied().unwrap_or(0)
    }

    /// Whether everything has ended.
    pub fn has_ended(&self) -> bool {
        self.phase.is_over() && self.updates.values().all(|update| update.state.is_end())
    }
}
