//! One test client over rumqttc, in both protocol versions.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5 as five;
use rumqttc::{Transport, v5};
use tokio::sync::mpsc;

/// How long a test waits for what must come. Long, because a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(30);

static NEXT_ID: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V311,
    V5,
}

pub const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

/// What a client connects with; `Default` is an anonymous one with a fresh id and a clean session.
#[derive(Clone, Default)]
pub struct Options {
    pub id: Option<String>,
    pub login: Option<(&'static str, &'static str)>,
    /// Topic, payload, retained.
    pub will: Option<(&'static str, &'static str, bool)>,
    pub keep_session: bool,
    pub tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub qos: u8,
    pub retained: bool,
}

#[derive(Debug)]
enum Event {
    Connected,
    Message(Message),
    Subscribed {
        granted: bool,
    },
    /// The broker has taken a QoS 1 or 2 message (or said that it will not).
    Taken,
    Closed(String),
}

enum Sender {
    V311(rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

pub struct Client {
    sender: Sender,
    events: mpsc::UnboundedReceiver<Event>,
    task: tokio::task::JoinHandle<()>,
}

impl Client {
    /// Connects, or says why the broker refused.
    pub async fn try_connect(port: u16, version: Version, options: Options) -> Result<Client, String> {
        let (events_in, events) = mpsc::unbounded_channel();
        let (sender, task) = match version {
            Version::V311 => start_v311(port, options, events_in),
            Version::V5 => start_v5(port, options, events_in),
        };
        let mut client = Client { sender, events, task };
        match client.next_event().await {
            Event::Connected => Ok(client),
            Event::Closed(reason) => Err(reason),
            other => panic!("expected CONNACK first, got {other:?}"),
        }
    }

    pub async fn connect(port: u16, version: Version, options: Options) -> Client {
        Self::try_connect(port, version, options).await.expect("the broker accepts the connection")
    }

    pub async fn anonymous(port: u16, version: Version) -> Client {
        Self::connect(port, version, Options::default()).await
    }

    /// Subscribes and waits for the answer; tells whether the broker granted it.
    pub async fn subscribe(&mut self, filter: &str, qos: u8) -> bool {
        match &self.sender {
            Sender::V311(client) => client.subscribe(filter, qos_v311(qos)).await.unwrap(),
            Sender::V5(client) => client.subscribe(filter, qos_v5(qos)).await.unwrap(),
        }
        loop {
            match self.next_event().await {
                Event::Subscribed { granted } => return granted,
                Event::Message(_) | Event::Taken => {}
                other => panic!("expected SUBACK, got {other:?}"),
            }
        }
    }

    /// Subscribes with QoS 1 and leaves the answer and what comes with it to [`Client::message`].
    pub async fn subscribe_only(&mut self, filter: &str) {
        match &self.sender {
            Sender::V311(client) => client.subscribe(filter, qos_v311(1)).await.unwrap(),
            Sender::V5(client) => client.subscribe(filter, qos_v5(1)).await.unwrap(),
        }
    }

    /// Publishes; with QoS 1 or 2 waits until the broker has taken the message.
    pub async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>, qos: u8, retain: bool) {
        let payload = payload.into();
        match &self.sender {
            Sender::V311(client) => client.publish(topic, qos_v311(qos), retain, payload).await.unwrap(),
            Sender::V5(client) => client.publish(topic, qos_v5(qos), retain, payload).await.unwrap(),
        }
        while qos > 0 && !matches!(self.next_event().await, Event::Taken) {}
    }

    /// The next message; panics when the connection ends or nothing comes.
    pub async fn message(&mut self) -> Message {
        loop {
            match self.next_event().await {
                Event::Message(message) => return message,
                Event::Closed(reason) => panic!("waiting for a message, the connection ended: {reason}"),
                _ => {}
            }
        }
    }

    /// Waits until the broker ends the connection.
    pub async fn closed(&mut self) {
        while !matches!(self.next_event().await, Event::Closed(_)) {}
    }

    /// Says goodbye (DISCONNECT) and waits until the connection is gone.
    pub async fn goodbye(mut self) {
        match &self.sender {
            Sender::V311(client) => client.disconnect().await.unwrap(),
            Sender::V5(client) => client.disconnect().await.unwrap(),
        }
        self.closed().await;
    }

    /// Lets the connection break without a goodbye.
    pub fn vanish(self) {}

    async fn next_event(&mut self) -> Event {
        match tokio::time::timeout(PATIENCE, self.events.recv()).await {
            Ok(Some(event)) => event,
            Ok(None) => Event::Closed("the client's task ended".into()),
            Err(_) => panic!("nothing came from the broker within {PATIENCE:?}"),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The event loop owns the socket: ending it breaks the connection without a DISCONNECT.
        self.task.abort();
    }
}

fn id(options: &Options) -> String {
    let fresh = || format!("test-{}-{}", std::process::id(), NEXT_ID.fetch_add(1, Ordering::Relaxed));
    options.id.clone().unwrap_or_else(fresh)
}

/// `localhost` where a certificate is checked against the name, else the address.
fn host(options: &Options) -> &'static str {
    if options.tls.is_some() { "localhost" } else { "127.0.0.1" }
}

fn start_v311(
    port: u16,
    options: Options,
    events: mpsc::UnboundedSender<Event>,
) -> (Sender, tokio::task::JoinHandle<()>) {
    let mut mqtt = rumqttc::MqttOptions::new(id(&options), host(&options), port);
    mqtt.set_max_packet_size(1 << 20, 1 << 20).set_clean_session(!options.keep_session);
    if let Some((user, password)) = options.login {
        mqtt.set_credentials(user, password);
    }
    if let Some((topic, payload, retain)) = options.will {
        mqtt.set_last_will(rumqttc::LastWill::new(topic, payload, rumqttc::QoS::AtLeastOnce, retain));
    }
    if let Some(tls) = options.tls {
        mqtt.set_transport(Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(tls)));
    }
    let (client, mut eventloop) = rumqttc::AsyncClient::new(mqtt, 64);
    eventloop.set_network_options(without_delay());
    let task = tokio::spawn(async move {
        use rumqttc::{Event as E, Packet as P, SubscribeReasonCode as Code};
        loop {
            let event = match eventloop.poll().await {
                Ok(E::Incoming(P::ConnAck(_))) => Event::Connected,
                Ok(E::Incoming(P::Publish(p))) => Event::Message(Message {
                    topic: p.topic,
                    payload: String::from_utf8_lossy(&p.payload).into_owned(),
                    qos: p.qos as u8,
                    retained: p.retain,
                }),
                Ok(E::Incoming(P::SubAck(ack))) => Event::Subscribed {
                    granted: ack.return_codes.iter().all(|code| matches!(code, Code::Success(_))),
                },
                Ok(E::Incoming(P::PubAck(_) | P::PubComp(_))) => Event::Taken,
                Ok(_) => continue,
                Err(error) => {
                    let _ = events.send(Event::Closed(error.to_string()));
                    return;
                }
            };
            if events.send(event).is_err() {
                return;
            }
        }
    });
    (Sender::V311(client), task)
}

