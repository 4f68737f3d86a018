//! Signature blocks, frozen. The expected hashes are over blocks made with Python's integers, `hashlib` and `zlib`, not
//! with this crate.

use rootcast_image::ImageHash;
use rootcast_image::crc::crc32;
use rootcast_image::signature::{
    EcdsaP256Parts, RsaParts, SIGNATURE_BLOCK_BYTES, SignatureBlock, SignatureFormatError, SignatureSector,
    montgomery, write_ecdsa_p256_block, write_rsa_block, write_sector,
};
use sha2::{Digest, Sha256};

/// `N` bytes that look random: SHA-256 of tag and counter.
fn stream<const N: usize>(tag: &str) -> [u8; N] {
    let bytes: Vec<u8> =
        (0u8..).flat_map(|i| Sha256::digest([tag.as_bytes(), &[i]].concat())).take(N).collect();
    bytes.try_into().expect("N bytes")
}

fn modulus() -> [u8; 384] {
    let mut modulus = stream("modulus");
    modulus[0] |= 0x80;
    modulus[383] |= 1;
    modulus
}

fn digest() -> [u8; 32] {
    Sha256::digest("signed bytes").into()
}

fn rsa_block() -> [u8; SIGNATURE_BLOCK_BYTES] {
    write_rsa_block(&RsaParts {
        digest: &digest(),
        modulus_be: &modulus(),
        exponent: 65537,
        signature_be: &stream("signature"),
    })
}

fn ecdsa_block() -> [u8; SIGNATURE_BLOCK_BYTES] {
    let (public_key_be, signature_be) = (&stream("public key"), &stream("signature"));
    write_ecdsa_p256_block(&EcdsaP256Parts { digest: &digest(), public_key_be, signature_be })
}

fn hex(bytes: impl Into<[u8; 32]>) -> String {
    ImageHash(bytes.into()).to_string()
}

#[test]
fn an_rsa_block_is_these_bytes() {
    let bytes = rsa_block();
    assert_eq!(bytes[..4], [0xE7, 2, 0, 0]);
    assert_eq!(bytes[420..424], [1, 0, 1, 0]);
    assert_eq!(
        hex(Sha256::digest(bytes)),
        "2c1a713d19b126c07fb538d33c7fec95a2e4fa741de99bf6174b405bdcbe1bb3"
    );
    let Ok(SignatureBlock::Rsa3072(block)) = SignatureBlock::parse(&bytes) else { panic!("not RSA") };
    assert_eq!((block.modulus_be(), block.exponent()), (modulus(), 65537));
    assert_eq!(block.signature_be(), stream("signature"));
    assert_eq!((*block.r_le(), block.m_prime()), montgomery(block.modulus_le()));
    let block = SignatureBlock::Rsa3072(block);
    assert_eq!(*block.digest(), digest());
    assert_eq!(hex(block.key_digest()), "5be66bea8c7469b976cc8d2a2b43d39c105e2b94160e0d86a6cc983bb6321c0f");
}

#[test]
fn an_ecdsa_block_is_these_bytes() {
    let bytes = ecdsa_block();
    assert_eq!(bytes[..4], [0xE7, 3, 0, 0]);
    assert_eq!(bytes[36], 2);
    assert_eq!(
        hex(Sha256::digest(bytes)),
        "29800196ee1855b3725e0756d16d96c729a4b4cce40041b0f2d5caa143d60510"
    );
    let Ok(SignatureBlock::EcdsaP256(block)) = SignatureBlock::parse(&bytes) else { panic!("not ECDSA") };
    assert_eq!(block.public_key_sec1()[0], 4);
    assert_eq!(block.public_key_sec1()[1..], stream::<64>("public key"));
    assert_eq!(block.signature_be(), stream("signature"));
    let block = SignatureBlock::EcdsaP256(block);
    assert_eq!(*block.digest(), digest());
    assert_eq!(hex(block.key_digest()), "cf8946e4f4f081f32a174ee506a3d8fb054f5f4d022a9fca3465120bbbdc5ce5");
}

