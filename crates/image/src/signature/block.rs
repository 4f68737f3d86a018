//! One signature block, read.

use super::{P256_BYTES, RSA_BYTES, SIGNATURE_BLOCK_BYTES, SIGNATURE_MAGIC, SignatureFormatError};
use crate::crc::crc32;
use sha2::{Digest, Sha256};

pub(super) type Bytes = [u8; SIGNATURE_BLOCK_BYTES];

/// Version byte of an RSA-3072 block.
pub(super) const VERSION_RSA: u8 = 2;
/// Version byte of an ECDSA block.
pub(super) const VERSION_ECDSA: u8 = 3;
/// Curve id of P-256.
pub(super) const CURVE_P256: u8 = 2;
/// Where the CRC lies: it covers everything before.
pub(super) const CRC_AT: usize = 1196;

/// A block whose layout and CRC are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureBlock<'a> {
    /// Version 2.
    Rsa3072(RsaBlock<'a>),
    /// Version 3 with curve P-256.
    EcdsaP256(EcdsaP256Block<'a>),
}

impl<'a> SignatureBlock<'a> {
    /// Reads the block at the beginning of `bytes`.
    ///
    /// # Errors
    /// [`SignatureFormatError`] in the order magic, length, CRC, version, curve.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignatureFormatError> {
        match bytes.first() {
            Some(&SIGNATURE_MAGIC) => {}
            found => return Err(SignatureFormatError::Missing { found: found.copied().unwrap_or(0xFF) }),
        }
        let length = bytes.len().min(SIGNATURE_BLOCK_BYTES) as u16;
        let block: &Bytes = bytes.first_chunk().ok_or(SignatureFormatError::Truncated { length })?;
        let (stored, computed) = (u32::from_le_bytes(*field(block, CRC_AT)), crc32(part(block, 0, CRC_AT)));
        if stored != computed {
            return Err(SignatureFormatError::Crc { stored, computed });
        }
        let &[_, version, digest, _, ..] = block;
        let &[curve] = field(block, 36);
        match (version, digest, curve) {
            (VERSION_RSA, ..) => Ok(Self::Rsa3072(RsaBlock { bytes: block })),
            (VERSION_ECDSA, 0, CURVE_P256) => Ok(Self::EcdsaP256(EcdsaP256Block { bytes: block })),
            // A P-384 block has its curve id after the longer digest.
            (VERSION_ECDSA, 1, _) => {
                Err(SignatureFormatError::Curve { curve: field::<1>(block, 52)[0], digest })
            }
            (VERSION_ECDSA, ..) => Err(SignatureFormatError::Curve { curve, digest }),
            (found, ..) => Err(SignatureFormatError::Version { found }),
        }
    }

    /// SHA-256 over the signed bytes, as the block states it.
    pub fn digest(&self) -> &'a [u8; 32] {
        field(self.bytes(), 4)
    }

    /// What the key is known by: SHA-256 over the key's fields, as espsecure prints it and fuses hold it.
    pub fn key_digest(&self) -> [u8; 32] {
        let fields = match self {
            // Modulus, exponent, R and M'.
            Self::Rsa3072(block) => part(block.bytes, 36, 776),
            // Curve id, X and Y.
            Self::EcdsaP256(block) => part(block.bytes, 36, 65),
        };
        Sha256::digest(fields).into()
    }

    /// The 1,216 bytes.
    pub fn bytes(&self) -> &'a [u8; SIGNATURE_BLOCK_BYTES] {
        match self {
            Self::Rsa3072(block) => block.bytes,
            Self::EcdsaP256(block) => block.bytes,
        }
    }
}

/// An RSA-3072 block. RSA-PSS with SHA-256, MGF1-SHA-256, 32 bytes of salt. Numbers are little-endian.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | E7 02 00 00 |
/// | 4 | 32 | digest |
/// | 36 | 384 | modulus |
/// | 420 | 4 | exponent |
/// | 424 | 384 | R = 2^6144 mod n |
/// | 808 | 4 | M' = -n⁻¹ mod 2^32 |
/// | 812 | 384 | signature |
/// | 1196 | 4 | CRC-32 of all before |
/// | 1200 | 16 | zeros |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RsaBlock<'a> {
    bytes: &'a Bytes,
}

