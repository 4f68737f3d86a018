//! The failed ones again.

use crate::Moment;
use crate::rollout::{Phase, Rollout};
use crate::update::{State, Update};
use rootcast_wire::NodeId;

/// Puts every update that failed, rolled back, was lost or aborted back to scheduled, as a new attempt, and the rollout to
/// running. Returns who that was; nobody, if the rollout is not over or nothing failed.
pub fn retry(rollout: &mut Rollout, now: Moment) -> Vec<NodeId> {
    if !rollout.has_ended() {
        return Vec::new();
    }
    let again = |update: &Update| update.state.is_failure() || update.state == State::Aborted;
    let mut nodes = Vec::new();
    for (id, update) in rollout.updates.iter_mut().filter(|(_, update)| again(update)) {
        let attempt = update.attempt.saturating_add(1);
        *update = Update { attempt, ..Update::scheduled(update.wave, update.variant, update.expected, now) };
        nodes.push(*id);
    }
    if let Some(first) = nodes.iter().filter_map(|id| rollout.updates.get(id)).map(|it| it.wave).min() {
        rollout.phase = Phase::Running;
        rollout.wave = first;
        // Its life begins again, and so does what counts as a mesh in good order.
        rollout.began_at = now;
        rollout.baseline.clear();
    }
    nodes
}
