//! A status' compact form, the body of a frame: 150 bytes at its longest.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | which fields follow, by the bits below |
//! | … | the fields, in the order of their bits |
//!
//! | bit | field | bytes |
//! |---|---|---|
//! | 0 | is the root | 0 |
//! | 1 | accepts unsigned images (only with bit 2) | 0 |
//! | 2 | the policy of bit 1 is known | 0 |
//! | 3 | node type | 1 + n |
//! | 4 | parent | 8 |
//! | 5 | layer | 1 |
//! | 6 | peer count | 2 |
//! | 7 | free heap | 4 |
//! | 8 | uptime, s | 4 |
//! | 9 | firmware: ELF hash | 16 |
//! | 10 | firmware: build time | 8 |
//! | 11 | rssi, dBm | 1 |
//! | 12 | clicks | 4 |
//! | 13 | disconnects | 4 |
//! | 14 | low heap | 4 |
//! | 15 | outputs | 1 |
//! | 16 | version | 1 + n |
//! | 17 | running | 32 |
//! | 18 | chip | 2 |
//! | 19 | slot | 1 + n |
//! | 20 | state | 1 |
//! | 21 | takes signed releases only (only with bit 22) | 0 |
//! | 22 | the policy of bit 21 is known | 0 |
//! | 23 | bytes of the slot that an update goes into | 4 |
//!
//! Bits from 24 on belong to later versions, whose fields stand at the end.

use super::{Dialect, Firmware, NodeStatus};
use crate::{
    NodeId, UpdateState,
    bytes::{Reader, Short, Writer},
    frame::{FrameError, node, read_node_type, read_text, write_text},
};
use heapless::String;

impl NodeStatus {
    pub(crate) fn write_compact(&self, out: &mut Writer<'_>) -> Result<(), Short> {
        let elf = matches!(self.firmware, Some(Firmware::ElfHash(_)));
        let built = matches!(self.firmware, Some(Firmware::BuildTime(_)));
        let there = [
            self.is_root,
            self.unsigned_allowed == Some(true),
            self.unsigned_allowed.is_some(),
            self.node_type.is_some(),
            self.parent.is_some(),
            self.layer.is_some(),
            self.peer_count.is_some(),
            self.free_heap.is_some(),
            self.uptime.is_some(),
            elf,
            built,
            self.rssi.is_some(),
            self.clicks.is_some(),
            self.disconnects.is_some(),
            self.low_heap.is_some(),
            self.outputs.is_some(),
            self.version.is_some(),
            self.running.is_some(),
            self.chip.is_some(),
            self.slot.is_some(),
            self.state.is_some(),
            self.releases_only == Some(true),
            self.releases_only.is_some(),
            self.slot_bytes.is_some(),
        ];
        out.u32(there.iter().rev().fold(0, |bits, there| bits << 1 | u32::from(*there)))?;
        if let Some(node_type) = &self.node_type {
            write_text(out, node_type.name())?;
        }
        if let Some(parent) = self.parent {
            out.u64(parent.0)?;
        }
        if let Some(layer) = self.layer {
            out.u8(layer)?;
        }
        if let Some(peer_count) = self.peer_count {
            out.u16(peer_count)?;
        }
        let mut some = |value: Option<u32>| value.map_or(Ok(()), |value| out.u32(value));
        some(self.free_heap)?;
        some(self.uptime)?;
        match self.firmware {
            Some(Firmware::ElfHash(hash)) => out.put(&hash)?,
            Some(Firmware::BuildTime(time)) => out.u64(time)?,
            None => {}
        }
        if let Some(rssi) = self.rssi {
            out.put(&rssi.to_le_bytes())?;
        }
        let mut some = |value: Option<u32>| value.map_or(Ok(()), |value| out.u32(value));
        some(self.clicks)?;
        some(self.disconnects)?;
        some(self.low_heap)?;
        if let Some(outputs) = self.outputs {
            out.u8(outputs)?;
        }
        if let Some(version) = &self.version {
            write_text(out, version)?;
        }
        if let Some(running) = &self.running {
            out.put(running)?;
        }
        if let Some(chip) = self.chip {
            out.u16(chip)?;
        }
        if let Some(slot) = &self.slot {
            write_text(out, slot)?;
        }
        if let Some(state) = self.state {
            out.u8(state.number())?;
        }
        if let Some(slot_bytes) = self.slot_bytes {
            out.u32(slot_bytes)?;
        }
        Ok(())
    }

    pub(crate) fn read_compact(device: NodeId, reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let there = reader.u32()?;
        let there = |bit: u32| there & 1 << bit != 0;
        if there(9) && there(10) {
            return Err(FrameError::Field("firmware"));
        }
        let mut status = NodeStatus::new(device, Dialect::Rootcast);
        status.is_root = there(0);
        status.unsigned_allowed = there(2).then_some(there(1));
        status.releases_only = there(22).then_some(there(21));
        // `then` and `transpose`: a field that is not there takes no bytes.
        status.node_type = there(3).then(|| read_node_type(reader)).transpose()?;
        status.parent = there(4).then(|| node(reader, "parent")).transpose()?;
        status.layer = there(5).then(|| reader.u8()).transpose()?;
        status.peer_count = there(6).then(|| reader.u16()).transpose()?;
        status.free_heap = there(7).then(|| reader.u32()).transpose()?;
        status.uptime = there(8).then(|| reader.u32()).transpose()?;
        if there(9) {
            status.firmware = Some(Firmware::ElfHash(reader.array()?));
        }
        if there(10) {
            status.firmware = Some(Firmware::BuildTime(reader.u64()?));
        }
        status.rssi = there(11).then(|| reader.array().map(i8::from_le_bytes)).transpose()?;
        status.clicks = there(12).then(|| reader.u32()).transpose()?;
        status.disconnects = there(13).then(|| reader.u32()).transpose()?;
        status.low_heap = there(14).then(|| reader.u32()).transpose()?;
        status.outputs = there(15).then(|| reader.u8()).transpose()?;
        status.version = there(16).then(|| text(reader, "version")).transpose()?;
        status.running = there(17).then(|| reader.array()).transpose()?;
        status.chip = there(18).then(|| reader.u16()).transpose()?;
        status.slot = there(19).then(|| text(reader, "slot")).transpose()?;
        status.state = there(20)
            .then(|| UpdateState::from_number(reader.u8()?).ok_or(FrameError::Field("state")))
            .transpose()?;
        status.slot_bytes = there(23).then(|| reader.u32()).transpose()?;
        Ok(status)
    }
}

fn text<const N: usize>(reader: &mut Reader<'_>, field: &'static str) -> Result<String<N>, FrameError> {
    String::try_from(read_text(reader, field)?).map_err(|_| FrameError::Field(field))
}
