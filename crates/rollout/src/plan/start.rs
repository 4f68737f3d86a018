//! Who is triggered now.

use super::{Action, MAX_BATCH, Planner};
use crate::assign::why_not;
use crate::bandwidth::Budget;
use crate::tree::{Path, Tree};
use crate::update::{State, Update};
use crate::window;
use rootcast_wire::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// Triggers that a node may leave unanswered before nothing but its deadline is waited for.
const MAX_TRIGGERS: u32 = 5;

/// A mesh got worse when more than one in this many of its nodes are missing (and more than one at all).
const MISSING_SHARE: u32 = 10;

/// What is going on already.
#[derive(Default)]
struct Load {
    total: u32,
    meshes: BTreeMap<String, u32>,
    branches: BTreeMap<NodeId, u32>,
    /// Meshes in which a trigger waits for its answer: a second one would take its place on the air.
    unanswered: BTreeSet<String>,
}

impl Load {
    fn add(&mut self, mesh: &str, branch: Option<NodeId>) {
        self.total += 1;
        *self.meshes.entry(mesh.to_owned()).or_insert(0) += 1;
        if let Some(branch) = branch {
            *self.branches.entry(branch).or_insert(0) += 1;
        }
    }
}

impl Planner<'_> {
    pub(super) fn start(&mut self, tree: &Tree) {
        let mut load = self.load(tree);
        let mut budget = Budget::of(&self.rollout, self.fleet, self.now);
        let worse = self.meshes_that_got_worse();
        let blocked = self.blocked_by_leaves(tree);
        let mut batches: BTreeMap<String, (usize, u32, Vec<NodeId>, bool)> = BTreeMap::new();
        let mut holds: BTreeMap<String, u32> = BTreeMap::new();
        let mut swaps = Vec::new();
        for (&id, update) in &self.rollout.updates {
            let again = match update.state {
                State::Scheduled if update.wave <= self.rollout.wave => false,
                State::Triggered if self.is_to_be_reminded(update) => true,
                _ => continue,
            };
            match self.why_wait(id, update, again, tree, &worse, &blocked, &load) {
                Err(Wait::Swap(below)) => swaps.push((id, below)),
                Err(Wait::Because(reason)) => *holds.entry(reason).or_insert(0) += 1,
                Err(Wait::Silently) => {}
                Ok(mesh) => {
                    // One message names one image; the others follow when these have answered.
                    let joins = batches.get(&mesh).is_none_or(|batch| {
                        (batch.0, batch.1, batch.3) == (update.variant, update.attempt, again)
                            && batch.2.len() < MAX_BATCH
                    });
                    if !joins {
                        continue;
                    }
                    if !again {
                        if let Err(reason) = budget.start(&mesh, self.rollout.bytes(update)) {
                            *holds.entry(reason).or_insert(0) += 1;
                            continue;
                        }
                        load.add(&mesh, tree.place(id).and_then(|place| place.branch));
                    }
                    let batch = batches.entry(mesh);
                    batch.or_insert_with(|| (update.variant, update.attempt, Vec::new(), again)).2.push(id);
                }
            }
        }
        for (above, below) in swaps {
            if !self.fleet.is_elsewhere(above) {
                self.swap(above, below);
            }
        }
        for (mesh, (variant, attempt, nodes, again)) in batches {
            // Planned all the same: every process takes the nodes in the same order, so that together they keep the limits.
            if self.fleet.elsewhere.contains(&mesh) {
                continue;
            }
            let reason = match again {
                true => format!("no answer within {} s", self.rollout.spec.answer_s),
                false => format!("wave {}: their turn", self.rollout.wave + 1),
            };
            self.act(Action::Trigger { mesh, variant, attempt, nodes, reason });
        }
        self.plan.holds = holds;
    }

    fn is_to_be_reminded(&self, update: &Update) -> bool {
        !update.answered
            && update.triggers < MAX_TRIGGERS
            && update.last_trigger_at.is_some_and(|at| self.now.since(at) >= self.rollout.spec.answer())
    }

    /// The mesh in which a node can be triggered now, or why it has to wait.
    #[expect(clippy::too_many_arguments, reason = "what was computed once for all nodes")]
    fn why_wait(
        &self,
        id: NodeId,
        update: &Update,
        again: bool,
        tree: &Tree,
        worse: &BTreeMap<String, u32>,
        blocked: &BTreeMap<NodeId, NodeId>,
        load: &Load,
    ) -> Result<String, Wait> {
        let because = |reason: &str| Err(Wait::Because(reason.to_owned()));
        let Some(node) = self.fleet.nodes.get(&id) else { return because("it is not known any more") };
        if let Some(reason) = why_not(tree.place(id).map_or(Path::Away, |place| place.path)) {
            return Err(Wait::Because(reason));
        }
        if let Some(other) = &node.busy_with {
            return Err(Wait::Because(format!("rollout {other} is updating it")));
        }
        let mesh = &node.mesh;
        if load.unanswered.contains(mesh) {
            return Err(Wait::Silently);
        }
        if let Some(missing) = worse.get(mesh) {
            return Err(Wait::Because(format!(
                "mesh {} got worse: {missing} of its nodes are missing since the rollout began",
                mesh_name(mesh)
            )));
        }
        let zone = self.fleet.meshes.get(mesh).and_then(|mesh| mesh.zone.as_deref());
        if !window::is_open(&self.rollout.spec.windows, zone, self.now) {
            return Err(Wait::Because(format!("mesh {} has no maintenance window now", mesh_name(mesh))));
        }
        if again {
            return Ok(mesh.clone());
        }
        if let Some(below) = blocked.get(&id) {
            let leaf = self.rollout.updates.get(below);
            let later = leaf.is_some_and(|it| it.wave > update.wave && it.state == State::Scheduled);
            return Err(if later {
                Wait::Swap(*below)
            } else {
                Wait::Because("leaves below it go first".to_owned())
            });
        }
        let limits = &self.rollout.spec.limits;
        let branch = tree.place(id).and_then(|place| place.branch);
        let in_mesh = load.meshes.get(mesh).copied().unwrap_or(0);
        let in_branch = branch.and_then(|branch| load.branches.get(&branch)).copied().unwrap_or(0);
        if load.total >= limits.total {
            return because("as many updates as allowed are going on");
        }
        if in_mesh >= limits.per_mesh {
            return because("as many updates as allowed are going on in its mesh");
        }
        if in_branch >= limits.per_subtree {
            return because("as many updates as allowed are going on in its part of the mesh");
        }
        Ok(mesh.clone())
    }

    fn load(&self, tree: &Tree) -> Load {
        let mut load = Load::default();
        let branch = |id: NodeId| tree.place(id).and_then(|place| place.branch);
        for (&id, update) in &self.rollout.updates {
            let mesh = self.fleet.nodes.get(&id).map_or("", |node| &node.mesh);
            if update.state.is_in_flight() {
                load.add(mesh, branch(id));
            }
            let fresh =
                update.last_trigger_at.is_some_and(|at| self.now.since(at) < self.rollout.spec.answer());
            if update.state == State::Triggered && !update.answered && fresh {
                load.unanswered.insert(mesh.to_owned());
            }
        }
        for (&id, node) in self.fleet.nodes.iter().filter(|(_, node)| node.busy_with.is_some()) {
            load.add(&node.mesh, branch(id));
        }
        load
    }

    /// Meshes that have fewer nodes than when the rollout began, with how many are missing. Nodes that restart for this
    /// rollout are not missing.
    fn meshes_that_got_worse(&self) -> BTreeMap<String, u32> {
        let mut present = super::present(self.fleet);
        for (id, update) in &self.rollout.updates {
            let Some(node) = self.fleet.nodes.get(id) else { continue };
            if !node.online && matches!(update.state, State::Installed | State::Restarting | State::Trial) {
                *present.entry(node.mesh.clone()).or_insert(0) += 1;
            }
        }
        let missing = |(mesh, before): (&String, &u32)| {
            let missing = before.saturating_sub(present.get(mesh).copied().unwrap_or(0));
            (missing > (before / MISSING_SHARE).max(1)).then(|| (mesh.clone(), missing))
        };
        self.rollout.baseline.iter().filter_map(missing).collect()
    }

    /// For each node above one that has not come to its end: that one, the one of the latest wave first.
    fn blocked_by_leaves(&self, tree: &Tree) -> BTreeMap<NodeId, NodeId> {
        let mut blocked: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        let wave = |id: &NodeId| self.rollout.updates.get(id).map_or(0, |update| update.wave);
        for (&id, _) in self.rollout.updates.iter().filter(|(_, update)| !update.state.is_end()) {
            for above in tree.above(id) {
                let by = blocked.entry(above).or_insert(id);
                if wave(&id) > wave(by) {
                    *by = id;
                }
            }
        }
        blocked
    }

    fn swap(&mut self, above: NodeId, below: NodeId) {
        let wave = |id: NodeId| self.rollout.updates.get(&id).map(|update| update.wave);
        let (Some(earlier), Some(later)) = (wave(above), wave(below)) else { return };
        // An earlier swap of this call may have settled it.
        if earlier >= later {
            return;
        }
        let reason = format!("{below} is below {above} now, and leaves go before parents: they change waves");
        self.act(Action::Swap { above, below, reason });
    }
}

/// Why a node is not triggered now.
enum Wait {
    /// For this reason.
    Because(String),
    /// Only until others have answered: not worth saying.
    Silently,
    /// This node below it goes in its place.
    Swap(NodeId),
}

/// A mesh's name for people: the one without a prefix has none.
fn mesh_name(mesh: &str) -> &str {
    if mesh.is_empty() { "\"\"" } else { mesh }
}
