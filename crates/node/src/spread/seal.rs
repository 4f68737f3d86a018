//! A seal for every frame: a tag that only holders of the mesh's key can make.
//!
//! Pages need no seal to be believed, their digests do that; a seal keeps strangers from wasting the mesh's airtime
//! with packets that spoil blocks and requests that nobody needs. A recorded frame that is sent again does no harm: a
//! packet says what it always said, and a node that asks for more than it can use is not served. So no counters are
//! kept.

use sha2::{Digest, Sha256};

/// Bytes of a seal: the first bytes of an HMAC-SHA-256.
pub const SEAL_BYTES: usize = 8;

/// Block of SHA-256, in bytes.
const HASH_BLOCK: usize = 64;

/// Puts seals on frames and checks them.
#[derive(Clone)]
pub struct Seal {
    inner: Sha256,
    outer: Sha256,
}

impl core::fmt::Debug for Seal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seal(key not shown)")
    }
}

impl Seal {
    /// Seals of the mesh with this key.
    #[must_use]
    pub fn new(mesh_key: &[u8; 32]) -> Self {
        let pad = |with: u8| {
            let mut block = [with; HASH_BLOCK];
            for (byte, key) in block.iter_mut().zip(mesh_key) {
                *byte ^= key;
            }
            Sha256::new_with_prefix(block)
        };
        Self { inner: pad(0x36), outer: pad(0x5C) }
    }

    fn tag(&self, frame: &[u8]) -> [u8; SEAL_BYTES] {
        let inner = self.inner.clone().chain_update(frame).finalize();
        let whole = self.outer.clone().chain_update(inner).finalize();
        let mut tag = [0; SEAL_BYTES];
        tag.copy_from_slice(&whole[..SEAL_BYTES]);
        tag
    }

    /// Puts a seal behind the first `length` bytes; the new length, or `None` when there is no room.
    pub fn seal(&self, frame: &mut [u8], length: usize) -> Option<usize> {
        let tag = self.tag(frame.get(..length)?);
        frame.get_mut(length..length + SEAL_BYTES)?.copy_from_slice(&tag);
        Some(length + SEAL_BYTES)
    }

    /// The frame without its seal, if the seal is right.
    #[must_use]
    pub fn open<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let (frame, seal) = frame.split_last_chunk::<SEAL_BYTES>()?;
        let difference = self.tag(frame).iter().zip(seal).fold(0, |all, (a, b)| all | (a ^ b));
        (difference == 0).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_the_beginning_of_an_hmac() {
        // RFC 4231, test case 1, with its key of 20 bytes padded with zeros as HMAC does by itself.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mut frame = [0; 16];
        frame[..8].copy_from_slice(b"Hi There");
        assert_eq!(Seal::new(&key).seal(&mut frame, 8), Some(16));
        assert_eq!(frame[8..], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]);
    }

    #[test]
    fn only_an_unchanged_frame_opens() {
        let seal = Seal::new(&[7; 32]);
        let mut frame = [3; 40];
        let length = seal.seal(&mut frame, 20).unwrap();
        assert_eq!(seal.open(&frame[..length]), Some(&[3; 20][..]));
        for bit in 0..length * 8 {
            let mut changed = frame;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(seal.open(&changed[..length]), None);
        }
        for cut in 0..length {
            assert_eq!(seal.open(&frame[..cut]), None);
        }
        assert_eq!(Seal::new(&[8; 32]).open(&frame[..length]), None);
    }
}
