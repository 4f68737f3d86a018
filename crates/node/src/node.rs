//! A node: what it hears, what it does about it, what it says.

use crate::fetch::StreamAction;
use crate::install::{BootRecord, ImageFacts, Journal, Layout, LayoutError, Region};
use crate::platform::{Platform, ResetReason};
use crate::root::{Root, RootWish};
use crate::settings::Settings;
use crate::step::{Step, Steps};
use crate::time::{Instant, earliest};
use crate::trial::{self, Situation};
use crate::update::{Context, Updater};
use heapless::Deque;
use rootcast_image::SlotId;
use rootcast_wire::cast::{Accepted, CastId, CastReassembly, encode_trigger, fragment};
use rootcast_wire::frame::Hello;
use rootcast_wire::report::{Detail, MAX_REPORT_JSON_BYTES};
use rootcast_wire::status::{Dialect, Presence};
use rootcast_wire::topic::Topic;
use rootcast_wire::trigger::{RolloutId, Version};
use rootcast_wire::{
    Body, Command, ErrorCode, Frame, MAX_FRAME_BYTES, NodeId, NodeStatus, Parsed, Report, SliceWriter,
    Trigger, UpdateState, parse_command,
};

/// What the body tells the node.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A mesh frame has arrived.
    Frame(&'a [u8]),
    /// The node's place in the mesh.
    Mesh(MeshState),
    /// The root's connection to the broker stands; subscriptions have to be made anew.
    MqttConnected,
    /// The root's connection to the broker is gone.
    MqttDisconnected,
    /// A message on a subscribed topic.
    MqttMessage {
        /// Its topic.
        topic: &'a str,
        /// Its payload.
        payload: &'a [u8],
    },
    /// The connection asked for by [`Output::Connect`] stands, its certificate verified.
    StreamConnected,
    /// Bytes have come over the connection.
    StreamData(&'a [u8]),
    /// The other side has closed the connection.
    StreamClosed,
    /// The connection could not be made or kept, for this reason.
    StreamFailed(ErrorCode),
    /// The application's own judgement of itself, for the trial.
    ApplicationHealth(bool),
    /// The time of day, in seconds since 1970, from a source that the body trusts.
    WallClock {
        /// Seconds since 1970, UTC.
        unix_s: u64,
    },
}

/// A node's place in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MeshState {
    /// The radio is up.
    pub started: bool,
    /// The node has its place in the mesh; for a root: the network.
    pub joined: bool,
    /// Distance from the router, 1 for the root.
    pub layer: u8,
    /// The parent; the root's is itself.
    pub parent: NodeId,
    /// Signal of the link to the parent in dBm.
    pub signal_dbm: i8,
}

/// What the node wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// Show this colour.
    Led(Colour),
    /// Send a frame.
    SendFrame {
        /// To whom.
        to: Destination,
        /// The frame.
        bytes: &'a [u8],
    },
    /// Subscribe, QoS 1.
    Subscribe {
        /// The topic.
        topic: &'a str,
    },
    /// Publish.
    Publish {
        /// The topic.
        topic: &'a str,
        /// The payload, JSON.
        payload: &'a [u8],
        /// Quality of service, 0 or 1.
        qos: u8,
        /// Whether the broker keeps it.
        retain: bool,
    },
    /// Open a connection; one that is open is closed first.
    Connect {
        /// Host name or address.
        host: &'a str,
        /// TCP port.
        port: u16,
        /// Whether to speak TLS and verify chain, host and validity.
        tls: bool,
    },
    /// Send bytes over the connection.
    Send(&'a [u8]),
    /// Close the connection.
    Close,
    /// Restart the chip. Nothing is wanted after it.
    Restart,
}

/// Whom a frame is for. Bringing it there, over as many hops as it takes, is the body's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The root.
    Root,
    /// Every node of the mesh.
    Everybody,
    /// One node.
    Node(NodeId),
}

/// What a node's LED says. The meanings are the original firmware's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// No mesh.
    Red,
    /// The mesh is started but not joined.
    Yellow,
    /// In the mesh.
    Green,
    /// An update is going on.
    Blue,
}

