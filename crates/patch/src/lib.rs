//! Patches between firmware images that understand machine code: a small streaming decoder for nodes,
//! and the encoder (feature `create`) for the host.
//!
//! Start with [`Decoder`] on a node, with `create` on a host. The format is in `docs/patch-format.md`.
//!
//! Layout, in the way of the data:
//! - `header`: the plain first bytes of a patch
//! - `coder`, `model`, `math`: range coder and the adaptive models in front of it
//! - `space`: where file positions are in memory; `isa`: references in instructions
//! - `reader`: cuts the old image into instructions, words and bytes
//! - `map`: where old places went
//! - `walk`: what the bits mean; taken by decoder and encoder alike
//! - `decoder`: the sans-IO shell around it; `snapshot`: saving and restoring it
//! - `create`: alignment, address map, encoding, and the account of a patch
#![no_std]

#[cfg(feature = "create")]
extern crate std;
mod coder;
#[cfg(feature = "create")]
mod create;
mod decoder;
mod digest;
mod error;
mod header;
mod isa;
mod map;
mod math;
mod model;
mod reader;
mod snapshot;
mod space;
mod walk;

#[cfg(feature = "create")]
pub use create::{
    CreateError, Created, Explanation, Options, apply, create, create_with_progress, explain, image_hash,
};
pub use decoder::{Decoder, MAX_DECODER_BYTES, Progress};
pub use error::{OldImageError, PatchError};
pub use header::{ID_BYTES, MAGIC, MAX_HEADER_BYTES, PatchHeader, VERSION};
pub use snapshot::MAX_SNAPSHOT_BYTES;

/// The old image: in flash on a node, in memory on a host.
pub trait OldImage {
    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`OldImageError`] if any of them lies outside the slot or cannot be read.
    fn read(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OldImageError>;

    /// Fills `buf` with bytes of the new image that were handed out before and are no longer on the page that
    /// [`Decoder::decode`] fills: on a node, a read from the slot being written. Only patches that say so in
    /// their header ([`PatchHeader::reads_back`]) need it.
    ///
    /// # Errors
    /// [`OldImageError`] where nothing can be read back, which is also what the default does.
    fn read_back(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OldImageError> {
        let _ = (offset, buf);
        Err(OldImageError)
    }
}

impl OldImage for &[u8] {
    fn read(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OldImageError> {
        let from = self.get(offset as usize..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(from.ok_or(OldImageError)?);
        Ok(())
    }
}
