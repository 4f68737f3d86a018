//! What a report or a sighting proves about an update.
//!
//! Success means evidence: a node counts only after the expected image was seen *running after the restart*, and stayed
//! so for the soak time. A report that only says "done" proves nothing. The old image again, after the new one was seen
//! or a restart into it began, is a rollback. Reports come twice, late and in the wrong order; what is older than what is
//! known changes nothing, and an end is never left.

use crate::update::{Move, State, Update};
use crate::{Moment, Running};
use std::time::Duration;

/// How long after its start a node gets to report why it came back, before its status alone decides.
const REPORT_TIME: Duration = Duration::from_secs(20);

/// By how much a node that has not restarted may seem to have started too late: its uptime is told in whole seconds, cut
/// off, and was true when the status was made, which is heard after its way through mesh and broker. A node that confirms
/// its image within this time of its start would else seem to restart with its next status.
const UPTIME_SLACK: Duration = Duration::from_secs(3);

/// Something heard of a node.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// When it was heard.
    pub at: Moment,
    /// The image that runs, read from the running slot by the node itself.
    pub running: Option<Running>,
    /// How long the node had been up; without it a status cannot tell "not yet" from "again".
    pub uptime: Option<Duration>,
    /// The step that a report *of this very attempt* names, or that a status shows.
    pub step: Option<Step>,
    /// Whether it is a report of this very attempt.
    pub is_ours: bool,
    /// The error code of the report.
    pub error: Option<String>,
    /// The report's words.
    pub detail: String,
}

/// A step of an update on a node, as DESIGN's reports name it.
pub use rootcast_wire::UpdateState as Step;

/// What an observation changes about an update, if anything.
pub fn observe(update: &Update, seen: &Observation) -> Option<Move> {
    if update.state.is_end() || update.state == State::Scheduled {
        return None;
    }
    let runs_new = seen.running.and_then(|running| update.expected.runs(running));
    if seen.is_ours
        && let Some(step) = seen.step
    {
        return by_report(update, seen, step, runs_new);
    }
    by_sighting(update, seen, runs_new)
}

fn by_report(update: &Update, seen: &Observation, step: Step, runs_new: Option<bool>) -> Option<Move> {
    let forward = |to: State| (to > update.state).then(|| Move::to(to, seen.detail.clone()));
    let failed = |to: State, what: &str| {
        let code = seen.error.as_deref().unwrap_or("unknown");
        Some(Move::coded(to, code, sentence(what, code, &seen.detail)))
    };
    match step {
        Step::Accepted | Step::Waiting => None,
        Step::Downloading | Step::Verifying => forward(State::Downloading),
        Step::Installed => forward(State::Installed),
        Step::Restarting => forward(State::Restarting),
        Step::Trial if runs_new == Some(true) => forward(State::Trial),
        Step::Trial => None,
        Step::Confirmed => match runs_new {
            Some(true) => forward(State::Soaking).map(|change| Move { reason: String::new(), ..change }),
            // "Done", and another image runs: the node's word is no evidence.
            _ => Some(Move::coded(
                State::Failed,
                "no_evidence",
                "it says confirmed, and does not run the image of this release",
            )),
        },
        // A rollback that still runs the new image contradicts itself.
        Step::RolledBack if runs_new == Some(true) => None,
        Step::RolledBack => failed(State::RolledBack, "rolled back"),
        Step::Failed if seen.error.as_deref() == Some("aborted") => {
            Some(Move::coded(State::Aborted, "aborted", "it dropped the update when told to"))
        }
        // A second trigger of the same attempt supersedes the first: that was us, and it goes on.
        Step::Failed if seen.error.as_deref() == Some("superseded") && update.triggers > 1 => None,
        Step::Failed if update.state > State::Installed => None,
        Step::Failed => failed(State::Failed, "failed"),
        Step::Refused if seen.error.as_deref() == Some("same_image") && runs_new == Some(true) => {
            forward(State::Soaking).map(|change| Move { reason: "it ran the image already".into(), ..change })
        }
        Step::Refused if update.state > State::Installed => None,
        Step::Refused => failed(State::Failed, "refused"),
    }
}

