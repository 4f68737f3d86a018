//! Signature sectors: who signed, and whether the signatures hold.

use super::rows::{hex, row};
use rootcast_image::signature::{SignatureBlock, SignatureFormatError, SignatureSector};
use rootcast_trust::{KeyDigest, verify_image_signature};
use serde::Serialize;
use std::fmt;

/// A signature sector.
#[derive(Clone, Debug, Serialize)]
pub struct Signature {
    /// Its blocks, one to three.
    pub blocks: Vec<Block>,
}

/// One signature.
#[derive(Clone, Debug, Serialize)]
pub struct Block {
    /// Its scheme; `None` if the block cannot be read.
    scheme: Option<&'static str>,
    /// What the key is trusted by.
    key_digest: Option<String>,
    /// Whether it is for the bytes before it; `None` where those are not in the file.
    matches_image: Option<bool>,
    /// Whether the signature itself holds.
    valid: bool,
    /// Whether the key is among those asked for; `None` if none was.
    trusted: Option<bool>,
    /// Why the block cannot be read.
    problem: Option<String>,
}

impl Signature {
    /// Reads the sector. `signed_digest` is SHA-256 over what lies before it, if that is known.
    pub fn read(
        sector: &SignatureSector<'_>,
        signed_digest: Option<&[u8; 32]>,
        trusted: &[KeyDigest],
    ) -> Self {
        Self { blocks: sector.blocks().map(|block| Block::read(block, signed_digest, trusted)).collect() }
    }

    /// Whether one of the signatures holds for the bytes before it.
    pub fn holds(&self) -> bool {
        self.blocks.iter().any(|block| block.valid && block.matches_image != Some(false))
    }
}

impl Block {
    fn read(
        block: Result<SignatureBlock<'_>, SignatureFormatError>,
        signed_digest: Option<&[u8; 32]>,
        trusted: &[KeyDigest],
    ) -> Self {
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                let problem = Some(error.to_string());
                return Self {
                    scheme: None,
                    key_digest: None,
                    matches_image: None,
                    valid: false,
                    trusted: None,
                    problem,
                };
            }
        };
        let key = KeyDigest(block.key_digest());
        Self {
            scheme: Some(match block {
                SignatureBlock::Rsa3072(_) => "RSA-3072",
                SignatureBlock::EcdsaP256(_) => "ECDSA P-256",
            }),
            key_digest: Some(hex(&key.0)),
            matches_image: signed_digest.map(|digest| digest == block.digest()),
            // Whether the key, whoever's it is, signed the digest that the block states.
            valid: verify_image_signature(block.digest(), block.bytes(), &[key]).is_ok(),
            trusted: (!trusted.is_empty()).then(|| trusted.contains(&key)),
            problem: None,
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, block) in self.blocks.iter().enumerate() {
            row(f, &format!("signature {index}"), block)?;
        }
        Ok(())
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(problem) = &self.problem {
            return write!(f, "INVALID: {problem}");
        }
        let holds = match (self.valid, self.matches_image) {
            (false, _) => "INVALID",
            (true, Some(false)) => "INVALID: for other bytes than these",
            (true, _) => "valid",
        };
        let trusted = match self.trusted {
            None => "",
            Some(true) => ", trusted",
            Some(false) => ", NOT trusted",
        };
        let (scheme, key) = (self.scheme.unwrap_or_default(), self.key_digest.as_deref().unwrap_or_default());
        write!(f, "{scheme} by {key} ({holds}{trusted})")
    }
}
