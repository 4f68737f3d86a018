//! A mesh of light virtual nodes: they download nothing and write no flash, and say on MQTT what real ones say, in the same
//! order and form, with one connection, the root's, for all of them. What they count shows what was triggered twice or lost.

use rootcast_control::mqtt::{Endpoint, Event, Link, Publisher, Trust};
use rootcast_wire::trigger::{RolloutId, Target};
use rootcast_wire::{Command, ErrorCode, NodeId, NodeType, Report, UpdateState, parse_command};
use rootcast_world::random::Random;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// How often the mesh looks what is to be done.
const STEP: Duration = Duration::from_millis(50);
/// What a node says of an update, one after the other.
const STEPS: [(UpdateState, u8); 8] = [
    (UpdateState::Accepted, 0),
    (UpdateState::Downloading, 1),
    (UpdateState::Downloading, 50),
    (UpdateState::Verifying, 100),
    (UpdateState::Installed, 100),
    (UpdateState::Restarting, 100),
    (UpdateState::Trial, 100),
    (UpdateState::Confirmed, 100),
];
/// The step with which a node runs the new image.
const NEW_FROM: usize = 6;
/// Reports that a successful update takes.
pub const REPORTS: u64 = STEPS.len() as u64;

/// What all meshes have in common.
pub struct World {
    pub endpoint: Endpoint,
    pub old: [u8; 32],
    pub new: [u8; 32],
    pub old_version: String,
    pub new_version: String,
    /// How long a step takes: from, to.
    pub step_ms: (u64, u64),
    /// How often a node says how it is.
    pub status: Duration,
    /// Reports that the broker has.
    pub reports: AtomicU64,
    /// Everything that the broker has.
    pub messages: AtomicU64,
}

/// A node as it is.
#[derive(Clone, Debug)]
pub struct Node {
    pub parent: u64,
    pub layer: u8,
    pub runs_new: bool,
    /// Triggers that named it.
    pub triggered: u32,
    /// How often it installed the new image.
    pub installed: u32,
    started: Instant,
    next_status: Instant,
    update: Option<Update>,
}

#[derive(Clone, Debug)]
struct Update {
    rollout: RolloutId,
    step: usize,
    at: Instant,
}

/// A mesh that runs.
pub struct Mesh {
    pub name: String,
    pub nodes: Arc<Mutex<BTreeMap<u64, Node>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Mesh {
    /// Starts mesh number `index`: a root, relays below it, leaves below them.
    pub async fn start(world: Arc<World>, index: u64, size: u64, seed: u64) -> Self {
        let name = format!("house-{index:03}");
        let first = (index + 1) * 1_000;
        let now = Instant::now();
        let relays = (size / 10).max(1);
        let mut random = Random::new(seed).fork(index);
        let node = |number: u64| {
            let (parent, layer) = match number {
                0 => (first, 1),
                number if number <= relays => (first, 2),
                number => (first + 1 + number % relays, 3),
            };
            // Spread over time, as nodes that were not switched on together are.
            let next_status = now + world.status.mul_f64(number as f64 / size as f64);
            let (triggered, installed) = (0, 0);
            let node = Node {
                parent,
                layer,
                runs_new: false,
                triggered,
                installed,
                started: now,
                next_status,
                update: None,
            };
            (first + number, node)
        };
        let nodes = Arc::new(Mutex::new((0..size).map(node).collect::<BTreeMap<_, _>>()));
        let filter = format!("{name}/switch/cmd/root");
        let link =
            Link::open(&world.endpoint, &Trust::PublicAuthorities, &[filter]).await.expect("the broker");
        let (say, to_say) = unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let speaker = tokio::spawn(speak(world.clone(), link.publisher(), to_say, waiting.clone()));
        let actor = Actor { world, name: name.clone(), nodes: nodes.clone(), say, waiting };
        let life = tokio::spawn(async move { actor.live(link, &mut random).await });
        Self { name, nodes, tasks: [speaker, life] }
    }
}

/// One after the other, each until the broker has it: as roots do.
async fn speak(
    world: Arc<World>,
    publisher: Publisher,
    mut to_say: UnboundedReceiver<(String, String)>,
    waiting: Arc<AtomicUsize>,
) {
    while let Some((topic, payload)) = to_say.recv().await {
        while publisher.publish(&topic, payload.as_bytes()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        waiting.fetch_sub(1, Relaxed);
        world.messages.fetch_add(1, Relaxed);
        if topic.contains("/switch/ota/") {
            world.reports.fetch_add(1, Relaxed);
        }
    }
}

struct Actor {
    world: Arc<World>,
    name: String,
    nodes: Arc<Mutex<BTreeMap<u64, Node>>>,
    say: UnboundedSender<(String, String)>,
    waiting: Arc<AtomicUsize>,
}

impl Actor {
    async fn live(self, mut link: Link, random: &mut Random) {
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = steps.tick() => self.step(random),
                event = link.next() => if let Event::Message { payload, retained: false, .. } = event {
                    self.hear(&payload);
                },
            }
        }
    }

