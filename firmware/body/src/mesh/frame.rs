//! What the radio carries: one link frame around one frame of the node core, encrypted and authenticated.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | magic `CA 4D` |
//! | 2 | 1 | kind: 1 seek, 2 beacon, 3 data, 4 application |
//! | 3 | 1 | hops travelled; the only field that a forwarding node changes, and the only one that no tag covers |
//! | 4 | 6 | origin: the node that made the frame |
//! | 10 | 6 | stamp: the mesh's clock in milliseconds; never twice the same from one origin |
//! | 16 | 6 | destination: a node, or one of the constants of [`Aim`] |
//! | 22 | n | payload, encrypted |
//! | 22 + n | 16 | tag (AES-128-GCM; nonce: origin and stamp; associated data: everything before but the hops) |
//!
//! Numbers are little-endian. A data frame of the node core has up to 250 bytes, so a link frame has up to
//! [`MAX_LINK_FRAME_BYTES`]: more than ESP-NOW v1 carries, well within v2 (1,470).

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce, Tag};
use rootcast_wire::{MAX_FRAME_BYTES, NodeId};
use sha2::{Digest, Sha256};

/// Bytes of a mesh key in NVS.
pub const MESH_KEY_BYTES: usize = 32;
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 22;
/// Bytes of the tag.
pub const TAG_BYTES: usize = 16;
/// The longest link frame.
pub const MAX_LINK_FRAME_BYTES: usize = HEADER_BYTES + MAX_FRAME_BYTES + TAG_BYTES;

const MAGIC: [u8; 2] = [0xCA, 0x4D];
/// A stamp drawn at random by a node that does not know the mesh's clock yet.
const WITHOUT_CLOCK: u64 = 1 << 47;
const STAMP_BITS: u64 = (1 << 48) - 1;

/// What a link frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// "Who is there? Answer with these eight bytes."
    Seek = 1,
    /// "Here I am, this far from the root."
    Beacon = 2,
    /// A frame of the node core.
    Data = 3,
    /// A few bytes of the application: a button, a relay.
    Application = 4,
}

/// Where a link frame is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// To the root, from parent to parent.
    Root,
    /// To whoever hears it; nobody passes it on.
    Neighbours,
    /// To every node of the mesh.
    Everybody,
    /// To one node.
    Node(NodeId),
}

impl Aim {
    const fn number(self) -> u64 {
        match self {
            Self::Root => 0,
            Self::Neighbours => 1,
            Self::Everybody => NodeId::MAX.0,
            Self::Node(node) => node.0,
        }
    }

    const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Root,
            1 => Self::Neighbours,
            number if number == NodeId::MAX.0 => Self::Everybody,
            number => Self::Node(NodeId(number)),
        }
    }
}

/// The readable part of a link frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is for.
    pub kind: Kind,
    /// How often it was passed on.
    pub hops: u8,
    /// Who made it.
    pub origin: NodeId,
    /// When, by the mesh's clock.
    pub stamp: Stamp,
    /// Where it goes.
    pub aim: Aim,
}

/// When a frame was made. Every stamp of one origin is used once, so that origin and stamp make a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// By the mesh's clock, in milliseconds; rises with every frame.
    Clock(u64),
    /// At random, by a node without a clock.
    Random(u64),
}

impl Stamp {
    /// A stamp without a clock, from 64 random bits.
    pub const fn random(bits: u64) -> Self {
        Self::Random(bits & (WITHOUT_CLOCK - 1))
    }

    const fn number(self) -> u64 {
        match self {
            Self::Clock(milliseconds) => milliseconds & (WITHOUT_CLOCK - 1),
            Self::Random(bits) => bits | WITHOUT_CLOCK,
        }
    }

    const fn from_number(number: u64) -> Self {
        if number & WITHOUT_CLOCK == 0 { Self::Clock(number) } else { Self::Random(number ^ WITHOUT_CLOCK) }
    }
}

impl Header {
    /// Reads the header of a link frame; `None` when it is none of ours.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_BYTES>()?;
        if head[..2] != MAGIC || bytes.len() < HEADER_BYTES + TAG_BYTES || bytes.len() > MAX_LINK_FRAME_BYTES
        {
            return None;
        }
        let kind = match head[2] {
            1 => Kind::Seek,
            2 => Kind::Beacon,
            3 => Kind::Data,
            4 => Kind::Application,
            _ => return None,
        };
        Some(Self {
            kind,
            hops: head[3],
            origin: NodeId(read_48(&head[4..10])),
            stamp: Stamp::from_number(read_48(&head[10..16])),
            aim: Aim::from_number(read_48(&head[16..22])),
        })
    }

    fn write(&self) -> [u8; HEADER_BYTES] {
        let mut head = [0; HEADER_BYTES];
        head[..2].copy_from_slice(&MAGIC);
        head[2] = self.kind as u8;
        head[3] = self.hops;
        head[4..10].copy_from_slice(&self.origin.0.to_le_bytes()[..6]);
        head[10..16].copy_from_slice(&self.stamp.number().to_le_bytes()[..6]);
        head[16..22].copy_from_slice(&self.aim.number().to_le_bytes()[..6]);
        head
    }
}

/// Bytes of a link frame on their way through a queue.
pub type LinkFrame = heapless::Vec<u8, MAX_LINK_FRAME_BYTES>;

