//! A connection to a broker that comes back by itself.
//!
//! What is published with QoS 1 is kept until the broker has acknowledged it, over lost connections and restarts of
//! the broker, in order. A reset of the node drops the connection without a word, so that the broker publishes its
//! last will.

use super::super::{NodeOptions, Trust};
use super::BrokerAddress;
use super::packet::{self, Incoming, Introduction, Message, Reader};
use crate::random::Random;
use rootcast_node::Settings;
use rootcast_wire::status::{Dialect, Presence};
use rustls_pki_types::ServerName;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;

/// How often the broker is asked whether it is still there; after half as long again of silence it is not.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long the broker may take to let us in, name look-up and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest pause before the next attempt to connect, in milliseconds.
const PAUSE_MS: (u64, u64) = (250, 15_000);
/// Messages that may wait for their acknowledgement at once.
const WINDOW: usize = 20;

/// What comes from the broker.
#[derive(Debug)]
pub(in super::super) enum MqttEvent {
    Connected,
    /// The connection is gone, or could not be made, for this reason.
    Disconnected(String),
    Message {
        topic: String,
        payload: Vec<u8>,
    },
}

/// What goes to the broker.
#[derive(Debug)]
pub(in super::super) enum ToBroker {
    Subscribe(String),
    Publish(Message),
}

/// A connection that is made, and made anew, until this is dropped.
#[derive(Debug)]
pub(in super::super) struct Mqtt {
    to_broker: mpsc::UnboundedSender<ToBroker>,
    events: mpsc::UnboundedReceiver<MqttEvent>,
    task: JoinHandle<()>,
}

impl Mqtt {
    /// Connects as the root with these settings.
    pub(in super::super) fn open(
        address: &BrokerAddress,
        settings: &Settings,
        options: &NodeOptions,
    ) -> Self {
        let mut will = String::new();
        // Writing to a String does not fail.
        let _ = Presence::last_will(settings.id, Dialect::Rootcast).write_json(&mut will);
        let will = Message {
            topic: settings.topics.root_state().as_str().to_owned(),
            payload: will.into_bytes(),
            acknowledged: true,
            retain: true,
        };
        // Unbounded: what a root says is bounded by its mesh, what a broker says by the core's one subscription.
        let (to_broker, said) = mpsc::unbounded_channel();
        let (to_node, events) = mpsc::unbounded_channel();
        let client = Client {
            address: address.clone(),
            trust: options.broker_trust.clone(),
            clock_ahead_s: options.clock_ahead_s,
            introduction: Introduction {
                client_id: format!("rootcast-{:012x}", settings.id.0),
                keep_alive_s: KEEP_ALIVE.as_secs() as u16,
                will,
                login: address.login.clone(),
            },
            said,
            to_node,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            last_id: 0,
        };
        let random = Random::new(options.seed ^ settings.id.0);
        Self { to_broker, events, task: tokio::spawn(client.run(random)) }
    }

    pub(in super::super) fn tell(&self, what: ToBroker) {
        let _ = self.to_broker.send(what);
    }

