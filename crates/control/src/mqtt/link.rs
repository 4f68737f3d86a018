//! A connection to a broker that comes back by itself, with its subscriptions.

use super::endpoint::Endpoint;
use super::error::BrokerError;
use super::tls::{Objection, Trust, objection, tls_config};
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use mqtt5::{
    ConnectOptions, ConnectionEvent, Message, MqttClient, MqttError, ProtocolVersion, PublishOptions, QoS,
    SubscribeOptions,
};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long a connection may take, name look-up and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the broker may take to acknowledge a message.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the broker is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long saying goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// Pauses between attempts to come back: doubling from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Events that a reader may fall behind by.
pub const BACKLOG: usize = 16_384;
/// The longest payload that is handed on, in bytes; no message of a node is longer.
const MAX_PAYLOAD_BYTES: usize = 8_192;

/// What happens on a link.
#[derive(Debug)]
pub enum Event {
    /// A message on a subscribed topic.
    Message {
        /// Where it was published.
        topic: String,
        /// What.
        payload: Vec<u8>,
        /// Whether the broker kept it from before we subscribed.
        retained: bool,
    },
    /// A message whose payload is longer than any of a node is: it is not handed on.
    Oversized {
        /// Where it was published.
        topic: String,
    },
    /// The connection is gone; it comes back by itself.
    Lost,
    /// The connection is back, with its subscriptions.
    Back,
}

/// An event, and when it came: it may have waited since.
#[derive(Debug)]
pub struct Received {
    /// When it came.
    pub at: Instant,
    /// What.
    pub event: Event,
}

impl Received {
    /// An event that comes now.
    pub fn now(event: Event) -> Self {
        Self { at: Instant::now(), event }
    }
}

/// Where a connection's events go.
#[derive(Clone)]
pub struct Sink {
    /// To the reader. A message that finds no room is dropped: a flood must not fill the memory.
    pub events: Sender<Received>,
    /// Messages that were dropped.
    pub dropped: Arc<AtomicU64>,
}

/// A connection to a broker whose events go to a [`Sink`]. Dropping it ends it.
pub struct Connection {
    /// The client of the connection that stands, or stood last.
    client: watch::Receiver<MqttClient>,
    keeper: JoinHandle<()>,
}

impl Connection {
    /// Connects and subscribes.
    pub async fn open(
        address: &Endpoint,
        trust: &Trust,
        filters: &[String],
        sink: Sink,
    ) -> Result<Self, BrokerError> {
        let (address, trust, filters) = (address.clone(), trust.clone(), filters.to_vec());
        let wanted = Wanted { address, trust, filters, sink };
        let (client, lost) = wanted.connect().await?;
        let (current, client) = watch::channel(client);
        let keeper = tokio::spawn(wanted.keep(current, lost));
        Ok(Self { client, keeper })
    }

