//! One node on a Tokio runtime.
//!
//! ```text
//!           power           bootloader, core
//!   Off ────────▶ Resetting ────────────────▶ Running ──▶ Restart, panic, watchdog: Resetting
//!    ▲                │ nothing boots             │
//!    │                ▼                           │ power cut, also inside a flash operation
//!    │              Dead                          ▼
//!    └─────────────────────────────────────────  Off
//! ```

use super::NodeOptions;
use super::mqtt::{Message, Mqtt, MqttEvent, ToBroker};
use super::port::{MeshPort, ToMesh};
use super::stream::{Stream, StreamEvent};
use super::view::{BrokerView, Meter, NodeView, PowerView};
use crate::body::behaviour::Behaviour;
use crate::body::radio::{RadioEvent, Span};
use crate::body::wish::Wish;
use crate::bootloader::ImageCache;
use crate::flash::PowerCut;
use crate::machine::Machine;
use crate::random::Random;
use rootcast_node::{Input, MeshState, ResetReason};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// Commands that wait for a node at most.
const MOST_COMMANDS: usize = 16;
/// Timeouts handled in a row before the others get their turn.
const MOST_TIMEOUTS: u32 = 4;

/// What can be done to a node from outside.
#[derive(Clone, Debug)]
pub enum Command {
    /// Takes the power away at once, for so long.
    CutPower(Duration),
    /// Takes the power away inside a flash operation to come.
    CutInFlash(PowerCut),
}

/// A node that runs, as seen from outside. Dropping it stops the node.
#[derive(Debug)]
pub struct NodeHandle {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<NodeView>,
    task: Option<JoinHandle<Machine>>,
}

impl NodeHandle {
    /// The node as it is now, and as it changes.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<NodeView> {
        self.view.clone()
    }

    /// Does something to the node; one that has stopped does not care.
    pub async fn command(&self, command: Command) {
        let _ = self.commands.send(command).await;
    }

    /// Stops the node and hands out what it ran on. `None` if the node itself came to a bad end (a panic in it).
    pub async fn stop(mut self) -> Option<Machine> {
        let task = self.task.take()?;
        // The runner ends when nobody can command it any more.
        drop(self);
        task.await.ok()
    }
}

/// One node.
pub struct NodeRunner {
    machine: Machine,
    port: MeshPort,
    options: Arc<NodeOptions>,
    random: Random,
    begin: Instant,
    view: watch::Sender<NodeView>,
    commands: mpsc::Receiver<Command>,
}

/// How a life ends.
enum End {
    Reset(ResetReason),
    PowerLost(Duration),
    Dead,
    Stopped,
}

/// What a node has while it runs.
struct Life {
    mqtt: Option<Mqtt>,
    stream: Option<Stream>,
    mesh: MeshState,
    meter: Meter,
    /// What the image does by itself, and when.
    script: Option<(Instant, Script)>,
    hung: bool,
}

#[derive(Clone, Copy)]
enum Script {
    Crash,
    Hang,
    Watchdog,
    Health(bool),
}

/// Something that happened.
enum Event {
    Heard(RadioEvent),
    Mqtt(MqttEvent),
    Stream(StreamEvent),
    Script(Script),
    Due,
    Command(Option<Command>),
}

impl NodeRunner {
    /// Starts a node: power comes on. It must be called on a Tokio runtime.
    #[must_use]
    pub fn start(machine: Machine, port: MeshPort, options: &Arc<NodeOptions>) -> NodeHandle {
        let (view, seen) = watch::channel(NodeView::new(&machine));
        let (commands, commanded) = mpsc::channel(MOST_COMMANDS);
        let random = Random::new(options.seed).fork(machine.settings().id.0);
        let options = Arc::clone(options);
        let runner =
            Self { machine, port, options, random, begin: Instant::now(), view, commands: commanded };
        NodeHandle { commands, view: seen, task: Some(tokio::spawn(runner.run())) }
    }

    async fn run(mut self) -> Machine {
        let mut reset = ResetReason::PowerOn;
        loop {
            let end = self.live(reset).await;
            // An armed cut takes the power away inside the operation that it hits.
            let in_flash = !self.machine.has_power();
            self.machine.reset();
            self.port.tell(ToMesh::Down);
            let pause = match end {
                End::Stopped => return self.machine,
                End::Reset(reason) => {
                    reset = reason;
                    self.show(|view| view.power = PowerView::Resetting);
                    self.draw(self.options.reset)
                }
                End::PowerLost(off) => {
                    reset = ResetReason::PowerOn;
                    self.machine.stop();
                    self.show(|view| {
                        view.power = PowerView::Off;
                        view.power_cuts += 1;
                        view.cuts_in_flash += u32::from(in_flash);
                    });
                    off
                }
                // Until somebody takes its power away and gives it back.
                End::Dead => Duration::MAX,
            };
            self.show(|view| {
                (view.led, view.joined, view.layer) = (None, false, 0);
                view.broker = BrokerView::None;
            });
            let later = async {
                match Instant::now().checked_add(pause) {
                    Some(later) => sleep_until(later).await,
                    None => std::future::pending().await,
                }
            };
            tokio::pin!(later);
            loop {
                tokio::select! {
                    () = &mut later => break,
                    command = self.commands.recv() => match command {
                        None => return self.machine,
                        Some(Command::CutInFlash(cut)) => self.machine.board.flash.cut_power_at(cut),
                        Some(Command::CutPower(off)) => {
                            reset = ResetReason::PowerOn;
                            self.show(|view| view.power_cuts += 1);
                            sleep(off).await;
                            break;
                        }
                    },
                }
            }
            self.port.clear();
        }
    }

