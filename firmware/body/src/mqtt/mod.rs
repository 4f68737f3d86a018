//! An MQTT 3.1.1 client, sans-IO: bytes and time in, bytes and events out. Only what a root needs: one connection, a
//! last will, subscriptions and messages of QoS 0 and 1.
//!
//! ```text
//!            open()             CONNACK 0
//!  Offline ─────────▶ Opening ─────────────▶ Online ──▶ Offline    on closed(), on silence, on a refusal
//! ```
//!
//! The session is kept by the broker (clean session off): a trigger that is published while the root restarts waits for
//! it. Messages of QoS 1 that were not acknowledged are sent again after a reconnection.

mod packet;

pub use packet::MAX_PACKET_BYTES;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use packet::{Packet, Parser};
use rootcast_node::Instant;

/// How long the broker waits before it calls a silent root gone is one and a half times this, in seconds.
const KEEP_ALIVE_S: u16 = 30;
/// How long an answer may take, in milliseconds.
const PATIENCE_MS: u64 = 15_000;
/// Messages of QoS 1 on their way at the same time.
const MAX_IN_FLIGHT: usize = 8;

/// Who connects, and what is to be said when the connection is lost.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The client's id.
    pub client_id: String,
    /// User name; empty for none.
    pub user: String,
    /// Password.
    pub password: String,
    /// Topic of the last will.
    pub will_topic: String,
    /// The last will, retained.
    pub will: Vec<u8>,
}

/// What the broker has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker has taken the connection.
    Connected,
    /// It refused, with the return code of CONNACK (5: not authorised).
    Refused(u8),
    /// A message. One that is longer than the buffer ends where the buffer does.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// The connection is of no use any more and is to be closed.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Offline,
    Opening { since: Instant },
    Online,
}

struct InFlight {
    id: u16,
    packet: Vec<u8>,
}

/// The client.
pub struct Client {
    identity: Identity,
    phase: Phase,
    parser: Parser,
    outgoing: Vec<u8>,
    in_flight: VecDeque<InFlight>,
    next_id: u16,
    heard: Instant,
    sent: Instant,
    pinged: bool,
}