fn by_sighting(update: &Update, seen: &Observation, runs_new: Option<bool>) -> Option<Move> {
    // Whether the node started after the update reached its present state.
    let after = |slack: Duration| {
        seen.uptime.is_some_and(|uptime| seen.at.since(update.since) > uptime.saturating_add(slack))
    };
    let (restarted, clearly) = (after(Duration::ZERO), after(UPTIME_SLACK));
    match (update.state, runs_new) {
        (_, None) | (State::Triggered | State::Downloading | State::Installed, Some(false)) => None,
        (State::Soaking, Some(true)) => (clearly && seen.step != Some(Step::Trial)).then(|| Move {
            again: true,
            ..Move::to(State::Soaking, "it restarted during the soak time, which begins again")
        }),
        (state, Some(true)) if seen.step == Some(Step::Trial) => {
            (state < State::Trial).then(|| Move::to(State::Trial, ""))
        }
        (_, Some(true)) => Some(Move::to(State::Soaking, "")),
        (_, Some(false)) => (restarted && !may_still_say_why(seen)).then(|| {
            Move::coded(State::RolledBack, "old_image", "the old image runs again; the node did not say why")
        }),
    }
}

/// Whether the report of a rollback may only be slower than the status that shows it. Original firmware sends none.
fn may_still_say_why(seen: &Observation) -> bool {
    matches!(seen.running, Some(Running::Image(_))) && seen.uptime.is_some_and(|uptime| uptime < REPORT_TIME)
}

