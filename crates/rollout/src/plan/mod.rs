//! The next actions of a rollout.
//!
//! | step | file | what |
//! |---|---|---|
//! | 1 | `time` | deadlines, soak times, the end of the rollout's life |
//! | 2 | `verdict` | does a threshold stop it, may the next wave begin, is it over |
//! | 3 | `start` | who is triggered now: limits, bandwidth, windows, leaves before parents, meshes in good order |
//!
//! Each step sees what the steps before decided, so that one call never starts a node that the same call stops.

mod start;
mod time;
mod verdict;

use crate::rollout::{Phase, Rollout};
use crate::tree::Tree;
use crate::update::{Move, State, Update};
use crate::{Fleet, Moment};
use rootcast_wire::NodeId;
use std::collections::BTreeMap;

/// Targets of one trigger: what one MQTT message can name.
pub const MAX_BATCH: usize = rootcast_wire::trigger::MAX_TARGETS;

/// Something to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The rollout begins: its phase is now running.
    Begin {
        /// Present nodes by mesh: what [`Rollout::baseline`] becomes.
        baseline: BTreeMap<String, u32>,
        /// Why now.
        reason: String,
    },
    /// An update changes its state.
    Move {
        /// Whose.
        node: NodeId,
        /// To what, and why.
        change: Move,
    },
    /// Two nodes change waves: the mesh changed, and leaves go before parents.
    Swap {
        /// The node above.
        above: NodeId,
        /// The node below.
        below: NodeId,
        /// Why.
        reason: String,
    },
    /// These nodes of one mesh are triggered for one image; at most [`MAX_BATCH`].
    Trigger {
        /// The mesh.
        mesh: String,
        /// Which image of the release.
        variant: usize,
        /// The attempt, the same for all of them: it is part of what they report under.
        attempt: u32,
        /// Who.
        nodes: Vec<NodeId>,
        /// Why, for people.
        reason: String,
    },
    /// These nodes of one mesh are told to drop the update unless they have switched.
    Drop {
        /// The mesh.
        mesh: String,
        /// The attempt.
        attempt: u32,
        /// Who has not switched, as far as known.
        nodes: Vec<NodeId>,
    },
    /// The next wave is open.
    EnterWave {
        /// Which, from 0.
        wave: usize,
        /// Why.
        reason: String,
    },
    /// The rollout's phase changes: stopped by itself, or over.
    End {
        /// To what.
        phase: Phase,
        /// Why.
        reason: String,
    },
}

/// What to do now, and what is being waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be done, in this order.
    pub actions: Vec<Action>,
    /// Why nodes whose wave is open are not started, for people, with how many that are.
    pub holds: BTreeMap<String, u32>,
}

/// What to do now.
pub fn plan(rollout: &Rollout, fleet: &Fleet, now: Moment) -> Plan {
    let mut planner = Planner { rollout: rollout.clone(), fleet, now, plan: Plan::default() };
    if planner.rollout.phase == Phase::Scheduled && !planner.begin() {
        return planner.plan;
    }
    planner.pass_time();
    planner.judge();
    planner.drop_unswitched();
    if fleet.listening_since.is_none() {
        let open = planner.nodes_where(|update| update.state == State::Scheduled).len();
        planner.plan.holds.insert(
            "there is no connection to the broker".to_owned(),
            u32::try_from(open).unwrap_or(u32::MAX),
        );
    } else if planner.rollout.phase == Phase::Running {
        let tree = Tree::of(fleet);
        planner.start(&tree);
    }
    planner.plan
}

/// The rollout as it becomes, while actions are decided.
struct Planner<'a> {
    rollout: Rollout,
    fleet: &'a Fleet,
    now: Moment,
    plan: Plan,
}

impl Planner<'_> {
    /// Begins a rollout whose time has come.
    fn begin(&mut self) -> bool {
        let start_s = self.rollout.spec.start_at.unwrap_or(0);
        if self.fleet.follows || self.now.0 / 1000 < start_s || self.fleet.listening_since.is_none() {
            return false;
        }
        let baseline = present(self.fleet);
        let reason = match start_s {
            0 => "started",
            _ => "started: its time has come",
        };
        self.act(Action::Begin { baseline, reason: reason.to_owned() });
        true
    }

    fn act(&mut self, action: Action) {
        self.rollout.apply(&action, self.fleet, self.now);
        self.plan.actions.push(action);
    }

    fn change(&mut self, node: NodeId, change: Move) {
        self.act(Action::Move { node, change });
    }

    fn end(&mut self, phase: Phase, reason: String) {
        self.act(Action::End { phase, reason });
    }

    /// The nodes for which something holds, by id; not those that another process decides about.
    fn nodes_where(&self, holds: impl Fn(&Update) -> bool) -> Vec<NodeId> {
        let found = self
            .rollout
            .updates
            .iter()
            .filter(|(id, update)| holds(update) && !self.fleet.is_elsewhere(**id));
        found.map(|(id, _)| *id).collect()
    }

    /// After a stop or an abort: nobody begins any more, and who has not switched is told to drop it, again and again until
    /// it answers or its deadline passes.
    fn drop_unswitched(&mut self) {
        if !matches!(self.rollout.phase, Phase::Stopped | Phase::Aborted) {
            return;
        }
        let reason = match self.rollout.phase {
            Phase::Stopped => "the rollout stopped before its turn",
            _ => "the rollout was aborted before its turn",
        };
        for node in self.nodes_where(|update| update.state == State::Scheduled) {
            self.change(node, Move::to(State::Aborted, reason));
        }
        let (now, patience) = (self.now, self.rollout.spec.answer());
        let due = |update: &Update| {
            update.state.can_be_dropped() && update.dropped_at.is_none_or(|at| now.since(at) >= patience)
        };
        let mut groups: BTreeMap<(String, u32), Vec<NodeId>> = BTreeMap::new();
        for node in self.nodes_where(due) {
            let mesh = self.fleet.nodes.get(&node).map(|it| it.mesh.clone()).unwrap_or_default();
            let attempt = self.rollout.updates.get(&node).map_or(1, |update| update.attempt);
            groups.entry((mesh, attempt)).or_default().push(node);
        }
        for ((mesh, attempt), nodes) in groups {
            self.act(Action::Drop { mesh, attempt, nodes });
        }
    }
}

/// Present nodes by mesh.
pub fn present(fleet: &Fleet) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for node in fleet.nodes.values().filter(|node| node.online) {
        *counts.entry(node.mesh.clone()).or_insert(0) += 1;
    }
    counts
}