    /// A means of publishing that lives apart from the connection.
    pub fn publisher(&self) -> Publisher {
        Publisher { client: self.client.clone() }
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.keeper.abort();
        let client = self.client.borrow().clone();
        // Whether the broker still hears it makes no difference.
        let _ = timeout(GOODBYE_TIMEOUT, client.disconnect()).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// A connection to a broker, and a reader of its events. Dropping it ends it.
pub struct Link {
    connection: Connection,
    events: Receiver<Received>,
}

impl Link {
    /// Connects and subscribes.
    pub async fn open(address: &Endpoint, trust: &Trust, filters: &[String]) -> Result<Self, BrokerError> {
        let (sender, events) = channel(BACKLOG);
        let sink = Sink { events: sender, dropped: Arc::default() };
        Ok(Self { connection: Connection::open(address, trust, filters, sink).await?, events })
    }

    /// Publishes, QoS 1, and waits until the broker has the message.
    pub async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), BrokerError> {
        self.publisher().publish(topic, payload).await
    }

    /// The next event. Waits for ever on a silent broker; may be cancelled.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(received) => received.event,
            // The keeper holds the sender for as long as the link lives.
            None => std::future::pending().await,
        }
    }

    /// A means of publishing that lives apart from the link's reader.
    pub fn publisher(&self) -> Publisher {
        self.connection.publisher()
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

/// Publishes over a link's connection.
#[derive(Clone)]
pub struct Publisher {
    client: watch::Receiver<MqttClient>,
}

impl Publisher {
    /// Publishes, QoS 1, and waits until the broker has the message.
    pub async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), BrokerError> {
        self.send(topic, payload, false).await
    }

    /// As [`Publisher::publish`]; the broker keeps it for those who subscribe later.
    pub async fn publish_retained(&self, topic: &str, payload: &[u8]) -> Result<(), BrokerError> {
        self.send(topic, payload, true).await
    }

    async fn send(&self, topic: &str, payload: &[u8], retain: bool) -> Result<(), BrokerError> {
        let client = self.client.borrow().clone();
        let options = PublishOptions { qos: QoS::AtLeastOnce, retain, ..PublishOptions::default() };
        match timeout(ACKNOWLEDGE_TIMEOUT, client.publish_with_options(topic, payload, options)).await {
            Err(_) => Err(BrokerError::Timeout(ACKNOWLEDGE_TIMEOUT)),
            Ok(Err(MqttError::PublishFailed(_))) => {
                Err(BrokerError::Denied(format!("publishing to {topic}")))
            }
            Ok(Err(error)) => Err(BrokerError::Protocol(error.to_string())),
            Ok(Ok(_)) => Ok(()),
        }
    }
}

/// The connection that is to stand.
struct Wanted {
    address: Endpoint,
    trust: Trust,
    filters: Vec<String>,
    sink: Sink,
}

impl Wanted {
    /// Whenever the connection is lost, makes it anew.
    async fn keep(self, current: watch::Sender<MqttClient>, mut lost: oneshot::Receiver<()>) {
        loop {
            // An error means that the client is gone, and the connection with it.
            let _ = lost.await;
            let _ = self.sink.events.send(Received::now(Event::Lost)).await;
            let (mut pause, longest) = PAUSES;
            lost = loop {
                sleep(pause).await;
                pause = (pause * 2).min(longest);
                if let Ok((client, lost)) = self.connect().await {
                    current.send_replace(client);
                    break lost;
                }
            };
            let _ = self.sink.events.send(Received::now(Event::Back)).await;
        }
    }

    /// Connects by MQTT 5, or 3.1.1 if the broker does not speak it, and subscribes.
    async fn connect(&self) -> Result<(MqttClient, oneshot::Receiver<()>), BrokerError> {
        let place = self.reach().await?;
        let connected = match self.connect_by(ProtocolVersion::V5, place).await {
            Err(BrokerError::Protocol(_)) => self.connect_by(ProtocolVersion::V311, place).await?,
            other => other?,
        };
        self.subscribe(&connected.0).await?;
        Ok(connected)
    }

    /// Finds an address of the broker that takes connections.
    async fn reach(&self) -> Result<SocketAddr, BrokerError> {
        let Endpoint { host, port, .. } = &self.address;
        let reach = async {
            let places = lookup_host((host.as_str(), *port)).await.map_err(BrokerError::Name)?;
            let mut failure = io::Error::from(io::ErrorKind::NotFound);
            for place in places {
                match TcpStream::connect(place).await {
                    Ok(_) => return Ok(place),
                    Err(error) => failure = error,
                }
            }
            Err(BrokerError::Connect(failure))
        };
        timeout(CONNECT_TIMEOUT, reach).await.unwrap_or(Err(BrokerError::Timeout(CONNECT_TIMEOUT)))
    }

