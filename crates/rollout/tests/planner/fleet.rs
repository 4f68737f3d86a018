//! A fleet that answers, in steps of ten seconds, and a record of what it was told. Each node has a fate; the rules that a
//! rollout must never break are checked here after every step, by a few lines that know nothing of the planner's insides.

use rootcast_rollout::update::Move;
use rootcast_rollout::{
    Action, Expected, Fleet, Moment, Node, Observation, Phase, Release, Rollout, Running, Spec, State, Step,
    Variant, assign, observe, plan,
};
use rootcast_wire::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub const OLD: [u8; 32] = [1; 32];
pub const NEW: [u8; 32] = [2; 32];
pub const STEP: Duration = Duration::from_secs(10);

/// What becomes of a node that is triggered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs the new image and stays healthy.
    Updates,
    /// The new image crashes, the old one returns.
    RollsBack,
    /// The download fails.
    Fails,
    /// It hears nothing, though it is there.
    Deaf,
    /// It goes away in the middle and never returns.
    Dies,
    /// It says "confirmed" and runs the old image.
    Lies,
}

pub struct World {
    pub fleet: Fleet,
    pub release: Release,
    pub rollout: Rollout,
    pub now: Moment,
    pub fates: BTreeMap<NodeId, Fate>,
    /// Steps since the trigger, of nodes that were triggered.
    started: BTreeMap<NodeId, u32>,
    /// Every trigger: when, who, which attempt.
    pub triggers: Vec<(Moment, NodeId, u32)>,
    pub log: Vec<String>,
    ends: BTreeMap<(NodeId, u32), State>,
    pub is_paused: bool,
    /// Every start: when, in which mesh, with how many bytes.
    pub starts: Vec<(Moment, String, u64)>,
}

/// A mesh of `layers.len()` layers below one root; every node hangs on the first one of the layer above.
pub fn mesh(name: &str, first_id: u64, layers: &[u64]) -> BTreeMap<NodeId, Node> {
    let mut nodes = BTreeMap::new();
    let (mut id, mut parent) = (first_id, first_id);
    for (index, size) in std::iter::once(&1).chain(layers).enumerate() {
        let head = id;
        for _ in 0..*size {
            let node = Node {
                mesh: name.to_owned(),
                node_type: "switch".to_owned(),
                chip: Some(5),
                version: Some("1.0.0".to_owned()),
                running: Some(Running::Image(OLD)),
                is_root: index == 0,
                parent: Some(NodeId(parent)),
                layer: u8::try_from(index + 1).ok(),
                last_seen: Moment(0),
                online: true,
                tags: BTreeSet::new(),
                slot_bytes: Some(1_441_792),
                busy_with: None,
            };
            nodes.insert(NodeId(id), node);
            id += 1;
        }
        parent = head;
    }
    nodes
}

impl World {
    pub fn new(spec: Spec, nodes: BTreeMap<NodeId, Node>) -> Self {
        Self::with_images(spec, nodes, &[(5, 1_000_000)])
    }

    /// A release with an image of so many bytes for each of these chips.
    pub fn with_images(spec: Spec, nodes: BTreeMap<NodeId, Node>, images: &[(u16, u64)]) -> Self {
        let expected = Expected { image: NEW, elf: None };
        let variant =
            |(chip, size): &(u16, u64)| Variant { chip: *chip, node_type: None, size: *size, expected };
        let release = Release { version: "1.1.0".into(), variants: images.iter().map(variant).collect() };
        let fleet = Fleet { nodes, listening_since: Some(Moment(0)), ..Fleet::default() };
        let now = Moment(1_000_000_000);
        let updates = assign(&spec, &release, &fleet).updates(now);
        let rollout = Rollout {
            spec,
            phase: Phase::Scheduled,
            began_at: now,
            wave: 0,
            baseline: BTreeMap::new(),
            updates,
            image_bytes: images.iter().map(|(_, size)| *size).collect(),
        };
        World {
            fleet,
            release,
            rollout,
            now,
            fates: BTreeMap::new(),
            started: BTreeMap::new(),
            triggers: Vec::new(),
            log: Vec::new(),
            ends: BTreeMap::new(),
            is_paused: false,
            starts: Vec::new(),
        }
    }

    pub fn fate(&mut self, id: u64, fate: Fate) {
        self.fates.insert(NodeId(id), fate);
    }

