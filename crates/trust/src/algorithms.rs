//! Signature algorithms for webpki in pure Rust without allocation, for chips that cannot have ring.
//!
//! ECDSA by `p256` (and `p384` with the feature of that name), RSA PKCS#1 v1.5 and PSS by `rsa_heapless`, with
//! keys of 2048, 3072 and 4096 bits. Tests compare each with ring on good, corrupted and malformed input.
//!
//! RSA works in a 4096-bit container whatever the key's size: one copy of the arithmetic in flash instead of
//! three, for some milliseconds more on smaller keys.

use core::fmt;

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha256};

use crate::rsa_verify::{self, Padding};

/// The rolled-up SHA-384 of `hmac-sha512`: 3 KB of flash where sha2's unrolled one takes 48 KB, and certificates are
/// short.
pub(crate) type Sha384 = hmac_sha512::sha384::Hash;

/// Every algorithm here, in the order in which they are likely to be met.
pub static ALL: &[&dyn SignatureVerificationAlgorithm] = &[
    ECDSA_P256_SHA256,
    RSA_PKCS1_SHA256,
    #[cfg(feature = "p384")]
    ECDSA_P384_SHA384,
    RSA_PKCS1_SHA384,
    RSA_PSS_SHA256,
    RSA_PSS_SHA384,
    ECDSA_P256_SHA384,
    #[cfg(feature = "p384")]
    ECDSA_P384_SHA256,
];

/// ECDSA by a P-256 key over SHA-256.
pub static ECDSA_P256_SHA256: &dyn SignatureVerificationAlgorithm =
    &Ecdsa { curve: Curve::P256, hash: Hash::Sha256 };
/// ECDSA by a P-256 key over SHA-384.
pub static ECDSA_P256_SHA384: &dyn SignatureVerificationAlgorithm =
    &Ecdsa { curve: Curve::P256, hash: Hash::Sha384 };
/// ECDSA by a P-384 key over SHA-256.
#[cfg(feature = "p384")]
pub static ECDSA_P384_SHA256: &dyn SignatureVerificationAlgorithm =
    &Ecdsa { curve: Curve::P384, hash: Hash::Sha256 };
/// ECDSA by a P-384 key over SHA-384.
#[cfg(feature = "p384")]
pub static ECDSA_P384_SHA384: &dyn SignatureVerificationAlgorithm =
    &Ecdsa { curve: Curve::P384, hash: Hash::Sha384 };
/// RSASSA-PKCS1-v1_5 over SHA-256.
pub static RSA_PKCS1_SHA256: &dyn SignatureVerificationAlgorithm =
    &Rsa { padding: Padding::Pkcs1, hash: Hash::Sha256 };
/// RSASSA-PKCS1-v1_5 over SHA-384.
pub static RSA_PKCS1_SHA384: &dyn SignatureVerificationAlgorithm =
    &Rsa { padding: Padding::Pkcs1, hash: Hash::Sha384 };
/// RSASSA-PSS over SHA-256 with a salt of 32 bytes, by an ordinary RSA key (TLS `rsa_pss_rsae_sha256`).
pub static RSA_PSS_SHA256: &dyn SignatureVerificationAlgorithm =
    &Rsa { padding: Padding::Pss, hash: Hash::Sha256 };
/// RSASSA-PSS over SHA-384 with a salt of 48 bytes, by an ordinary RSA key (TLS `rsa_pss_rsae_sha384`).
pub static RSA_PSS_SHA384: &dyn SignatureVerificationAlgorithm =
    &Rsa { padding: Padding::Pss, hash: Hash::Sha384 };

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
}

#[derive(Clone, Copy, Debug)]
enum Curve {
    P256,
    #[cfg(feature = "p384")]
    P384,
}

struct Ecdsa {
    curve: Curve,
    hash: Hash,
}

impl fmt::Debug for Ecdsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rootcast ECDSA {:?} {:?}", self.curve, self.hash)
    }
}

