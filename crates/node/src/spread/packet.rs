//! What spreading nodes say to each other. All numbers little-endian.
//!
//! Advertisements and requests are frames of `rootcast-wire` (kinds 32 and 33). Data, of which there is most, has a
//! frame of its own with a header of 11 bytes instead of 16, so that a packet and a seal ([`super::Seal`]) fit ESP-NOW
//! v1's 250 bytes:
//!
//! | offset | bytes | field of a data frame |
//! |---|---|---|
//! | 0 | 2 | magic `CA 58` |
//! | 2 | 2 | object: low 16 bits of its id |
//! | 4 | 2 | block |
//! | 6 | 1 | index of the first packet |
//! | 7 | 1 | blocks that the sender holds beyond this one, at most 255 |
//! | 8 | 2 | sender: low 16 bits of its node id |
//! | 10 | 1 | bits 0 to 6: packets of this block that the sender means to send after this frame; bit 7: it has lately heard another node send the same object further out |
//! | 11 | 228 n | n ≥ 1 packets with consecutive indices (after 255 comes 36); one in a frame of ESP-NOW v1 |

use super::code::{PACKET_BYTES, PACKETS, Packet};
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
pub const DATA_HEADER_BYTES: usize = 11;
/// Bytes of a data frame with one packet, without seal.
pub const DATA_FRAME_BYTES: usize = DATA_HEADER_BYTES + PACKET_BYTES;

/// Longest body of an advertisement.
pub const MAX_ADVERTISE_BYTES: usize = 28 + MAX_LIST_PAGES * 16;
/// Bytes of a request's body.
pub const REQUEST_BYTES: usize = 16;

/// "There is this object, and so many of its blocks can be had from me."
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | cast id |
/// | 4 | 4 | object id |
/// | 8 | 4 | bytes of the file |
/// | 12 | 2 | chip |
/// | 14 | 2 | blocks held without a gap from the first on |
/// | 16 | 1 | the sender's distance from the source in hops |
/// | 17 | 1 | number of list pages n |
/// | 18 | 10 | 0 |
/// | 28 | 16 n | digest of each list page |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// What is spread.
    pub description: Description,
    /// Blocks held without a gap; by a relay, the blocks that it can get.
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

/// "Send me so many packets of this block."
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | object id |
/// | 4 | 8 | the node that is to send |
/// | 12 | 2 | block |
/// | 14 | 1 | packets needed |
/// | 15 | 1 | bit 0: the asker wants it for another node; bits 1 to 7: its hops from the source plus 1, 0 if it does not say |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What of.
    pub object: ObjectId,
    /// Who is asked.
    pub sender: NodeId,
    /// Which block.
    pub block: u16,
    /// How many packets.
    pub need: u8,
    /// The asker hands the block on and does not keep it: that it asks for this one does not say that it holds those
    /// before.
    pub relays: bool,
    /// The asker's hops from the source, at most 126; a relay does not say.
    pub hops: Option<u8>,
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
            block: u16::from_le_bytes([head[12], head[13]]),
            need: head[14],
            relays: head[15] & 1 != 0,
            hops: (head[15] >> 1).checked_sub(1),
        })
    }

    /// Writes it.
    pub fn write(&self) -> [u8; REQUEST_BYTES] {
        let mut out = [0; REQUEST_BYTES];
        out[0..4].copy_from_slice(&self.object.0.to_le_bytes());
        out[4..12].copy_from_slice(&self.sender.0.to_le_bytes());
        out[12..14].copy_from_slice(&self.block.to_le_bytes());
        out[14] = self.need;
        out[15] = u8::from(self.relays) | self.hops.map_or(0, |hops| hops.min(126) + 1) << 1;
        out
    }
}

/// Packets of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Low 16 bits of the object's id.
    pub object: u16,
    /// Which block.
    pub block: u16,
    /// Which packet is the first: see [`super::code`].
    pub index: u8,
    /// Blocks that the sender holds beyond this one.
    pub beyond: u8,
    /// Low 16 bits of the sender's node id.
    pub sender: u16,
    /// Packets of this block that are still to follow.
    pub left: u8,
    /// The sender has lately heard another node send a lower block.
    pub deep: bool,
    /// One packet or several.
    pub payload: &'a [u8],
}

