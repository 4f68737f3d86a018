//! The start of a patch, in plain bytes.
//!
//! | bytes | field |
//! |---|---|
//! | 2 | `RP` |
//! | 1 | version, 2; its highest bit says that the decoder reads back what it made |
//! | 8 | first bytes of the old image's hash; zeros: no old image is needed |
//! | 8 | first bytes of the SHA-256 of the whole new file |
//! | 1–4 | length of the new file, LEB128 |
//! | 1–4 | length of the coded body that follows, LEB128 |
//!
//! Eight bytes tell images apart and find damage. They do not replace the signature, or the full digest in
//! a release: what a patch makes is verified like any image.

#[cfg(feature = "create")]
use std::vec::Vec;

use crate::PatchError;
use crate::space::MAX_IMAGE_BYTES;

/// First bytes of every patch.
pub const MAGIC: [u8; 2] = *b"RP";
/// Version of the format.
pub const VERSION: u8 = 2;
const READS_BACK: u8 = 0x80;
/// Bytes of a hash kept in a patch.
pub const ID_BYTES: usize = 8;
/// A header is never longer.
pub const MAX_HEADER_BYTES: usize = 3 + 2 * ID_BYTES + 2 * 4;

/// What a patch is for and what it makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PatchHeader {
    /// First bytes of the image hash of the old image (see [`crate::image_hash`]); zeros: none is needed.
    pub base: [u8; ID_BYTES],
    /// First bytes of the SHA-256 of the whole new file.
    pub result: [u8; ID_BYTES],
    /// Length of the new file in bytes.
    pub new_len: u32,
    /// Length of the coded body in bytes.
    pub body_len: u32,
    /// Length of this header in bytes.
    pub header_len: u8,
    /// Whether the decoder calls [`crate::OldImage::read_back`].
    pub reads_back: bool,
}

impl PatchHeader {
    /// Reads a header from the first bytes of a patch ([`MAX_HEADER_BYTES`] always suffice).
    ///
    /// # Errors
    /// [`PatchError::Truncated`] if more bytes are needed; otherwise what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, PatchError> {
        let (&magic, rest) = bytes.split_first_chunk::<2>().ok_or(PatchError::Truncated)?;
        if magic != MAGIC {
            return Err(PatchError::NotAPatch);
        }
        let (&version, rest) = rest.split_first().ok_or(PatchError::Truncated)?;
        if version & !READS_BACK != VERSION {
            return Err(PatchError::Version { found: version });
        }
        let (&base, rest) = rest.split_first_chunk().ok_or(PatchError::Truncated)?;
        let (&result, rest) = rest.split_first_chunk().ok_or(PatchError::Truncated)?;
        let (new_len, rest) = number(rest)?;
        let (body_len, rest) = number(rest)?;
        if new_len > MAX_IMAGE_BYTES {
            return Err(PatchError::TooLong { length: new_len, limit: MAX_IMAGE_BYTES });
        }
        let header_len = (bytes.len() - rest.len()) as u8;
        Ok(Self { base, result, new_len, body_len, header_len, reads_back: version & READS_BACK != 0 })
    }

    /// Whether the patch needs an old image.
    pub fn needs_base(&self) -> bool {
        self.base != [0; ID_BYTES]
    }

    /// Whether the old image with this hash is the one the patch is for.
    ///
    /// # Errors
    /// [`PatchError::WrongBase`] if not.
    pub fn check_base(&self, image_hash: &[u8; 32]) -> Result<(), PatchError> {
        let mut found = [0; ID_BYTES];
        found.copy_from_slice(&image_hash[..ID_BYTES]);
        if self.needs_base() && self.base != found {
            return Err(PatchError::WrongBase { expected: self.base, found });
        }
        Ok(())
    }

    /// Length of the whole patch in bytes.
    pub fn patch_len(&self) -> u32 {
        u32::from(self.header_len).saturating_add(self.body_len)
    }

    #[cfg(feature = "create")]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend(MAGIC);
        out.push(VERSION | if self.reads_back { READS_BACK } else { 0 });
        out.extend(self.base);
        out.extend(self.result);
        for mut n in [self.new_len, self.body_len] {
            while n >= 0x80 {
                out.push(n as u8 | 0x80);
                n >>= 7;
            }
            out.push(n as u8);
        }
    }
}

/// LEB128 of at most four bytes.
fn number(bytes: &[u8]) -> Result<(u32, &[u8]), PatchError> {
    let mut value = 0;
    for i in 0..4 {
        let byte = *bytes.get(i).ok_or(PatchError::Truncated)?;
        value |= u32::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            return Ok((value, bytes.get(i + 1..).unwrap_or(&[])));
        }
    }
    Err(PatchError::Corrupt("a length has more than four bytes"))
}
