//! Status messages as JSON.

use super::{Dialect, Firmware, NodeStatus, Presence};
use crate::{
    NodeId, NodeType, SliceWriter, TooSmall, UpdateState,
    json::{JsonError, JsonText, JsonWriter, Object, Value},
    text::{Hex, from_hex},
};
use core::fmt::{self, Write};
use heapless::String;

/// The key by which Rootcast's messages are told from the original's; its value is the protocol version.
pub(super) const OURS: &str = "rootcast";

/// Why a message is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// Not a JSON object.
    #[error("the message is not a JSON object: {0}")]
    NotJson(#[from] JsonError),
    /// Neither `deviceId` nor `device_id` is there.
    #[error("the message names no node: neither \"deviceId\" nor \"device_id\" is there")]
    NoDevice,
    /// The node's id is not a whole number below 2^48, or is 0.
    #[error("the node's id is not a number from 1 to 2^48-1")]
    Device,
}

/// A message on the root's state topic.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusMessage {
    /// A node's status.
    Status(NodeStatus),
    /// The root has connected, or is gone (last will).
    Presence(Presence),
}

/// Reads a message of the root's state topic, whichever dialect it speaks.
pub fn parse_status(message: &[u8]) -> Result<StatusMessage, StatusError> {
    // One pass over all keys of all messages: which message it is, is only known at the end.
    let mut status = NodeStatus::new(NodeId::NONE, Dialect::Later);
    let mut presence = Presence::new(NodeId::NONE, Dialect::Later, false);
    let (mut device, mut presence_device, mut is_presence) = (None, None, false);
    let mut ours = false;
    let mut object = Object::open(message)?;
    while let Some((key, value)) = object.next()? {
        let Some(field) = FIELDS.iter().find(|field| key.is(field)) else { continue };
        match *field {
            "deviceId" => device = Some(node(value)),
            "type" => match copy::<16>(value).as_deref() {
                Some("root") => status.is_root = true,
                Some(name) => status.node_type = NodeType::from_name(name),
                None => {}
            },
            "isRoot" => {
                status.is_root |= matches!(value, Value::Bool(true)) || number::<u64>(value) == Some(1)
            }
            "parentId" => status.parent = node(value),
            "meshLayer" => status.layer = number(value),
            "peerCount" => status.peer_count = number(value),
            "freeHeap" => status.free_heap = number(value),
            "uptime" => status.uptime = number(value),
            "firmware" => {
                status.firmware = firmware(value);
                presence.firmware = status.firmware;
            }
            "rssi" => status.rssi = signed(value),
            "clicks" => status.clicks = number(value),
            "disconnects" => status.disconnects = number(value),
            "lowHeap" => status.low_heap = number(value),
            "outputs" => status.outputs = number(value),
            "version" => status.version = copy(value),
            "running" => status.running = copy::<64>(value).and_then(|digits| from_hex(&digits)),
            "chip" => status.chip = number(value),
            "slot" => status.slot = copy(value),
            "state" => status.state = copy::<16>(value).and_then(|name| UpdateState::from_name(&name)),
            "unsignedAllowed" => status.unsigned_allowed = boolean(value),
            "releasesOnly" => status.releases_only = boolean(value),
            "slotBytes" => status.slot_bytes = number(value),
            OURS => ours = true,
            "status" => {
                if let Some(text) = text(value) {
                    is_presence = true;
                    presence.is_connected = text.is("connected");
                }
            }
            "device_id" => presence_device = Some(node(value)),
            "timestamp" => presence.timestamp = number(value),
            "mesh_layer" => presence.layer = number(value),
            "ip" => presence.ip = copy(value),
            _ => presence.reason = copy(value),
        }
    }
    let dialect = match status.firmware {
        _ if ours => Dialect::Rootcast,
        Some(Firmware::ElfHash(_)) => Dialect::First,
        _ => Dialect::Later,
    };
    let known =
        |device: Option<Option<NodeId>>| device.ok_or(StatusError::NoDevice)?.ok_or(StatusError::Device);
    if is_presence && device.is_none() {
        presence.device = known(presence_device)?;
        presence.dialect = dialect;
        return Ok(StatusMessage::Presence(presence));
    }
    status.device = known(device)?;
    status.dialect = dialect;
    Ok(StatusMessage::Status(status))
}