#[test]
fn m_prime_is_the_negative_inverse_of_every_modulus() {
    for low in (1u16..2000).step_by(2) {
        let mut modulus_le = [0xA5; 384];
        modulus_le[..2].copy_from_slice(&low.to_le_bytes());
        let word = u32::from(low) | 0xA5A5_0000;
        assert_eq!(word.wrapping_mul(montgomery(&modulus_le).1), u32::MAX, "{low}");
    }
}

#[test]
fn a_sector_holds_up_to_three_blocks_and_erased_bytes() {
    assert_eq!(write_sector(&[]), None);
    for count in 1..=4 {
        let blocks: Vec<_> = [rsa_block(), ecdsa_block()].into_iter().cycle().take(count).collect();
        let sector = write_sector(&blocks).expect("a block");
        let count = count.min(3);
        assert!(sector[count * 1216..].iter().all(|byte| *byte == 0xFF));
        let read = SignatureSector::parse(&sector).expect("signed");
        let bytes: Vec<_> = read.blocks().map(|block| *block.expect("valid").bytes()).collect();
        assert_eq!(bytes, blocks[..count]);
    }
}

#[test]
fn a_sector_without_a_block_is_missing() {
    for (bytes, found) in [(&[][..], 0xFF), (&[0xFF; 4096][..], 0xFF), (&[0; 4096][..], 0)] {
        let error = SignatureSector::parse(bytes).map(|_| ()).expect_err("not signed");
        assert_eq!(error, SignatureFormatError::Missing { found });
    }
}

#[test]
fn a_damaged_first_block_does_not_hide_the_second() {
    let mut sector = write_sector(&[rsa_block(), ecdsa_block()]).expect("blocks");
    sector[100] ^= 1;
    let blocks: Vec<_> = SignatureSector::parse(&sector).expect("signed").blocks().collect();
    assert_eq!(blocks.len(), 2);
    assert!(matches!(blocks[0], Err(SignatureFormatError::Crc { .. })));
    assert!(matches!(blocks[1], Ok(SignatureBlock::EcdsaP256(_))));
}

/// The block with one byte changed and its CRC made right again.
fn resealed(mut block: [u8; SIGNATURE_BLOCK_BYTES], at: usize, value: u8) -> [u8; SIGNATURE_BLOCK_BYTES] {
    block[at] = value;
    let crc = crc32(&block[..1196]);
    block[1196..1200].copy_from_slice(&crc.to_le_bytes());
    block
}

#[test]
fn a_block_of_another_kind_is_named_although_its_checksum_is_right() {
    let parse = |block: &[u8]| SignatureBlock::parse(block).map(|_| ());
    for found in [0, 1, 4, 255] {
        assert_eq!(parse(&resealed(rsa_block(), 1, found)), Err(SignatureFormatError::Version { found }));
    }
    for curve in [0, 1, 3] {
        let error = SignatureFormatError::Curve { curve, digest: 0 };
        assert_eq!(parse(&resealed(ecdsa_block(), 36, curve)), Err(error));
    }
    let p384 = resealed(resealed(ecdsa_block(), 2, 1), 52, 3);
    assert_eq!(parse(&p384), Err(SignatureFormatError::Curve { curve: 3, digest: 1 }));
}

#[test]
fn a_flipped_bit_anywhere_in_a_block_is_noticed() {
    for block in [rsa_block(), ecdsa_block()] {
        for bit in 0..1200 * 8 {
            let mut flipped = block;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SignatureBlock::parse(&flipped).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_block_cut_anywhere_is_named() {
    let block = rsa_block();
    for length in 1..block.len() {
        let error = SignatureFormatError::Truncated { length: length as u16 };
        assert_eq!(SignatureBlock::parse(&block[..length]), Err(error));
        let sector = SignatureSector::parse(&block[..length]).expect("it begins");
        assert_eq!(sector.blocks().collect::<Vec<_>>(), [Err(error)]);
    }
}