impl Client {
    /// A client that is offline.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            phase: Phase::Offline,
            parser: Parser::default(),
            outgoing: Vec::new(),
            in_flight: VecDeque::new(),
            next_id: 0,
            heard: Instant(0),
            sent: Instant(0),
            pinged: false,
        }
    }

    /// The transport stands: introduces itself.
    pub fn open(&mut self, now: Instant) {
        self.phase = Phase::Opening { since: now };
        self.parser = Parser::default();
        self.outgoing = packet::connect(&self.identity, KEEP_ALIVE_S);
        (self.heard, self.sent, self.pinged) = (now, now, false);
    }

    /// The transport is gone.
    pub fn closed(&mut self) {
        self.phase = Phase::Offline;
        self.outgoing.clear();
    }

    /// Whether messages reach the broker.
    pub fn is_online(&self) -> bool {
        self.phase == Phase::Online
    }

    /// Whether another message may be published.
    pub fn has_room(&self) -> bool {
        self.in_flight.len() < MAX_IN_FLIGHT && self.outgoing.len() < 8 * 1024
    }

    /// Whether everything that was published has reached the broker.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.outgoing.is_empty()
    }

    /// Subscribes to a topic with QoS 1.
    pub fn subscribe(&mut self, topic: &str) {
        let id = self.take_id();
        self.outgoing.extend_from_slice(&packet::subscribe(id, topic));
    }

    /// Publishes a message with QoS 0 or 1.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) {
        if qos == 0 {
            self.outgoing.extend_from_slice(&packet::publish(None, topic, payload, retain));
            return;
        }
        let id = self.take_id();
        let packet = packet::publish(Some(id), topic, payload, retain);
        self.outgoing.extend_from_slice(&packet);
        self.in_flight.push_back(InFlight { id, packet });
    }

    fn take_id(&mut self) -> u16 {
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        self.next_id
    }

    /// Bytes for the transport, at most `most`.
    pub fn take_outgoing(&mut self, now: Instant, most: usize) -> Vec<u8> {
        let count = most.min(self.outgoing.len());
        if count > 0 {
            self.sent = now;
        }
        self.outgoing.drain(..count).collect()
    }

    /// Whether bytes wait for the transport.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Bytes from the transport. Every event is handed to `tell`.
    pub fn received(&mut self, now: Instant, mut bytes: &[u8], tell: &mut dyn FnMut(Event)) {
        self.heard = now;
        self.pinged = false;
        while !bytes.is_empty() {
            let (used, packet) = self.parser.push(bytes);
            bytes = bytes.get(used..).unwrap_or(&[]);
            match packet {
                None => {}
                Some(Ok(packet)) => self.on_packet(packet, tell),
                Some(Err(packet::Malformed)) => {
                    tell(Event::Broken);
                    return;
                }
            }
        }
    }

    fn on_packet(&mut self, packet: Packet, tell: &mut dyn FnMut(Event)) {
        match packet {
            Packet::ConnAck { code: 0 } => {
                self.phase = Phase::Online;
                for waiting in &mut self.in_flight {
                    packet::mark_duplicate(&mut waiting.packet);
                    self.outgoing.extend_from_slice(&waiting.packet);
                }
                tell(Event::Connected);
            }
            Packet::ConnAck { code } => {
                tell(Event::Refused(code));
                tell(Event::Broken);
            }
            Packet::Publish { id, topic, payload } => {
                if let Some(id) = id {
                    self.outgoing.extend_from_slice(&packet::puback(id));
                }
                tell(Event::Message { topic, payload });
            }
            Packet::PubAck { id } => self.in_flight.retain(|waiting| waiting.id != id),
            Packet::Other => {}
        }
    }

    /// Time has passed: `true` when the broker is silent for too long and the connection is to be closed.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::Offline => false,
            Phase::Opening { since } => now.since(since) >= PATIENCE_MS,
            Phase::Online => {
                let quiet = u64::from(KEEP_ALIVE_S) * 500;
                if !self.pinged && (now.since(self.sent) >= quiet || now.since(self.heard) >= quiet) {
                    self.outgoing.extend_from_slice(&packet::PINGREQ);
                    self.pinged = true;
                    // The answer is awaited from here on.
                    self.heard = now;
                }
                self.pinged && now.since(self.heard) >= PATIENCE_MS
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(client: &mut Client, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        client.received(Instant(0), bytes, &mut |event| events.push(event));
        events
    }

    fn online() -> Client {
        let mut client = Client::new(Identity { client_id: "c".into(), ..Identity::default() });
        client.open(Instant(0));
        client.take_outgoing(Instant(0), 1000);
        assert_eq!(events(&mut client, &[0x20, 2, 0, 0]), [Event::Connected]);
        client
    }

    #[test]
    fn a_connect_packet_is_that_of_the_standard() {
        let mut client = Client::new(Identity {
            client_id: "ab".into(),
            user: "u".into(),
            password: "pw".into(),
            will_topic: "w".into(),
            will: b"x".to_vec(),
        });
        client.open(Instant(0));
        assert_eq!(
            client.take_outgoing(Instant(0), 1000),
            b"\x10\x1b\0\x04MQTT\x04\xec\0\x1e\0\x02ab\0\x01w\0\x01x\0\x01u\0\x02pw"
        );
    }

    #[test]
    fn a_message_comes_in_whatever_pieces_it_arrives() {
        let packet = b"\x32\x0d\0\x03a/b\x12\x34hello!";
        for cut in 0..packet.len() {
            let mut client = online();
            let mut got = events(&mut client, &packet[..cut]);
            got.extend(events(&mut client, &packet[cut..]));
            assert_eq!(got, [Event::Message { topic: "a/b".into(), payload: b"hello!".to_vec() }]);
            assert_eq!(client.take_outgoing(Instant(0), 100), [0x40, 2, 0x12, 0x34]);
        }
    }

    #[test]
    fn an_unacknowledged_message_is_sent_again_after_a_reconnection() {
        let mut client = online();
        client.publish("t", b"m", 1, false);
        let first = client.take_outgoing(Instant(0), 100);
        client.closed();
        client.open(Instant(1));
        client.take_outgoing(Instant(1), 1000);
        events(&mut client, &[0x20, 2, 1, 0]);
        let again = client.take_outgoing(Instant(1), 100);
        assert_eq!((first[0], again[0], &first[1..]), (0x32, 0x3A, &again[1..]));
        events(&mut client, &[0x40, 2, 0, 1]);
        assert!(client.is_idle());
    }

    #[test]
    fn a_message_too_long_for_the_buffer_is_cut_and_the_next_one_is_whole() {
        let mut client = online();
        let length = 1_000_000usize;
        let mut packet = Vec::from([0x30]);
        let mut rest = length + 3;
        while rest > 0 {
            let more = if rest > 127 { 0x80 } else { 0 };
            packet.push((rest % 128) as u8 | more);
            rest /= 128;
        }
        packet.extend_from_slice(b"\0\x01t");
        packet.resize(packet.len() + length, b'x');
        packet.extend_from_slice(b"\x30\x05\0\x01tok");
        let got = events(&mut client, &packet);
        let [Event::Message { payload: long, .. }, Event::Message { payload: short, .. }] = &got[..] else {
            panic!("{} events", got.len());
        };
        assert!(long.len() > 8_192 && long.len() <= MAX_PACKET_BYTES);
        assert_eq!(short, b"ok");
    }

    #[test]
    fn silence_is_asked_about_and_then_ends_the_connection() {
        let mut client = online();
        assert!(!client.handle_timeout(Instant(14_999)));
        assert!(!client.handle_timeout(Instant(15_000)));
        assert_eq!(client.take_outgoing(Instant(15_000), 10), packet::PINGREQ);
        assert!(!client.handle_timeout(Instant(29_999)));
        assert!(client.handle_timeout(Instant(30_000)));
    }

    #[test]
    fn a_refusal_and_nonsense_break_the_connection() {
        let mut client = Client::new(Identity::default());
        client.open(Instant(0));
        assert_eq!(events(&mut client, &[0x20, 2, 0, 5]), [Event::Refused(5), Event::Broken]);
        for nonsense in [&b"\x30\xff\xff\xff\xff\x01"[..], b"\x30\x01\0", b"\x30\x02\0\x09", b"\x40\x01\0"] {
            assert_eq!(events(&mut online(), nonsense), [Event::Broken], "{nonsense:x?}");
        }
    }
}