    async fn connect_by(
        &self,
        version: ProtocolVersion,
        place: SocketAddr,
    ) -> Result<(MqttClient, oneshot::Receiver<()>), BrokerError> {
        let mut options = ConnectOptions::new(client_id())
            .with_clean_start(true)
            .with_keep_alive(KEEP_ALIVE)
            .with_automatic_reconnect(false)
            .with_protocol_version(version);
        if let Some((user, password)) = &self.address.login {
            options = options.with_credentials(user, password);
        }
        let client = MqttClient::with_options(options.clone());
        let (sender, lost) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let notice = move |event| {
            if let ConnectionEvent::Disconnected { .. } = event
                && let Some(sender) = sender.lock().ok().and_then(|mut sender| sender.take())
            {
                let _ = sender.send(());
            }
        };
        client.on_connection_event(notice).await.map_err(|error| BrokerError::Protocol(error.to_string()))?;
        let connecting = async {
            if self.address.tls {
                client
                    .connect_with_tls_and_options(tls_config(&self.address, &self.trust, place), options)
                    .await
            } else {
                client.connect_with_options(&format!("mqtt://{place}"), options).await
            }
        };
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Err(_) => Err(BrokerError::Timeout(CONNECT_TIMEOUT)),
            Ok(Err(error)) => Err(self.refusal(error, place).await),
            Ok(Ok(_)) => Ok((client, lost)),
        }
    }

    async fn refusal(&self, error: MqttError, place: SocketAddr) -> BrokerError {
        match error {
            MqttError::ConnectionRefused(
                ReasonCode::BadUsernameOrPassword | ReasonCode::NotAuthorized | ReasonCode::Banned,
            )
            | MqttError::AuthenticationFailed
            | MqttError::NotAuthorized
            | MqttError::BadUsernameOrPassword => BrokerError::Login,
            MqttError::ConnectionRefused(_) => BrokerError::Protocol(error.to_string()),
            other if self.address.tls => match objection(&self.address, &self.trust, place).await {
                Some(Objection::Missing) => BrokerError::CertificateWanted,
                Some(Objection::To(reason)) => BrokerError::CertificateRefused(reason),
                None => tls_failure(other),
            },
            other => BrokerError::Protocol(other.to_string()),
        }
    }

    async fn subscribe(&self, client: &MqttClient) -> Result<(), BrokerError> {
        for filter in &self.filters {
            let Sink { events, dropped } = self.sink.clone();
            let options = SubscribeOptions { qos: QoS::AtLeastOnce, ..SubscribeOptions::default() };
            let hear = move |message: Message| {
                let (topic, payload, retained) = (message.topic, message.payload, message.retain);
                let event = match payload.len() > MAX_PAYLOAD_BYTES {
                    true => Event::Oversized { topic },
                    false => Event::Message { topic, payload, retained },
                };
                if events.try_send(Received::now(event)).is_err() {
                    dropped.fetch_add(1, Relaxed);
                }
            };
            let subscribed = client.subscribe_with_options(filter.as_str(), options, hear);
            match timeout(ACKNOWLEDGE_TIMEOUT, subscribed).await {
                Err(_) => return Err(BrokerError::Timeout(ACKNOWLEDGE_TIMEOUT)),
                Ok(Err(MqttError::SubscriptionFailed(_) | MqttError::SubscriptionDenied(_))) => {
                    return Err(BrokerError::Denied(format!("subscribing to {filter}")));
                }
                Ok(Err(error)) => return Err(BrokerError::Protocol(error.to_string())),
                Ok(Ok(_)) => {}
            }
        }
        Ok(())
    }
}

/// What the client says of a connection with TLS that failed.
fn tls_failure(error: MqttError) -> BrokerError {
    match error {
        MqttError::ConnectionError(text) | MqttError::Io(text) => {
            // The client puts its own words before rustls's.
            let cause = text.rsplit_once("failed: ").map_or(text.as_str(), |(_, cause)| cause);
            BrokerError::Tls(cause.to_string())
        }
        other => BrokerError::Protocol(other.to_string()),
    }
}

/// A name that no other client has: a broker cuts off the older of two of one name.
fn client_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("rootcast-{:x}-{:x}", std::process::id(), now.as_nanos() as u64)
}
