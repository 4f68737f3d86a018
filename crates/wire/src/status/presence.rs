//! The root's "connected" message and its last will, both retained.

use super::{Dialect, Firmware, json};
use crate::{NodeId, SliceWriter, TooSmall, json::JsonWriter};
use core::fmt::{self, Write};
use heapless::String;

/// Why a root is gone.
pub type Reason = String<32>;

/// The root has connected to the broker, or is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// The root, by the id of its dialect.
    pub device: NodeId,
    /// Who speaks. Of a last will, which names no firmware, the original's dialects cannot be told apart: `Later`.
    pub dialect: Dialect,
    /// False in the last will.
    pub is_connected: bool,
    /// The root's clock when it connected, in its own unit.
    pub timestamp: Option<u64>,
    /// What it runs.
    pub firmware: Option<Firmware>,
    /// Its layer.
    pub layer: Option<u8>,
    /// Its address, at most 45 bytes of IPv6 text.
    pub ip: Option<String<45>>,
    /// Why it is gone; the original's last will says `ungraceful`.
    pub reason: Option<Reason>,
}

impl Presence {
    /// A message with nothing but the root's id and whether it is connected.
    pub const fn new(device: NodeId, dialect: Dialect, is_connected: bool) -> Self {
        Presence {
            device,
            dialect,
            is_connected,
            timestamp: None,
            firmware: None,
            layer: None,
            ip: None,
            reason: None,
        }
    }

    /// The last will: that the broker publishes when the root falls silent.
    pub fn last_will(device: NodeId, dialect: Dialect) -> Self {
        let mut will = Presence::new(device, dialect, false);
        will.reason = Reason::try_from("ungraceful").ok();
        will
    }

    /// Writes the message's JSON.
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        let mut json = JsonWriter::open(out)?;
        json.text("status", if self.is_connected { "connected" } else { "disconnected" })?;
        json.plain("device_id", self.device)?;
        if let Some(timestamp) = self.timestamp {
            json.plain("timestamp", timestamp)?;
        }
        json::write_firmware(&mut json, self.firmware)?;
        if let Some(layer) = self.layer {
            json.plain("mesh_layer", layer)?;
        }
        if let Some(ip) = &self.ip {
            json.text("ip", ip)?;
        }
        if let Some(reason) = &self.reason {
            json.text("reason", reason)?;
        }
        if self.dialect == Dialect::Rootcast {
            json.plain(json::OURS, crate::frame::VERSION)?;
        }
        json.close()
    }

    /// Writes the message's JSON into a buffer and returns its length.
    pub fn to_json(&self, buffer: &mut [u8]) -> Result<usize, TooSmall> {
        let mut out = SliceWriter::new(buffer);
        self.write_json(&mut out)?;
        Ok(out.used())
    }
}
