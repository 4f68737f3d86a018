//! What is known of one node, from its reports and statuses.

use super::fleet::Change;
use crate::output::harmless;
use rootcast_wire::{ErrorCode, NodeId, NodeStatus, NodeType, Report, UpdateState, status::Dialect};
use std::time::Duration;

/// Over how long a rate is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(3);

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub(super) node_type: Option<NodeType>,
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
    /// Bytes that came for this update.
    pub bytes: u32,
    /// Those of them that it heard from its neighbours.
    pub shared_bytes: u32,
    pub error: Option<ErrorCode>,
    pub detail: String,
    pub attempt: u8,
    /// The version that ran when it was first heard of.
    pub from: Option<String>,
    /// The image that ran then.
    pub from_image: Option<[u8; 32]>,
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
    /// What its LED shows, where that is known.
    pub(super) led: Option<Led>,
    /// Bytes a second, where that can be seen.
    seen_rate: Option<u64>,
    /// Times and bytes of the last seconds.
    meter: Vec<(Duration, u32)>,
}

/// What is to be seen of a virtual node, beyond what it reports.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    pub id: NodeId,
    pub node_type: &'a NodeType,
    pub is_root: bool,
    /// 0 while it has no place in the mesh.
    pub layer: u8,
    pub parent: NodeId,
    pub led: Led,
    /// The version that runs; empty while nothing does.
    pub version: &'a str,
    /// Share of the file on flash, 0 to 100.
    pub percent: u8,
    /// Bytes of the file on flash.
    pub bytes: u32,
    /// Bytes a second that have come in lately.
    pub rate: u32,
}

/// What a node's LED shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led {
    /// Nothing: no power, or a reset.
    Off,
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

impl Node {
    /// A node of which nothing is known.
    pub(super) fn new(id: NodeId) -> Self {
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
            shared_bytes: 0,
            error: None,
            detail: String::new(),
            attempt: 0,
            from: None,
            from_image: None,
            to: None,
            running: None,
            target: None,
            began: None,
            ended: None,
            led: None,
            seen_rate: None,
            meter: Vec::new(),
        }
    }

    fn set_type(&mut self, node_type: &NodeType) {
        self.type_name = harmless(node_type.name());
        self.node_type = Some(node_type.clone());
    }

    /// Takes a status.
    pub(super) fn hear_status(&mut self, status: &NodeStatus, now: Duration) {
        self.is_root |= status.is_root;
        self.reports |= status.dialect == Dialect::Rootcast;
        if let Some(node_type) = &status.node_type {
            self.set_type(node_type);
        }
        self.layer = status.layer.or(self.layer);
        self.parent = status.parent.and_then(|parent| status.dialect.station(parent)).or(self.parent);
        if self.from.is_none() && self.state.is_none() {
            self.from = status.version.as_deref().map(harmless);
        }
        self.runs(status.running);
        // The report may have been lost with the broker: a node that runs what was to be installed, and is at no step
        // any more (a trial is one), has confirmed it.
        let arrived = status.running.is_some() && status.running == self.target && status.state.is_none();
        if arrived && self.state.is_some() && !self.is_final() {
            self.state = Some(UpdateState::Confirmed);
            self.error = None;
            self.to = status.version.as_deref().map(harmless).or(self.to.take());
            self.ended = Some(now);
        }
    }

    fn runs(&mut self, image: Option<[u8; 32]>) {
        self.running = image.or(self.running);
        self.from_image = self.from_image.or(self.running);
    }

    /// Takes what is to be seen. Between two reports of a download it says more than they do.
    pub(super) fn see(&mut self, sight: &Sight<'_>) {
        self.reports = true;
        self.is_root = sight.is_root;
        self.led = Some(sight.led);
        if self.node_type.as_ref() != Some(sight.node_type) {
            self.set_type(sight.node_type);
        }
        self.layer = Some(sight.layer).filter(|layer| *layer > 0).or(self.layer);
        self.parent = sight.parent.known().or(self.parent);
        if self.from.is_none() && self.state.is_none() && !sight.version.is_empty() {
            self.from = Some(harmless(sight.version));
        }
        self.seen_rate = None;
        if self.state == Some(UpdateState::Downloading) {
            self.progress = sight.percent;
            self.bytes = self.bytes.max(sight.bytes);
            self.seen_rate = Some(sight.rate.into());
        }
    }

    /// Takes a report.
    pub(super) fn hear_report(&mut self, report: &Report, now: Duration) -> Change {
        let step =
            self.state != Some(report.state) || self.error != report.error || self.attempt != report.attempt;
        let known = |version: Option<&str>| version.filter(|version| !version.is_empty()).map(harmless);
        let running = known(Some(&report.version));
        let runs_new = matches!(report.state, UpdateState::Trial | UpdateState::Confirmed);
        if self.from.is_none() {
            self.from =
                known(report.from_version.as_deref()).or_else(|| running.clone().filter(|_| !runs_new));
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
        self.runs(Some(report.running));
        self.target = report.target.or(self.target);
        self.to = match report.state {
            UpdateState::Confirmed => running.or(self.to.take()),
            _ => known(report.to_version.as_deref()).or(self.to.take()),
        };
        // After a restart a node knows how long its image is, not what it fetched of it.
        let forgotten = self.bytes > 0
            && matches!(report.state, UpdateState::Trial | UpdateState::Confirmed | UpdateState::RolledBack);
        if report.bytes > 0 && !forgotten {
            (self.bytes, self.shared_bytes) = (report.bytes, report.shared_bytes.min(report.bytes));
        }
        self.meter.retain(|(time, bytes)| now.saturating_sub(*time) <= RATE_WINDOW && *bytes <= self.bytes);
        self.meter.push((now, self.bytes));
        self.began.get_or_insert(now);
        self.ended = report.state.is_final().then(|| self.ended.unwrap_or(now));
        if step { Change::Step(self.id) } else { Change::Progress(self.id) }
    }

    /// Bytes that it fetched from the server itself.
    pub fn fetched_bytes(&self) -> u32 {
        self.bytes.saturating_sub(self.shared_bytes)
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
            (Some(_), Some(ErrorCode::SameImage | ErrorCode::ReleaseKeysOnly)) if self.is_final() => {
                Outcome::AlreadyThere
            }
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
        if self.seen_rate.is_some() {
            return self.seen_rate.filter(|rate| *rate > 0);
        }
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