impl SignatureVerificationAlgorithm for Ecdsa {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        // RFC 5480 §2.2 allows compressed points; no CA issues them, ring refuses them, so do we.
        if public_key.first() != Some(&4) {
            return Err(InvalidSignature);
        }
        let prehash = Prehash::of(self.hash, message);
        let valid = match self.curve {
            Curve::P256 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(public_key);
                let signature = p256::ecdsa::Signature::from_der(signature);
                key.is_ok_and(|key| {
                    signature.is_ok_and(|it| key.verify_prehash(prehash.bytes(), &it).is_ok())
                })
            }
            #[cfg(feature = "p384")]
            Curve::P384 => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(public_key);
                let signature = p384::ecdsa::Signature::from_der(signature);
                key.is_ok_and(|key| {
                    signature.is_ok_and(|it| key.verify_prehash(prehash.bytes(), &it).is_ok())
                })
            }
        };
        if valid { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        match self.curve {
            Curve::P256 => alg_id::ECDSA_P256,
            #[cfg(feature = "p384")]
            Curve::P384 => alg_id::ECDSA_P384,
        }
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.hash {
            Hash::Sha256 => alg_id::ECDSA_SHA256,
            Hash::Sha384 => alg_id::ECDSA_SHA384,
        }
    }
}

struct Rsa {
    padding: Padding,
    hash: Hash,
}

impl fmt::Debug for Rsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rootcast RSA {:?} {:?}", self.padding, self.hash)
    }
}

impl SignatureVerificationAlgorithm for Rsa {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let (modulus, exponent) = rsa_public_key(public_key).ok_or(InvalidSignature)?;
        let prehash = Prehash::of(self.hash, message);
        let valid = match self.hash {
            Hash::Sha256 => rsa_verify::verify_up_to_4096::<Sha256>(
                self.padding,
                modulus,
                exponent,
                prehash.bytes(),
                signature,
            ),
            Hash::Sha384 => rsa_verify::verify_up_to_4096::<Sha384>(
                self.padding,
                modulus,
                exponent,
                prehash.bytes(),
                signature,
            ),
        };
        if valid { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match (self.padding, self.hash) {
            (Padding::Pkcs1, Hash::Sha256) => alg_id::RSA_PKCS1_SHA256,
            (Padding::Pkcs1, Hash::Sha384) => alg_id::RSA_PKCS1_SHA384,
            (Padding::Pss, Hash::Sha256) => alg_id::RSA_PSS_SHA256,
            (Padding::Pss, Hash::Sha384) => alg_id::RSA_PSS_SHA384,
        }
    }
}

enum Prehash {
    Sha256([u8; 32]),
    Sha384([u8; 48]),
}

impl Prehash {
    fn of(hash: Hash, message: &[u8]) -> Self {
        match hash {
            Hash::Sha256 => Self::Sha256(Sha256::digest(message).into()),
            Hash::Sha384 => Self::Sha384(Sha384::digest(message).into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha384(bytes) => bytes,
        }
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017 A.1.1), strict DER.
/// The modulus comes back without its sign byte.
fn rsa_public_key(der: &[u8]) -> Option<(&[u8], u32)> {
    let (sequence, rest) = der_value(0x30, der)?;
    let (modulus, after) = der_value(0x02, sequence)?;
    let (exponent, end) = der_value(0x02, after)?;
    if !rest.is_empty() || !end.is_empty() {
        return None;
    }
    let exponent = der_positive(exponent)?;
    if exponent.len() > 4 {
        return None;
    }
    Some((der_positive(modulus)?, exponent.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))))
}

/// The value under an expected tag, and what follows it. Lengths in their shortest form only (X.690 §10.1).
fn der_value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first().filter(|&&length| length >= 0x80)?), rest.get(1..)?),
        0x82 => {
            let length = u16::from_be_bytes(*rest.first_chunk()?);
            (usize::from(Some(length).filter(|&length| length >= 0x100)?), rest.get(2..)?)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

/// The magnitude of a positive INTEGER without its sign byte; none other than the shortest form.
fn der_positive(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        [0, rest @ ..] if rest.first().is_some_and(|&byte| byte >= 0x80) => Some(rest),
        [0x01..=0x7F, ..] => Some(integer),
        _ => None,
    }
}
