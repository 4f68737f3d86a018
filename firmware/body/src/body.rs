//! The loop: what happens on the board goes into the node core, and what the core wants is done.
//!
//! ```text
//!   radio ──▶ mesh ──┐                       ┌──▶ mesh ──▶ radio
//!   broker ─▶ mqtt ──┼──▶ Node ── poll() ────┼──▶ mqtt ──▶ broker
//!   server ─▶ stream ┘   (rootcast-node)     └──▶ stream ▶ server, LED, restart
//! ```

use crate::board::{ApplicationFrame, Board, Exchange};
use crate::mesh::{Heard, MAX_LINK_FRAME_BYTES, Mesh, MeshKey};
use crate::mqtt;
use crate::net::{Line, Net};
use crate::settings::{self, Provisioned};
use crate::sntp;
use crate::stream::{self, Event, Means, Port, Target};
use crate::tls::Roots;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::mem::MaybeUninit;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use rootcast_image::ChipId;
use rootcast_node::{
    BootInfo, Input, Instant, MeshState, Output, Platform, ResetReason, SettingKey, SettingLost,
};
use rootcast_wire::status::{Dialect, Presence};
use rootcast_wire::{ErrorCode, NodeId};

/// Nodes that a root keeps track of. A mesh may have more: see [`rootcast_node::Node`].
pub const MESH_NODES: usize = 128;

/// The node core as boards have it.
pub type Node = rootcast_node::Node<MESH_NODES>;

/// Heap below which an update is not begun, in bytes: a TLS connection and what the network needs besides.
pub const UPDATE_HEAP_BYTES: usize = 32 * 1024;
/// Longest sleep of the loop, in milliseconds.
const NAP_MS: u64 = 10;
/// Pauses before the broker is tried again, in milliseconds: first and longest.
const BROKER_PAUSE_MS: (u64, u64) = (1_000, 60_000);
/// How long a restart waits for the broker to acknowledge what was published, in milliseconds.
const FAREWELL_MS: u64 = 2_000;
/// Time servers are asked this often until one answers, then this often, in milliseconds.
const TIME_MS: (u64, u64) = (5_000, 3_600_000);

/// What is known at the start.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The chip.
    pub chip: ChipId,
    /// Its revision, major × 100 + minor.
    pub chip_revision: u16,
    /// The station MAC as a number.
    pub station: NodeId,
    /// A flash address that the running code executes from.
    pub code_address: u32,
    /// Why the chip started.
    pub reset: ResetReason,
    /// Whether a wall clock of the board may be believed, rather than asking a time server.
    pub believes_own_clock: bool,
}

/// The flash, settings and randomness that the core borrows.
struct Lent<'a, B: Board>(&'a mut B);

impl<B: Board> Platform for Lent<'_, B> {
    type Flash = B::Flash;

    fn flash(&mut self) -> &mut Self::Flash {
        self.0.flash()
    }

    fn random(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill_random(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn load(&mut self, key: SettingKey, into: &mut [u8]) -> Option<usize> {
        settings::load(self.0.flash(), key, into)
    }

    fn store(&mut self, key: SettingKey, value: &[u8]) -> Result<(), SettingLost> {
        settings::store(self.0.flash(), key, value)
    }
}

/// Starts the core as early as possible: this counts a trial's starts and goes back from an image that had its chance.
///
/// The node is made in `place`, as no board's stack has room for it to pass through. `None` when this flash cannot be
/// updated; the reason is in the log. An application goes on without the updater then.
#[inline(never)]
pub fn boot<'a, B: Board>(
    board: &mut B,
    start: &Start,
    place: &'a mut MaybeUninit<Node>,
) -> (Provisioned, Option<&'a mut Node>) {
    let provisioned = Provisioned::read(board.flash());
    let id = provisioned.node_id.unwrap_or(start.station);
    let mut node_settings = provisioned.node_settings(id, start.chip, start.chip_revision);
    // Relays and switches are needed by people: minutes matter more than a server's convenience.
    node_settings.hello_ms = 5_000;
    let info = BootInfo { code_address: start.code_address, reset: start.reset };
    let now = Instant(board.now_ms());
    let node = match Node::boot_in(place, node_settings, info, now, &mut Lent(board)) {
        Ok(node) => Some(node),
        Err(error) => {
            log::error!("update: not possible on this flash: {error:?}");
            None
        }
    };
    (provisioned, node)
}