impl<'a> Data<'a> {
    /// Reads it; `None` when the bytes are none.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, payload) = bytes.split_first_chunk::<DATA_HEADER_BYTES>()?;
        if head[0..2] != DATA_MAGIC || payload.is_empty() || payload.len() % PACKET_BYTES != 0 {
            return None;
        }
        let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        Some(Self {
            object: half(2),
            block: half(4),
            index: head[6],
            beyond: head[7],
            sender: half(8),
            left: head[10] & 0x7F,
            deep: head[10] & 0x80 != 0,
            payload,
        })
    }

    /// Writes everything but the payload.
    pub fn write_header(&self, out: &mut [u8]) -> Option<()> {
        let out = out.first_chunk_mut::<DATA_HEADER_BYTES>()?;
        out[0..2].copy_from_slice(&DATA_MAGIC);
        out[2..4].copy_from_slice(&self.object.to_le_bytes());
        out[4..6].copy_from_slice(&self.block.to_le_bytes());
        out[6] = self.index;
        out[7] = self.beyond;
        out[8..10].copy_from_slice(&self.sender.to_le_bytes());
        out[10] = self.left & 0x7F | u8::from(self.deep) << 7;
        Some(())
    }

    /// Writes it.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let length = DATA_HEADER_BYTES + self.payload.len();
        let out = out.get_mut(..length)?;
        self.write_header(out)?;
        out.get_mut(DATA_HEADER_BYTES..)?.copy_from_slice(self.payload);
        Some(length)
    }

    /// The packets with their indices.
    pub fn packets(&self) -> impl Iterator<Item = (u8, &'a Packet)> {
        let (packets, _) = self.payload.as_chunks::<PACKET_BYTES>();
        packets.iter().scan(self.index, |index, packet| {
            let this = *index;
            *index = following(this);
            Some((this, packet))
        })
    }
}

/// The index after this one.
pub(super) const fn following(index: u8) -> u8 {
    if index == u8::MAX { PACKETS as u8 } else { index + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        let lists = heapless::Vec::from_slice(&[PageDigest([0x11; 16])]).unwrap();
        Description { cast_id: CastId(0x0102_0304), size: 0x0001_2345, chip: ChipId(5), lists }
    }

    #[test]
    fn version_1_of_an_advertisement_is_these_bytes() {
        let advertise = Advertise { description: description(), held: 0x0708, hops: 9 };
        let mut out = [0xEE; MAX_ADVERTISE_BYTES];
        let length = advertise.write(&mut out);
        let id = description().id().0.to_le_bytes();
        let mut expected =
            std::vec![4, 3, 2, 1, id[0], id[1], id[2], id[3], 0x45, 0x23, 1, 0, 5, 0, 8, 7, 9, 1];
        expected.extend([0; 10]);
        expected.extend([0x11; 16]);
        assert_eq!(&out[..length], &expected[..]);
        assert_eq!(id, [0xA2, 0x9C, 0xFA, 0x8E], "an object's id is part of the format");
        assert_eq!(Advertise::read(&expected), Some(advertise));
    }

    #[test]
    fn version_1_of_a_request_is_these_bytes() {
        let request = Request {
            object: ObjectId(0x0403_0201),
            sender: NodeId(0x0000_A0B1_C2D3_E4F5),
            block: 0x0102,
            need: 7,
            relays: true,
            hops: None,
        };
        let expected = [1, 2, 3, 4, 0xF5, 0xE4, 0xD3, 0xC2, 0xB1, 0xA0, 0, 0, 2, 1, 7, 1];
        assert_eq!(request.write(), expected);
        assert_eq!(Request::read(&expected), Some(request));
        let near = Request { relays: false, hops: Some(4), ..request };
        let expected = [1, 2, 3, 4, 0xF5, 0xE4, 0xD3, 0xC2, 0xB1, 0xA0, 0, 0, 2, 1, 7, 10];
        assert_eq!(near.write(), expected);
        assert_eq!(Request::read(&expected), Some(near));
    }

    #[test]
    fn version_1_of_data_is_these_bytes() {
        let payload = [0x5A; 2 * PACKET_BYTES];
        let data = Data {
            object: 0x0201,
            block: 0x0403,
            index: 255,
            beyond: 6,
            sender: 0x0807,
            left: 9,
            deep: true,
            payload: &payload,
        };
        let mut out = [0; 500];
        let length = data.write(&mut out).unwrap();
        assert_eq!(length, 11 + 456);
        assert_eq!(out[..12], [0xCA, 0x58, 1, 2, 3, 4, 255, 6, 7, 8, 0x89, 0x5A]);
        assert_eq!(Data::read(&out[..length]), Some(data.clone()));
        assert!(
            data.packets().map(|(index, _)| index).eq([255, 36]),
            "after the last repair comes the first"
        );
    }

    #[test]
    fn cut_or_changed_messages_are_none() {
        let mut out = [0; MAX_ADVERTISE_BYTES];
        let length = Advertise { description: description(), held: 1, hops: 1 }.write(&mut out);
        for cut in 0..length {
            assert_eq!(Advertise::read(&out[..cut]), None, "{cut} bytes");
        }
        for place in (0..14).chain([17]).chain(28..length) {
            let mut changed = out;
            changed[place] ^= 0x40;
            assert_eq!(Advertise::read(&changed[..length]), None, "byte {place}");
        }
        assert_eq!(Request::read(&[0; REQUEST_BYTES - 1]), None);
        let mut frame = [0; DATA_FRAME_BYTES];
        frame[..2].copy_from_slice(&DATA_MAGIC);
        assert!(Data::read(&frame).is_some());
        for length in 0..DATA_FRAME_BYTES {
            assert_eq!(Data::read(&frame[..length]), None, "{length} bytes");
        }
    }
}
