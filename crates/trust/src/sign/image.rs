//! Signing app images the way `espsecure sign-data --version 2` does.

use rootcast_image::ImageVerifier;
use rootcast_image::signature::{
    EcdsaP256Parts, MAX_SIGNATURE_BLOCKS, RsaParts, SIGNATURE_BLOCK_BYTES, SIGNATURE_MAGIC,
    SIGNATURE_SECTOR_BYTES, SignatureSector, write_ecdsa_p256_block, write_rsa_block, write_sector,
};
use sha2::{Digest, Sha256};
use std::vec::Vec;

use super::key::Inner;
use super::{SignError, SigningKey};
use crate::KeyDigest;

type Block = [u8; SIGNATURE_BLOCK_BYTES];

/// Signs an app image with one to three keys: image, 0xFF up to the next 4096 bytes, signature sector.
///
/// Signatures that are already there are replaced.
pub fn sign_image(app: &[u8], keys: &[SigningKey]) -> Result<Vec<u8>, SignError> {
    let (signed, _) = split(app)?;
    sign(signed, Vec::new(), Vec::new(), keys)
}

/// Adds signatures to a signed image, beside those that are there: the old and the new key during a rotation.
pub fn append_signature(signed_app: &[u8], keys: &[SigningKey]) -> Result<Vec<u8>, SignError> {
    let (signed, sector) = split(signed_app)?;
    let digest = Sha256::digest(&signed);
    let mut blocks = Vec::new();
    let mut signers = Vec::new();
    let sector = SignatureSector::parse(sector).map_err(|_| SignError::NotSigned)?;
    for block in sector.blocks().flatten() {
        if block.digest()[..] != digest[..] {
            return Err(SignError::Changed);
        }
        blocks.push(*block.bytes());
        signers.push(KeyDigest(block.key_digest()));
    }
    if blocks.is_empty() {
        return Err(SignError::NotSigned);
    }
    sign(signed, blocks, signers, keys)
}

fn sign(
    mut signed: Vec<u8>,
    mut blocks: Vec<Block>,
    mut signers: Vec<KeyDigest>,
    keys: &[SigningKey],
) -> Result<Vec<u8>, SignError> {
    let room = MAX_SIGNATURE_BLOCKS - blocks.len();
    if keys.is_empty() || keys.len() > room {
        return Err(SignError::KeyCount { given: keys.len(), room });
    }
    for key in keys {
        let digest = key.key_digest();
        if signers.contains(&digest) {
            return Err(SignError::DuplicateKey { key: digest });
        }
        blocks.push(block(key, &signed)?);
        signers.push(digest);
    }
    signed.extend(write_sector(&blocks).into_iter().flatten());
    Ok(signed)
}

/// The bytes that are signed (image and padding), and the signature sector if one follows.
fn split(app: &[u8]) -> Result<(Vec<u8>, &[u8]), SignError> {
    let mut verifier = ImageVerifier::new();
    verifier.push(app).map_err(SignError::NotAnApp)?;
    let image = verifier.finish().map_err(SignError::NotAnApp)?;
    let image_len = image.image_len as usize;
    let signed_len = image.signed_len as usize;
    let padding = app.get(image_len..signed_len.min(app.len())).unwrap_or_default();
    let sector = app.get(signed_len..).unwrap_or_default();
    if padding.iter().any(|&byte| byte != 0xFF) {
        return Err(SignError::TrailingBytes { offset: image_len, bytes: app.len() - image_len });
    }
    if !(sector.is_empty() || sector.len() == SIGNATURE_SECTOR_BYTES && sector[0] == SIGNATURE_MAGIC) {
        return Err(SignError::TrailingBytes { offset: signed_len, bytes: sector.len() });
    }
    let mut signed = app[..image_len].to_vec();
    signed.resize(signed_len, 0xFF);
    Ok((signed, sector))
}

fn block(key: &SigningKey, signed: &[u8]) -> Result<Block, SignError> {
    let signature = match &key.0 {
        Inner::Rsa(key) => key.sign_pss(signed)?.to_vec(),
        Inner::P256(_) => key.sign_es256(signed)?.to_vec(),
    };
    Ok(block_with(key, &Sha256::digest(signed).into(), &signature))
}

/// The block of a key, with the signature given; a shorter one is filled with zeros.
pub(super) fn block_with(key: &SigningKey, digest: &[u8; 32], signature: &[u8]) -> Block {
    match &key.0 {
        Inner::Rsa(key) => write_rsa_block(&RsaParts {
            digest,
            modulus_be: key.modulus(),
            exponent: key.exponent(),
            signature_be: signature.first_chunk().unwrap_or(&[0; 384]),
        }),
        Inner::P256(_) => write_ecdsa_p256_block(&EcdsaP256Parts {
            digest,
            public_key_be: key
                .public_key_p256()
                .as_ref()
                .and_then(|point| point.last_chunk())
                .unwrap_or(&[0; 64]),
            signature_be: signature.first_chunk().unwrap_or(&[0; 64]),
        }),
    }
}