/// Runs the node for ever.
pub fn run<B: Board>(board: &mut B, start: &Start, provisioned: Provisioned, node: &mut Node) -> ! {
    introduce(board, start, &provisioned, node);
    let id = node.settings().id;
    let mut seed = [0; 32];
    board.fill_random(&mut seed);
    let random = RefCell::new(ChaCha12Rng::from_seed(seed));
    let draw = || random.borrow_mut().next_u64();

    let now_ms = board.now_ms();
    let mac = mac_of(start.station, 0);
    let net = board.uplink().map(|device| Net::new(device, mac, draw(), now_ms));
    let roots = Roots::from_pem(&provisioned.ca_pem);
    log::info!("tls: {} trusted CA", roots.count());
    let unix_s = Cell::new(None);
    let (download, broker) = (Port::default(), Port::default());
    let means = net.as_ref().map(|net| Means { net, roots: &roots, unix_s: &unix_s, random: &random });
    let mut carriers = pin!(async {
        match &means {
            None => core::future::pending().await,
            Some(means) => {
                let mut first = pin!(stream::carry(Line::Download, &download, means));
                let mut second = pin!(stream::carry(Line::Broker, &broker, means));
                core::future::poll_fn(|context| {
                    let _: Poll<()> = first.as_mut().poll(context);
                    second.as_mut().poll(context)
                })
                .await;
            }
        }
    });

    let mesh = provisioned
        .mesh_key
        .as_ref()
        .map(|key| Mesh::new(id, provisioned.is_root, MeshKey::new(key), draw()));
    if mesh.is_none() {
        log::warn!("mesh: no key in nvs, the radio stays silent");
    }
    let mut body = Body {
        start,
        provisioned: &provisioned,
        net: net.as_ref(),
        unix_s: &unix_s,
        download: &download,
        broker: &broker,
        mesh,
        told: MeshState::default(),
        uplink_was_up: false,
        mqtt: mqtt::Client::new(identity(&provisioned, id)),
        broker_line: BrokerLine::Down(Instant(0)),
        broker_pause_ms: BROKER_PAUSE_MS.0,
        restart_at: None,
        clock: None,
        time: TimeServer { ask_at: Instant(0), cookie: 0 },
        outgoing: heapless::Deque::new(),
        incoming: heapless::Deque::new(),
        watcher: Watcher::default(),
    };
    loop {
        body.round(board, node, carriers.as_mut());
    }
}

fn mac_of(id: NodeId, offset: u64) -> [u8; 6] {
    let bytes = (id.0 + offset).to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

fn identity(provisioned: &Provisioned, id: NodeId) -> mqtt::Identity {
    let mut will = vec![0; rootcast_wire::report::MAX_REPORT_JSON_BYTES];
    let length = Presence::last_will(id, Dialect::Rootcast).to_json(&mut will).unwrap_or(0);
    will.truncate(length);
    let broker = provisioned.broker.clone().unwrap_or_default();
    mqtt::Identity {
        client_id: format!("rootcast-{id}"),
        user: broker.user,
        password: broker.password,
        will_topic: provisioned.topics.root_state().as_str().into(),
        will,
    }
}

const fn reset_name(reset: ResetReason) -> &'static str {
    match reset {
        ResetReason::PowerOn => "power",
        ResetReason::Software => "software",
        ResetReason::Panic => "panic",
        ResetReason::Watchdog => "watchdog",
    }
}

/// The first lines of the log.
fn introduce<B: Board>(board: &B, start: &Start, provisioned: &Provisioned, node: &Node) {
    let version = node.progress().running.map_or("unknown", |facts| facts.version.as_str());
    log::info!(
        "rootcast {version} on {} in {}, {}, reset by {}, {} B heap free",
        start.chip,
        node.layout().running,
        if node.is_on_trial() { "on trial" } else { "confirmed" },
        reset_name(start.reset),
        board.free_heap(),
    );
    log::info!(
        "node {} is {} {}, {} trusted keys{}",
        node.settings().id,
        if provisioned.is_root { "root and" } else { "leaf," },
        provisioned.node_type.name(),
        provisioned.trusted_keys.len(),
        if provisioned.allow_unsigned { ", unsigned images allowed while there is none" } else { "" },
    );
}

struct TimeServer {
    ask_at: Instant,
    cookie: u64,
}

/// Says in the log what has changed.
#[derive(Default)]
struct Watcher {
    state: Option<rootcast_wire::UpdateState>,
    tenth: u8,
    mesh: MeshState,
}

