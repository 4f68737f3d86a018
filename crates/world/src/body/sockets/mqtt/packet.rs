//! The packets of MQTT 3.1.1 that a root sends and receives (section numbers are the standard's).

/// Bytes of a received packet that are kept. A longer message arrives cut: it is longer than any trigger may be, so
/// its length is all that the core wants to know.
pub(super) const MAX_KEPT_BYTES: usize = 64 * 1024;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGRESP: u8 = 0xD0;

/// The packet that asks whether the broker is still there (§3.12).
pub(super) const PINGREQ: [u8; 2] = [0xC0, 0x00];

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Message {
    pub(in super::super) topic: String,
    pub(in super::super) payload: Vec<u8>,
    /// Whether the broker has to acknowledge it: QoS 1.
    pub(in super::super) acknowledged: bool,
    pub(in super::super) retain: bool,
}

/// What a client says of itself when it connects.
#[derive(Clone, Debug)]
pub(super) struct Introduction {
    pub client_id: String,
    pub keep_alive_s: u16,
    pub will: Message,
    pub login: Option<(String, String)>,
}

/// CONNECT (§3.1), with a clean session.
pub(super) fn connect(introduction: &Introduction) -> Vec<u8> {
    let Introduction { client_id, keep_alive_s, will, login } = introduction;
    let mut flags = 0x02 | 0x04 | u8::from(will.acknowledged) << 3 | u8::from(will.retain) << 5;
    let mut payload = text(client_id);
    payload.extend(text(&will.topic));
    payload.extend(counted(&will.payload));
    if let Some((user, password)) = login {
        flags |= 0xC0;
        payload.extend(text(user));
        payload.extend(text(password));
    }
    let head = [&text("MQTT")[..], &[4, flags], &keep_alive_s.to_be_bytes()].concat();
    packet(CONNECT, &[&head, &payload])
}

/// SUBSCRIBE to one topic filter with QoS 1 (§3.8).
pub(super) fn subscribe(id: u16, filter: &str) -> Vec<u8> {
    packet(SUBSCRIBE, &[&id.to_be_bytes(), &text(filter), &[1]])
}

/// PUBLISH (§3.3); `id` is used with QoS 1 only.
pub(super) fn publish(id: u16, message: &Message) -> Vec<u8> {
    let kind = PUBLISH | u8::from(message.acknowledged) << 1 | u8::from(message.retain);
    let id = id.to_be_bytes();
    let id: &[u8] = if message.acknowledged { &id } else { &[] };
    packet(kind, &[&text(&message.topic), id, &message.payload])
}

/// PUBACK (§3.4).
pub(super) fn acknowledge(id: u16) -> Vec<u8> {
    packet(PUBACK, &[&id.to_be_bytes()])
}

fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut left = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = vec![kind];
    loop {
        let digit = (left % 128) as u8;
        left /= 128;
        if left == 0 {
            bytes.push(digit);
            break;
        }
        bytes.push(digit | 0x80);
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

fn text(text: &str) -> Vec<u8> {
    counted(text.as_bytes())
}

/// A field with its length before it. What is longer than a field can be is cut: nothing that a root says is.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes);
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// A packet from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// CONNACK: the return code, 0 for welcome (§3.2).
    Connected(u8),
    /// SUBACK: whether the subscription is granted (§3.9).
    Subscribed(bool),
    /// PUBLISH; with QoS 1 the id to acknowledge (§3.3).
    Message { topic: String, payload: Vec<u8>, id: Option<u16> },
    /// PUBACK (§3.4).
    Acknowledged(u16),
    /// PINGRESP (§3.13).
    Alive,
}

/// The broker does not speak MQTT 3.1.1 as a broker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Puts packets together from bytes in any slices.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The fixed header, at most five bytes (§2.2).
    header: Vec<u8>,
    /// The packet's beginning.
    body: Vec<u8>,
    /// Bytes of the packet that are still to come; `None` while the header is not whole.
    left: Option<usize>,
}

impl Reader {
    /// Takes bytes and hands out the packets that they complete.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<Vec<Incoming>, Malformed> {
        let mut packets = Vec::new();
        loop {
            let left = match self.left {
                Some(left) => left,
                None => match bytes.split_first() {
                    Some((byte, rest)) => {
                        bytes = rest;
                        self.header.push(*byte);
                        // Only PUBLISH has flags (§2.2.2): what is not MQTT at all shows at its first byte, mostly.
                        if self.header.len() == 1 && byte & 0xF0 != PUBLISH && byte & 0x0F != 0 {
                            return Err(Malformed);
                        }
                        self.left = remaining_length(&self.header)?;
                        continue;
                    }
                    None => return Ok(packets),
                },
            };
            let (now, rest) = bytes.split_at(bytes.len().min(left));
            let room = MAX_KEPT_BYTES.saturating_sub(self.body.len());
            self.body.extend_from_slice(now.get(..room).unwrap_or(now));
            bytes = rest;
            self.left = Some(left - now.len());
            if self.left != Some(0) {
                return Ok(packets);
            }
            packets.push(parse(self.header.first().copied().unwrap_or(0), &self.body)?);
            *self = Self::default();
        }
    }
}

