//! What time alone decides.

use super::Planner;
use crate::update::{Move, State, Update};
use crate::{Moment, Node};
use std::time::Duration;

/// After the soak time a node has to be seen healthy once more; this is how long that may take. Nodes say how they are
/// every 15 seconds, a root that restarts is away for some of them.
const SILENCE: Duration = Duration::from_secs(90);

/// A node that restarts again and again during its soak time gets so many soak times beyond its deadline.
const SOAK_PATIENCE: u32 = 4;

impl Planner<'_> {
    pub(super) fn pass_time(&mut self) {
        // Who does not listen cannot say that somebody is silent.
        let Some(listening_since) = self.fleet.listening_since else { return };
        let listens_long_enough = self.listens_long_enough();
        let mut changes = Vec::new();
        for (id, update) in self.rollout.updates.iter().filter(|(id, _)| !self.fleet.is_elsewhere(**id)) {
            let node = self.fleet.nodes.get(id);
            let change = match update.state {
                State::Scheduled => {
                    self.life_is_over().then(|| Move::coded(State::Skipped, "away", self.why_skipped(node)))
                }
                State::Soaking => self.soaked(update, node, listening_since),
                state if state.is_in_flight() && listens_long_enough => self.overdue(update, node),
                _ => None,
            };
            changes.extend(change.map(|change| (*id, change)));
        }
        for (id, change) in changes {
            self.change(id, change);
        }
    }

    /// Whether nodes have had time to be heard: only then is one that was not heard of away.
    pub(super) fn listens_long_enough(&self) -> bool {
        self.fleet.listening_since.is_some_and(|since| self.now.since(since) > SILENCE)
    }

    fn life_is_over(&self) -> bool {
        self.now.since(self.rollout.began_at) >= self.rollout.spec.life()
    }

    fn why_skipped(&self, node: Option<&Node>) -> String {
        let life = self.rollout.spec.life_s;
        match node {
            Some(node) if node.online => {
                format!("its turn did not come within the rollout's life of {life} s")
            }
            _ => format!("it was away when the rollout's life of {life} s ended"),
        }
    }

    fn soaked(&self, update: &Update, node: Option<&Node>, listening_since: Moment) -> Option<Move> {
        let soak = self.rollout.spec.soak();
        let until = update.since.after(soak);
        if self.now < until {
            let patience = self.rollout.spec.deadline() + soak * SOAK_PATIENCE;
            let too_long =
                update.triggered_at.is_some_and(|at| self.now.since(at.max(listening_since)) > patience);
            return too_long.then(|| {
                let reason = "it restarts again and again and never stays healthy for the soak time";
                Move::coded(State::Failed, "unstable", reason)
            });
        }
        let seen = node.map_or(Moment(0), |node| node.last_seen);
        let runs = node.and_then(|node| node.running).and_then(|running| update.expected.runs(running));
        if seen >= until && runs == Some(true) {
            let reason = match soak.as_secs() {
                0 => "it runs the new image, confirmed".to_owned(),
                soak => format!("it runs the new image, confirmed and healthy for {soak} s"),
            };
            return Some(Move::to(State::Succeeded, reason));
        }
        (self.now.since(until.max(listening_since)) > SILENCE).then(|| {
            let reason = "nothing was heard of it at the end of its soak time";
            Move::coded(State::Lost, "silent", reason)
        })
    }

    fn overdue(&self, update: &Update, node: Option<&Node>) -> Option<Move> {
        let since = update.triggered_at?;
        if self.now.since(since) <= self.rollout.spec.deadline() {
            return None;
        }
        let (deadline, state) = (self.rollout.spec.deadline_s, update.state.name());
        Some(match node {
            Some(node) if node.online && !update.answered => Move::coded(
                State::Failed,
                "no_answer",
                format!("it is there, but did not answer {} triggers in {deadline} s", update.triggers),
            ),
            Some(node) if node.online => Move::coded(
                State::Failed,
                "deadline",
                format!("still {state} after its deadline of {deadline} s"),
            ),
            _ => Move::coded(
                State::Lost,
                "silent",
                format!("it fell silent while {state}, and its deadline of {deadline} s has passed"),
            ),
        })
    }
}
