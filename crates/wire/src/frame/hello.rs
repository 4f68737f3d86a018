//! The frame by which a node announces itself.

use super::FrameError;
use crate::{
    NodeId, NodeType, UpdateState,
    bytes::{Reader, Short, Writer},
    cast::CastId,
};

/// A node announces itself: who it is, where in the mesh, what it runs, which cast it knows.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | flags: bit 0 is the root, bit 1 can spread, bit 2 accepts unsigned images |
/// | 1 | 1 | layer: 1 for the root |
/// | 2 | 8 | parent, 0 = none |
/// | 10 | 8 | first 8 bytes of the running image's hash |
/// | 18 | 4 | cast id, 0 = none |
/// | 22 | 1 | state of the update at hand, 0 = none |
/// | 23 | 2 | ESP-IDF chip id |
/// | 25 | 1 + n | node type: length, text |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it is.
    pub node_type: NodeType,
    /// True if it is the root.
    pub is_root: bool,
    /// True if it takes part in the spread protocol.
    pub can_spread: bool,
    /// True if it accepts unsigned images.
    pub unsigned_allowed: bool,
    /// Its distance from the router: 1 for the root.
    pub layer: u8,
    /// Its parent; the root's is itself; [`NodeId::NONE`] if it has none.
    pub parent: NodeId,
    /// The first 8 bytes of the running image's hash.
    pub running: [u8; 8],
    /// The newest cast it knows, complete or not.
    pub cast_id: CastId,
    /// How far its update is; `None` if it is at none.
    pub state: Option<UpdateState>,
    /// ESP-IDF's number for its chip (`esp_chip_id_t`).
    pub chip: u16,
}

impl Hello {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let flags = reader.u8()?;
        Ok(Hello {
            is_root: flags & 1 != 0,
            can_spread: flags & 2 != 0,
            unsigned_allowed: flags & 4 != 0,
            layer: reader.u8()?,
            parent: super::node(reader, "parent")?,
            running: reader.array()?,
            cast_id: CastId(reader.u32()?),
            state: match reader.u8()? {
                0 => None,
                number => Some(UpdateState::from_number(number).ok_or(FrameError::Field("state"))?),
            },
            chip: reader.u16()?,
            node_type: read_node_type(reader)?,
        })
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) -> Result<(), Short> {
        let flags =
            u8::from(self.is_root) | u8::from(self.can_spread) << 1 | u8::from(self.unsigned_allowed) << 2;
        out.put(&[flags, self.layer])?;
        out.u64(self.parent.0)?;
        out.put(&self.running)?;
        out.u32(self.cast_id.0)?;
        out.u8(self.state.map_or(0, UpdateState::number))?;
        out.u16(self.chip)?;
        write_text(out, self.node_type.name())
    }
}

/// Text with its length in one byte before it.
pub(crate) fn read_text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a str, FrameError> {
    let length = reader.u8()?;
    core::str::from_utf8(reader.take(usize::from(length))?).map_err(|_| FrameError::Field(field))
}

pub(crate) fn write_text(out: &mut Writer<'_>, text: &str) -> Result<(), Short> {
    out.u8(u8::try_from(text.len()).map_err(|_| Short)?)?;
    out.put(text.as_bytes())
}

pub(crate) fn read_node_type(reader: &mut Reader<'_>) -> Result<NodeType, FrameError> {
    NodeType::from_name(read_text(reader, "node type")?).ok_or(FrameError::Field("node type"))
}
