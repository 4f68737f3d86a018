//! Each of our own webpki algorithms judges the same signatures as ring's of the same name.

mod support;

use std::process::Command;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding,
};
use rootcast_trust::algorithms;
use rootcast_trust::certificate::ring_algorithms;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SignatureVerificationAlgorithm};

type Algorithm = &'static dyn SignatureVerificationAlgorithm;

/// ring's algorithm for the same identifiers.
fn twin(own: Algorithm) -> Algorithm {
    *ring_algorithms()
        .iter()
        .find(|it| {
            it.public_key_alg_id() == own.public_key_alg_id()
                && it.signature_alg_id() == own.signature_alg_id()
        })
        .expect("ring has every algorithm that we have")
}

/// What both say; panics if they differ.
fn agreed(own: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let ours = own.verify_signature(key, message, signature).is_ok();
    let rings = twin(own).verify_signature(key, message, signature).is_ok();
    assert_eq!(ours, rings, "{own:?}: key {key:02x?}, message {message:02x?}, signature {signature:02x?}");
    ours
}

/// One good signature, and many ways to break signature, message and key.
fn compare(own: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) {
    assert!(agreed(own, key, message, signature), "{own:?}");
    assert!(!agreed(own, key, &[message, b"!"].concat(), signature));
    for at in 0..signature.len() {
        let mut broken = signature.to_vec();
        broken[at] ^= 1 << (at % 8);
        assert!(!agreed(own, key, message, &broken), "{own:?}, signature byte {at}");
    }
    for length in 0..signature.len() {
        assert!(!agreed(own, key, message, &signature[..length]));
    }
    assert!(!agreed(own, key, message, &[signature, &[0]].concat()));
    assert!(!agreed(own, key, message, &[&[0], signature].concat()));
    for at in (0..key.len()).step_by(7).chain(0..key.len().min(12)).chain(key.len() - 6..key.len()) {
        for bit in [1, 0x80] {
            let mut broken = key.to_vec();
            broken[at] ^= bit;
            agreed(own, &broken, message, signature);
        }
    }
    for length in [0, 1, 2, 4, key.len() / 2, key.len() - 1] {
        assert!(!agreed(own, &key[..length], message, signature));
    }
    assert!(!agreed(own, &[key, &[0]].concat(), message, signature));
}

fn random_message() -> Vec<u8> {
    let mut bytes = [0; 80];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes[..usize::from(bytes[0]) % 80].to_vec()
}

#[test]
fn ecdsa_agrees_with_ring() {
    let random = SystemRandom::new();
    for (own, signing) in [
        (algorithms::ECDSA_P256_SHA256, &ECDSA_P256_SHA256_ASN1_SIGNING),
        (algorithms::ECDSA_P384_SHA384, &ECDSA_P384_SHA384_ASN1_SIGNING),
    ] {
        for _ in 0..4 {
            let der = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(signing, der.as_ref(), &random).unwrap();
            let message = random_message();
            let signature = pair.sign(&random, &message).unwrap();
            compare(own, pair.public_key().as_ref(), &message, signature.as_ref());
        }
    }
}

#[test]
fn ecdsa_with_the_other_hash_agrees_with_ring() {
    use p256::ecdsa::signature::hazmat::PrehashSigner;
    use sha2::Digest;
    let key = p256::ecdsa::SigningKey::from_slice(&[0x42; 32]).unwrap();
    let point = key.verifying_key().to_encoded_point(false);
    let signature: p256::ecdsa::Signature = key.sign_prehash(&sha2::Sha384::digest(b"message")).unwrap();
    compare(algorithms::ECDSA_P256_SHA384, point.as_bytes(), b"message", signature.to_der().as_bytes());

    let key = p384::ecdsa::SigningKey::from_slice(&[0x42; 48]).unwrap();
    let point = key.verifying_key().to_encoded_point(false);
    let signature: p384::ecdsa::Signature = key.sign_prehash(&sha2::Sha256::digest(b"message")).unwrap();
    compare(algorithms::ECDSA_P384_SHA256, point.as_bytes(), b"message", signature.to_der().as_bytes());
}

