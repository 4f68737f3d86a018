//! What is known of the nodes of a mesh while an update goes on.
//!
//! Time is a parameter: the time since watching began.

use crate::output::harmless;
use rootcast_wire::status::{Dialect, StatusMessage, parse_status};
use rootcast_wire::topic::TopicKind;
use rootcast_wire::trigger::Targets;
use rootcast_wire::{ErrorCode, NodeId, NodeType, Report, Topics, UpdateState};
use std::collections::BTreeMap;
use std::time::Duration;

/// Nodes that do not report within this time after the trigger are not there: every node says something of itself
/// every 15 seconds (`NodeStatus`), so by then all of them are known.
const CENSUS: Duration = Duration::from_secs(17);
/// Over how long a rate is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(3);

/// All nodes heard of.
#[derive(Debug)]
pub struct Fleet {
    topics: Topics,
    targets: Targets,
    /// Reports of other rollouts are not ours.
    rollout: Option<String>,
    nodes: BTreeMap<NodeId, Node>,
    /// Nodes in the mesh, by the root's own count.
    mesh_size: Option<usize>,
    root_connected: Option<bool>,
}

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    node_type: Option<NodeType>,
    type_name: String,
    pub is_root: bool,
    pub layer: Option<u8>,
    pub parent: Option<NodeId>,
    /// Where it speaks Rootcast's dialect. Others never report.
    pub reports: bool,
    /// The state last reported.
    pub state: Option<UpdateState>,
    /// Share of the step, 0 to 100.
    pub progress: u8,
    /// Bytes fetched for this update.
    pub bytes: u32,
    pub error: Option<ErrorCode>,
    pub detail: String,
    pub attempt: u8,
    /// The version that ran when it was first heard of.
    pub from: Option<String>,
    /// The version that it is to run, or now runs.
    pub to: Option<String>,
    /// The hash of the image that runs.
    pub running: Option<[u8; 32]>,
    /// The hash of the image to be installed.
    pub target: Option<[u8; 32]>,
    /// When the first report came.
    pub began: Option<Duration>,
    /// When the final report came.
    pub ended: Option<Duration>,
    led: Option<Led>,
    /// Times and bytes of the last seconds.
    meter: Vec<(Duration, u32)>,
}

/// What a node's LED shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led {
    /// No mesh.
    Red,
    /// The mesh is started but not joined.
    Yellow,
    /// In the mesh.
    Green,
    /// An update is going on.
    Blue,
}

/// How an update on a node went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs the new image and keeps it.
    Updated,
    /// It ran that image before.
    AlreadyThere,
    /// It runs the old image: refused, failed or rolled back.
    NotUpdated,
    /// It has not come to an end.
    Unfinished,
    /// It was heard of, but never reported.
    Silent,
}

/// What a message changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node took a step.
    Step(NodeId),
    /// A node got further in its step.
    Progress(NodeId),
    /// Something else is known now.
    Known,
    /// Nothing.
    Nothing,
}

impl Fleet {
    /// A fleet of which nothing is known. `targets` are the nodes that are meant; with a `rollout`, reports of others
    /// are passed over.
    pub fn new(topics: Topics, targets: Targets, rollout: Option<String>) -> Self {
        Self { topics, targets, rollout, nodes: BTreeMap::new(), mesh_size: None, root_connected: None }
    }

    /// Takes an MQTT message.
    pub fn hear(&mut self, topic: &str, payload: &[u8], now: Duration) -> Change {
        match self.topics.classify(topic) {
            Some(TopicKind::Report(_)) => match Report::parse_json(payload) {
                Ok(report) => self.hear_report(&report, now),
                Err(_) => Change::Nothing,
            },
            Some(TopicKind::RootState) => match parse_status(payload) {
                Ok(message) => self.hear_status(&message),
                Err(_) => Change::Nothing,
            },
            _ => Change::Nothing,
        }
    }

    fn hear_report(&mut self, report: &Report, now: Duration) -> Change {
        if self.rollout.as_deref().is_some_and(|rollout| rollout != report.rollout) {
            return Change::Nothing;
        }
        let node = self.nodes.entry(report.device).or_insert_with(|| Node::new(report.device));
        node.hear_report(report, now)
    }

    fn hear_status(&mut self, message: &StatusMessage) -> Change {
        let status = match message {
            StatusMessage::Presence(presence) => {
                self.root_connected = Some(presence.is_connected);
                return Change::Known;
            }
            StatusMessage::Status(status) => status,
        };
        // The first dialect does not tell its station MAC; such a node counts by the number it gives.
        let id = status.station().unwrap_or(status.device);
        if status.is_root {
            self.root_connected = Some(true);
            self.mesh_size = status.peer_count.map(|peers| usize::from(peers) + 1).or(self.mesh_size);
        }
        let node = self.nodes.entry(id).or_insert_with(|| Node::new(id));
        node.is_root |= status.is_root;
        node.reports |= status.dialect == Dialect::Rootcast;
        if let Some(node_type) = &status.node_type {
            node.set_type(node_type);
        }
        node.layer = status.layer.or(node.layer);
        let parent = status.parent.and_then(|parent| status.dialect.station(parent));
        node.parent = parent.or(node.parent);
        if node.from.is_none() && node.state.is_none() {
            node.from = status.version.as_deref().map(harmless);
        }
        node.running = status.running.or(node.running);
        Change::Known
    }

    /// Says what a node's LED shows, where that is known better than from reports.
    pub fn set_led(&mut self, id: NodeId, led: Led) {
        self.nodes.entry(id).or_insert_with(|| Node::new(id)).led = Some(led);
    }