/// What a body knows when it starts the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BootInfo {
    /// A flash address that the running code executes from.
    pub code_address: u32,
    /// Why the chip started.
    pub reset: ResetReason,
}

/// How far a node is, for a display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The state last reported, `None` before any update.
    pub state: Option<UpdateState>,
    /// The code last reported.
    pub error: Option<ErrorCode>,
    /// Share of the file on flash, 0 to 100.
    pub percent: u8,
    /// Bytes of the file on flash.
    pub bytes: u32,
    /// Size of the file, once known.
    pub size: Option<u32>,
    /// How manieth download this is.
    pub attempt: u8,
    /// The running image.
    pub running: Option<&'a ImageFacts>,
}

struct Trial {
    earliest: Instant,
    deadline: Instant,
    /// The application says no.
    unhealthy: bool,
}

/// A report on its way to the root.
struct InFlight {
    sequence: u32,
    repeat_at: Instant,
    tries: u8,
}

/// The one type of this crate: a node, root or leaf. See the crate's documentation for how to drive it.
pub struct Node {
    settings: Settings,
    running: Option<ImageFacts>,
    updater: Updater,
    steps: Steps,
    booted: Instant,
    trial: Option<Trial>,
    mesh: MeshState,
    mqtt_connected: bool,
    subscribe: bool,
    greet: bool,
    root_heard: bool,
    application_healthy: bool,
    unix_s: Option<(u64, Instant)>,
    shown: Option<Colour>,
    restart: bool,
    last: (Option<UpdateState>, Option<ErrorCode>),
    /// The rollout that the running image came with.
    rollout: RolloutId,
    cast: CastReassembly,
    /// The newest cast that this node has acted on, in this life or the one before the restart.
    done_cast: CastId,
    heard_cast: CastId,
    root: Root,
    acks: Deque<(NodeId, u32), 4>,
    forward: Option<Report>,
    forward_status: Option<NodeStatus>,
    sequence: u32,
    in_flight: Option<InFlight>,
    hello_at: Instant,
    status_at: Instant,
    request_at: Instant,
    requests: u8,
    waiting_since: Instant,
    frame: [u8; MAX_FRAME_BYTES],
    payload: [u8; MAX_REPORT_JSON_BYTES],
    topic: Topic,
}

/// First and longest pause between repetitions of an unacknowledged frame, in milliseconds.
const REPEAT_MS: (u64, u64) = (400, 10_000);

impl Node {
    /// Starts the core after a reset. To be called as early as possible: it counts the starts of an image on trial.
    ///
    /// # Errors
    /// [`LayoutError`] when this flash cannot be updated at all; the application can run without the core then.
    pub fn boot<P: Platform>(
        settings: Settings,
        boot: BootInfo,
        now: Instant,
        platform: &mut P,
    ) -> Result<Self, LayoutError> {
        let layout = Layout::read(platform.flash(), boot.code_address)?;
        let running = ImageFacts::read(platform.flash(), &layout.running_region)?;
        let situation = trial::judge(platform.flash(), &layout, running.as_ref(), boot.reset)?;
        let updater = Updater::new(layout, platform);
        let mut node = Self {
            running,
            updater,
            steps: Steps::default(),
            booted: now,
            trial: None,
            mesh: MeshState::default(),
            mqtt_connected: false,
            subscribe: false,
            greet: false,
            root_heard: false,
            application_healthy: !settings.needs_application_health,
            unix_s: None,
            shown: None,
            restart: false,
            last: (None, None),
            rollout: RolloutId::new(),
            cast: CastReassembly::new(),
            done_cast: CastId::NONE,
            heard_cast: CastId::NONE,
            root: Root::new(),
            acks: Deque::new(),
            forward: None,
            forward_status: None,
            sequence: platform.random() & 0x3FFF_FFFF,
            in_flight: None,
            hello_at: now,
            status_at: now,
            request_at: now,
            requests: 0,
            waiting_since: now,
            frame: [0; MAX_FRAME_BYTES],
            payload: [0; MAX_REPORT_JSON_BYTES],
            topic: Topic::new(),
            settings,
        };
        node.take_stock(layout, situation, now, platform);
        Ok(node)
    }

