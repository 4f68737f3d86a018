//! The first dialect's frame.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | `msg_type` |
//! | 1 | 4 | `device_id`, the low 32 bits of the station MAC |
//! | 5 | 2 | `data_len` |
//! | 7 | 200 | `data` |

use super::{DialectError, MessageType};
use crate::bytes::Reader;

/// Bytes of a frame.
pub const FRAME_BYTES: usize = 207;
/// The room for data.
pub const DATA_BYTES: usize = 200;
/// The longest URL of a trigger: the receiver needs a NUL behind it.
pub const MAX_URL_BYTES: usize = DATA_BYTES - 1;

/// A frame of the first dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is about.
    pub message_type: MessageType,
    /// The sender: [`crate::NodeId::low32`].
    pub device_id: u32,
    /// At most [`DATA_BYTES`].
    pub data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame; bytes behind it are ignored, as the original does.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DialectError> {
        let short = |_| DialectError::Length { expected: FRAME_BYTES, found: bytes.len() };
        let mut reader = Reader(bytes);
        let letter = reader.u8().map_err(short)?;
        let device_id = reader.u32().map_err(short)?;
        let length = usize::from(reader.u16().map_err(short)?);
        let data = reader.take(DATA_BYTES).map_err(short)?;
        let message_type = MessageType::from_letter(letter).ok_or(DialectError::MessageType(letter))?;
        let data = data.get(..length).ok_or(DialectError::DataLength { limit: DATA_BYTES, found: length })?;
        Ok(Frame { message_type, device_id, data })
    }

    /// Writes the frame at its full size; what is behind the data is zero.
    pub fn write(&self) -> Result<[u8; FRAME_BYTES], DialectError> {
        let too_long = DialectError::DataLength { limit: DATA_BYTES, found: self.data.len() };
        let mut frame = [0; FRAME_BYTES];
        let (head, room) = frame.split_at_mut(7);
        head[0] = self.message_type as u8;
        head[1..5].copy_from_slice(&self.device_id.to_le_bytes());
        head[5..7].copy_from_slice(&u16::try_from(self.data.len()).map_err(|_| too_long)?.to_le_bytes());
        room.get_mut(..self.data.len()).ok_or(too_long)?.copy_from_slice(self.data);
        Ok(frame)
    }

    /// The trigger by which the root has nodes of this dialect update. A URL over [`MAX_URL_BYTES`] is refused: the
    /// original cut it silently, and every node then fetched something else.
    pub fn ota_trigger(device_id: u32, url: &'a str) -> Result<Self, DialectError> {
        if url.len() > MAX_URL_BYTES {
            return Err(DialectError::UrlTooLong { limit: MAX_URL_BYTES, found: url.len() });
        }
        Ok(Frame { message_type: MessageType::OtaTrigger, device_id, data: url.as_bytes() })
    }

    /// The URL of a trigger: the data up to a NUL. `None` for another type, or if it is not text.
    pub fn ota_url(&self) -> Option<&'a str> {
        if self.message_type != MessageType::OtaTrigger {
            return None;
        }
        let text = self.data.split(|byte| *byte == 0).next()?;
        core::str::from_utf8(text).ok().filter(|url| !url.is_empty())
    }
}
