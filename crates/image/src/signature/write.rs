//! Signature blocks and sectors, written.

use super::block::{Bytes, CRC_AT, CURVE_P256, VERSION_ECDSA, VERSION_RSA, reversed};
use super::{
    MAX_SIGNATURE_BLOCKS, P256_BYTES, RSA_BYTES, SIGNATURE_BLOCK_BYTES, SIGNATURE_MAGIC,
    SIGNATURE_SECTOR_BYTES,
};
use crate::crc::crc32;

/// What an RSA-3072 block is made of. Numbers are big-endian, as RSA libraries give them.
#[derive(Clone, Copy, Debug)]
pub struct RsaParts<'a> {
    /// SHA-256 over the signed bytes.
    pub digest: &'a [u8; 32],
    /// The modulus, big-endian.
    pub modulus_be: &'a [u8; RSA_BYTES],
    /// The public exponent, 65537 as a rule.
    pub exponent: u32,
    /// The signature, big-endian.
    pub signature_be: &'a [u8; RSA_BYTES],
}

/// What an ECDSA P-256 block is made of. Numbers are big-endian, as ECDSA libraries give them.
#[derive(Clone, Copy, Debug)]
pub struct EcdsaP256Parts<'a> {
    /// SHA-256 over the signed bytes.
    pub digest: &'a [u8; 32],
    /// The public key's X and Y, big-endian: an uncompressed SEC1 point without its first byte.
    pub public_key_be: &'a [u8; 2 * P256_BYTES],
    /// The signature's r and s, big-endian.
    pub signature_be: &'a [u8; 2 * P256_BYTES],
}

/// An RSA-3072 block with Montgomery constants and CRC filled in.
pub fn write_rsa_block(parts: &RsaParts<'_>) -> [u8; SIGNATURE_BLOCK_BYTES] {
    let modulus = reversed(parts.modulus_be);
    let (r, m_prime) = montgomery(&modulus);
    seal(&[
        &[SIGNATURE_MAGIC, VERSION_RSA, 0, 0],
        parts.digest,
        &modulus,
        &parts.exponent.to_le_bytes(),
        &r,
        &m_prime.to_le_bytes(),
        &reversed(parts.signature_be),
    ])
}

/// An ECDSA P-256 block with CRC filled in.
pub fn write_ecdsa_p256_block(parts: &EcdsaP256Parts<'_>) -> [u8; SIGNATURE_BLOCK_BYTES] {
    let (mut key, mut signature) = (*parts.public_key_be, *parts.signature_be);
    for number in key.chunks_exact_mut(P256_BYTES).chain(signature.chunks_exact_mut(P256_BYTES)) {
        number.reverse();
    }
    seal(&[&[SIGNATURE_MAGIC, VERSION_ECDSA, 0, 0], parts.digest, &[CURVE_P256], &key, &signature])
}

/// A sector of up to three blocks; more are left out. `None` without a block.
pub fn write_sector(blocks: &[[u8; SIGNATURE_BLOCK_BYTES]]) -> Option<[u8; SIGNATURE_SECTOR_BYTES]> {
    let mut sector = [0xFF; SIGNATURE_SECTOR_BYTES];
    let rooms = sector.chunks_exact_mut(SIGNATURE_BLOCK_BYTES).take(MAX_SIGNATURE_BLOCKS);
    for (room, block) in rooms.zip(blocks) {
        room.copy_from_slice(block);
    }
    (!blocks.is_empty()).then_some(sector)
}

/// Puts the fields one after the other and the CRC in its place.
fn seal(fields: &[&[u8]]) -> Bytes {
    let mut block = [0; SIGNATURE_BLOCK_BYTES];
    for (to, from) in block.iter_mut().zip(fields.iter().copied().flatten()) {
        *to = *from;
    }
    let (content, tail) = block.split_at_mut(CRC_AT);
    let crc = crc32(content).to_le_bytes();
    tail[..crc.len()].copy_from_slice(&crc);
    block
}

/// 32-bit words of an RSA-3072 number.
const WORDS: usize = RSA_BYTES / 4;

/// The constants with which the ROM multiplies: R = 2^6144 mod n (little-endian) and M' = -n⁻¹ mod 2^32.
///
/// `modulus_le` must be odd and have its top bit set, as every RSA-3072 modulus is; for anything else the constants
/// are of no use, but the function still returns.
pub fn montgomery(modulus_le: &[u8; RSA_BYTES]) -> ([u8; RSA_BYTES], u32) {
    let mut n = [0u32; WORDS];
    for (word, bytes) in n.iter_mut().zip(modulus_le.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    // 2^3072 mod n is 2^3072 - n, because n > 2^3071. Doubled 3072 times it is 2^6144.
    let mut r = [0u32; WORDS];
    subtract(&mut r, &n);
    for _ in 0..WORDS * 32 {
        if double(&mut r) || !is_less(&r, &n) {
            subtract(&mut r, &n);
        }
    }
    let mut r_le = [0; RSA_BYTES];
    for (bytes, word) in r_le.as_chunks_mut::<4>().0.iter_mut().zip(r) {
        *bytes = word.to_le_bytes();
    }
    // Newton's iteration doubles the correct low bits of the inverse; n itself is right to three.
    let low = n.first().copied().unwrap_or(1);
    let inverse = (0..4).fold(low, |x, _| x.wrapping_mul(2u32.wrapping_sub(low.wrapping_mul(x))));
    (r_le, inverse.wrapping_neg())
}

/// a - b modulo 2^3072.
fn subtract(a: &mut [u32; WORDS], b: &[u32; WORDS]) {
    let mut borrow = false;
    for (x, y) in a.iter_mut().zip(b) {
        let (difference, under) = x.overflowing_sub(*y);
        let (difference, under_again) = difference.overflowing_sub(u32::from(borrow));
        (*x, borrow) = (difference, under || under_again);
    }
}

/// Doubles a; whether a bit fell off the top.
fn double(a: &mut [u32; WORDS]) -> bool {
    let mut carry = 0;
    for word in a.iter_mut() {
        (*word, carry) = (*word << 1 | carry, *word >> 31);
    }
    carry == 1
}

fn is_less(a: &[u32; WORDS], b: &[u32; WORDS]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}