impl<'a> RsaBlock<'a> {
    /// The modulus, little-endian.
    pub fn modulus_le(&self) -> &'a [u8; RSA_BYTES] {
        field(self.bytes, 36)
    }

    /// The modulus, big-endian.
    pub fn modulus_be(&self) -> [u8; RSA_BYTES] {
        reversed(self.modulus_le())
    }

    /// The public exponent.
    pub fn exponent(&self) -> u32 {
        u32::from_le_bytes(*field(self.bytes, 420))
    }

    /// R = 2^6144 mod n, little-endian: a constant for Montgomery multiplication.
    pub fn r_le(&self) -> &'a [u8; RSA_BYTES] {
        field(self.bytes, 424)
    }

    /// M' = -n⁻¹ mod 2^32: a constant for Montgomery multiplication.
    pub fn m_prime(&self) -> u32 {
        u32::from_le_bytes(*field(self.bytes, 808))
    }

    /// The signature, little-endian.
    pub fn signature_le(&self) -> &'a [u8; RSA_BYTES] {
        field(self.bytes, 812)
    }

    /// The signature, big-endian: as RSA libraries want it.
    pub fn signature_be(&self) -> [u8; RSA_BYTES] {
        reversed(self.signature_le())
    }
}

/// An ECDSA block of curve P-256. Numbers are little-endian.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | E7 03 00 00 |
/// | 4 | 32 | digest |
/// | 36 | 1 | curve id 2 |
/// | 37 | 64 | X, Y |
/// | 101 | 64 | r, s |
/// | 165 | 1031 | zeros |
/// | 1196 | 4 | CRC-32 of all before |
/// | 1200 | 16 | zeros |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcdsaP256Block<'a> {
    bytes: &'a Bytes,
}

impl<'a> EcdsaP256Block<'a> {
    /// The public key's X, little-endian.
    pub fn x_le(&self) -> &'a [u8; P256_BYTES] {
        field(self.bytes, 37)
    }

    /// The public key's Y, little-endian.
    pub fn y_le(&self) -> &'a [u8; P256_BYTES] {
        field(self.bytes, 69)
    }

    /// The signature's r, little-endian.
    pub fn r_le(&self) -> &'a [u8; P256_BYTES] {
        field(self.bytes, 101)
    }

    /// The signature's s, little-endian.
    pub fn s_le(&self) -> &'a [u8; P256_BYTES] {
        field(self.bytes, 133)
    }

    /// The public key as an uncompressed SEC1 point: 04, X, Y, big-endian.
    pub fn public_key_sec1(&self) -> [u8; 65] {
        let mut point = [4; 65];
        let (x, y) = point[1..].split_at_mut(P256_BYTES);
        x.copy_from_slice(&reversed(self.x_le()));
        y.copy_from_slice(&reversed(self.y_le()));
        point
    }

    /// The signature as r, s, big-endian: as ECDSA libraries want it.
    pub fn signature_be(&self) -> [u8; 64] {
        let mut signature = [0; 64];
        let (r, s) = signature.split_at_mut(P256_BYTES);
        r.copy_from_slice(&reversed(self.r_le()));
        s.copy_from_slice(&reversed(self.s_le()));
        signature
    }
}

pub(super) fn reversed<const N: usize>(bytes: &[u8; N]) -> [u8; N] {
    let mut bytes = *bytes;
    bytes.reverse();
    bytes
}

/// `length` bytes at a constant offset inside the block.
fn part(bytes: &Bytes, offset: usize, length: usize) -> &[u8] {
    bytes.get(offset..offset + length).unwrap_or(&[])
}

/// A field at a constant offset inside the block.
fn field<const N: usize>(bytes: &Bytes, offset: usize) -> &[u8; N] {
    part(bytes, offset, N).first_chunk().unwrap_or(&[0; N])
}
