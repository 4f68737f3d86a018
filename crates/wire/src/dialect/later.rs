//! The later dialect's frame.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `src_id`, the SoftAP MAC as a number |
//! | 8 | 1 | `msg_type` |
//! | 9 | 2 | `data_len` |
//! | 11 | 4 | `data_seq` |
//! | 15 | 1 | `target_type`: `S`, `R`, 0 |
//! | 16 | 512 | `data` |

use super::{DialectError, MessageType};
use crate::{NodeId, NodeType, bytes::Reader};

/// Bytes of a frame.
pub const FRAME_BYTES: usize = 528;
/// The room for data.
pub const DATA_BYTES: usize = 512;

/// Which kind of node a frame is for; others drop it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TargetType {
    /// Every node.
    #[default]
    Any = 0,
    /// Switches.
    Switch = b'S',
    /// Relays.
    Relay = b'R',
}

/// A frame of the later dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The sender: [`NodeId::soft_ap`].
    pub src_id: u64,
    /// What it is about.
    pub message_type: MessageType,
    /// The sender's count.
    pub data_seq: u32,
    /// Whom it is for.
    pub target: TargetType,
    /// At most [`DATA_BYTES`].
    pub data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame; bytes behind it are ignored, as the original does.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DialectError> {
        let short = |_| DialectError::Length { expected: FRAME_BYTES, found: bytes.len() };
        let mut reader = Reader(bytes);
        let src_id = reader.u64().map_err(short)?;
        let letter = reader.u8().map_err(short)?;
        let length = usize::from(reader.u16().map_err(short)?);
        let data_seq = reader.u32().map_err(short)?;
        let target = reader.u8().map_err(short)?;
        let data = reader.take(DATA_BYTES).map_err(short)?;
        if src_id > NodeId::MAX.0 {
            return Err(DialectError::Id(src_id));
        }
        let message_type = MessageType::from_letter(letter).ok_or(DialectError::MessageType(letter))?;
        let target = match target {
            0 => TargetType::Any,
            b'S' => TargetType::Switch,
            b'R' => TargetType::Relay,
            other => return Err(DialectError::TargetType(other)),
        };
        let data = data.get(..length).ok_or(DialectError::DataLength { limit: DATA_BYTES, found: length })?;
        Ok(Frame { src_id, message_type, data_seq, target, data })
    }

    /// Writes the frame at its full size; what is behind the data is zero.
    pub fn write(&self) -> Result<[u8; FRAME_BYTES], DialectError> {
        let too_long = DialectError::DataLength { limit: DATA_BYTES, found: self.data.len() };
        if self.src_id > NodeId::MAX.0 {
            return Err(DialectError::Id(self.src_id));
        }
        let mut frame = [0; FRAME_BYTES];
        let (head, room) = frame.split_at_mut(16);
        head[0..8].copy_from_slice(&self.src_id.to_le_bytes());
        head[8] = self.message_type as u8;
        head[9..11].copy_from_slice(&u16::try_from(self.data.len()).map_err(|_| too_long)?.to_le_bytes());
        head[11..15].copy_from_slice(&self.data_seq.to_le_bytes());
        head[15] = self.target as u8;
        room.get_mut(..self.data.len()).ok_or(too_long)?.copy_from_slice(self.data);
        Ok(frame)
    }

    /// The frame by which the root has nodes of this dialect update from their compiled-in URL.
    pub fn ota_start(src_id: u64, target: TargetType) -> Self {
        Frame { src_id, message_type: MessageType::OtaStart, data_seq: 0, target, data: &[] }
    }

    /// What a type-info frame says the sender is; the dialect tells relays of eight and sixteen outputs apart in the
    /// status only.
    pub fn type_info(&self) -> Option<NodeType> {
        match (self.message_type, self.data) {
            (MessageType::TypeInfo, [b'S', ..]) => Some(NodeType::Switch),
            (MessageType::TypeInfo, [b'R', ..]) => Some(NodeType::Relay),
            _ => None,
        }
    }
}