const FIELDS: [&str; 29] = [
    "deviceId",
    "type",
    "isRoot",
    "parentId",
    "meshLayer",
    "peerCount",
    "freeHeap",
    "uptime",
    "firmware",
    "rssi",
    "clicks",
    "disconnects",
    "lowHeap",
    "outputs",
    "version",
    "running",
    "chip",
    "slot",
    "state",
    "unsignedAllowed",
    "releasesOnly",
    "slotBytes",
    OURS,
    "status",
    "device_id",
    "timestamp",
    "mesh_layer",
    "ip",
    "reason",
];

impl NodeStatus {
    /// Writes the status in its dialect; a Rootcast status has the later dialect's keys and its own.
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        let mut json = JsonWriter::open(out)?;
        json.plain("deviceId", self.device)?;
        match (&self.node_type, self.is_root, self.dialect) {
            (_, true, Dialect::First) => json.text("type", "root")?,
            (Some(node_type), _, _) => json.text("type", node_type)?,
            (None, _, _) => json.text("type", "unknown")?,
        }
        let mut some = |key: &str, value: Option<u64>| value.map_or(Ok(()), |value| json.plain(key, value));
        some("parentId", self.parent.map(u64::from))?;
        some("isRoot", (self.is_root && self.dialect != Dialect::First).then_some(1))?;
        some("freeHeap", self.free_heap.map(u64::from))?;
        some("uptime", self.uptime.map(u64::from))?;
        some("meshLayer", self.layer.map(u64::from))?;
        some("peerCount", self.peer_count.map(u64::from))?;
        write_firmware(&mut json, self.firmware)?;
        if let Some(rssi) = self.rssi {
            json.plain("rssi", rssi)?;
        }
        let mut some = |key: &str, value: Option<u64>| value.map_or(Ok(()), |value| json.plain(key, value));
        some("clicks", self.clicks.map(u64::from))?;
        some("disconnects", self.disconnects.map(u64::from))?;
        some("lowHeap", self.low_heap.map(u64::from))?;
        some("outputs", self.outputs.map(u64::from))?;
        if self.dialect == Dialect::Rootcast {
            json.plain(OURS, crate::frame::VERSION)?;
            json.text_or_null("version", self.version.as_ref())?;
            json.text_or_null("running", self.running.as_ref().map(|hash| Hex(hash)))?;
            json.plain_or_null("chip", self.chip)?;
            json.text_or_null("slot", self.slot.as_ref())?;
            json.text_or_null("state", self.state)?;
            json.plain_or_null("unsignedAllowed", self.unsigned_allowed)?;
            // These came later than the others: nodes that do not know of them leave them out.
            if let Some(only) = self.releases_only {
                json.plain("releasesOnly", only)?;
            }
            if let Some(bytes) = self.slot_bytes {
                json.plain("slotBytes", bytes)?;
            }
        }
        json.close()
    }

    /// Writes the status' JSON into a buffer and returns its length.
    pub fn to_json(&self, buffer: &mut [u8]) -> Result<usize, TooSmall> {
        let mut out = SliceWriter::new(buffer);
        self.write_json(&mut out)?;
        Ok(out.used())
    }
}

pub(super) fn write_firmware<W: Write>(
    json: &mut JsonWriter<'_, W>,
    firmware: Option<Firmware>,
) -> fmt::Result {
    match firmware {
        Some(Firmware::ElfHash(_)) => json.text_or_null("firmware", firmware),
        Some(Firmware::BuildTime(_)) => json.plain_or_null("firmware", firmware),
        None => Ok(()),
    }
}

fn text(value: Value<'_>) -> Option<JsonText<'_>> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn copy<const N: usize>(value: Value<'_>) -> Option<String<N>> {
    text(value)?.copy().ok()
}

fn number<T: TryFrom<u64>>(value: Value<'_>) -> Option<T> {
    match value {
        Value::Number(number) => number.as_u64()?.try_into().ok(),
        _ => None,
    }
}

fn signed(value: Value<'_>) -> Option<i8> {
    match value {
        Value::Number(number) => number.as_i64()?.try_into().ok(),
        _ => None,
    }
}

fn boolean(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(value),
        _ => None,
    }
}

fn node(value: Value<'_>) -> Option<NodeId> {
    number(value).map(NodeId).filter(|&id| id != NodeId::NONE && id <= NodeId::MAX)
}

fn firmware(value: Value<'_>) -> Option<Firmware> {
    match value {
        Value::Number(number) => number.as_u64().map(Firmware::BuildTime),
        Value::Text(text) => from_hex(&text.copy::<32>().ok()?).map(Firmware::ElfHash),
        _ => None,
    }
}