    /// From the first instruction of the bootloader to the end.
    async fn live(&mut self, reset: ResetReason) -> End {
        self.show(|view| {
            view.power = PowerView::Resetting;
            view.starts += 1;
        });
        let booted = match self.machine.boot(&mut ImageCache::new()) {
            Ok(booted) => booted,
            Err(failure) => return self.not_started(&failure.to_string()),
        };
        let behaviour = self.options.behaviours.get(&booted.image.hash).copied().unwrap_or_default();
        if behaviour == Behaviour::CrashesBeforeCore {
            return End::Reset(ResetReason::Panic);
        }
        if let Err(failure) = self.machine.start_core(self.now(), reset, booted) {
            return self.not_started(&failure.to_string());
        }
        self.port.tell(ToMesh::Up { joins: behaviour != Behaviour::NeverJoins });
        let mut life = Life {
            mqtt: None,
            stream: None,
            mesh: MeshState::default(),
            meter: Meter::new(),
            script: self.script_of(behaviour),
            hung: false,
        };
        self.show(|view| view.power = PowerView::Running);
        let mut timeouts = 0;
        loop {
            if !life.hung
                && let Some(end) = self.attend(&mut life)
            {
                return end;
            }
            let due = self.deadline(&life);
            let event = if due.is_some_and(|due| due <= Instant::now()) && timeouts < MOST_TIMEOUTS {
                timeouts += 1;
                Event::Due
            } else {
                timeouts = 0;
                self.wait(&mut life, due).await
            };
            if let Some(end) = self.happen(&mut life, event) {
                return end;
            }
        }
    }

    fn not_started(&mut self, reason: &str) -> End {
        if !self.machine.has_power() {
            return End::PowerLost(self.draw(self.options.power_off));
        }
        self.show(|view| view.power = PowerView::Dead(reason.to_owned()));
        End::Dead
    }

    fn script_of(&mut self, behaviour: Behaviour) -> Option<(Instant, Script)> {
        let after = |ms: u32| Instant::now() + Duration::from_millis(ms.into());
        match behaviour {
            Behaviour::Crashes { after_ms } => Some((after(after_ms), Script::Crash)),
            Behaviour::Hangs { after_ms } => Some((after(after_ms), Script::Hang)),
            Behaviour::Unhealthy { after_ms } => Some((after(after_ms), Script::Health(false))),
            _ if self.machine.settings().needs_application_health => {
                Some((Instant::now() + self.draw(self.options.application), Script::Health(true)))
            }
            _ => None,
        }
    }

    fn deadline(&self, life: &Life) -> Option<Instant> {
        if life.hung {
            return None;
        }
        self.machine.deadline(self.now()).map(|due| self.begin + Duration::from_millis(due.0))
    }