    /// The nodes that are meant, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| self.is_meant(node))
    }

    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    fn is_meant(&self, node: &Node) -> bool {
        // A node that reports is meant, whatever is known of it.
        node.state.is_some()
            || self.targets.include(
                node.id,
                node.node_type.as_ref().unwrap_or(&NodeType::Switch),
                node.is_root,
            )
    }

    /// Whether the root is connected to the broker; `None` if nobody said so.
    pub fn root_connected(&self) -> Option<bool> {
        self.root_connected
    }

    /// Whether any node has reported.
    pub fn has_answered(&self) -> bool {
        self.nodes.values().any(|node| node.state.is_some())
    }

    /// Whether every node that is meant and can report has come to its end, and no more nodes are to be expected.
    pub fn is_done(&self, now: Duration) -> bool {
        let mut expected = self.nodes().filter(|node| node.reports).peekable();
        let all_known = self.mesh_size.is_some_and(|size| self.nodes.len() >= size);
        expected.peek().is_some() && expected.all(Node::is_final) && (all_known || now >= CENSUS)
    }
}

impl Node {
    fn new(id: NodeId) -> Self {
        Self {
            id,
            node_type: None,
            type_name: "node".to_string(),
            is_root: false,
            layer: None,
            parent: None,
            reports: false,
            state: None,
            progress: 0,
            bytes: 0,
            error: None,
            detail: String::new(),
            attempt: 0,
            from: None,
            to: None,
            running: None,
            target: None,
            began: None,
            ended: None,
            led: None,
            meter: Vec::new(),
        }
    }

    fn set_type(&mut self, node_type: &NodeType) {
        self.type_name = harmless(node_type.name());
        self.node_type = Some(node_type.clone());
    }

    fn hear_report(&mut self, report: &Report, now: Duration) -> Change {
        let step =
            self.state != Some(report.state) || self.error != report.error || self.attempt != report.attempt;
        let known = |version: Option<&str>| version.filter(|version| !version.is_empty()).map(harmless);
        let running = known(Some(&report.version));
        if self.from.is_none() {
            self.from = known(report.from_version.as_deref()).or_else(|| running.clone());
        }
        self.reports = true;
        self.set_type(&report.node_type);
        self.layer = Some(report.layer).filter(|layer| *layer > 0).or(self.layer);
        self.parent = report.parent.known().or(self.parent);
        self.is_root |= report.parent == report.device;
        self.state = Some(report.state);
        self.progress = report.progress;
        self.error = report.error;
        self.detail = harmless(&report.detail).replace('\n', " ");
        self.attempt = report.attempt;
        self.running = Some(report.running);
        self.target = report.target.or(self.target);
        self.to = match report.state {
            UpdateState::Confirmed => running.or(self.to.take()),
            _ => known(report.to_version.as_deref()).or(self.to.take()),
        };
        self.bytes = if report.bytes > 0 { report.bytes } else { self.bytes };
        self.meter.retain(|(time, bytes)| now.saturating_sub(*time) <= RATE_WINDOW && *bytes <= self.bytes);
        self.meter.push((now, self.bytes));
        self.began.get_or_insert(now);
        self.ended = report.state.is_final().then(|| self.ended.unwrap_or(now));
        if step { Change::Step(self.id) } else { Change::Progress(self.id) }
    }

    /// Whether no further step follows.
    pub fn is_final(&self) -> bool {
        self.state.is_some_and(UpdateState::is_final)
    }

    /// How it went. Success needs evidence: the image that runs is the one that was to be installed.
    pub fn outcome(&self) -> Outcome {
        let runs_target = self.target.is_none() || self.running == self.target;
        match (self.state, self.error) {
            (None, _) => Outcome::Silent,
            (Some(UpdateState::Confirmed), _) if runs_target => Outcome::Updated,
            (Some(_), Some(ErrorCode::SameImage)) if self.is_final() => Outcome::AlreadyThere,
            (Some(state), _) if state.is_final() => Outcome::NotUpdated,
            _ => Outcome::Unfinished,
        }
    }

    /// What its LED shows: as told, or as follows from what it does.
    pub fn led(&self) -> Led {
        use UpdateState as S;
        self.led.unwrap_or(match self.state {
            Some(S::Downloading | S::Verifying | S::Installed) => Led::Blue,
            Some(S::Restarting) => Led::Red,
            _ => Led::Green,
        })
    }

    /// Bytes a second over the last seconds; `None` where nothing is being fetched.
    pub fn rate(&self) -> Option<u64> {
        let ((first, before), (last, after)) = (self.meter.first()?, self.meter.last()?);
        let seconds = last.saturating_sub(*first).as_secs_f64();
        let bytes = after.checked_sub(*before)?;
        (self.state == Some(UpdateState::Downloading) && seconds > 0.0)
            .then(|| (f64::from(bytes) / seconds) as u64)
    }

    /// How long it took, or has taken so far.
    pub fn time(&self, now: Duration) -> Option<Duration> {
        Some(self.ended.unwrap_or(now).saturating_sub(self.began?))
    }

    /// What it is: `switch`, `relay8`…
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// Its MAC address.
    pub fn mac(&self) -> String {
        self.id.mac().map(|byte| format!("{byte:02x}")).join(":")
    }

    /// The last three bytes of its MAC address: enough to tell the nodes of one house apart.
    pub fn short_mac(&self) -> String {
        let [_, _, _, bytes @ ..] = self.id.mac();
        bytes.map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// What a state is called.
pub fn state_name(state: Option<UpdateState>) -> &'static str {
    match state {
        None => "no report",
        Some(UpdateState::RolledBack) => "rolled back",
        Some(state) => state.name(),
    }
}