/// "rolled back (trial_crashed): image crashed".
fn sentence(what: &str, code: &str, detail: &str) -> String {
    if detail.is_empty() { format!("{what} ({code})") } else { format!("{what} ({code}): {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Expected;

    const NEW: [u8; 32] = [2; 32];
    const OLD: [u8; 32] = [1; 32];

    fn update(state: State) -> Update {
        let expected = Expected { image: NEW, elf: Some([2; 16]) };
        let mut update = Update::scheduled(0, 0, expected, Moment(0));
        update.trigger(Some(Running::Image(OLD)), Moment(1_000));
        update.state = state;
        update.since = Moment(10_000);
        update
    }

    fn report(step: Step, running: [u8; 32], error: Option<&str>) -> Observation {
        Observation {
            at: Moment(20_000),
            running: Some(Running::Image(running)),
            step: Some(step),
            is_ours: true,
            error: error.map(str::to_owned),
            ..Observation::default()
        }
    }

    fn status(running: Running, uptime_ms: u64) -> Observation {
        Observation {
            at: Moment(20_000),
            running: Some(running),
            uptime: Some(Duration::from_millis(uptime_ms)),
            ..Observation::default()
        }
    }

    fn after(state: State, seen: &Observation) -> State {
        observe(&update(state), seen).map_or(state, |change| change.to)
    }

    #[test]
    fn only_the_expected_image_running_after_the_restart_counts() {
        assert_eq!(after(State::Trial, &report(Step::Confirmed, NEW, None)), State::Soaking);
        assert_eq!(after(State::Trial, &report(Step::Confirmed, OLD, None)), State::Failed);
        assert_eq!(after(State::Triggered, &status(Running::Image(NEW), 5_000)), State::Soaking);
        assert_eq!(after(State::Triggered, &status(Running::Elf([2; 16]), 5_000)), State::Soaking);
    }

    #[test]
    fn the_old_image_after_a_restart_is_a_rollback_and_before_it_is_not() {
        assert_eq!(after(State::Restarting, &status(Running::Elf([1; 16]), 5_000)), State::RolledBack);
        assert_eq!(after(State::Restarting, &status(Running::Elf([1; 16]), 15_000)), State::Restarting);
        assert_eq!(after(State::Soaking, &status(Running::Elf([1; 16]), 5_000)), State::RolledBack);
        assert_eq!(after(State::Downloading, &status(Running::Image(OLD), 5_000)), State::Downloading);
    }

    #[test]
    fn a_node_that_reports_gets_time_to_say_why_the_old_image_runs_again() {
        let early = status(Running::Image(OLD), 5_000);
        assert_eq!(after(State::Restarting, &early), State::Restarting, "its report may be on the way");
        let late = Observation { at: Moment(60_000), ..status(Running::Image(OLD), 25_000) };
        assert_eq!(after(State::Restarting, &late), State::RolledBack, "it will not say more");
    }

    #[test]
    fn reports_that_come_late_or_twice_lead_nowhere_back() {
        for step in [Step::Accepted, Step::Downloading, Step::Installed, Step::Restarting, Step::Trial] {
            for state in [State::Soaking, State::Succeeded, State::RolledBack, State::Failed, State::Lost] {
                assert_eq!(after(state, &report(step, NEW, None)), state, "{step} in {state:?}");
            }
        }
        assert_eq!(after(State::Installed, &report(Step::Downloading, OLD, None)), State::Installed);
        assert_eq!(after(State::Trial, &report(Step::Failed, OLD, Some("connection_lost"))), State::Trial);
    }

    #[test]
    fn every_end_state_stays_whatever_is_heard() {
        for state in State::ALL.into_iter().filter(|state| state.is_end()) {
            for step in Step::ALL {
                for running in [OLD, NEW] {
                    assert!(observe(&update(state), &report(step, running, None)).is_none());
                }
            }
        }
    }

    #[test]
    fn a_node_that_says_no_fails_with_its_code() {
        let change =
            observe(&update(State::Triggered), &report(Step::Refused, OLD, Some("wrong_chip"))).unwrap();
        assert_eq!((change.to, change.code.as_deref()), (State::Failed, Some("wrong_chip")));
        assert_eq!(after(State::Triggered, &report(Step::Refused, NEW, Some("same_image"))), State::Soaking);
        assert_eq!(after(State::Downloading, &report(Step::Failed, OLD, Some("aborted"))), State::Aborted);
        let crashed = report(Step::RolledBack, OLD, Some("trial_crashed"));
        assert_eq!(observe(&update(State::Trial), &crashed).unwrap().reason, "rolled back (trial_crashed)");
    }

    #[test]
    fn our_own_second_trigger_is_no_failure() {
        let mut twice = update(State::Downloading);
        twice.triggers = 2;
        assert!(observe(&twice, &report(Step::Failed, OLD, Some("superseded"))).is_none());
        assert_eq!(after(State::Downloading, &report(Step::Failed, OLD, Some("superseded"))), State::Failed);
    }

    #[test]
    fn a_restart_during_the_soak_time_begins_it_again() {
        let change = observe(&update(State::Soaking), &status(Running::Image(NEW), 3_000)).unwrap();
        assert!(change.again);
        assert!(observe(&update(State::Soaking), &status(Running::Image(NEW), 30_000)).is_none());
    }

    #[test]
    fn a_node_that_confirmed_at_once_has_not_restarted_because_its_uptime_is_told_in_whole_seconds() {
        // It started at 9.7 s, confirmed at 10 s, and made a status at 24.65 s: 14 whole seconds after its start, while
        // 14.65 s have passed since it was heard to confirm. A second status took another second to arrive.
        for (heard_at, uptime_s) in [(24_650, 14), (25_690, 14)] {
            let seen = Observation { at: Moment(heard_at), ..status(Running::Image(NEW), uptime_s * 1_000) };
            assert!(observe(&update(State::Soaking), &seen).is_none(), "heard at {heard_at}");
        }
    }
}