    fn take_stock<P: Platform>(
        &mut self,
        layout: Layout,
        situation: Situation,
        now: Instant,
        platform: &mut P,
    ) {
        let came_by_update = self.recall_update(layout.running_region, platform);
        match situation {
            Situation::OnTrial { .. } => {
                self.trial = Some(Trial {
                    earliest: now.after(self.settings.trial_minimum_ms.into()),
                    deadline: now.after(self.settings.trial_deadline_ms.into()),
                    unhealthy: false,
                });
                self.push_outcome(UpdateState::Trial, None);
            }
            Situation::GiveUp { back_to, reason } => self.give_up(back_to, reason, platform),
            Situation::CameBack { reason } => {
                self.recall_cast(layout, platform);
                self.with_updater(now, platform, |updater, context| updater.note_rollback(reason, context));
            }
            Situation::Interrupted => self.resume(layout, true, now, platform),
            Situation::Settled => {
                if came_by_update {
                    self.push_outcome(UpdateState::Confirmed, None);
                }
                self.recall_cast(layout, platform);
                self.resume(layout, false, now, platform);
            }
        }
    }

    /// Whether the running image was brought by an update of ours, whose rollout and cast are then recalled.
    fn recall_update<P: Platform>(&mut self, running: Region, platform: &mut P) -> bool {
        let journal = Journal::of(running);
        let flash = platform.flash();
        let installed = journal.installed(flash).ok().flatten();
        let ours = installed
            .is_some_and(|image| self.running.as_ref().is_some_and(|running| running.hash == image.hash));
        if ours && let Some((head, trigger)) = self.updater.read_journal(journal, flash) {
            self.done_cast = CastId(head.cast_id);
            self.heard_cast = self.done_cast;
            self.rollout = trigger.and_then(|trigger| trigger.rollout).unwrap_or_default();
        }
        ours
    }

    /// The cast of an update that ended in the other slot has been acted on, too.
    fn recall_cast<P: Platform>(&mut self, layout: Layout, platform: &mut P) {
        let Some((_, staging)) = layout.staging else { return };
        if let Some((head, _)) = self.updater.read_journal(Journal::of(staging), platform.flash())
            && CastId(head.cast_id).is_newer_than(self.done_cast)
        {
            self.done_cast = CastId(head.cast_id);
            self.heard_cast = self.done_cast;
        }
    }

    fn resume<P: Platform>(
        &mut self,
        layout: Layout,
        interrupted_switch: bool,
        now: Instant,
        platform: &mut P,
    ) {
        self.recall_cast(layout, platform);
        let resumed =
            self.with_updater(now, platform, |updater, context| updater.resume(interrupted_switch, context));
        self.waiting_since = now;
        if resumed && self.settings.is_root {
            self.cast_again(now);
        }
    }

    /// A root that restarts in the middle of its own update takes up the cast, too.
    fn cast_again(&mut self, now: Instant) {
        let (Some(trigger), Some(id)) = (self.updater.trigger(), self.updater.cast_id()) else { return };
        let Ok(length) = encode_trigger(trigger, &mut self.payload) else { return };
        let encoded = self.payload.get(..length).unwrap_or(&[]);
        let mut index = 0;
        while let Some(piece) = fragment(id, encoded, index) {
            let _ = self.cast.accept(&piece);
            index += 1;
        }
        let parallel = trigger.max_parallel.unwrap_or(self.settings.max_parallel);
        self.root.cast(id, parallel, trigger.not_before, now);
    }

    fn with_updater<P: Platform, R>(
        &mut self,
        now: Instant,
        platform: &mut P,
        work: impl FnOnce(&mut Updater, &mut Context<'_, P>) -> R,
    ) -> R {
        let mut context = Context {
            now,
            platform,
            settings: &self.settings,
            running: self.running.as_ref(),
            steps: &mut self.steps,
        };
        work(&mut self.updater, &mut context)
    }

    fn push_outcome(&mut self, state: UpdateState, error: Option<ErrorCode>) {
        self.steps.push(Step {
            state,
            error,
            detail: Detail::new(),
            progress: 100,
            target: self.running.as_ref().map(|running| running.hash),
            bytes: self.running.as_ref().map_or(0, |running| running.image_len),
            attempt: 1,
            rollout: self.rollout.clone(),
        });
    }

    // ----- what a display wants to know ----------------------------------------------------------

    /// How far the node is.
    #[must_use]
    pub fn progress(&self) -> Progress<'_> {
        Progress {
            state: self.last.0,
            error: self.last.1,
            percent: self.updater.percent(),
            bytes: self.updater.bytes(),
            size: self.updater.size(),
            attempt: self.updater.attempt(),
            running: self.running.as_ref(),
        }
    }