struct Body<'a> {
    start: &'a Start,
    provisioned: &'a Provisioned,
    net: Option<&'a Net>,
    unix_s: &'a Cell<Option<u64>>,
    download: &'a Port,
    broker: &'a Port,
    mesh: Option<Mesh>,
    told: MeshState,
    uplink_was_up: bool,
    mqtt: mqtt::Client,
    broker_line: BrokerLine,
    broker_pause_ms: u64,
    restart_at: Option<Instant>,
    /// Seconds since 1970 at a moment.
    clock: Option<(u64, Instant)>,
    time: TimeServer,
    outgoing: heapless::Deque<ApplicationFrame, 8>,
    incoming: heapless::Deque<ApplicationFrame, 8>,
    watcher: Watcher,
}

type Carriers<'a> = Pin<&'a mut dyn Future<Output = ()>>;

/// What the broker's line is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BrokerLine {
    /// Waiting for the moment.
    Down(Instant),
    /// TCP, TLS or MQTT are being opened, or stand.
    Up,
}

impl Body<'_> {
    fn round<B: Board>(&mut self, board: &mut B, node: &mut Node, mut carriers: Carriers<'_>) {
        board.feed_watchdog();
        self.run_network(board);
        let mut busy = false;
        for _ in 0..8 {
            let mut context = Context::from_waker(Waker::noop());
            let _ = carriers.as_mut().poll(&mut context);
            let download = self.take_download(board, node);
            let broker = self.take_broker(board, node);
            busy |= download || broker;
            if !download && !broker {
                break;
            }
        }
        busy |= self.hear_radio(board, node);
        self.look_after_mesh(board, node);
        self.look_after_time(board, node);
        self.look_after_broker(board, node);
        let now = Instant(board.now_ms());
        if node.deadline(now).is_some_and(|deadline| deadline <= now) {
            node.handle_timeout(now, &mut Lent(board));
        }
        busy |= self.do_what_the_node_wants(board, node);
        self.run_application(board, node);
        busy |= self.speak_radio(board);
        self.feed_broker(board);
        self.watch(board, node);
        self.leave_if_due(board);
        if !busy {
            self.sleep(board, node);
        }
    }

    // ----- network -------------------------------------------------------------------------------

    fn run_network<B: Board>(&mut self, board: &mut B) {
        let Some(net) = self.net else { return };
        let up = board.uplink_is_up();
        if up != self.uplink_was_up {
            log::info!("net: link {}", if up { "up" } else { "down" });
            self.uplink_was_up = up;
            net.restart();
        }
        let now_ms = board.now_ms();
        if let Some(device) = board.uplink() {
            net.poll(device, now_ms);
        }
    }

    fn take_download<B: Board>(&mut self, board: &mut B, node: &mut Node) -> bool {
        let Some(event) = self.download.take_event() else { return false };
        let now = Instant(board.now_ms());
        let input = match &event {
            Event::Connected => Input::StreamConnected,
            Event::Data(bytes) => Input::StreamData(bytes),
            Event::Closed => Input::StreamClosed,
            Event::Failed(code) => {
                log::warn!("download: {}", code.name());
                Input::StreamFailed(*code)
            }
        };
        node.handle(now, input, &mut Lent(board));
        true
    }

    // ----- broker --------------------------------------------------------------------------------

    fn take_broker<B: Board>(&mut self, board: &mut B, node: &mut Node) -> bool {
        let Some(event) = self.broker.take_event() else { return false };
        let now = Instant(board.now_ms());
        match event {
            Event::Connected => self.mqtt.open(now),
            Event::Data(bytes) => {
                let mut events = Vec::new();
                self.mqtt.received(now, &bytes, &mut |event| events.push(event));
                for event in events {
                    self.on_mqtt(event, now, board, node);
                }
            }
            Event::Closed => self.lose_broker("closed the connection", now, board, node),
            Event::Failed(code) => self.lose_broker(code.name(), now, board, node),
        }
        true
    }

    fn on_mqtt<B: Board>(&mut self, event: mqtt::Event, now: Instant, board: &mut B, node: &mut Node) {
        match event {
            mqtt::Event::Connected => {
                log::info!("mqtt: connected");
                self.broker_pause_ms = BROKER_PAUSE_MS.0;
                self.mqtt.subscribe(&format!("{}/relay/cmd/+", self.provisioned.topics.prefix()));
                node.handle(now, Input::MqttConnected, &mut Lent(board));
            }
            mqtt::Event::Message { topic, payload } => {
                if !self.take_command(&topic, &payload, now, node) {
                    node.handle(
                        now,
                        Input::MqttMessage { topic: &topic, payload: &payload },
                        &mut Lent(board),
                    );
                }
            }
            mqtt::Event::Refused(code) => log::warn!("mqtt: refused with code {code}"),
            mqtt::Event::Broken => self.lose_broker("makes no sense", now, board, node),
        }
    }

    fn lose_broker<B: Board>(&mut self, why: &str, now: Instant, board: &mut B, node: &mut Node) {
        log::warn!("mqtt: broker {why}, again in {} ms", self.broker_pause_ms);
        self.broker.close();
        if self.mqtt.is_online() {
            node.handle(now, Input::MqttDisconnected, &mut Lent(board));
        }
        self.mqtt.closed();
        self.broker_line = BrokerLine::Down(now.after(self.broker_pause_ms));
        self.broker_pause_ms = (self.broker_pause_ms * 2).min(BROKER_PAUSE_MS.1);
    }

    fn look_after_broker<B: Board>(&mut self, board: &mut B, node: &mut Node) {
        let (Some(net), Some(broker)) = (self.net, &self.provisioned.broker) else { return };
        if !self.provisioned.is_root {
            return;
        }
        let now = Instant(board.now_ms());
        match self.broker_line {
            BrokerLine::Down(until) if now >= until && net.is_up() => {
                // A certificate cannot be checked without a clock: wait for it instead of failing.
                if broker.tls && self.unix_s.get().is_none() {
                    return;
                }
                self.broker_line = BrokerLine::Up;
                let target = Target { host: broker.host.clone(), port: broker.port, tls: broker.tls };
                self.broker.connect(target);
            }
            BrokerLine::Up if !net.is_up() => self.lose_broker("is out of reach", now, board, node),
            BrokerLine::Up if self.mqtt.handle_timeout(now) => {
                self.lose_broker("is silent", now, board, node);
            }
            _ => {}
        }
    }

    fn feed_broker<B: Board>(&mut self, board: &mut B) {
        let room = self.broker.room();
        if self.mqtt.has_outgoing() && room > 0 {
            let bytes = self.mqtt.take_outgoing(Instant(board.now_ms()), room);
            self.broker.send(&bytes);
        }
    }

    // ----- mesh ----------------------------------------------------------------------------------

    fn hear_radio<B: Board>(&mut self, board: &mut B, node: &mut Node) -> bool {
        let Some(mesh) = &mut self.mesh else { return false };
        let mut bytes = [0; MAX_LINK_FRAME_BYTES];
        let mut heard = false;
        for _ in 0..16 {
            let Some((from, signal_dbm, length)) = board.radio_receive(&mut bytes) else { break };
            heard = true;
            let now = Instant(board.now_ms());
            let Some(frame) = bytes.get_mut(..length) else { continue };
            match mesh.heard(now, from, signal_dbm, frame) {
                Heard::Nothing => {}
                Heard::Frame { bytes, signal_dbm: Some(signal_dbm) } => {
                    node.handle(now, Input::NeighbourFrame { bytes, signal_dbm }, &mut Lent(board));
                }
                Heard::Frame { bytes, signal_dbm: None } => {
                    node.handle(now, Input::Frame(bytes), &mut Lent(board));
                }
                Heard::Application { origin, bytes } => {
                    if let Ok(bytes) = heapless::Vec::from_slice(bytes) {
                        let _ = self.incoming.push_back(ApplicationFrame { node: Some(origin), bytes });
                    }
                }
            }
        }
        heard
    }

    fn look_after_mesh<B: Board>(&mut self, board: &mut B, node: &mut Node) {
        let now = Instant(board.now_ms());
        let up = self.net.is_some_and(Net::is_up);
        let state = match &mut self.mesh {
            Some(mesh) => {
                mesh.set_uplink(up);
                if mesh.deadline() <= now {
                    mesh.handle_timeout(now);
                }
                mesh.state()
            }
            // A root alone is a mesh of one.
            None => {
                let is_root = self.provisioned.is_root;
                let joined = is_root && up;
                let parent = if is_root { node.settings().id } else { NodeId::default() };
                MeshState { started: is_root, joined, layer: joined.into(), parent, signal_dbm: 0 }
            }
        };
        if state != self.told {
            self.told = state;
            node.handle(now, Input::Mesh(state), &mut Lent(board));
        }
    }

    fn speak_radio<B: Board>(&mut self, board: &mut B) -> bool {
        let Some(mesh) = &mut self.mesh else { return false };
        let mut spoke = false;
        while let Some(outgoing) = mesh.poll(Instant(board.now_ms())) {
            board.radio_send(outgoing.to, &outgoing.frame);
            spoke = true;
        }
        spoke
    }

    // ----- time ----------------------------------------------------------------------------------

    fn look_after_time<B: Board>(&mut self, board: &mut B, node: &mut Node) {
        let now = Instant(board.now_ms());
        let told = self.mesh.as_mut().and_then(|mesh| mesh.take_unix(now));
        let own =
            (self.start.believes_own_clock && self.clock.is_none()).then(|| board.wall_clock()).flatten();
        let asked = if self.start.believes_own_clock { None } else { self.ask_time_server(board, now) };
        if let Some(unix_s) = own.or(asked).or(told) {
            if self.clock.is_none() {
                log::info!("time: {unix_s} s since 1970");
            }
            self.clock = Some((unix_s, now));
            if let Some(mesh) = self.mesh.as_mut().filter(|_| told.is_none()) {
                mesh.set_unix(unix_s, now);
            }
            node.handle(now, Input::WallClock { unix_s }, &mut Lent(board));
        }
        self.unix_s.set(self.clock.map(|(unix_s, at)| unix_s + now.since(at) / 1_000));
    }

    fn ask_time_server<B: Board>(&mut self, board: &mut B, now: Instant) -> Option<u64> {
        let net = self.net.filter(|net| net.is_up())?;
        let mut answer = [0; sntp::MESSAGE_BYTES];
        if let Some(length) = net.receive_datagram(&mut answer) {
            let told = sntp::answer(answer.get(..length)?, self.time.cookie);
            if told.is_some() {
                // One question, one answer.
                self.time.cookie = 0;
                self.time.ask_at = now.after(TIME_MS.1);
                return told;
            }
        }
        if now >= self.time.ask_at {
            self.time.ask_at = now.after(TIME_MS.0);
            let mut cookie = [0; 8];
            board.fill_random(&mut cookie);
            self.time.cookie = u64::from_le_bytes(cookie) | 1;
            let (host, port) = self.provisioned.sntp.as_ref()?;
            net.ask_time(host, *port, &sntp::request(self.time.cookie));
        }
        None
    }

    // ----- the node ------------------------------------------------------------------------------

    fn do_what_the_node_wants<B: Board>(&mut self, board: &mut B, node: &mut Node) -> bool {
        if self.restart_at.is_some() {
            return false;
        }
        for round in 0..32 {
            let room = self.mqtt.has_room() && self.mesh.as_ref().is_none_or(Mesh::has_room);
            let now = Instant(board.now_ms());
            if !room {
                return false;
            }
            let free_heap = board.free_heap();
            let Some(output) = node.poll(now, &mut Lent(board)) else { return round > 0 };
            match output {
                Output::Led(colour) => {
                    log::debug!("led {colour:?}");
                    board.show(colour);
                }
                Output::SendFrame { to, bytes } => {
                    if let Some(mesh) = &mut self.mesh {
                        mesh.send(now, to, bytes);
                    }
                }
                Output::Subscribe { topic } => self.mqtt.subscribe(topic),
                Output::Publish { topic, payload, qos, retain } => {
                    self.mqtt.publish(topic, payload, qos, retain);
                }
                Output::Connect { host, port, tls } => {
                    log::info!("download: {host}:{port}{}", if tls { ", tls" } else { "" });
                    let refusal = if self.net.is_none() {
                        Some(ErrorCode::ConnectFailed)
                    } else if free_heap < UPDATE_HEAP_BYTES {
                        log::warn!("download: {free_heap} B heap free, {UPDATE_HEAP_BYTES} needed");
                        Some(ErrorCode::OutOfMemory)
                    } else {
                        self.download.connect(Target { host: host.into(), port, tls });
                        None
                    };
                    if let Some(code) = refusal {
                        node.handle(now, Input::StreamFailed(code), &mut Lent(board));
                    }
                }
                Output::Send(bytes) => self.download.send(bytes),
                Output::Close => self.download.close(),
                Output::Restart => {
                    log::info!("restarting");
                    self.restart_at = Some(now.after(FAREWELL_MS));
                    return true;
                }
            }
        }
        true
    }

    /// Restarts once everything that was said is on its way.
    fn leave_if_due<B: Board>(&mut self, board: &mut B) {
        let Some(at) = self.restart_at else { return };
        let said = !self.mqtt.is_online() || self.mqtt.is_idle();
        if said || Instant(board.now_ms()) >= at {
            board.restart();
        }
    }

    fn watch<B: Board>(&mut self, board: &mut B, node: &Node) {
        let mesh = self.told;
        let place = |mesh: &MeshState| (mesh.joined, mesh.layer, mesh.parent);
        if place(&mesh) != place(&self.watcher.mesh) {
            self.watcher.mesh = mesh;
            if mesh.joined {
                log::info!("mesh: layer {}, parent {}, {} dBm", mesh.layer, mesh.parent, mesh.signal_dbm);
            } else {
                log::info!("mesh: no place");
            }
        }
        let progress = node.progress();
        let tenth = progress.percent / 10;
        if progress.state != self.watcher.state || tenth != self.watcher.tenth {
            self.watcher.state = progress.state;
            self.watcher.tenth = tenth;
            if let Some(state) = progress.state {
                let error = progress.error.map_or("", |error| error.name());
                log::info!(
                    "update: {} {}% {} B {error} ({} B heap free)",
                    state.name(),
                    progress.percent,
                    progress.bytes,
                    board.free_heap()
                );
            }
        }
    }

    fn sleep<B: Board>(&mut self, board: &mut B, node: &Node) {
        let now = Instant(board.now_ms());
        let mut until = now.after(NAP_MS);
        let deadlines = [
            node.deadline(now),
            self.mesh.as_ref().map(Mesh::deadline),
            self.net.and_then(|net| net.deadline(now.0)).map(Instant),
        ];
        for deadline in deadlines.into_iter().flatten() {
            until = until.min(deadline);
        }
        if until > now {
            board.idle(until.0);
        }
    }

    // ----- the application -----------------------------------------------------------------------

    /// A command for a relay, straight from the broker: `true` when it was one.
    fn take_command(&mut self, topic: &str, payload: &[u8], now: Instant, node: &Node) -> bool {
        let rest = topic.strip_prefix(self.provisioned.topics.prefix());
        let Some(id) = rest.and_then(|rest| rest.strip_prefix("/relay/cmd/")) else { return false };
        let (Ok(id), Ok(mut bytes)) = (id.parse().map(NodeId), heapless::Vec::<u8, 16>::from_slice(b"C"))
        else {
            return true;
        };
        if bytes.extend_from_slice(payload).is_err() {
            return true;
        }
        if id == node.settings().id {
            let _ = self.incoming.push_back(ApplicationFrame { node: None, bytes });
        } else if let Some(mesh) = &mut self.mesh {
            mesh.send_application(now, Some(id), &bytes);
        }
        true
    }

    fn run_application<B: Board>(&mut self, board: &mut B, node: &Node) {
        let (id, is_root) = (node.settings().id, self.provisioned.is_root);
        if is_root {
            // What leaves report goes to the broker; what is for the root itself is left for its application.
            for _ in 0..self.incoming.len() {
                let Some(frame) = self.incoming.pop_front() else { break };
                match frame.node {
                    Some(origin) => self.publish_application(origin, &frame.bytes),
                    None => drop(self.incoming.push_back(frame)),
                }
            }
        }
        let is_updating = node.colour() == rootcast_node::Colour::Blue;
        board.run_application(&mut Exchange {
            outgoing: &mut self.outgoing,
            incoming: &mut self.incoming,
            is_updating,
        });
        while let Some(frame) = self.outgoing.pop_front() {
            if is_root && frame.node.is_none() {
                self.publish_application(id, &frame.bytes);
            } else if let Some(mesh) = &mut self.mesh {
                mesh.send_application(Instant(board.now_ms()), frame.node, &frame.bytes);
            }
        }
    }

    /// `B` is a button, as the original publishes it; `R` an output's state, which the broker keeps.
    fn publish_application(&mut self, origin: NodeId, bytes: &[u8]) {
        if !self.mqtt.is_online() || !self.mqtt.has_room() {
            return;
        }
        let topics = &self.provisioned.topics;
        match bytes.split_first() {
            Some((b'B', text)) => self.mqtt.publish(&topics.switch_state(origin.0), text, 0, false),
            Some((b'R', text)) => self.mqtt.publish(&topics.relay_state(origin.0), text, 1, true),
            _ => {}
        }
    }
}