/// The mesh's key: makes and opens link frames.
pub struct MeshKey(Aes128Gcm);

impl core::fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("MeshKey(not shown)")
    }
}

impl MeshKey {
    /// The key that is used on the air, derived from the one in NVS so that it serves nothing else.
    pub fn new(secret: &[u8; MESH_KEY_BYTES]) -> Self {
        let derived = Sha256::new().chain_update(b"rootcast link v1").chain_update(secret).finalize();
        let (key, _) = derived.split_at(16);
        Self(Aes128Gcm::new(key.into()))
    }

    /// Makes a link frame; `None` when the payload is longer than a frame of the node core.
    pub fn seal(&self, header: &Header, payload: &[u8]) -> Option<LinkFrame> {
        let head = header.write();
        let mut frame = LinkFrame::from_slice(&head).ok()?;
        frame.extend_from_slice(payload).ok()?;
        let (_, body) = frame.split_at_mut(HEADER_BYTES);
        let tag = self.0.encrypt_in_place_detached(&nonce(&head), &associated(&head), body).ok()?;
        frame.extend_from_slice(&tag).ok()?;
        Some(frame)
    }

    /// Decrypts a link frame in place and gives its payload; `None` when the tag is wrong.
    pub fn open<'a>(&self, bytes: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let (head, rest) = bytes.split_first_chunk_mut::<HEADER_BYTES>()?;
        let (body, tag) = rest.split_last_chunk_mut::<TAG_BYTES>()?;
        let tag = Tag::clone_from_slice(tag);
        self.0.decrypt_in_place_detached(&nonce(head), &associated(head), body, &tag).ok()?;
        Some(body)
    }
}

/// Counts one more hop on a frame that is passed on as it is; `false` when it has come far enough.
pub fn count_hop(frame: &mut [u8], most: u8) -> bool {
    match frame.get_mut(3) {
        Some(hops) if *hops < most => {
            *hops += 1;
            true
        }
        _ => false,
    }
}

fn nonce(head: &[u8; HEADER_BYTES]) -> Nonce<aes_gcm::aes::cipher::consts::U12> {
    Nonce::clone_from_slice(&head[4..16])
}

fn associated(head: &[u8; HEADER_BYTES]) -> [u8; HEADER_BYTES] {
    let mut covered = *head;
    covered[3] = 0;
    covered
}

/// Six bytes, little-endian.
pub fn read_48(bytes: &[u8]) -> u64 {
    bytes.iter().take(6).rev().fold(0, |number, byte| number << 8 | u64::from(*byte)) & STAMP_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        kind: Kind::Data,
        hops: 0,
        origin: NodeId(0x0605_0403_0201),
        stamp: Stamp::Clock(0x0102_0304_0506),
        aim: Aim::Root,
    };

    #[test]
    fn a_header_lies_in_the_frame_byte_by_byte() {
        let frame = MeshKey::new(&[7; 32]).seal(&HEADER, b"hi").unwrap();
        let head = [0xCA, 0x4D, 3, 0, 1, 2, 3, 4, 5, 6, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(frame[..22], head);
        assert_eq!(frame.len(), 22 + 2 + 16);
        assert_eq!(Header::read(&frame), Some(HEADER));
    }

    #[test]
    fn only_the_key_opens_a_frame_and_only_an_unchanged_one() {
        let (key, stranger) = (MeshKey::new(&[7; 32]), MeshKey::new(&[8; 32]));
        let frame = key.seal(&HEADER, b"payload").unwrap();
        assert_eq!(key.open(&mut frame.clone()).as_deref(), Some(&b"payload"[..]));
        assert!(stranger.open(&mut frame.clone()).is_none());
        for at in (0..frame.len()).filter(|at| *at != 3) {
            let mut changed = frame.clone();
            changed[at] ^= 1;
            assert!(key.open(&mut changed).is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_hop_is_counted_without_the_key_up_to_the_limit() {
        let key = MeshKey::new(&[7; 32]);
        let mut frame = key.seal(&HEADER, b"payload").unwrap();
        assert!(count_hop(&mut frame, 2) && count_hop(&mut frame, 2) && !count_hop(&mut frame, 2));
        assert_eq!(Header::read(&frame).unwrap().hops, 2);
        assert!(key.open(&mut frame).is_some());
    }

    #[test]
    fn aims_and_stamps_come_back_as_they_went() {
        for aim in [Aim::Root, Aim::Neighbours, Aim::Everybody, Aim::Node(NodeId(77))] {
            assert_eq!(Aim::from_number(aim.number()), aim);
        }
        for stamp in [Stamp::Clock(1_795_000_000_000), Stamp::random(u64::MAX), Stamp::random(0)] {
            assert_eq!(Stamp::from_number(stamp.number()), stamp);
        }
    }

    #[test]
    fn what_is_no_link_frame_is_none() {
        let frame = MeshKey::new(&[7; 32]).seal(&HEADER, &[]).unwrap();
        assert!(Header::read(&frame[..frame.len() - 1]).is_none());
        assert!(Header::read(&[]).is_none());
        let mut other = frame.clone();
        other[2] = 9;
        assert!(Header::read(&other).is_none());
        assert!(MeshKey::new(&[7; 32]).seal(&HEADER, &[0; 251]).is_none());
    }
}