fn start_v5(
    port: u16,
    options: Options,
    events: mpsc::UnboundedSender<Event>,
) -> (Sender, tokio::task::JoinHandle<()>) {
    let mut mqtt = v5::MqttOptions::new(id(&options), host(&options), port);
    mqtt.set_max_packet_size(Some(1 << 20)).set_clean_start(!options.keep_session);
    if options.keep_session {
        mqtt.set_session_expiry_interval(Some(600));
    }
    if let Some((user, password)) = options.login {
        mqtt.set_credentials(user, password);
    }
    if let Some((topic, payload, retain)) = options.will {
        let qos = v5::mqttbytes::QoS::AtLeastOnce;
        mqtt.set_last_will(five::LastWill::new(topic, payload, qos, retain, None));
    }
    if let Some(tls) = options.tls {
        mqtt.set_transport(Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(tls)));
    }
    mqtt.set_network_options(without_delay());
    let (client, mut eventloop) = v5::AsyncClient::new(mqtt, 64);
    let task = tokio::spawn(async move {
        use five::{Packet as P, SubscribeReasonCode as Code};
        use v5::Event as E;
        loop {
            let event = match eventloop.poll().await {
                Ok(E::Incoming(P::ConnAck(_))) => Event::Connected,
                Ok(E::Incoming(P::Publish(p))) => Event::Message(Message {
                    topic: String::from_utf8_lossy(&p.topic).into_owned(),
                    payload: String::from_utf8_lossy(&p.payload).into_owned(),
                    qos: p.qos as u8,
                    retained: p.retain,
                }),
                Ok(E::Incoming(P::SubAck(ack))) => Event::Subscribed {
                    granted: ack.return_codes.iter().all(|code| matches!(code, Code::Success(_))),
                },
                Ok(E::Incoming(P::PubAck(_) | P::PubComp(_))) => Event::Taken,
                Ok(_) => continue,
                Err(error) => {
                    let _ = events.send(Event::Closed(error.to_string()));
                    return;
                }
            };
            if events.send(event).is_err() {
                return;
            }
        }
    });
    (Sender::V5(client), task)
}

/// Small packets leave at once instead of waiting for the answer to the one before.
fn without_delay() -> rumqttc::NetworkOptions {
    let mut options = rumqttc::NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options
}

fn qos_v311(qos: u8) -> rumqttc::QoS {
    [rumqttc::QoS::AtMostOnce, rumqttc::QoS::AtLeastOnce, rumqttc::QoS::ExactlyOnce][usize::from(qos)]
}

fn qos_v5(qos: u8) -> v5::mqttbytes::QoS {
    use v5::mqttbytes::QoS;
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)]
}
