//! The Secure Boot V2 signature sector: its layout. Whether a signature is right, and by a trusted key, is decided in
//! `rootcast-trust`.
//!
//! The sector follows the image at the next multiple of 4096 bytes. Up to three blocks of 1,216 bytes lie in it, the
//! rest is 0xFF. What is signed is everything before the sector. Source: ESP-IDF `ets_secure_boot_signature_t`
//! (`rom/secure_boot.h`), `secure_boot_v2/`, espsecure.

mod block;
mod write;

pub use block::{EcdsaP256Block, RsaBlock, SignatureBlock};
pub use write::{
    EcdsaP256Parts, RsaParts, montgomery, write_ecdsa_p256_block, write_rsa_block, write_sector,
};

use thiserror::Error;

/// Bytes of a signature sector: one flash sector.
pub const SIGNATURE_SECTOR_BYTES: usize = 4096;
/// Bytes of a block (`ets_secure_boot_sig_block_t`).
pub const SIGNATURE_BLOCK_BYTES: usize = 1216;
/// Most blocks in a sector (`SECURE_BOOT_NUM_BLOCKS`).
pub const MAX_SIGNATURE_BLOCKS: usize = 3;
/// First byte of a block (`ETS_SECURE_BOOT_V2_SIGNATURE_MAGIC`).
pub const SIGNATURE_MAGIC: u8 = 0xE7;
/// Bytes of an RSA-3072 modulus or signature.
pub const RSA_BYTES: usize = 384;
/// Bytes of a P-256 coordinate or scalar.
pub const P256_BYTES: usize = 32;

/// Why a block is not one that can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureFormatError {
    /// No block begins there.
    #[error("no signature block: starts with {found:#04x}, expected 0xe7")]
    Missing {
        /// The first byte.
        found: u8,
    },
    /// The bytes end inside the block.
    #[error("signature block has {length} bytes, expected 1216")]
    Truncated {
        /// Bytes there are.
        length: u16,
    },
    /// The CRC over the block is wrong.
    #[error("signature block checksum is {stored:#010x}, computed {computed:#010x}")]
    Crc {
        /// The CRC in the block.
        stored: u32,
        /// The CRC computed.
        computed: u32,
    },
    /// Neither RSA-3072 (2) nor ECDSA (3).
    #[error("signature block version {found}, expected 2 (RSA-3072) or 3 (ECDSA)")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// An ECDSA block of a curve or a digest other than P-256 with SHA-256.
    #[error(
        "ECDSA signature block of curve {curve} and digest {digest}, supported is P-256 with SHA-256 (2 and 0)"
    )]
    Curve {
        /// The curve id: 1 P-192, 2 P-256, 3 P-384.
        curve: u8,
        /// The digest id: 0 SHA-256, 1 SHA-384.
        digest: u8,
    },
}

/// A signature sector; blocks are read as they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct SignatureSector<'a> {
    bytes: &'a [u8],
}

impl<'a> SignatureSector<'a> {
    /// The sector at the beginning of `bytes`, which may be shorter than 4096 if blocks are missing at its end.
    ///
    /// # Errors
    /// [`SignatureFormatError::Missing`] if no block begins there: the image is not signed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignatureFormatError> {
        match bytes.first() {
            Some(&SIGNATURE_MAGIC) => {
                Ok(Self { bytes: bytes.get(..SIGNATURE_SECTOR_BYTES).unwrap_or(bytes) })
            }
            found => Err(SignatureFormatError::Missing { found: found.copied().unwrap_or(0xFF) }),
        }
    }

    /// The blocks in order, up to the first place where none begins. A block that is damaged does not hide the next:
    /// with hardware secure boot any of the three may match.
    pub fn blocks(
        &self,
    ) -> impl Iterator<Item = Result<SignatureBlock<'a>, SignatureFormatError>> + Clone + use<'a> {
        self.bytes
            .chunks(SIGNATURE_BLOCK_BYTES)
            .take(MAX_SIGNATURE_BLOCKS)
            .take_while(|bytes| bytes.first() == Some(&SIGNATURE_MAGIC))
            .map(SignatureBlock::parse)
    }
}
