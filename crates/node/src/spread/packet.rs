//! What spreading nodes say to each other. All numbers little-endian.
//!
//! Advertisements and requests are frames of `rootcast-wire` (kinds 32 and 33). Data, of which there is most, has a
//! frame of its own with a header of 10 bytes instead of 16 and room for a short seal, so that a packet of a page fits
//! ESP-NOW v1:
//!
//! | offset | bytes | field of a data frame |
//! |---|---|---|
//! | 0 | 2 | magic `CA 58` |
//! | 2 | 2 | object: low 16 bits of its id |
//! | 4 | 2 | page |
//! | 6 | 1 | packet |
//! | 7 | 1 | pages that the sender holds beyond this one, at most 255 |
//! | 8 | 2 | sender: low 16 bits of its node id |
//! | 10 | 228 | payload |
//! | 238 | ≤ 12 | left free for an authentication tag |

use super::code::{PACKET_BYTES, Packet};
use super::object::{Description, MAX_LIST_PAGES, ObjectId, PageDigest};
use rootcast_image::ChipId;
use rootcast_wire::NodeId;
use rootcast_wire::cast::CastId;

/// Kind of an advertisement's frame.
pub const ADVERTISE: u8 = 32;
/// Kind of a request's frame.
pub const REQUEST: u8 = 33;

/// First two bytes of a data frame.
pub const DATA_MAGIC: [u8; 2] = [0xCA, 0x58];
/// Bytes before the payload of a data frame.
pub const DATA_HEADER_BYTES: usize = 10;
/// Bytes of a data frame without seal.
pub const DATA_FRAME_BYTES: usize = DATA_HEADER_BYTES + PACKET_BYTES;

/// Longest body of an advertisement.
pub const MAX_ADVERTISE_BYTES: usize = 28 + MAX_LIST_PAGES * 16;
/// Bytes of a request's body.
pub const REQUEST_BYTES: usize = 16;

/// "There is this object, and I hold so many of its pages from the first on."
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | cast id |
/// | 4 | 4 | object id |
/// | 8 | 4 | bytes of the file |
/// | 12 | 2 | chip |
/// | 14 | 2 | pages held without a gap, list pages first |
/// | 16 | 1 | the sender's distance from the source in hops |
/// | 17 | 1 | number of list pages n |
/// | 18 | 10 | 0 |
/// | 28 | 16 n | digest of each list page |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// What is spread.
    pub description: Description,
    /// Pages held without a gap.
    pub held: u16,
    /// Hops from the source.
    pub hops: u8,
}

impl Advertise {
    /// Reads it; `None` when the bytes are none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<28>()?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let mut lists = heapless::Vec::new();
        let count = usize::from(head[17]);
        for digest in bytes.get(28..28 + count.checked_mul(16)?)?.chunks_exact(16) {
            lists.push(PageDigest(digest.try_into().ok()?)).ok()?;
        }
        let description =
            Description { cast_id: CastId(word(0)), size: word(8), chip: ChipId(half(12)), lists };
        let sound = description.is_sound() && description.id() == ObjectId(word(4));
        sound.then_some(Self { description, held: half(14), hops: head[16] })
    }

    /// Writes it.
    pub fn write(&self, out: &mut [u8; MAX_ADVERTISE_BYTES]) -> usize {
        out.fill(0);
        out[0..4].copy_from_slice(&self.description.cast_id.0.to_le_bytes());
        out[4..8].copy_from_slice(&self.description.id().0.to_le_bytes());
        out[8..12].copy_from_slice(&self.description.size.to_le_bytes());
        out[12..14].copy_from_slice(&self.description.chip.0.to_le_bytes());
        out[14..16].copy_from_slice(&self.held.to_le_bytes());
        out[16] = self.hops;
        out[17] = self.description.lists.len() as u8;
        for (room, digest) in out[28..].chunks_exact_mut(16).zip(&self.description.lists) {
            room.copy_from_slice(&digest.0);
        }
        28 + self.description.lists.len() * 16
    }
}

/// "Send me so many packets of this page."
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | object id |
/// | 4 | 8 | the node that is to send |
/// | 12 | 2 | page |
/// | 14 | 1 | packets needed |
/// | 15 | 1 | 0 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What of.
    pub object: ObjectId,
    /// Who is asked.
    pub sender: NodeId,
    /// Which page.
    pub page: u16,
    /// How many packets.
    pub need: u8,
}

impl Request {
    /// Reads it; `None` when the bytes are none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<REQUEST_BYTES>()?;
        let mut id = [0; 8];
        id.copy_from_slice(&head[4..12]);
        Some(Self {
            object: ObjectId(u32::from_le_bytes([head[0], head[1], head[2], head[3]])),
            sender: NodeId(u64::from_le_bytes(id)),
            page: u16::from_le_bytes([head[12], head[13]]),
            need: head[14],
        })
    }

    /// Writes it.
    pub fn write(&self) -> [u8; REQUEST_BYTES] {
        let mut out = [0; REQUEST_BYTES];
        out[0..4].copy_from_slice(&self.object.0.to_le_bytes());
        out[4..12].copy_from_slice(&self.sender.0.to_le_bytes());
        out[12..14].copy_from_slice(&self.page.to_le_bytes());
        out[14] = self.need;
        out
    }
}

/// One packet of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Low 16 bits of the object's id.
    pub object: u16,
    /// Which page.
    pub page: u16,
    /// Which packet: see [`super::code`].
    pub index: u8,
    /// Pages that the sender holds beyond this one.
    pub beyond: u8,
    /// Low 16 bits of the sender's node id.
    pub sender: u16,
    /// The payload.
    pub payload: &'a Packet,
}

impl<'a> Data<'a> {
    /// Reads it; `None` when the bytes are none.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.first_chunk::<DATA_HEADER_BYTES>()?;
        if head[0..2] != DATA_MAGIC {
            return None;
        }
        let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let payload = bytes.get(DATA_HEADER_BYTES..)?.first_chunk()?;
        Some(Self {
            object: half(2),
            page: half(4),
            index: head[6],
            beyond: head[7],
            sender: half(8),
            payload,
        })
    }

    /// Writes it.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let out = out.get_mut(..DATA_FRAME_BYTES)?;
        out[0..2].copy_from_slice(&DATA_MAGIC);
        out[2..4].copy_from_slice(&self.object.to_le_bytes());
        out[4..6].copy_from_slice(&self.page.to_le_bytes());
        out[6] = self.index;
        out[7] = self.beyond;
        out[8..10].copy_from_slice(&self.sender.to_le_bytes());
        out[DATA_HEADER_BYTES..].copy_from_slice(self.payload);
        Some(DATA_FRAME_BYTES)
    }
}