    pub(in super::super) async fn next(&mut self) -> MqttEvent {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

struct Client {
    address: BrokerAddress,
    trust: Trust,
    clock_ahead_s: i64,
    introduction: Introduction,
    said: mpsc::UnboundedReceiver<ToBroker>,
    to_node: mpsc::UnboundedSender<MqttEvent>,
    /// Not sent over this connection yet.
    waiting: VecDeque<Message>,
    /// Sent, not acknowledged.
    sent: VecDeque<(u16, Message)>,
    last_id: u16,
}

/// A connection that the broker has taken.
struct Link {
    read: ReadHalf<Box<dyn Transport>>,
    write: WriteHalf<Box<dyn Transport>>,
    reader: Reader,
}

impl Client {
    async fn run(mut self, mut random: Random) {
        let mut failures = 0u32;
        loop {
            let reason = match timeout(CONNECT_TIMEOUT, self.connect()).await {
                Ok(Ok(link)) => {
                    failures = 0;
                    if self.to_node.send(MqttEvent::Connected).is_err() {
                        return;
                    }
                    match self.talk(link).await {
                        Ok(()) => return,
                        Err(error) => error.to_string(),
                    }
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} seconds", CONNECT_TIMEOUT.as_secs()),
            };
            failures += 1;
            let _ = self.to_node.send(MqttEvent::Disconnected(reason));
            // The clean session of the next connection knows nothing of what was sent: again, in order.
            self.sent.drain(..).rev().for_each(|(_, message)| self.waiting.push_front(message));
            let longest = (PAUSE_MS.0 << (failures - 1).min(10)).min(PAUSE_MS.1);
            sleep(Duration::from_millis(random.between(longest / 2, longest))).await;
        }
    }

    async fn connect(&self) -> io::Result<Link> {
        let BrokerAddress { host, port, tls, .. } = &self.address;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        tcp.set_nodelay(true)?;
        let transport: Box<dyn Transport> = if *tls {
            let (config, judge) = self.trust.client(self.clock_ahead_s).map_err(io::Error::other)?;
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let shaken = TlsConnector::from(config).connect(name, tcp).await;
            Box::new(
                shaken
                    .map_err(|error| judge.refusal().map_or(error, |code| io::Error::other(code.name())))?,
            )
        } else {
            Box::new(tcp)
        };
        let (read, mut write) = split(transport);
        write.write_all(&packet::connect(&self.introduction)).await?;
        write.flush().await?;
        let mut link = Link { read, write, reader: Reader::default() };
        match link.receive().await?.first() {
            Some(Incoming::Connected(0)) => Ok(link),
            Some(Incoming::Connected(code)) => Err(io::Error::other(refusal(*code))),
            _ => Err(io::Error::other("the broker does not answer as one")),
        }
    }

    /// Until the connection is lost (an error), or nobody needs it any more.
    async fn talk(&mut self, mut link: Link) -> io::Result<()> {
        let mut heard = Instant::now();
        let mut ping = Instant::now() + KEEP_ALIVE / 2;
        loop {
            self.send(&mut link).await?;
            tokio::select! {
                packets = link.receive() => {
                    heard = Instant::now();
                    for packet in packets? {
                        self.on_packet(packet, &mut link).await?;
                    }
                }
                what = self.said.recv() => match what {
                    Some(ToBroker::Subscribe(topic)) => {
                        let id = self.next_id();
                        link.write.write_all(&packet::subscribe(id, &topic)).await?;
                    }
                    Some(ToBroker::Publish(message)) => self.waiting.push_back(message),
                    None => return Ok(()),
                },
                () = sleep_until(ping) => {
                    if heard.elapsed() > KEEP_ALIVE + KEEP_ALIVE / 2 {
                        return Err(io::Error::other("the broker has fallen silent"));
                    }
                    link.write.write_all(&packet::PINGREQ).await?;
                    ping = Instant::now() + KEEP_ALIVE / 2;
                }
            }
        }
    }

    async fn send(&mut self, link: &mut Link) -> io::Result<()> {
        while self.sent.len() < WINDOW {
            let Some(message) = self.waiting.pop_front() else { break };
            let id = self.next_id();
            let bytes = packet::publish(id, &message);
            // Noted before it is written: a connection that breaks in the middle must not lose it.
            if message.acknowledged {
                self.sent.push_back((id, message));
            }
            link.write.write_all(&bytes).await?;
        }
        link.write.flush().await
    }

    async fn on_packet(&mut self, packet: Incoming, link: &mut Link) -> io::Result<()> {
        match packet {
            Incoming::Message { topic, payload, id } => {
                let _ = self.to_node.send(MqttEvent::Message { topic, payload });
                if let Some(id) = id {
                    link.write.write_all(&packet::acknowledge(id)).await?;
                }
            }
            Incoming::Acknowledged(id) => self.sent.retain(|(sent, _)| *sent != id),
            Incoming::Subscribed(true) | Incoming::Alive => {}
            Incoming::Subscribed(false) => {
                return Err(io::Error::other("the broker does not allow the subscription"));
            }
            Incoming::Connected(_) => return Err(io::Error::other("the broker does not answer as one")),
        }
        Ok(())
    }

    /// An id that no message on its way has; never 0.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.sent.iter().all(|(id, _)| *id != self.last_id) {
                return self.last_id;
            }
        }
    }
}

impl Link {
    /// At least one packet. Nothing is lost if this is dropped while it waits.
    async fn receive(&mut self) -> io::Result<Vec<Incoming>> {
        let mut buffer = [0; 4096];
        loop {
            let count = self.read.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let packets = self.reader.read(buffer.get(..count).unwrap_or(&[]));
            let packets = packets.map_err(|_| io::Error::other("the broker does not speak MQTT 3.1.1"))?;
            if !packets.is_empty() {
                return Ok(packets);
            }
        }
    }
}

/// What a CONNACK return code means (MQTT 3.1.1 §3.2.2.3).
const fn refusal(code: u8) -> &'static str {
    match code {
        1 => "the broker does not speak MQTT 3.1.1",
        2 => "the broker does not accept the client's name",
        3 => "the broker is not available",
        4 => "the broker refuses user or password",
        5 => "the broker does not let this user in",
        _ => "the broker refuses the connection",
    }
}
