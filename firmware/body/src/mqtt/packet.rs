//! Packets of MQTT 3.1.1 (OASIS standard, §2 and §3).

use super::Identity;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes kept of one packet: the largest trigger (8,192 bytes), one more to see that a larger one is too large, and its
/// topic. What is longer is read to its end and cut.
pub const MAX_PACKET_BYTES: usize = 8_192 + 1 + 2 + 128 + 2;

/// PINGREQ.
pub const PINGREQ: [u8; 2] = [0xC0, 0];

/// A packet that no broker sends.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a broker sends, as far as it matters here.
pub enum Packet {
    ConnAck { code: u8 },
    Publish { id: Option<u16>, topic: String, payload: Vec<u8> },
    PubAck { id: u16 },
    Other,
}

/// Finds packets in a stream of bytes.
#[derive(Default)]
pub struct Parser {
    head: Vec<u8>,
    length: Option<usize>,
    body: Vec<u8>,
    seen: usize,
}

impl Parser {
    /// Takes some bytes: how many, and the packet that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> (usize, Option<Result<Packet, Malformed>>) {
        let Some(length) = self.length else {
            let Some(first) = bytes.first() else { return (0, None) };
            self.head.push(*first);
            if self.head.len() > 1 && first & 0x80 == 0 {
                let digits = self.head.iter().skip(1).rev();
                let length = digits.fold(0, |length, digit| length << 7 | usize::from(digit & 0x7F));
                self.length = Some(length);
                return if length == 0 { (1, Some(self.finish())) } else { (1, None) };
            }
            // The length has four bytes at most (§2.2.3).
            return (1, (self.head.len() > 4).then_some(Err(Malformed)));
        };
        let count = (length - self.seen).min(bytes.len());
        let kept = count.min(MAX_PACKET_BYTES.saturating_sub(self.body.len()));
        self.body.extend_from_slice(bytes.get(..kept).unwrap_or(&[]));
        self.seen += count;
        (count, (self.seen == length).then(|| self.finish()))
    }

    fn finish(&mut self) -> Result<Packet, Malformed> {
        let first = self.head.first().copied().unwrap_or(0);
        let body = core::mem::take(&mut self.body);
        *self = Self::default();
        read(first, &body).ok_or(Malformed)
    }
}

fn read(first: u8, body: &[u8]) -> Option<Packet> {
    Some(match first >> 4 {
        2 => Packet::ConnAck { code: *body.get(1)? },
        3 => {
            let (topic, rest) = body.get(2..)?.split_at_checked(number(body)?.into())?;
            let topic = core::str::from_utf8(topic).ok()?.into();
            let (id, payload) = match first >> 1 & 3 {
                0 => (None, rest),
                1 => (Some(number(rest)?), rest.get(2..)?),
                _ => return None,
            };
            Packet::Publish { id, topic, payload: payload.to_vec() }
        }
        4 => Packet::PubAck { id: number(body)? },
        _ => Packet::Other,
    })
}

fn number(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(body.len() + 5);
    packet.push(first);
    let mut rest = body.len();
    loop {
        let digit = (rest & 0x7F) as u8;
        rest >>= 7;
        packet.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// A field with its length in front. What is longer than 65,535 bytes is cut: nothing here is.
fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len().min(usize::from(u16::MAX));
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(bytes.get(..length).unwrap_or(&[]));
}

/// CONNECT, clean session off, with a retained will of QoS 1.
pub fn connect(identity: &Identity, keep_alive_s: u16) -> Vec<u8> {
    let mut flags = 0;
    let mut payload = Vec::new();
    field(&mut payload, identity.client_id.as_bytes());
    if !identity.will_topic.is_empty() {
        flags |= 0x04 | 0x08 | 0x20;
        field(&mut payload, identity.will_topic.as_bytes());
        field(&mut payload, &identity.will);
    }
    if !identity.user.is_empty() {
        flags |= 0x80 | 0x40;
        field(&mut payload, identity.user.as_bytes());
        field(&mut payload, identity.password.as_bytes());
    }
    let mut body = Vec::new();
    field(&mut body, b"MQTT");
    body.extend_from_slice(&[4, flags]);
    body.extend_from_slice(&keep_alive_s.to_be_bytes());
    body.extend_from_slice(&payload);
    packet(0x10, &body)
}

/// SUBSCRIBE to one topic with QoS 1.
pub fn subscribe(id: u16, topic: &str) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    field(&mut body, topic.as_bytes());
    body.push(1);
    packet(0x82, &body)
}

/// PUBLISH with QoS 1 and this id, or with QoS 0.
pub fn publish(id: Option<u16>, topic: &str, payload: &[u8], retain: bool) -> Vec<u8> {
    let mut body = Vec::new();
    field(&mut body, topic.as_bytes());
    if let Some(id) = id {
        body.extend_from_slice(&id.to_be_bytes());
    }
    body.extend_from_slice(payload);
    packet(0x30 | u8::from(id.is_some()) << 1 | u8::from(retain), &body)
}

/// PUBACK.
pub fn puback(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}

/// Marks a PUBLISH as sent before (DUP, §3.3.1.1).
pub fn mark_duplicate(packet: &mut [u8]) {
    if let Some(first) = packet.first_mut() {
        *first |= 0x08;
    }
}
