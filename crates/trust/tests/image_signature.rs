//! What is believed about an image's signature, and what is said when it is not.

mod support;

use rootcast_trust::sign::{SignError, append_signature, sign_image};
use rootcast_trust::{KeyDigest, SignatureError, verify_image_signature};
use sha2::{Digest, Sha256};
use support::*;

const BLOCK: usize = 1216;

fn verify(file: &[u8], trusted: &[KeyDigest]) -> Result<KeyDigest, SignatureError> {
    let (digest, sector) = signed_parts(file);
    verify_image_signature(&digest, sector, trusted)
}

/// Repairs the CRC of the block that begins at `at` of the sector, so that what was changed is what is judged.
fn reseal(sector: &mut [u8], at: usize) {
    let crc = rootcast_image::crc::crc32(&sector[at..at + 1196]);
    sector[at + 1196..at + 1200].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn any_of_three_blocks_may_match_a_trusted_key() {
    let keys = [p256_key(), p256_key(), p256_key()];
    let signed = sign_image(&app_image(0), &keys).unwrap();
    for key in &keys {
        let stranger = KeyDigest([7; 32]);
        assert_eq!(verify(&signed, &[stranger, key.key_digest()]), Ok(key.key_digest()));
    }
}

#[test]
fn schemes_may_be_mixed_so_that_a_fleet_can_change_scheme() {
    let signed = sign_image(&app_image(0), std::slice::from_ref(&rsa_keys()[0])).unwrap();
    let p256 = p256_key();
    let both = append_signature(&signed, std::slice::from_ref(&p256)).unwrap();
    for digest in [rsa_keys()[0].key_digest(), p256.key_digest()] {
        assert_eq!(verify(&both, &[digest]), Ok(digest));
    }
}

#[test]
fn an_unsigned_image_is_missing_its_signature() {
    let key = p256_key().key_digest();
    for sector in [&[][..], &[0xFF; 4096], &[0; 4096]] {
        assert_eq!(verify_image_signature(&[0; 32], sector, &[key]), Err(SignatureError::Missing));
    }
}

#[test]
fn a_signature_that_is_not_at_a_multiple_of_4096_bytes_is_none() {
    let key = p256_key();
    let app = app_image(0);
    let signed = sign_image(&app, std::slice::from_ref(&key)).unwrap();
    let (_, sector) = signed_parts(&signed);
    let begins = signed.len() - sector.len();
    for at in [app.len(), app.len() + 512, begins - 16, begins + 16, begins + 4096] {
        let mut file = app.clone();
        file.resize(at, 0xFF);
        file.extend_from_slice(sector);
        assert!(parsed(&file).signed_digest.is_some(), "long enough to be looked at: {at}");
        assert_eq!(verify(&file, &[key.key_digest()]), Err(SignatureError::Missing), "{at}");
    }
}

#[test]
fn a_strangers_signature_is_untrusted_and_named() {
    let key = p256_key();
    let signed = sign_image(&app_image(0), std::slice::from_ref(&key)).unwrap();
    let expected = Err(SignatureError::Untrusted { found: key.key_digest() });
    assert_eq!(verify(&signed, &[]), expected);
    assert_eq!(verify(&signed, &[KeyDigest([1; 32])]), expected);
}

#[test]
fn an_image_changed_after_signing_is_changed() {
    for key in [p256_key(), SigningKeyOfRsa::any()] {
        let signed = sign_image(&app_image(0), std::slice::from_ref(&key)).unwrap();
        let (_, sector) = signed_parts(&signed);
        let other = parsed(&sign_image(&app_image(1), std::slice::from_ref(&key)).unwrap());
        assert_eq!(
            verify_image_signature(&other.signed_digest.unwrap(), sector, &[key.key_digest()]),
            Err(SignatureError::Changed { key: key.key_digest() })
        );
    }
}

struct SigningKeyOfRsa;
impl SigningKeyOfRsa {
    fn any() -> rootcast_trust::sign::SigningKey {
        rootcast_trust::sign::SigningKey::from_pem(&rsa_keys()[1].to_pem().unwrap()).unwrap()
    }
}

#[test]
fn a_block_that_claims_the_right_digest_but_was_signed_for_another_is_invalid() {
    for key in [p256_key(), SigningKeyOfRsa::any()] {
        let signed = sign_image(&app_image(0), std::slice::from_ref(&key)).unwrap();
        let other =
            parsed(&sign_image(&app_image(1), std::slice::from_ref(&key)).unwrap()).signed_digest.unwrap();
        let mut sector = signed_parts(&signed).1.to_vec();
        sector[4..36].copy_from_slice(&other);
        reseal(&mut sector, 0);
        assert_eq!(
            verify_image_signature(&other, &sector, &[key.key_digest()]),
            Err(SignatureError::Invalid { key: key.key_digest() })
        );
    }
}

#[test]
fn every_flipped_bit_of_a_signature_block_is_noticed() {
    for key in [p256_key(), SigningKeyOfRsa::any()] {
        let signed = sign_image(&app_image(0), std::slice::from_ref(&key)).unwrap();
        let (digest, sector) = signed_parts(&signed);
        let trusted = [key.key_digest()];
        for at in 0..BLOCK {
            let mut broken = sector.to_vec();
            broken[at] ^= 1 << (at % 8);
            // The last 16 bytes are filling outside the CRC; ESP-ROM does not look at them either.
            let expected_ok = at >= 1200;
            assert_eq!(verify_image_signature(&digest, &broken, &trusted).is_ok(), expected_ok, "byte {at}");
            // With the CRC repaired, the cryptography has to notice by itself what matters.
            if at < 1196 {
                reseal(&mut broken, 0);
                let harmless = match key.kind() {
                    // Reserved bytes that neither key nor signature cover.
                    rootcast_trust::sign::KeyKind::Rsa3072 => (2..4).contains(&at),
                    rootcast_trust::sign::KeyKind::EcdsaP256 => at == 3 || at >= 165,
                };
                assert_eq!(
                    verify_image_signature(&digest, &broken, &trusted).is_ok(),
                    harmless,
                    "{} byte {at}, CRC repaired",
                    key.kind()
                );
            }
        }
    }
}

#[test]
fn a_sector_cut_short_is_never_accepted_and_never_panics() {
    let key = p256_key();
    let signed = sign_image(&app_image(0), std::slice::from_ref(&key)).unwrap();
    let (digest, sector) = signed_parts(&signed);
    for length in 0..sector.len() {
        let outcome = verify_image_signature(&digest, &sector[..length], &[key.key_digest()]);
        assert_eq!(outcome.is_ok(), length >= BLOCK, "{length}");
    }
}

#[test]
fn a_damaged_first_block_does_not_hide_a_good_second_one() {
    let keys = [p256_key(), p256_key()];
    let signed = sign_image(&app_image(0), &keys).unwrap();
    let (digest, sector) = signed_parts(&signed);
    let mut sector = sector.to_vec();
    sector[500] ^= 1;
    let trusted = keys.each_ref().map(|key| key.key_digest());
    assert_eq!(verify_image_signature(&digest, &sector, &trusted), Ok(trusted[1]));
    assert!(matches!(
        verify_image_signature(&digest, &sector[..BLOCK], &trusted),
        Err(SignatureError::Malformed(_))
    ));
}

#[test]
fn the_error_nearest_to_success_is_reported() {
    let keys = [p256_key(), p256_key()];
    let signed = sign_image(&app_image(0), &keys).unwrap();
    let (_, sector) = signed_parts(&signed);
    // The first block is a stranger's, the second a trusted key's for other bytes.
    assert_eq!(
        verify_image_signature(&[0; 32], sector, &[keys[1].key_digest()]),
        Err(SignatureError::Changed { key: keys[1].key_digest() })
    );
}

#[test]
fn signing_is_what_it_says() {
    let app = app_image(0);
    let key = p256_key();
    let signed = sign_image(&app, std::slice::from_ref(&key)).unwrap();
    let padded = app.len().next_multiple_of(4096);
    assert_eq!(signed.len(), padded + 4096);
    assert_eq!(signed[..app.len()], app);
    assert!(signed[app.len()..padded].iter().all(|&byte| byte == 0xFF));
    assert_eq!(signed[padded + 4..padded + 36], Sha256::digest(&signed[..padded])[..]);
    assert!(signed[padded + BLOCK..].iter().all(|&byte| byte == 0xFF));
    // P-256 signs by RFC 6979: a signed file can be reproduced.
    assert_eq!(sign_image(&app, std::slice::from_ref(&key)).unwrap(), signed);
    // Signing again replaces the signature instead of signing the old one.
    let other = p256_key();
    let again = sign_image(&signed, std::slice::from_ref(&other)).unwrap();
    assert_eq!(again.len(), signed.len());
    assert_eq!(verify(&again, &[other.key_digest()]), Ok(other.key_digest()));
    assert!(verify(&again, &[key.key_digest()]).is_err());
}

#[test]
fn what_cannot_be_signed_is_refused_by_name() {
    let keys = [p256_key(), p256_key(), p256_key(), p256_key()];
    let one = std::slice::from_ref(&keys[0]);
    let app = app_image(0);
    assert_eq!(sign_image(&app, &[]), Err(SignError::KeyCount { given: 0, room: 3 }));
    assert_eq!(sign_image(&app, &keys), Err(SignError::KeyCount { given: 4, room: 3 }));
    assert!(matches!(sign_image(b"not an app", one), Err(SignError::NotAnApp(_))));
    assert!(matches!(sign_image(&app[..app.len() - 1], one), Err(SignError::NotAnApp(_))));
    let mut trailing = app.clone();
    trailing.extend([1, 2, 3]);
    assert_eq!(sign_image(&trailing, one), Err(SignError::TrailingBytes { offset: app.len(), bytes: 3 }));

    assert_eq!(append_signature(&app, one), Err(SignError::NotSigned));
    let signed = sign_image(&app, &keys[..3]).unwrap();
    assert_eq!(append_signature(&signed, &keys[3..]), Err(SignError::KeyCount { given: 1, room: 0 }));
    let signed = sign_image(&app, one).unwrap();
    assert_eq!(append_signature(&signed, one), Err(SignError::DuplicateKey { key: keys[0].key_digest() }));
    let mut mixed = sign_image(&app_image(1), one).unwrap();
    let sector = mixed.len() - 4096;
    mixed[sector..].copy_from_slice(&signed[sector..]);
    assert_eq!(append_signature(&mixed, &keys[1..2]), Err(SignError::Changed));
}
