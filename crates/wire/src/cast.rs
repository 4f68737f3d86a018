//! Casting a command to every node: encoded compactly, cut into fragments that each fit one frame, put together again
//! by [`CastReassembly`] whatever the radio lost, repeated or reordered.
//!
//! ```text
//! Trigger ── encode_trigger ──▶ bytes (≤ MAX_CAST_BYTES, CRC-32 at the end) ── fragment ──▶ CastFragment × ≤ 14
//!                                                                                                  │ mesh
//! &mut Trigger ◀── decode ── CastReassembly::encoded ◀──────── CastReassembly::accept ◀────────────┘
//! ```

mod encode;
mod reassembly;

pub use encode::{CastError, MAX_CAST_BYTES, decode, encode_abort, encode_trigger};
pub use reassembly::{Accepted, CastReassembly};

use crate::frame::MAX_BODY_BYTES;

/// The bytes of the command that one fragment carries: a frame's body without the fragment's own eight-byte header.
pub const FRAGMENT_BYTES: usize = MAX_BODY_BYTES - 8;
/// The most fragments of one cast.
pub const MAX_FRAGMENTS: u8 = MAX_CAST_BYTES.div_ceil(FRAGMENT_BYTES) as u8;

/// Which cast a fragment belongs to, and which of two casts is the newer.
///
/// The upper 16 bits count the root's casts, the lower 16 are taken from the command's checksum, so that two roots that
/// count alike still make different ids for different commands. Newer is decided in serial number arithmetic
/// (RFC 1982): the counter may wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CastId(pub u32);

impl CastId {
    /// No cast yet.
    pub const NONE: CastId = CastId(0);

    /// The id for a new cast of `encoded` ([`encode_trigger`], [`encode_abort`]): newer than `newest`.
    ///
    /// `newest` is the newest id that the root has used or heard (nodes tell theirs in every Hello): after a restart,
    /// a root that hears a newer id than its own casts again with a newer one.
    pub fn after(newest: CastId, encoded: &[u8]) -> CastId {
        let count = (newest.0 >> 16).wrapping_add(1) << 16;
        match count | (crate::crc32(encoded) & 0xffff) {
            0 => CastId(1),
            id => CastId(id),
        }
    }

    /// True if this cast takes the place of `other`.
    pub const fn is_newer_than(self, other: CastId) -> bool {
        self.0 != 0 && (other.0 == 0 || self.0.wrapping_sub(other.0).cast_signed() > 0)
    }
}

/// One piece of an encoded command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CastFragment<'a> {
    /// The cast it belongs to.
    pub cast_id: CastId,
    /// Which piece, from 0.
    pub index: u8,
    /// How many pieces there are.
    pub count: u8,
    /// Bytes of the whole encoded command.
    pub total_len: u16,
    /// This piece: [`FRAGMENT_BYTES`], the last one what is left.
    pub bytes: &'a [u8],
}

/// How many fragments an encoded command of this length takes.
pub const fn fragment_count(encoded_len: usize) -> u8 {
    let count = encoded_len.div_ceil(FRAGMENT_BYTES);
    if count > MAX_FRAGMENTS as usize { MAX_FRAGMENTS } else { count as u8 }
}

/// Fragment `index` of an encoded command; `None` behind the last, or if the command is over [`MAX_CAST_BYTES`].
pub fn fragment(cast_id: CastId, encoded: &[u8], index: u8) -> Option<CastFragment<'_>> {
    if encoded.len() > MAX_CAST_BYTES {
        return None;
    }
    let bytes = encoded.chunks(FRAGMENT_BYTES).nth(usize::from(index))?;
    let total_len = u16::try_from(encoded.len()).ok()?;
    Some(CastFragment { cast_id, index, count: fragment_count(encoded.len()), total_len, bytes })
}
