//! RSA signature verification by `rsa_heapless`: its arithmetic and its padding checks, our SHA-2.
//!
//! `rsa_heapless` speaks the traits of `digest` 0.11; everything else in the firmware uses `sha2` 0.10, and a
//! second SHA-256 would cost the chip 14 KB of flash. [`Hash`] bridges the two generations of traits.

use fixed_bigint::FixedUInt;
#[cfg(feature = "algorithms")]
use rsa::pkcs1v15;
use rsa::signature::digest::array::ArraySize;
use rsa::signature::digest::const_oid::{AssociatedOid, ObjectIdentifier};
use rsa::signature::digest::{
    FixedOutput, FixedOutputReset, HashMarker, Output, OutputSizeUser, Reset, Update, typenum,
};
use rsa::signature::hazmat::PrehashVerifier;
use rsa::{modmath_support, pss};

/// The width of an image signing key (ESP-IDF `ets_secure_boot_sig_block_t`: RSA-3072 only).
type Rsa3072 = FixedUInt<u32, 96>;

/// Verifies RSASSA-PSS with SHA-256, MGF1-SHA-256 and a 32-byte salt by an RSA-3072 key, as ESP-IDF's Secure
/// Boot V2 prescribes. Modulus and signature are big-endian; `digest` is the SHA-256 of the message.
pub(crate) fn verify_pss_3072(
    modulus: &[u8; 384],
    exponent: u32,
    digest: &[u8; 32],
    signature: &[u8; 384],
) -> bool {
    // A modulus whose top bit is clear is not a 3072-bit key, whatever its container says.
    if modulus[0] & 0x80 == 0 || !exponent_is_sane(exponent) {
        return false;
    }
    let Ok(key) = modmath_support::public_key_from_be_bytes::<Rsa3072>(modulus, exponent) else {
        return false;
    };
    let signature = modmath_support::wrap(Rsa3072::from_be_bytes(signature));
    pss::GenericVerifyingKey::<Hash<sha2::Sha256>, _, _>::new(key)
        .verify_prehash(digest, &pss::GenericSignature::from_inner(signature))
        .is_ok()
}

/// The two paddings of RSA signatures (RFC 8017 §8).
#[cfg(feature = "algorithms")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Padding {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
    /// RSASSA-PSS, salt as long as the hash.
    Pss,
}

/// Verifies by a key of 2048, 3072 or 4096 bits. All numbers big-endian; `prehash` is the message's hash by `D`.
#[cfg(feature = "algorithms")]
pub(crate) fn verify_up_to_4096<D: HashFacts>(
    padding: Padding,
    modulus: &[u8],
    exponent: u32,
    prehash: &[u8],
    signature: &[u8],
) -> bool {
    type Rsa4096 = FixedUInt<u32, 128>;

    let whole_width = matches!(modulus.len(), 256 | 384 | 512) && modulus[0] & 0x80 != 0;
    // RFC 8017 §8.1.2 and §8.2.2, step 1: a signature is exactly as long as the modulus.
    if !whole_width || signature.len() != modulus.len() || !exponent_is_sane(exponent) {
        return false;
    }
    let Ok(key) = modmath_support::public_key_from_be_bytes::<Rsa4096>(modulus, exponent) else {
        return false;
    };
    let signature = modmath_support::wrap(Rsa4096::from_be_bytes(signature));
    match padding {
        Padding::Pkcs1 => pkcs1v15::GenericVerifyingKey::<Hash<D>, _, _>::new(key)
            .verify_prehash(prehash, &pkcs1v15::GenericSignature::from(signature))
            .is_ok(),
        Padding::Pss => pss::GenericVerifyingKey::<Hash<D>, _, _>::new(key)
            .verify_prehash(prehash, &pss::GenericSignature::from(signature))
            .is_ok(),
    }
}

/// An even exponent is no RSA key, and 1 would make every message its own signature.
fn exponent_is_sane(exponent: u32) -> bool {
    exponent >= 3 && exponent % 2 == 1
}

/// A hash of `sha2` 0.10 behind the traits of `digest` 0.11.
#[derive(Clone, Default)]
pub(crate) struct Hash<D>(D);

/// The facts about a hash that the newer traits want as types.
pub(crate) trait HashFacts: sha2::Digest + Default {
    type Bytes: ArraySize + typenum::IsLess<typenum::U256>;
    const OID: ObjectIdentifier;
}

impl HashFacts for sha2::Sha256 {
    type Bytes = typenum::U32;
    const OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
}

#[cfg(feature = "algorithms")]
impl HashFacts for crate::algorithms::Sha384 {
    type Bytes = typenum::U48;
    const OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
}

impl<D: HashFacts> AssociatedOid for Hash<D> {
    const OID: ObjectIdentifier = D::OID;
}

impl<D: HashFacts> HashMarker for Hash<D> {}

impl<D: HashFacts> OutputSizeUser for Hash<D> {
    type OutputSize = D::Bytes;
}

impl<D: HashFacts> Update for Hash<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

impl<D: HashFacts> FixedOutput for Hash<D> {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&self.0.finalize());
    }
}

impl<D: HashFacts> FixedOutputReset for Hash<D> {
    fn finalize_into_reset(&mut self, out: &mut Output<Self>) {
        core::mem::take(self).finalize_into(out);
    }
}

impl<D: HashFacts> Reset for Hash<D> {
    fn reset(&mut self) {
        *self = Self::default();
    }
}
