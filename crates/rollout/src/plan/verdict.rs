//! Whether a threshold stops the rollout, whether the next wave may begin, and whether it is over.

use super::{Action, Planner};
use crate::rollout::Phase;
use crate::spec::Wave;
use crate::update::{State, Update};
use rootcast_wire::NodeId;
use std::collections::BTreeMap;

/// Errors named in a reason; the rest is counted.
const CAUSES_NAMED: usize = 3;

/// How the nodes of one wave stand.
#[derive(Default)]
struct Tally {
    members: usize,
    failures: usize,
    successes: usize,
    skipped: usize,
    /// Something goes on: in flight or soaking.
    active: usize,
    /// Scheduled and present, or not heard of because nobody listened.
    waiting: usize,
    /// Scheduled and away.
    away: usize,
}

impl Tally {
    /// Successes that the wave needs, of the nodes that take part in it.
    fn required(&self, wave: &Wave) -> usize {
        let taking_part = self.members - self.skipped - self.away;
        (taking_part * usize::from(wave.min_success_percent.min(100))).div_ceil(100)
    }
}

impl Planner<'_> {
    pub(super) fn judge(&mut self) {
        if self.fleet.follows || !matches!(self.rollout.phase, Phase::Running | Phase::Paused) {
            return;
        }
        if let Some(reason) = self.broken_threshold() {
            self.end(Phase::Stopped, reason);
            return;
        }
        if self.rollout.phase == Phase::Running {
            while let Some(reason) = self.next_wave_may_begin() {
                self.act(Action::EnterWave { wave: self.rollout.wave + 1, reason });
            }
        }
        self.finish();
    }

    /// Why the rollout has to stop, if it has to.
    fn broken_threshold(&self) -> Option<String> {
        let waves = self.rollout.spec.waves.iter().enumerate().take(self.rollout.wave + 1);
        for (index, wave) in waves {
            let tally = self.tally(index);
            let (failures, members) = (tally.failures, tally.members);
            if failures > wave.allowed_failures(members) {
                return Some(format!(
                    "stopped: {failures} of {members} in {} failed, {} allowed: {}",
                    self.wave_name(index),
                    wave.allowed_failures(members),
                    self.causes(index)
                ));
            }
            let (required, possible) = (tally.required(wave), tally.successes + tally.active + tally.waiting);
            if possible < required {
                return Some(format!(
                    "stopped: {} can succeed at most {possible} times of {required} that it needs: {}",
                    self.wave_name(index),
                    self.causes(index)
                ));
            }
        }
        None
    }

    /// Why the next wave may begin, if it may.
    fn next_wave_may_begin(&self) -> Option<String> {
        let index = self.rollout.wave;
        let wave = self.rollout.spec.waves.get(index)?;
        self.rollout.spec.waves.get(index + 1)?;
        let tally = self.tally(index);
        if tally.active > 0 || tally.waiting > 0 || tally.successes < tally.required(wave) {
            return None;
        }
        // Without one success nothing is proved, whoever is away: the canaries have to return first.
        if tally.successes == 0 && tally.away > 0 {
            return None;
        }
        let (name, successes) = (self.wave_name(index), tally.successes);
        Some(match (tally.members, tally.away) {
            (0, _) => format!("{name} is empty"),
            (members, 0) => format!("{name} is through: {successes} of {members} succeeded"),
            (members, away) => {
                format!("{name} is through: {successes} of {members} succeeded, {away} are away and follow")
            }
        })
    }

    fn finish(&mut self) {
        if self.rollout.updates.values().any(|update| !update.state.is_end()) {
            return;
        }
        let count = |holds: fn(&Update) -> bool| self.rollout.updates.values().filter(|it| holds(it)).count();
        let total = self.rollout.updates.len();
        let succeeded = count(|update| update.state == State::Succeeded);
        let skipped = count(|update| update.state == State::Skipped);
        let failed = total - succeeded - skipped;
        let away = count(|update| update.state == State::Skipped && update.code.is_some());
        let (phase, reason) = match (total, failed + away) {
            (0, _) => (Phase::Succeeded, "nothing to do: no node gets this release".to_owned()),
            (_, 0) => (Phase::Succeeded, format!("{succeeded} of {total} nodes run the new image")),
            _ => (
                Phase::Partial,
                format!("{succeeded} of {total} nodes run the new image, {failed} failed, {away} were away"),
            ),
        };
        self.end(phase, reason);
    }

    fn tally(&self, wave: usize) -> Tally {
        let mut tally = Tally::default();
        let can_be_away = self.listens_long_enough();
        for (id, update) in self.rollout.updates.iter().filter(|(_, update)| update.wave == wave) {
            tally.members += 1;
            match update.state {
                State::Succeeded => tally.successes += 1,
                State::Skipped => tally.skipped += 1,
                State::Scheduled if can_be_away && !self.is_online(id) => tally.away += 1,
                State::Scheduled => tally.waiting += 1,
                state if state.is_failure() => tally.failures += 1,
                State::Aborted => {}
                _ => tally.active += 1,
            }
        }
        tally
    }

    fn is_online(&self, id: &NodeId) -> bool {
        self.fleet.nodes.get(id).is_some_and(|node| node.online)
    }

    fn wave_name(&self, index: usize) -> String {
        match (index, self.rollout.spec.waves.len()) {
            (0, 2..) => "the canary".to_owned(),
            _ => format!("wave {}", index + 1),
        }
    }

    /// "2 rolled back (trial_crashed): image crashed; 1 lost (silent): …"
    fn causes(&self, wave: usize) -> String {
        let mut causes: BTreeMap<(State, &str), (usize, &str)> = BTreeMap::new();
        let failed = self.rollout.updates.values().filter(|it| it.wave == wave && it.state.is_failure());
        for update in failed {
            let code = update.code.as_deref().unwrap_or("unknown");
            let cause = causes.entry((update.state, code)).or_insert((0, &update.reason));
            cause.0 += 1;
        }
        let mut causes: Vec<_> = causes.into_values().collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.0));
        let more = causes.len().saturating_sub(CAUSES_NAMED);
        let mut text = causes
            .iter()
            .take(CAUSES_NAMED)
            .map(|(count, reason)| format!("{count} × {reason}"))
            .collect::<Vec<_>>()
            .join("; ");
        if more > 0 {
            text.push_str(&format!("; and {more} other causes"));
        }
        text
    }
}