    async fn wait(&mut self, life: &mut Life, due: Option<Instant>) -> Event {
        // What is due at once has had its turns: a moment for everybody else.
        let due = due.map(|due| due.max(Instant::now() + Duration::from_millis(1)));
        let until = |moment: Option<Instant>| async move {
            match moment {
                Some(moment) => sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        let script = life.script;
        tokio::select! {
            command = self.commands.recv() => Event::Command(command),
            () = until(script.map(|(moment, _)| moment)) => {
                life.script = None;
                // There is one: the branch above waits for it.
                script.map_or(Event::Due, |(_, script)| Event::Script(script))
            }
            heard = self.port.hear() => Event::Heard(heard),
            event = next_mqtt(&mut life.mqtt) => Event::Mqtt(event),
            event = next_stream(&mut life.stream) => Event::Stream(event),
            () = until(due) => Event::Due,
        }
    }

    fn happen(&mut self, life: &mut Life, event: Event) -> Option<End> {
        let now = self.now();
        match event {
            Event::Command(None) => return Some(End::Stopped),
            Event::Command(Some(Command::CutPower(off))) => return Some(End::PowerLost(off)),
            Event::Command(Some(Command::CutInFlash(cut))) => self.machine.board.flash.cut_power_at(cut),
            Event::Script(Script::Crash) => return Some(End::Reset(ResetReason::Panic)),
            Event::Script(Script::Watchdog) => return Some(End::Reset(ResetReason::Watchdog)),
            Event::Script(Script::Hang) => {
                life.hung = true;
                let bites = Instant::now() + Duration::from_millis(self.options.watchdog_ms.into());
                life.script = Some((bites, Script::Watchdog));
                self.port.tell(ToMesh::Down);
                self.show(|view| view.power = PowerView::Hung);
            }
            _ if life.hung => {}
            Event::Script(Script::Health(healthy)) => {
                self.machine.handle(now, Input::ApplicationHealth(healthy))
            }
            Event::Due => self.machine.handle_timeout(now),
            Event::Heard(RadioEvent::Frame(bytes)) => self.machine.handle(now, Input::Frame(&bytes)),
            Event::Heard(RadioEvent::NeighbourFrame(bytes, signal_dbm)) => {
                self.machine.handle(now, Input::NeighbourFrame { bytes: &bytes, signal_dbm });
            }
            Event::Heard(RadioEvent::Mesh(state)) => self.mesh_changed(life, state),
            Event::Mqtt(MqttEvent::Connected) => {
                self.show(|view| view.broker = BrokerView::Connected);
                self.machine.handle(now, Input::MqttConnected);
            }
            Event::Mqtt(MqttEvent::Disconnected(reason)) => {
                self.show(|view| view.broker = BrokerView::Trying(reason));
                self.machine.handle(now, Input::MqttDisconnected);
            }
            Event::Mqtt(MqttEvent::Message { topic, payload }) => {
                self.machine.handle(now, Input::MqttMessage { topic: &topic, payload: &payload });
            }
            Event::Stream(StreamEvent::Connected) => self.machine.handle(now, Input::StreamConnected),
            Event::Stream(StreamEvent::Data(bytes)) => self.machine.handle(now, Input::StreamData(&bytes)),
            Event::Stream(StreamEvent::Closed) => {
                life.stream = None;
                self.machine.handle(now, Input::StreamClosed);
            }
            Event::Stream(StreamEvent::Failed(code)) => {
                life.stream = None;
                self.machine.handle(now, Input::StreamFailed(code));
            }
        }
        None
    }

    fn mesh_changed(&mut self, life: &mut Life, state: MeshState) {
        let now = self.now();
        let before = std::mem::replace(&mut life.mesh, state);
        if state.joined && !before.joined {
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let unix_s = unix.saturating_add_signed(self.options.clock_ahead_s);
            self.machine.handle(now, Input::WallClock { unix_s });
            let settings = self.machine.settings();
            if settings.is_root && life.mqtt.is_none() {
                let broker = self.options.broker.as_ref();
                life.mqtt = broker.map(|broker| Mqtt::open(broker, settings, &self.options));
            }
        }
        self.machine.handle(now, Input::Mesh(state));
        if before.joined && !state.joined && life.stream.take().is_some() {
            // Its way to the server led through the mesh.
            self.machine.handle(now, Input::StreamClosed);
        }
    }

    /// Does what the core wants done.
    fn attend(&mut self, life: &mut Life) -> Option<End> {
        loop {
            let wish = self.machine.poll(self.now()).map(Wish::from);
            if !self.machine.has_power() {
                return Some(End::PowerLost(self.draw(self.options.power_off)));
            }
            match wish {
                None => break,
                Some(Wish::Restart) => return Some(End::Reset(ResetReason::Software)),
                Some(Wish::Led(colour)) => self.show(|view| view.led = Some(colour)),
                Some(Wish::Frame(to, bytes)) => self.port.tell(ToMesh::Frame { to, bytes }),
                Some(Wish::Subscribe(topic)) => tell_broker(life, ToBroker::Subscribe(topic)),
                Some(Wish::Publish { topic, payload, qos, retain }) => {
                    let message = Message { topic, payload, acknowledged: qos > 0, retain };
                    tell_broker(life, ToBroker::Publish(message));
                }
                Some(Wish::Connect { host, port, tls }) => {
                    life.stream = Some(Stream::open(host, port, tls, &self.options));
                }
                Some(Wish::Send(bytes)) => {
                    if let Some(stream) = &life.stream {
                        stream.send(bytes);
                    }
                }
                Some(Wish::Close) => life.stream = None,
            }
        }
        let (machine, mesh, meter) = (&self.machine, life.mesh, &mut life.meter);
        self.view.send_if_modified(|view| {
            let before = view.clone();
            view.look(machine, mesh, meter);
            *view != before
        });
        None
    }

    fn show(&self, change: impl FnOnce(&mut NodeView)) {
        self.view.send_modify(change);
    }

    fn now(&self) -> rootcast_node::Instant {
        rootcast_node::Instant(self.begin.elapsed().as_millis() as u64)
    }

    fn draw(&mut self, span: Span) -> Duration {
        Duration::from_millis(self.random.between(span.0.into(), span.1.into()))
    }
}

fn tell_broker(life: &Life, what: ToBroker) {
    if let Some(mqtt) = &life.mqtt {
        mqtt.tell(what);
    }
}

async fn next_mqtt(mqtt: &mut Option<Mqtt>) -> MqttEvent {
    match mqtt {
        Some(mqtt) => mqtt.next().await,
        None => std::future::pending().await,
    }
}

async fn next_stream(stream: &mut Option<Stream>) -> StreamEvent {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