    pub fn state(&self, id: u64) -> State {
        self.rollout.updates[&NodeId(id)].state
    }

    pub fn states(&self, state: State) -> usize {
        self.rollout.updates.values().filter(|update| update.state == state).count()
    }

    /// Lets ten seconds pass: the planner acts, then nodes answer.
    pub fn step(&mut self) {
        let before = self.rollout.clone();
        let plan = plan(&self.rollout, &self.fleet, self.now);
        assert_eq!(
            plan,
            rootcast_rollout::plan(&before, &self.fleet, self.now),
            "the same question, another answer"
        );
        for action in &plan.actions {
            self.check(action);
            self.rollout.apply(action, &self.fleet, self.now);
            self.note(action);
        }
        self.check_limits();
        self.now = self.now.after(STEP);
        self.nodes_act();
        self.check_ends();
    }

    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.rollout.has_ended() {
                break;
            }
            self.step();
        }
    }

    fn note(&mut self, action: &Action) {
        match action {
            Action::Trigger { nodes, mesh, variant, attempt, .. } => {
                for id in nodes {
                    if self.rollout.updates[id].triggers == 1 {
                        self.starts.push((self.now, mesh.clone(), self.release.variants[*variant].size));
                        self.check_bandwidth();
                    }
                    self.triggers.push((self.now, *id, *attempt));
                    if self.fates.get(id) != Some(&Fate::Deaf) {
                        self.started.entry(*id).or_insert(0);
                    }
                }
            }
            Action::Drop { nodes, .. } => {
                for id in nodes {
                    // A node that has switched goes on.
                    if self.started.get(id).is_some_and(|step| *step < 3) {
                        self.started.remove(id);
                        self.tell(*id, Step::Failed, OLD, Some("aborted"));
                    }
                }
            }
            Action::EnterWave { reason, .. } | Action::End { reason, .. } => self.log.push(reason.clone()),
            _ => {}
        }
    }

    fn nodes_act(&mut self) {
        let started: Vec<NodeId> = self.started.keys().copied().collect();
        for id in started {
            let step = self.started.entry(id).or_insert(0);
            *step += 1;
            let step = *step;
            let fate = self.fates.get(&id).copied().unwrap_or(Fate::Updates);
            if !self.fleet.nodes[&id].online {
                continue;
            }
            match (fate, step) {
                (_, 1) => self.tell(id, Step::Accepted, OLD, None),
                (Fate::Fails, 2) => self.tell(id, Step::Failed, OLD, Some("http_not_found")),
                (Fate::Dies, 2) => self.fleet.nodes.get_mut(&id).unwrap().online = false,
                (Fate::Lies, 2) => self.tell(id, Step::Confirmed, OLD, None),
                (_, 2) => self.tell(id, Step::Downloading, OLD, None),
                (_, 3) => self.tell(id, Step::Restarting, OLD, None),
                (Fate::RollsBack, 4) => self.tell(id, Step::RolledBack, OLD, Some("trial_crashed")),
                (_, 4) => self.tell(id, Step::Trial, NEW, None),
                (_, 5) => self.tell(id, Step::Confirmed, NEW, None),
                _ => {}
            }
            if matches!(fate, Fate::Fails | Fate::Lies) && step >= 2 || fate == Fate::RollsBack && step >= 4 {
                self.started.remove(&id);
            }
        }
        for node in self.fleet.nodes.values_mut().filter(|node| node.online) {
            node.last_seen = self.now;
        }
    }

    fn tell(&mut self, id: NodeId, step: Step, running: [u8; 32], error: Option<&str>) {
        let node = self.fleet.nodes.get_mut(&id).unwrap();
        node.running = Some(Running::Image(running));
        node.last_seen = self.now;
        let seen = Observation {
            at: self.now,
            running: Some(Running::Image(running)),
            step: Some(step),
            is_ours: true,
            error: error.map(str::to_owned),
            ..Observation::default()
        };
        let Some(update) = self.rollout.updates.get_mut(&id) else { return };
        update.answered = true;
        // Every report comes twice.
        for _ in 0..2 {
            if let Some(change) = observe(update, &seen) {
                update.apply(&change, self.now);
            }
        }
    }

    // ----- the rules -----------------------------------------------------------------------------

    fn check(&self, action: &Action) {
        match action {
            Action::Trigger { nodes, mesh, .. } => {
                assert_eq!(self.rollout.phase, Phase::Running, "a trigger while {:?}", self.rollout.phase);
                assert!(!self.is_paused, "a trigger after a pause");
                assert!(nodes.len() <= rootcast_rollout::plan::MAX_BATCH);
                for id in nodes {
                    let update = &self.rollout.updates[id];
                    let node = &self.fleet.nodes[id];
                    assert_eq!(&node.mesh, mesh, "a node of another mesh");
                    assert!(node.online, "{id} is away and was triggered");
                    assert!(
                        update.wave <= self.rollout.wave,
                        "{id} of a wave that is not open was triggered"
                    );
                    assert!(matches!(update.state, State::Scheduled | State::Triggered), "{id}: {update:?}");
                    if update.state == State::Scheduled {
                        self.check_leaves(*id);
                    }
                }
            }
            Action::Move { change: Move { reason, to, .. }, .. } => {
                assert!(!to.is_end() || !reason.is_empty(), "an end without a reason");
            }
            _ => {}
        }
        for (index, wave) in self.rollout.spec.waves.iter().enumerate() {
            let members = self.rollout.updates.values().filter(|update| update.wave == index);
            let failed = members.clone().filter(|update| update.state.is_failure()).count();
            let broken = failed > wave.allowed_failures(members.count());
            let stops = matches!(action, Action::Trigger { .. } | Action::EnterWave { .. });
            assert!(!(broken && stops), "{failed} failed in wave {index}, and {action:?}");
        }
    }

    /// Nobody goes before the nodes whose parents lead to it.
    fn check_leaves(&self, id: NodeId) {
        for (other, update) in &self.rollout.updates {
            let node = &self.fleet.nodes[other];
            if *other == id || update.state.is_end() || !node.online {
                continue;
            }
            let (mut at, mut hops) = (*other, 0);
            // A parent in another mesh is nonsense and counts as not known.
            let up = |id: &NodeId| self.fleet.nodes.get(id).filter(|it| it.online && !it.is_root)?.parent;
            let same_mesh = |id: &NodeId| self.fleet.nodes.get(id).is_some_and(|it| it.mesh == node.mesh);
            while let Some(parent) = up(&at).filter(same_mesh) {
                assert!(parent != id, "{id} goes before {other}, which is below it ({:?})", update.state);
                at = parent;
                hops += 1;
                if hops > 100 {
                    break;
                }
            }
        }
    }

    fn check_limits(&self) {
        let limits = &self.rollout.spec.limits;
        let mut meshes: BTreeMap<&str, u32> = BTreeMap::new();
        for (id, update) in &self.rollout.updates {
            if update.state.is_in_flight() {
                *meshes.entry(&self.fleet.nodes[id].mesh).or_insert(0) += 1;
            }
        }
        assert!(meshes.values().sum::<u32>() <= limits.total, "{meshes:?}");
        assert!(meshes.values().all(|count| *count <= limits.per_mesh), "{meshes:?}");
    }

    /// In no time up to the last start have more bytes been asked for than the rate brings and the bucket holds.
    fn check_bandwidth(&self) {
        let limits = &self.rollout.spec.limits;
        let (last, last_mesh, _) = self.starts.last().unwrap();
        let largest = self.release.variants.iter().map(|variant| variant.size).max().unwrap();
        for (rate, mesh) in [(limits.bytes_per_second, None), (limits.mesh_bytes_per_second, Some(last_mesh))]
        {
            let Some(rate) = rate else { continue };
            let mut bytes = 0;
            for (at, of, size) in self.starts.iter().rev().filter(|it| mesh.is_none_or(|mesh| *mesh == it.1))
            {
                bytes += size;
                let brought = u128::from(rate) * last.since(*at).as_millis() / 1_000;
                let most = brought + u128::from(rate.max(largest));
                assert!(
                    u128::from(bytes) <= most,
                    "{bytes} bytes in {of:?} since {at:?}, now {last:?}: {most}"
                );
            }
        }
    }

    /// An end, once reached, stays, except that a retry makes a new attempt.
    fn check_ends(&mut self) {
        for (id, update) in self.rollout.updates.iter().filter(|(_, update)| update.state.is_end()) {
            let end = self.ends.entry((*id, update.attempt)).or_insert(update.state);
            assert_eq!(*end, update.state, "{id} left its end");
        }
    }
}
