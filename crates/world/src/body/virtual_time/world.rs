//! The world itself.

use super::broker::{Broker, Published};
use super::event::{Due, Event, Queue};
use super::options::WorldOptions;
use super::station::{Power, Station};
use super::stream::{Next, Stream};
use crate::body::behaviour::{Behaviour, Behaviours};
use crate::body::http::Server;
use crate::body::mesh::{Link, Mesh};
use crate::body::radio::{Radio, RadioEvent, Span};
use crate::body::wish::Wish;
use crate::bootloader::ImageCache;
use crate::factory::Topology;
use crate::flash::Violation;
use crate::machine::Machine;
use crate::random::Random;
use rootcast_image::ImageHash;
use rootcast_node::{Input, Instant, MeshState, ResetReason};
use rootcast_wire::{ErrorCode, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nodes, mesh, broker and servers in virtual time.
pub struct World {
    options: WorldOptions,
    now: Instant,
    queue: Queue,
    stations: Vec<Station>,
    radio: Radio,
    broker: Broker,
    servers: BTreeMap<(String, u16), Server>,
    behaviours: Behaviours,
    images: ImageCache,
    random: Random,
    events: u64,
    server_bytes: u64,
}

impl World {
    /// A world whose nodes stand where `topology` has them, in its order, all links alike. They have no power yet: see
    /// [`World::power_on`].
    #[must_use]
    pub fn new(options: WorldOptions, topology: &Topology, link: Link, mut machines: Vec<Machine>) -> Self {
        for machine in &mut machines {
            machine.settings_mut().pace.latency_ms = link.neighbour_ms.1.min(255) as u8;
        }
        let random = Random::new(options.seed);
        Self {
            now: Instant(0),
            queue: Queue::default(),
            stations: machines.into_iter().map(Station::new).collect(),
            radio: Radio::new(topology, link, options.radio, &random.fork(1)),
            broker: Broker::default(),
            servers: BTreeMap::new(),
            behaviours: Behaviours::new(),
            images: ImageCache::new(),
            random: random.fork(2),
            options,
            events: 0,
            server_bytes: 0,
        }
    }

    // ----- looking -----------------------------------------------------------------------------------

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The nodes.
    #[must_use]
    pub fn stations(&self) -> &[Station] {
        &self.stations
    }

    /// A node, for changing it; panics if there is none of that number.
    pub fn station_mut(&mut self, node: usize) -> &mut Station {
        &mut self.stations[node]
    }

    /// The node with this id.
    #[must_use]
    pub fn index_of(&self, id: NodeId) -> Option<usize> {
        self.stations.iter().position(|station| station.id == id)
    }

    /// The broker.
    #[must_use]
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The broker, for changing it.
    pub const fn broker_mut(&mut self) -> &mut Broker {
        &mut self.broker
    }

    /// The mesh, for changing its links.
    pub const fn mesh_mut(&mut self) -> &mut Mesh {
        self.radio.mesh_mut()
    }

    /// The server of a host and port; one without files is made if there is none.
    pub fn server(&mut self, host: &str, port: u16) -> &mut Server {
        self.servers.entry((host.to_owned(), port)).or_default()
    }

    /// Rules that nodes have broken on their flash: must be none.
    #[must_use]
    pub fn violations(&self) -> Vec<(NodeId, Violation)> {
        let of = |station: &Station| {
            let id = station.id;
            station.machine.board.flash.violations().iter().map(move |v| (id, *v)).collect::<Vec<_>>()
        };
        self.stations.iter().flat_map(of).collect()
    }

    /// Events that have happened.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Bytes of servers' answers that have reached nodes, heads of answers included: what came through the router.
    #[must_use]
    pub const fn server_bytes(&self) -> u64 {
        self.server_bytes
    }

    // ----- making things happen ----------------------------------------------------------------------

    /// How the image with this hash behaves wherever it runs from its next start on.
    pub fn set_behaviour(&mut self, image: ImageHash, behaviour: Behaviour) {
        self.behaviours.insert(image, behaviour);
    }

    /// Gives every node power that has none.
    pub fn power_on(&mut self) {
        for node in 0..self.stations.len() {
            if self.stations[node].power == Power::Off {
                self.begin_reset(node, ResetReason::PowerOn);
            }
        }
    }

    /// Takes a node's power away for so many milliseconds.
    pub fn cut_power(&mut self, node: usize, off_ms: u64) {
        self.power_fails(node, off_ms);
    }

    /// Takes a node's power away later.
    pub fn schedule_power_cut(&mut self, node: usize, after_ms: u64, off_ms: u64) {
        self.queue.push(self.now.0 + after_ms, node, None, Event::PowerCut { off_ms });
    }

    /// Publishes as an operator does: every subscriber hears it, nobody else ever will.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) {
        let (topic, payload): (Arc<str>, Arc<[u8]>) = (topic.into(), payload.into());
        for (node, subscribed) in self.broker.subscriptions.clone() {
            if *subscribed == *topic && !self.broker.is_down {
                let event = Event::Message { topic: Arc::clone(&topic), payload: Arc::clone(&payload) };
                let life = self.stations[node].life;
                let at = self.now.0 + self.draw((5, 30));
                self.queue.push(at, node, Some(life), event);
            }
        }
    }

    /// Takes the broker away.
    pub fn stop_broker(&mut self) {
        self.broker.is_down = true;
        self.broker.subscriptions.clear();
        for node in 0..self.stations.len() {
            if self.stations[node].mqtt {
                let span = self.options.mqtt;
                self.schedule(span, node, Event::MqttDown);
            }
        }
    }

    /// Brings the broker back.
    pub fn start_broker(&mut self) {
        self.broker.is_down = false;
        for node in 0..self.stations.len() {
            if self.stations[node].mesh.joined && self.stations[node].machine.settings().is_root {
                let span = self.options.mqtt;
                self.schedule(span, node, Event::MqttUp);
            }
        }
    }

    // ----- time --------------------------------------------------------------------------------------

    /// Lets time pass until `done` says so, at most until `limit_ms` from now. Says whether `done` did.
    pub fn run_until(&mut self, limit_ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now.0.saturating_add(limit_ms);
        loop {
            if done(self) {
                return true;
            }
            let radio = self.radio.next_at();
            match self.queue.next_at() {
                Some(at) if at <= end && radio.is_none_or(|radio| at < radio) => self.step(),
                _ if radio.is_some_and(|radio| radio <= end) => self.listen(radio.unwrap_or(end)),
                _ => {
                    self.now = Instant(end);
                    return done(self);
                }
            }
        }
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, ms: u64) {
        self.run_until(ms, |_| false);
    }

    /// Lets the radios work: what they hear becomes events of the nodes.
    fn listen(&mut self, at_ms: u64) {
        self.now = self.now.max(Instant(at_ms));
        while let Some((node, heard)) = self.radio.poll(self.now.0) {
            let event = match heard {
                RadioEvent::Mesh(state) => Event::Mesh(state),
                RadioEvent::Frame(bytes) => Event::Frame(bytes, None),
                RadioEvent::NeighbourFrame(bytes, signal_dbm) => Event::Frame(bytes, Some(signal_dbm)),
            };
            self.queue.push(self.now.0, node, Some(self.stations[node].life), event);
        }
    }

    fn step(&mut self) {
        let Some(due) = self.queue.pop() else { return };
        self.now = Instant(due.at_ms);
        let Some(station) = self.stations.get(due.node) else { return };
        if due.life.is_some_and(|life| life != station.life) {
            return;
        }
        // While the flash is busy the processor waits for it; power and watchdogs do not.
        let electrical = matches!(due.event, Event::PowerCut { .. } | Event::Watchdog | Event::Start(_));
        let busy_until = station.busy_until;
        if matches!(due.event, Event::Wake) && station.wake_at != Some(due.at_ms) {
            return;
        }
        if !electrical && busy_until > self.now.0 {
            if matches!(due.event, Event::Wake) {
                self.stations[due.node].wake_at = Some(busy_until);
            }
            self.queue.push(busy_until, due.node, due.life, due.event);
            return;
        }
        self.events += 1;
        self.happen(due);
    }

    fn happen(&mut self, Due { node, event, .. }: Due) {
        match event {
            Event::Start(reset) => self.start(node, reset),
            Event::PowerCut { off_ms } => self.power_fails(node, off_ms),
            Event::Watchdog => self.begin_reset(node, ResetReason::Watchdog),
            _ if !self.stations[node].is_running() => {}
            Event::Wake => self.wake(node),
            Event::Mesh(state) => self.mesh_changed(node, state),
            Event::MqttUp => self.mqtt_up(node),
            Event::MqttDown => {
                self.stations[node].mqtt = false;
                self.tell(node, Input::MqttDisconnected);
            }
            Event::Message { topic, payload } => {
                self.tell(node, Input::MqttMessage { topic: &topic, payload: &payload });
            }
            Event::Frame(bytes, None) => self.tell(node, Input::Frame(&bytes)),
            Event::Frame(bytes, Some(signal_dbm)) => {
                self.tell(node, Input::NeighbourFrame { bytes: &bytes, signal_dbm });
            }
            Event::StreamUp { connection } => self.stream_up(node, connection),
            Event::StreamMore { connection } => self.stream_more(node, connection),
            Event::Crash => self.begin_reset(node, ResetReason::Panic),
            Event::Hang => {
                self.stations[node].power = Power::Hung;
                self.radio.down(self.now.0, node);
                let ms = self.options.watchdog_ms;
                self.schedule((ms, ms), node, Event::Watchdog);
            }
            Event::Health(healthy) => self.tell(node, Input::ApplicationHealth(healthy)),
        }
    }

    fn draw(&mut self, span: Span) -> u64 {
        self.random.between(span.0.into(), span.1.into())
    }

    fn schedule(&mut self, after: Span, node: usize, event: Event) {
        let at = self.now.0 + self.draw(after);
        self.queue.push(at, node, Some(self.stations[node].life), event);
    }

    // ----- power -------------------------------------------------------------------------------------

    fn power_fails(&mut self, node: usize, off_ms: u64) {
        self.stations[node].machine.stop();
        self.gone(node, Power::Off);
        let at = self.now.0 + off_ms;
        self.queue.push(at, node, Some(self.stations[node].life), Event::Start(ResetReason::PowerOn));
    }

    fn begin_reset(&mut self, node: usize, reset: ResetReason) {
        self.stations[node].machine.reset();
        self.gone(node, Power::Resetting);
        let span = self.options.reset;
        self.schedule(span, node, Event::Start(reset));
    }

    fn gone(&mut self, node: usize, power: Power) {
        self.radio.down(self.now.0, node);
        self.broker.subscriptions.retain(|(subscriber, _)| *subscriber != node);
        self.stations[node].end_life(power);
    }

    fn start(&mut self, node: usize, reset: ResetReason) {
        let now = self.now;
        let station = &mut self.stations[node];
        station.starts += 1;
        station.busy_until = now.0;
        let started = station.machine.boot(&mut self.images).and_then(|booted| {
            station.behaviour = self.behaviours.get(&booted.image.hash).copied().unwrap_or_default();
            match station.behaviour {
                Behaviour::CrashesBeforeCore => Ok(()),
                _ => station.machine.start_core(now, reset, booted),
            }
        });
        if !self.check_power(node) {
            return;
        }
        if let Err(failure) = started {
            self.gone(node, Power::Dead(failure));
            return;
        }
        self.stations[node].power = Power::Running;
        match self.stations[node].behaviour {
            Behaviour::CrashesBeforeCore => return self.begin_reset(node, ResetReason::Panic),
            Behaviour::Crashes { after_ms } => self.schedule((after_ms, after_ms), node, Event::Crash),
            Behaviour::Hangs { after_ms } => self.schedule((after_ms, after_ms), node, Event::Hang),
            Behaviour::Unhealthy { after_ms } => {
                self.schedule((after_ms, after_ms), node, Event::Health(false));
            }
            Behaviour::Healthy | Behaviour::NeverJoins => {
                if self.stations[node].machine.settings().needs_application_health {
                    let span = self.options.application;
                    self.schedule(span, node, Event::Health(true));
                }
            }
        }
        self.radio.up(now.0, node, self.stations[node].behaviour != Behaviour::NeverJoins);
        self.attend(node);
    }

    /// Whether the node still has power; if a cut in a flash operation took it, that is seen to.
    fn check_power(&mut self, node: usize) -> bool {
        if self.stations[node].machine.has_power() {
            return true;
        }
        let off_ms = self.draw(self.options.power_off);
        self.power_fails(node, off_ms);
        false
    }

    // ----- the core ----------------------------------------------------------------------------------

    fn tell(&mut self, node: usize, input: Input<'_>) {
        self.stations[node].machine.handle(self.now, input);
        self.attend(node);
    }

    fn wake(&mut self, node: usize) {
        self.stations[node].wake_at = None;
        self.stations[node].machine.handle_timeout(self.now);
        self.attend(node);
    }

    /// Does what the core wants done, and notes when it wants to be woken.
    fn attend(&mut self, node: usize) {
        let now = self.now;
        loop {
            let wish = self.stations[node].machine.poll(now).map(Wish::from);
            if !self.check_power(node) {
                return;
            }
            match wish {
                Some(Wish::Restart) => return self.begin_reset(node, ResetReason::Software),
                Some(wish) => self.grant(node, wish),
                None => break,
            }
        }
        let timing = self.options.flash;
        let station = &mut self.stations[node];
        station.account_flash(now.0, timing);
        if let Some(deadline) = station.machine.deadline(now) {
            // What is due at once still takes the processor a moment.
            let at = deadline.0.max(now.0 + 1).max(station.busy_until);
            if station.wake_at.is_none_or(|wake_at| at < wake_at) {
                station.wake_at = Some(at);
                let life = station.life;
                self.queue.push(at, node, Some(life), Event::Wake);
            }
        }
    }

    fn grant(&mut self, node: usize, wish: Wish) {
        match wish {
            Wish::Led(colour) => self.stations[node].led = Some(colour),
            Wish::Frame(to, bytes) => self.radio.send(self.now.0, node, to, &bytes),
            Wish::Subscribe(topic) => self.broker.subscriptions.push((node, topic.into())),
            Wish::Publish { topic, payload, qos, retain } => {
                if self.stations[node].mqtt {
                    let (at, by) = (self.now, self.stations[node].id);
                    self.broker.publish(Published { at, by, topic, payload, qos, retain });
                }
            }
            Wish::Connect { host, port, .. } => {
                let station = &mut self.stations[node];
                station.connections += 1;
                let connection = station.connections;
                station.stream = Some(Stream::new(connection, (host, port)));
                let span = self.options.server;
                self.schedule(span, node, Event::StreamUp { connection });
            }
            Wish::Send(bytes) => self.send_to_server(node, &bytes),
            Wish::Close => self.stations[node].stream = None,
            Wish::Restart => {}
        }
    }

    // ----- mesh, broker and servers ------------------------------------------------------------------

    fn mesh_changed(&mut self, node: usize, state: MeshState) {
        let before = std::mem::replace(&mut self.stations[node].mesh, state);
        if before.joined && !state.joined {
            // Its way to the server led through the mesh.
            if self.stations[node].stream.take().is_some_and(|stream| stream.connection.is_some()) {
                self.tell(node, Input::StreamClosed);
            }
        }
        if state.joined && !before.joined {
            let unix_s = self.options.unix_s + self.now.0 / 1000;
            self.tell(node, Input::WallClock { unix_s });
            if self.stations[node].machine.settings().is_root && !self.broker.is_down {
                let span = self.options.mqtt;
                self.schedule(span, node, Event::MqttUp);
            }
        }
        self.tell(node, Input::Mesh(state));
    }

    fn mqtt_up(&mut self, node: usize) {
        if !self.stations[node].mqtt && self.stations[node].mesh.joined && !self.broker.is_down {
            self.stations[node].mqtt = true;
            self.tell(node, Input::MqttConnected);
        }
    }

    fn stream_up(&mut self, node: usize, number: u64) {
        let joined = self.stations[node].mesh.joined;
        let Some(stream) = self.stations[node].stream.as_mut().filter(|stream| stream.number == number)
        else {
            return;
        };
        let known_host = self.servers.keys().any(|(host, _)| *host == stream.server.0);
        let outcome = match self.servers.get_mut(&stream.server) {
            Some(server) if joined => server.connect(),
            None if joined && !known_host => Err(ErrorCode::DnsFailed),
            _ => Err(ErrorCode::ConnectFailed),
        };
        match outcome {
            Ok(connection) => {
                stream.connection = Some(connection);
                self.tell(node, Input::StreamConnected);
            }
            Err(code) => {
                self.stations[node].stream = None;
                self.tell(node, Input::StreamFailed(code));
            }
        }
    }

    fn send_to_server(&mut self, node: usize, bytes: &[u8]) {
        let Some(stream) = &mut self.stations[node].stream else { return };
        let (Some(connection), Some(server)) = (&mut stream.connection, self.servers.get_mut(&stream.server))
        else {
            return;
        };
        if let Some(reply) = connection.receive(bytes, server) {
            stream.answer(reply);
            let connection = stream.number;
            let span = self.options.server;
            self.schedule(span, node, Event::StreamMore { connection });
        }
    }

    fn stream_more(&mut self, node: usize, number: u64) {
        let segment = self.options.segment_bytes as usize;
        let mut taken = self.stations[node].stream.take_if(|stream| stream.number == number);
        let Some(stream) = &mut taken else { return };
        match stream.next(segment) {
            Next::Data(bytes) => {
                let bytes = bytes.to_vec();
                self.server_bytes += bytes.len() as u64;
                let pace = (bytes.len() as u32).div_ceil(self.options.server_bytes_per_ms.max(1));
                // Back before the core hears of it: it may want to close it, or open another.
                self.stations[node].stream = taken;
                self.tell(node, Input::StreamData(&bytes));
                if self.stations[node].stream.as_ref().is_some_and(|stream| stream.number == number) {
                    self.schedule((pace, pace), node, Event::StreamMore { connection: number });
                }
            }
            Next::Closed => self.tell(node, Input::StreamClosed),
            Next::Nothing => self.stations[node].stream = taken,
        }
    }
}
