//! The signature sector behind an app image (Secure Boot V2), verified by the node itself.
//!
//! The rule is ESP-ROM's (`secure_boot.h`, `ets_secure_boot_verify_signature`): up to three blocks, each with a
//! magic byte, a version and a CRC of its own; a block counts when its public key is a trusted one, and the
//! first that verifies wins. So a file may carry the signatures of the old key and of the new one, and keys can
//! change without a day on which part of a fleet is locked out.

use core::fmt;

use crate::{KeyDigest, rsa_verify};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use p256::ecdsa::{Signature, VerifyingKey};
use rootcast_image::signature::{SignatureBlock, SignatureFormatError, SignatureSector};

/// Why an image's signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// There is no signature block where the signature sector would begin.
    Missing,
    /// Signature blocks are there, but none is whole. What is wrong with the first is said.
    Malformed(SignatureFormatError),
    /// Whole blocks are there, none by a trusted key. The first stranger's key digest is named.
    Untrusted {
        /// The key digest of the first whole block.
        found: KeyDigest,
    },
    /// A trusted key signed, but these bytes are not what it signed: the image changed afterwards.
    Changed {
        /// The trusted key of that block.
        key: KeyDigest,
    },
    /// A block names a trusted key, but its signature does not verify.
    Invalid {
        /// The trusted key of that block.
        key: KeyDigest,
    },
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the image is not signed"),
            Self::Malformed(error) => write!(f, "the image's signature cannot be used: {error}"),
            Self::Untrusted { found } => {
                write!(f, "the image is signed by the key {found}, which is not trusted")
            }
            Self::Changed { key } => write!(f, "the image is not the one that the key {key} signed"),
            Self::Invalid { key } => write!(f, "the image's signature by the key {key} does not verify"),
        }
    }
}

impl core::error::Error for SignatureError {}

/// Verifies the signature sector of an app image against the trusted keys and says which key it was.
///
/// `signed_digest` is the SHA-256 of everything before the sector (`rootcast_image::AppImage::signed_digest`);
/// `sector` is what follows there, up to 4096 bytes, less where the file or the slot ends.
///
/// When several things are wrong, the error is the one nearest to success: a trusted key's block that fails says
/// more than a stranger's.
pub fn verify_image_signature(
    signed_digest: &[u8; 32],
    sector: &[u8],
    trusted: &[KeyDigest],
) -> Result<KeyDigest, SignatureError> {
    let sector = SignatureSector::parse(sector).map_err(|_| SignatureError::Missing)?;
    let mut failure = SignatureError::Missing;
    for block in sector.blocks() {
        match check(block, signed_digest, trusted) {
            Ok(key) => return Ok(key),
            Err(error) => failure = nearest(failure, error),
        }
    }
    Err(failure)
}

fn check(
    block: Result<SignatureBlock<'_>, SignatureFormatError>,
    signed_digest: &[u8; 32],
    trusted: &[KeyDigest],
) -> Result<KeyDigest, SignatureError> {
    let block = block.map_err(SignatureError::Malformed)?;
    let key = KeyDigest(block.key_digest());
    if !trusted.contains(&key) {
        Err(SignatureError::Untrusted { found: key })
    } else if block.digest() != signed_digest {
        Err(SignatureError::Changed { key })
    } else if !verifies(&block, signed_digest) {
        Err(SignatureError::Invalid { key })
    } else {
        Ok(key)
    }
}

/// The first of the errors that are nearest to success.
fn nearest(one: SignatureError, other: SignatureError) -> SignatureError {
    let rank = |error: &SignatureError| match error {
        SignatureError::Missing => 0,
        SignatureError::Malformed(_) => 1,
        SignatureError::Untrusted { .. } => 2,
        SignatureError::Changed { .. } => 3,
        SignatureError::Invalid { .. } => 4,
    };
    if rank(&other) > rank(&one) { other } else { one }
}

fn verifies(block: &SignatureBlock<'_>, digest: &[u8; 32]) -> bool {
    match block {
        SignatureBlock::Rsa3072(block) => {
            rsa_verify::verify_pss_3072(&block.modulus_be(), block.exponent(), digest, &block.signature_be())
        }
        SignatureBlock::EcdsaP256(block) => {
            let key = VerifyingKey::from_sec1_bytes(&block.public_key_sec1());
            let signature = Signature::from_slice(&block.signature_be());
            key.is_ok_and(|key| signature.is_ok_and(|it| key.verify_prehash(digest, &it).is_ok()))
        }
    }
}