/// The remaining length (§2.2.3), once its last byte is there.
fn remaining_length(header: &[u8]) -> Result<Option<usize>, Malformed> {
    let digits = header.get(1..).unwrap_or(&[]);
    match digits.last() {
        Some(last) if last & 0x80 == 0 => {
            Ok(Some(digits.iter().rev().fold(0, |length, digit| length << 7 | usize::from(digit & 0x7F))))
        }
        _ if digits.len() == 4 => Err(Malformed),
        _ => Ok(None),
    }
}

fn parse(kind: u8, body: &[u8]) -> Result<Incoming, Malformed> {
    let id = || body.first_chunk().copied().map(u16::from_be_bytes).ok_or(Malformed);
    match kind & 0xF0 {
        CONNACK => Ok(Incoming::Connected(*body.get(1).ok_or(Malformed)?)),
        SUBACK => Ok(Incoming::Subscribed(body.get(2).is_some_and(|code| *code < 0x80))),
        PUBACK => Ok(Incoming::Acknowledged(id()?)),
        PINGRESP => Ok(Incoming::Alive),
        PUBLISH => {
            let (topic, rest) = body.split_at_checked(2 + usize::from(id()?)).ok_or(Malformed)?;
            let topic = std::str::from_utf8(topic.get(2..).unwrap_or(&[])).map_err(|_| Malformed)?;
            // QoS 2 was never asked for.
            let (id, payload) = match kind >> 1 & 3 {
                0 => (None, rest),
                1 => {
                    let (id, payload) = rest.split_first_chunk().ok_or(Malformed)?;
                    (Some(u16::from_be_bytes(*id)), payload)
                }
                _ => return Err(Malformed),
            };
            Ok(Incoming::Message { topic: topic.to_owned(), payload: payload.to_vec(), id })
        }
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(acknowledged: bool, retain: bool) -> Message {
        Message { topic: "a/b".into(), payload: b"hi".to_vec(), acknowledged, retain }
    }

    #[test]
    fn packets_are_those_of_the_standard() {
        let introduction = Introduction {
            client_id: "c".into(),
            keep_alive_s: 10,
            will: message(true, true),
            login: Some(("u".into(), "p".into())),
        };
        let expected =
            b"\x10\x1c\x00\x04MQTT\x04\xee\x00\x0a\x00\x01c\x00\x03a/b\x00\x02hi\x00\x01u\x00\x01p";
        assert_eq!(connect(&introduction), expected);
        let anonymous = Introduction { login: None, will: message(false, false), ..introduction };
        assert_eq!(
            connect(&anonymous),
            b"\x10\x16\x00\x04MQTT\x04\x06\x00\x0a\x00\x01c\x00\x03a/b\x00\x02hi"
        );
        assert_eq!(subscribe(7, "a/b"), b"\x82\x08\x00\x07\x00\x03a/b\x01");
        assert_eq!(publish(9, &message(true, false)), b"\x32\x09\x00\x03a/b\x00\x09hi");
        assert_eq!(publish(9, &message(false, true)), b"\x31\x07\x00\x03a/bhi");
        assert_eq!(acknowledge(0x0102), b"\x40\x02\x01\x02");
    }

    #[test]
    fn packets_are_put_together_from_any_slices() {
        let long = [b"\x30\x85\x01\x00\x03a/b".to_vec(), vec![b'x'; 128]].concat();
        let bytes = [
            &b"\x20\x02\x00\x00\x90\x03\x00\x07\x01\x90\x03\x00\x07\x80\xd0\x00\x40\x02\x00\x09"[..],
            b"\x32\x09\x00\x03a/b\x00\x05hi",
            &long,
        ]
        .concat();
        let expected = [
            Incoming::Connected(0),
            Incoming::Subscribed(true),
            Incoming::Subscribed(false),
            Incoming::Alive,
            Incoming::Acknowledged(9),
            Incoming::Message { topic: "a/b".into(), payload: b"hi".to_vec(), id: Some(5) },
            Incoming::Message { topic: "a/b".into(), payload: vec![b'x'; 128], id: None },
        ];
        for slice in [1, 2, 3, 7, bytes.len()] {
            let mut reader = Reader::default();
            let found: Vec<_> = bytes.chunks(slice).flat_map(|slice| reader.read(slice).unwrap()).collect();
            assert_eq!(found, expected, "slices of {slice}");
        }
    }

    #[test]
    fn a_message_of_a_megabyte_arrives_cut_and_the_next_packet_whole() {
        let body = [b"\x00\x03a/b".to_vec(), vec![b'x'; 1 << 20]].concat();
        let bytes = [packet(PUBLISH, &[&body]), vec![0xD0, 0]].concat();
        let mut reader = Reader::default();
        let found: Vec<_> = bytes.chunks(5000).flat_map(|slice| reader.read(slice).unwrap()).collect();
        let [Incoming::Message { payload, .. }, Incoming::Alive] = &found[..] else { panic!() };
        assert_eq!(payload.len(), MAX_KEPT_BYTES - 5);
    }

    #[test]
    fn what_is_no_packet_is_an_error_and_never_a_panic() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            b"\x30\xff\xff\xff\xff\x7f",
            b"\x20\x00",
            b"\x40\x01\x00",
            b"\x30\x01\x00",
            b"\x30\x03\x00\x09a",
            b"\x32\x05\x00\x03a/b",
            b"\x34\x07\x00\x03a/b\x00\x01",
            b"\x30\x04\x00\x02\xff\xfe",
            b"\x00\x00",
        ] {
            assert_eq!(Reader::default().read(bytes), Err(Malformed), "{bytes:?}");
        }
    }
}