#[test]
fn points_that_are_no_keys_are_refused_by_both() {
    let key = p256::ecdsa::SigningKey::from_slice(&[0x42; 32]).unwrap();
    let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(&key, b"message");
    let signature = signature.to_der();
    let compressed = key.verifying_key().to_encoded_point(true);
    let mut hybrid = key.verifying_key().to_encoded_point(false).as_bytes().to_vec();
    hybrid[0] = 6;
    let mut off_curve = hybrid.clone();
    (off_curve[0], off_curve[64]) = (4, off_curve[64] ^ 1);
    for point in [compressed.as_bytes(), &hybrid, &off_curve, &[0], &[4; 65], &[]] {
        assert!(!agreed(algorithms::ECDSA_P256_SHA256, point, b"message", signature.as_bytes()));
    }
}

#[test]
fn rsa_agrees_with_ring() {
    for bits in ["2048", "3072", "4096"] {
        let Ok(output) = Command::new("openssl").args(["genrsa", bits]).output() else {
            eprintln!("skipped: no openssl to make RSA keys of {bits} bits");
            return;
        };
        let pem = String::from_utf8(output.stdout).unwrap();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("openssl 3 writes PKCS#8");
        let pair = ring::rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
        let cases: [(Algorithm, &'static dyn RsaEncoding); 4] = [
            (algorithms::RSA_PKCS1_SHA256, &RSA_PKCS1_SHA256),
            (algorithms::RSA_PKCS1_SHA384, &RSA_PKCS1_SHA384),
            (algorithms::RSA_PSS_SHA256, &RSA_PSS_SHA256),
            (algorithms::RSA_PSS_SHA384, &RSA_PSS_SHA384),
        ];
        for (own, encoding) in cases {
            let message = random_message();
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), &message, &mut signature).unwrap();
            compare_rsa(own, pair.public().as_ref(), &message, &signature);
            // The right signature under the wrong algorithm.
            for (other, _) in cases {
                let accepted = agreed(other, pair.public().as_ref(), &message, &signature);
                assert_eq!(accepted, format!("{own:?}") == format!("{other:?}"));
            }
        }
    }
}

/// As [`compare`], with steps: RSA is slow and its signatures are long.
fn compare_rsa(own: Algorithm, key: &[u8], message: &[u8], signature: &[u8]) {
    assert!(agreed(own, key, message, signature), "{own:?}");
    assert!(!agreed(own, key, &[message, b"!"].concat(), signature));
    for at in (0..signature.len()).step_by(13).chain([signature.len() - 1]) {
        let mut broken = signature.to_vec();
        broken[at] ^= 1 << (at % 8);
        assert!(!agreed(own, key, message, &broken), "{own:?}, signature byte {at}");
    }
    for length in [0, 1, signature.len() - 1] {
        assert!(!agreed(own, key, message, &signature[..length]));
    }
    assert!(!agreed(own, key, message, &[signature, &[0]].concat()));
    assert!(!agreed(own, key, message, &[&[0], signature].concat()));
    assert!(!agreed(own, key, message, &vec![0; signature.len()]));
    assert!(!agreed(own, key, message, &vec![0xFF; signature.len()]));
    // Broken DER of the key: tags, lengths, sign bytes, exponent.
    for at in (0..12).chain(key.len() - 6..key.len()) {
        for bit in [1, 2, 0x80] {
            let mut broken = key.to_vec();
            broken[at] ^= bit;
            assert!(own.verify_signature(&broken, message, signature).is_err(), "{own:?}, key byte {at}");
        }
    }
    for length in [0, 1, 2, 4, key.len() / 2, key.len() - 1] {
        assert!(!agreed(own, &key[..length], message, signature));
    }
    assert!(!agreed(own, &[key, &[0]].concat(), message, signature));
}

#[test]
fn a_pss_signature_with_another_salt_length_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let openssl = |arguments: &[&str]| {
        Command::new("openssl")
            .args(arguments)
            .current_dir(directory.path())
            .output()
            .ok()
            .map(|it| it.stdout)
    };
    if openssl(&["genrsa", "-out", "key.pem", "3072"]).is_none() {
        eprintln!("skipped: no openssl");
        return;
    }
    let pem = std::fs::read(directory.path().join("key.pem")).unwrap();
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).unwrap();
    let pair = ring::rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    std::fs::write(directory.path().join("message"), b"message").unwrap();
    for (salt, expected) in [("32", true), ("20", false), ("0", false), ("48", false), ("max", false)] {
        let signature = openssl(&[
            "dgst",
            "-sha256",
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            &format!("rsa_pss_saltlen:{salt}"),
            "-sign",
            "key.pem",
            "message",
        ])
        .unwrap();
        let accepted = agreed(algorithms::RSA_PSS_SHA256, pair.public().as_ref(), b"message", &signature);
        assert_eq!(accepted, expected, "salt length {salt}");
    }
}