    /// The flash layout that the node works on.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        self.updater.layout()
    }

    /// The settings it was started with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The colour that the LED shows.
    #[must_use]
    pub fn colour(&self) -> Colour {
        if self.updater.is_busy() {
            Colour::Blue
        } else if !self.mesh.started {
            Colour::Red
        } else if !self.mesh.joined {
            Colour::Yellow
        } else {
            Colour::Green
        }
    }

    /// Whether the running image has still to prove itself.
    #[must_use]
    pub const fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    pub(crate) const fn mesh(&self) -> &MeshState {
        &self.mesh
    }

    pub(crate) const fn booted(&self) -> Instant {
        self.booted
    }

    pub(crate) fn peer_count(&self) -> u16 {
        self.root.peer_count()
    }

    /// The state of the update at hand, `None` when there is none.
    pub(crate) fn update_state(&self) -> Option<UpdateState> {
        if self.updater.is_busy() || self.trial.is_some() { self.last.0 } else { None }
    }

    fn unix_now(&self, now: Instant) -> Option<u64> {
        self.unix_s.map(|(unix_s, at)| unix_s + now.since(at) / 1000)
    }

    // ----- hearing -------------------------------------------------------------------------------

    /// Something has happened.
    pub fn handle<P: Platform>(&mut self, now: Instant, input: Input<'_>, platform: &mut P) {
        match input {
            Input::Frame(bytes) => {
                if let Ok(frame) = Frame::parse(bytes) {
                    self.on_frame(now, frame, platform);
                }
            }
            Input::Mesh(mesh) => {
                if mesh.joined && (!self.mesh.joined || mesh.parent != self.mesh.parent) {
                    self.hello_at = now;
                    self.status_at = now;
                }
                self.mesh = mesh;
            }
            Input::MqttConnected => {
                self.mqtt_connected = true;
                self.subscribe = true;
                self.greet = true;
                self.status_at = now;
            }
            Input::MqttDisconnected => self.mqtt_connected = false,
            Input::MqttMessage { topic, payload } => {
                if self.settings.is_root && topic == self.settings.topics.root_command().as_str() {
                    self.on_command(now, payload, platform);
                }
            }
            Input::StreamConnected => self.updater.connected(now),
            Input::StreamData(bytes) => {
                self.with_updater(now, platform, |updater, context| updater.received(bytes, context))
            }
            Input::StreamClosed => {
                self.with_updater(now, platform, |updater, context| updater.closed(context))
            }
            Input::StreamFailed(code) => {
                self.with_updater(now, platform, |updater, context| updater.stream_failed(code, context));
            }
            Input::ApplicationHealth(healthy) => {
                self.application_healthy = healthy;
                if let Some(trial) = &mut self.trial {
                    trial.unhealthy = !healthy;
                }
            }
            Input::WallClock { unix_s } => self.unix_s = Some((unix_s, now)),
        }
        self.look_after_trial(now, platform);
    }

    fn on_frame<P: Platform>(&mut self, now: Instant, frame: Frame<'_>, platform: &mut P) {
        if frame.source == self.settings.id {
            return;
        }
        match frame.body {
            Body::CastFragment(piece) if !self.settings.is_root => {
                self.root_heard = true;
                if let Accepted::Complete(id) = self.cast.accept(&piece) {
                    self.heard_cast = id;
                    self.take_cast(now, id, platform);
                }
            }
            Body::ReportAck { node, sequence } if node == self.settings.id => {
                self.root_heard = true;
                self.on_ack(sequence, platform);
            }
            Body::StartGrant { node, cast_id } if node == self.settings.id => {
                self.root_heard = true;
                if self.updater.cast_id() == Some(cast_id) {
                    self.with_updater(now, platform, |updater, context| updater.grant(context));
                }
            }
            body if self.settings.is_root => self.on_frame_for_root(now, frame.source, frame.sequence, body),
            _ => {}
        }
    }

    fn on_frame_for_root(&mut self, now: Instant, source: NodeId, sequence: u32, body: Body<'_>) {
        match body {
            Body::Hello(hello) => {
                if hello.cast_id.is_newer_than(self.heard_cast) {
                    self.heard_cast = hello.cast_id;
                }
                self.root.heard_hello(source, hello.cast_id, now);
            }
            Body::StartRequest { cast_id } => self.root.asked_to_start(source, cast_id, now),
            // Without a broker the report stays with its node, which keeps repeating it.
            Body::Report(report) if self.mqtt_connected && self.forward.is_none() => {
                if self.root.heard_report(source, sequence, report.state, now) {
                    self.forward = Some(report);
                }
                let _ = self.acks.push_back((source, sequence));
            }
            Body::Status(status) => self.forward_status = Some(status),
            _ => {}
        }
    }

    fn on_ack<P: Platform>(&mut self, sequence: u32, platform: &mut P) {
        if self.in_flight.as_ref().is_some_and(|in_flight| in_flight.sequence == sequence) {
            self.in_flight = None;
            self.step_is_out(platform);
        }
    }

    /// The oldest step has reached the operator's side.
    fn step_is_out<P: Platform>(&mut self, platform: &mut P) {
        if let Some(step) = self.steps.pop()
            && step.state == UpdateState::RolledBack
        {
            self.updater.close_reported(platform);
        }
    }

    fn on_command<P: Platform>(&mut self, now: Instant, payload: &[u8], platform: &mut P) {
        let id = match parse_command(payload) {
            Ok(Command::Trigger(trigger)) => {
                let id = self.cast.originate_trigger(&trigger, self.heard_cast);
                if let Ok(id) = id {
                    let parallel = trigger.max_parallel.unwrap_or(self.settings.max_parallel);
                    self.root.cast(id, parallel, trigger.not_before, now);
                }
                id
            }
            Ok(Command::Abort(abort)) => {
                let id = self.cast.originate_abort(&abort, self.heard_cast);
                if let Ok(id) = id {
                    self.root.cast(id, self.settings.max_parallel, None, now);
                }
                id
            }
            Ok(Command::Ignored) => return,
            Err(error) => {
                self.refuse_command(error.code(), &error);
                return;
            }
        };
        if let Ok(id) = id {
            self.heard_cast = id;
            self.take_cast(now, id, platform);
        }
    }

    /// A trigger that cannot be understood changes nothing but is answered.
    fn refuse_command(&mut self, code: ErrorCode, error: &dyn core::fmt::Display) {
        let detail = rootcast_wire::text::cut_format(format_args!("{error}"));
        self.steps.push(Step {
            state: UpdateState::Refused,
            error: Some(code),
            detail,
            progress: 0,
            target: None,
            bytes: 0,
            attempt: 0,
            rollout: RolloutId::new(),
        });
    }

    /// Acts on a complete cast, once.
    fn take_cast<P: Platform>(&mut self, now: Instant, id: CastId, platform: &mut P) {
        self.hello_at = now;
        if !id.is_newer_than(self.done_cast) {
            return;
        }
        let mut trigger = Trigger::new();
        let Some(Ok(parsed)) =
            self.cast.encoded().map(|encoded| rootcast_wire::cast::decode(encoded, &mut trigger))
        else {
            self.cast.collect_again();
            return;
        };
        self.done_cast = id;
        match parsed {
            Parsed::Trigger => {
                if !trigger.targets.include(self.settings.id, &self.settings.node_type, self.settings.is_root)
                {
                    return;
                }
                if self.trial.is_some() {
                    self.refuse_command(ErrorCode::Busy, &"the running image is still on trial");
                    return;
                }
                self.waiting_since = now;
                self.request_at = now;
                self.requests = 0;
                self.with_updater(now, platform, |updater, context| updater.begin(&trigger, id, context));
            }
            Parsed::Abort(abort) => {
                let rollout = self.updater.trigger().map(|trigger| trigger.rollout.clone());
                if rollout.is_some_and(|rollout| abort.means(rollout.as_deref())) {
                    self.with_updater(now, platform, |updater, context| updater.abort(context));
                }
            }
            Parsed::Ignored => {}
        }
    }

    // ----- trial ---------------------------------------------------------------------------------

    fn look_after_trial<P: Platform>(&mut self, now: Instant, platform: &mut P) {
        let Some(trial) = &self.trial else { return };
        let reached = if self.settings.is_root { self.mqtt_connected } else { self.root_heard };
        let healthy = self.mesh.joined && reached && self.application_healthy && !trial.unhealthy;
        if healthy && now >= trial.earliest {
            let layout = *self.updater.layout();
            if BootRecord::of(&layout).confirm(platform.flash()).is_ok() {
                self.trial = None;
                self.push_outcome(UpdateState::Confirmed, None);
            }
        } else if trial.unhealthy || now >= trial.deadline {
            let reason = if trial.unhealthy { ErrorCode::TrialUnhealthy } else { ErrorCode::TrialTimeout };
            let layout = *self.updater.layout();
            match trial::way_back(platform.flash(), &layout) {
                Ok(Some(back_to)) => self.give_up(back_to, reason, platform),
                // Nothing sound to return to: an image that runs is better than none. Asked again later.
                _ => {
                    let again = now.after(self.settings.trial_deadline_ms.into());
                    self.trial = Some(Trial { earliest: now, deadline: again, unhealthy: false });
                }
            }
        }
    }

    fn give_up<P: Platform>(&mut self, back_to: SlotId, reason: ErrorCode, platform: &mut P) {
        let layout = *self.updater.layout();
        if BootRecord::of(&layout).reject(platform.flash(), back_to, reason).is_ok() {
            self.restart = true;
        }
    }

    // ----- time ----------------------------------------------------------------------------------

    /// When [`Node::handle_timeout`] wants to be called, at the latest.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let trial = self
            .trial
            .as_ref()
            .map(|trial| if now < trial.earliest { trial.earliest } else { trial.deadline });
        let mut deadline = earliest(self.updater.deadline(now), trial);
        if self.settings.is_root {
            deadline = earliest(deadline, self.root.deadline(now, &self.settings));
            if self.updater.is_installed() {
                deadline = earliest(deadline, Some(now.after(250)));
            }
        } else {
            deadline = earliest(deadline, self.in_flight.as_ref().map(|in_flight| in_flight.repeat_at));
            deadline = earliest(deadline, self.mesh.joined.then_some(self.hello_at));
            if self.updater.is_waiting() {
                let patience = self.waiting_since.after(self.settings.grant_patience_ms.into());
                deadline = earliest(deadline, Some(self.request_at.min(patience)));
            }
        }
        earliest(deadline, self.mesh.joined.then_some(self.status_at))
    }

    /// Time has passed: does what is due, at most a page's worth of work at a time.
    pub fn handle_timeout<P: Platform>(&mut self, now: Instant, platform: &mut P) {
        self.with_updater(now, platform, |updater, context| updater.on_timeout(context));
        self.look_after_trial(now, platform);
        if self.updater.is_waiting() {
            let patience = self.waiting_since.after(self.settings.grant_patience_ms.into());
            let root_goes = self.settings.is_root && !self.root.is_held(self.unix_now(now));
            if root_goes || (!self.settings.is_root && now >= patience) {
                self.with_updater(now, platform, |updater, context| updater.grant(context));
            }
        }
        if self.updater.is_installed()
            && (!self.settings.is_root || self.root.may_restart(now, &self.settings))
        {
            self.with_updater(now, platform, |updater, context| updater.switch(context));
        }
    }

    // ----- saying --------------------------------------------------------------------------------

    /// The next thing that the node wants done. To be called until it says `None`, after every input and timeout.
    pub fn poll<P: Platform>(&mut self, now: Instant, platform: &mut P) -> Option<Output<'_>> {
        if self.restart {
            self.restart = false;
            return Some(Output::Restart);
        }
        let colour = self.colour();
        if self.shown != Some(colour) {
            self.shown = Some(colour);
            return Some(Output::Led(colour));
        }
        if let Some(action) = self.updater.poll_stream(now) {
            return Some(match action {
                StreamAction::Connect => match self.updater.url() {
                    Some(url) => Output::Connect { host: url.host(), port: url.port(), tls: url.is_https() },
                    None => Output::Close,
                },
                StreamAction::Send(length) => Output::Send(self.updater.outgoing(length)),
                StreamAction::Close => Output::Close,
            });
        }
        if self.settings.is_root && self.updater.is_waiting() && !self.root.is_held(self.unix_now(now)) {
            self.with_updater(now, platform, |updater, context| updater.grant(context));
        }
        let reports_out = self.steps.is_empty();
        if self.updater.take_restart(now, reports_out) {
            return Some(Output::Restart);
        }
        if self.settings.is_root { self.poll_root(now, platform) } else { self.poll_leaf(now, platform) }
    }

    fn poll_root<P: Platform>(&mut self, now: Instant, platform: &mut P) -> Option<Output<'_>> {
        if self.mqtt_connected {
            if core::mem::take(&mut self.subscribe) {
                self.topic = self.settings.topics.root_command();
                return Some(Output::Subscribe { topic: &self.topic });
            }
            if core::mem::take(&mut self.greet) {
                return Some(self.publish_presence(now));
            }
            if let Some(report) = self.forward.take() {
                return Some(self.publish_report(&report));
            }
            if let Some(step) = self.steps.front().cloned() {
                let report = self.report_of(&step);
                self.last = (Some(step.state), step.error);
                self.step_is_out(platform);
                return Some(self.publish_report(&report));
            }
            if let Some(status) = self.forward_status.take() {
                return Some(self.publish_status(&status));
            }
            if self.mesh.joined && now >= self.status_at {
                self.status_at = now.after(self.settings.hello_ms.into());
                let status = self.own_status(now);
                return Some(self.publish_status(&status));
            }
        }
        if let Some((node, sequence)) = self.acks.pop_front() {
            return self.send(Destination::Node(node), Body::ReportAck { node, sequence });
        }
        let own_download =
            self.updater.is_busy() && !self.updater.is_waiting() && !self.updater.is_installed();
        let unix_s = self.unix_now(now);
        match self.root.wish(now, unix_s, self.cast.fragment_count(), own_download, &self.settings)? {
            RootWish::Grant(node) => {
                let cast_id = self.cast.id();
                self.send(Destination::Node(node), Body::StartGrant { node, cast_id })
            }
            RootWish::Fragment(index) => {
                let (source, sequence) = (self.settings.id, self.next_sequence());
                let piece = self.cast.fragment(index)?;
                let frame = Frame { source, sequence, body: Body::CastFragment(piece) };
                let length = frame.write(&mut self.frame).ok()?;
                Some(Output::SendFrame { to: Destination::Everybody, bytes: self.frame.get(..length)? })
            }
        }
    }

    fn poll_leaf<P: Platform>(&mut self, now: Instant, platform: &mut P) -> Option<Output<'_>> {
        if !self.mesh.joined {
            return None;
        }
        if let Some(bytes) = self.due_report(now, platform) {
            return Some(Output::SendFrame { to: Destination::Root, bytes: self.frame.get(..bytes)? });
        }
        if self.updater.is_waiting() && now >= self.request_at {
            let pause = (REPEAT_MS.0 << self.requests.min(6)).min(REPEAT_MS.1);
            self.requests = self.requests.saturating_add(1);
            self.request_at = now.after(pause + u64::from(platform.random()) % (pause / 2 + 1));
            let cast_id = self.updater.cast_id()?;
            return self.send(Destination::Root, Body::StartRequest { cast_id });
        }
        if now >= self.hello_at {
            self.hello_at = now.after(self.settings.hello_ms.into());
            let hello = self.hello();
            return self.send(Destination::Root, Body::Hello(hello));
        }
        if now >= self.status_at {
            self.status_at = now.after(self.settings.hello_ms.into());
            let status = self.own_status(now);
            return self.send(Destination::Root, Body::Status(status));
        }
        None
    }

    /// Writes the report that is due into the frame buffer and says how long it is.
    fn due_report<P: Platform>(&mut self, now: Instant, platform: &mut P) -> Option<usize> {
        let step = self.steps.front()?.clone();
        let (sequence, tries) = match &self.in_flight {
            None => (self.next_sequence(), 0),
            Some(in_flight) if now >= in_flight.repeat_at => (in_flight.sequence, in_flight.tries),
            Some(_) => return None,
        };
        let pause = (REPEAT_MS.0 << tries.min(6)).min(REPEAT_MS.1);
        let repeat_at = now.after(pause + u64::from(platform.random()) % (pause / 2 + 1));
        self.in_flight = Some(InFlight { sequence, repeat_at, tries: tries.saturating_add(1) });
        self.last = (Some(step.state), step.error);
        let report = self.report_of(&step);
        Frame { source: self.settings.id, sequence, body: Body::Report(report) }.write(&mut self.frame).ok()
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&mut self, to: Destination, body: Body<'_>) -> Option<Output<'_>> {
        let frame = Frame { source: self.settings.id, sequence: self.next_sequence(), body };
        let length = frame.write(&mut self.frame).ok()?;
        Some(Output::SendFrame { to, bytes: self.frame.get(..length)? })
    }

    fn publish_report(&mut self, report: &Report) -> Output<'_> {
        self.topic = self.settings.topics.report(report.device);
        let mut writer = SliceWriter::new(&mut self.payload);
        // MAX_REPORT_JSON_BYTES holds the longest report there is.
        let _ = report.write_json(&mut writer);
        let length = writer.used();
        Output::Publish {
            topic: &self.topic,
            payload: self.payload.get(..length).unwrap_or(&[]),
            qos: 1,
            retain: false,
        }
    }

    fn publish_status(&mut self, status: &NodeStatus) -> Output<'_> {
        self.topic = self.settings.topics.root_state();
        let mut writer = SliceWriter::new(&mut self.payload);
        let _ = status.write_json(&mut writer);
        let length = writer.used();
        Output::Publish {
            topic: &self.topic,
            payload: self.payload.get(..length).unwrap_or(&[]),
            qos: 0,
            retain: false,
        }
    }

    /// Retained, so that whoever comes later sees the root; the body leaves the matching last will with the broker.
    fn publish_presence(&mut self, now: Instant) -> Output<'_> {
        let status = self.own_status(now);
        let mut presence = Presence::new(self.settings.id, Dialect::Rootcast, true);
        presence.timestamp = self.unix_now(now);
        presence.firmware = status.firmware;
        presence.layer = status.layer;
        self.topic = self.settings.topics.root_state();
        let length = presence.to_json(&mut self.payload).unwrap_or(0);
        let payload = self.payload.get(..length).unwrap_or(&[]);
        Output::Publish { topic: &self.topic, payload, qos: 1, retain: true }
    }

    fn report_of(&self, step: &Step) -> Report {
        let mut report = Report::new(self.settings.id, self.settings.node_type.clone(), step.state);
        report.progress = step.progress;
        report.error = step.error;
        report.detail = step.detail.clone();
        report.target = step.target.map(|hash| hash.0);
        report.bytes = step.bytes;
        report.attempt = step.attempt;
        report.rollout = step.rollout.clone();
        report.layer = self.mesh.layer;
        report.parent = self.mesh.parent;
        report.unsigned_allowed = self.settings.allow_unsigned && self.settings.trusted_keys.is_empty();
        if let Some(running) = &self.running {
            report.running = running.hash.0;
            report.version = Version::try_from(running.version.as_str()).unwrap_or_default();
        }
        report
    }

    fn hello(&self) -> Hello {
        let mut running = [0; 8];
        if let Some(facts) = &self.running {
            running.copy_from_slice(&facts.hash.0[..8]);
        }
        Hello {
            node_type: self.settings.node_type.clone(),
            is_root: self.settings.is_root,
            can_spread: false,
            unsigned_allowed: self.settings.allow_unsigned,
            layer: self.mesh.layer,
            parent: self.mesh.parent,
            running,
            cast_id: self.heard_cast,
            state: self.update_state(),
            chip: self.settings.chip.0,
        }
    }
}