    fn step(&self, random: &mut Random) {
        let now = Instant::now();
        let mut nodes = self.nodes.lock().unwrap();
        // A broker that is away must not be met by a heap of old statuses.
        let may_say_status = self.waiting.load(Relaxed) < 2 * nodes.len();
        for (&id, node) in nodes.iter_mut() {
            if let Some(mut update) = node.update.take_if(|update| update.at <= now) {
                if update.step == NEW_FROM {
                    (node.runs_new, node.started) = (true, now);
                    node.installed += 1;
                }
                let (state, progress) = STEPS[update.step];
                self.report(id, node, state, progress, update.rollout.clone(), None);
                update.step += 1;
                let (from, to) = self.world.step_ms;
                update.at = now + Duration::from_millis(random.between(from, to));
                node.update = Some(update).filter(|update| update.step < STEPS.len());
            }
            if node.next_status <= now {
                node.next_status += self.world.status;
                if may_say_status {
                    self.status(id, node, now);
                }
            }
        }
    }

    fn hear(&self, payload: &[u8]) {
        let Ok(Command::Trigger(trigger)) = parse_command(payload) else { return };
        let now = Instant::now();
        let mut nodes = self.nodes.lock().unwrap();
        for target in trigger.targets.entries() {
            let Target::Node(NodeId(id)) = target else { continue };
            let Some(node) = nodes.get_mut(id) else { continue };
            node.triggered += 1;
            let rollout = trigger.rollout.clone().unwrap_or_default();
            match &node.update {
                // It says again how far it is.
                Some(update) if update.rollout == rollout => {
                    let (state, progress) = STEPS[update.step.saturating_sub(1)];
                    self.report(*id, node, state, progress, rollout, None);
                }
                _ if node.runs_new => {
                    self.report(*id, node, UpdateState::Refused, 0, rollout, Some(ErrorCode::SameImage));
                }
                _ => node.update = Some(Update { rollout, step: 0, at: now }),
            }
        }
    }

    fn put(&self, topic: String, payload: String) {
        self.waiting.fetch_add(1, Relaxed);
        // The speaker lives as long as the mesh.
        let _ = self.say.send((topic, payload));
    }

    fn report(
        &self,
        id: u64,
        node: &Node,
        state: UpdateState,
        progress: u8,
        rollout: RolloutId,
        error: Option<ErrorCode>,
    ) {
        let mut report = Report::new(NodeId(id), NodeType::Switch, state);
        let world = &self.world;
        let (running, version) = match node.runs_new {
            true => (world.new, &world.new_version),
            false => (world.old, &world.old_version),
        };
        (report.running, report.target, report.progress) = (running, Some(world.new), progress);
        report.version = version.as_str().try_into().unwrap_or_default();
        (report.rollout, report.error) = (rollout, error);
        (report.layer, report.parent, report.attempt) = (node.layer, NodeId(node.parent), 1);
        let mut json = String::new();
        report.write_json(&mut json).expect("a String takes everything");
        self.put(format!("{}/switch/ota/{id}", self.name), json);
    }

    fn status(&self, id: u64, node: &Node, now: Instant) {
        use rootcast_wire::text::Hex;
        let world = &self.world;
        let (running, version) = match node.runs_new {
            true => (&world.new, &world.new_version),
            false => (&world.old, &world.old_version),
        };
        let (parent, layer, uptime) = (node.parent, node.layer, now.duration_since(node.started).as_secs());
        let root = u8::from(layer == 1);
        let json = format!(
            r#"{{"deviceId":{id},"type":"switch","isRoot":{root},"parentId":{parent},"meshLayer":{layer},"uptime":{uptime},"chip":5,"version":"{version}","running":"{}","rootcast":1}}"#,
            Hex(running)
        );
        self.put(format!("{}/switch/state/root", self.name), json);
    }
}
