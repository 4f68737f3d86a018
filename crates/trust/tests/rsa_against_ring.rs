//! `rsa_heapless` is young: here it judges the same signatures as ring, and they must agree on every one.

mod support;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use rootcast_image::signature::{RsaParts, write_rsa_block, write_sector};
use rootcast_trust::{KeyDigest, verify_image_signature};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use support::*;

struct Pair {
    ring: ring::rsa::KeyPair,
    modulus: [u8; 384],
}

impl Pair {
    fn new(index: usize) -> Self {
        let pem = rsa_keys()[index].to_pem().unwrap();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        let ring = ring::rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
        let public: ring::rsa::PublicKeyComponents<Vec<u8>> = ring.public().into();
        assert_eq!(public.e, [1, 0, 1]);
        Self { ring, modulus: public.n.try_into().unwrap() }
    }

    fn sign(&self, message: &[u8]) -> [u8; 384] {
        let mut signature = [0; 384];
        let padding = &ring::signature::RSA_PSS_SHA256;
        self.ring.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }

    /// What ring says; ours must say the same.
    fn both_say(&self, message: &[u8], signature: &[u8; 384]) -> bool {
        let ring = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, self.ring.public().as_ref())
            .verify(message, signature)
            .is_ok();
        let digest: [u8; 32] = Sha256::digest(message).into();
        let block = write_rsa_block(&RsaParts {
            digest: &digest,
            modulus_be: &self.modulus,
            exponent: 65537,
            signature_be: signature,
        });
        let key = rootcast_image::signature::SignatureBlock::parse(&block).unwrap().key_digest();
        let sector = write_sector(&[block]).unwrap();
        let ours = verify_image_signature(&digest, &sector, &[KeyDigest(key)]).is_ok();
        assert_eq!(ours, ring, "message {message:02x?}, signature {signature:02x?}");
        ring
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}

#[test]
fn good_signatures_over_random_messages_verify_on_both() {
    for index in 0..2 {
        let pair = Pair::new(index);
        for _ in 0..40 {
            let message: [u8; 100] = random();
            let message = &message[..usize::from(message[0]) % 100];
            assert!(pair.both_say(message, &pair.sign(message)));
        }
    }
}

#[test]
fn corrupted_signatures_fail_on_both() {
    let pair = Pair::new(0);
    let signature = pair.sign(b"message");
    for at in 0..384 {
        let mut broken = signature;
        broken[at] ^= 1 << (at % 8);
        assert!(!pair.both_say(b"message", &broken), "byte {at}");
    }
    assert!(!pair.both_say(b"massage", &signature));
    for _ in 0..50 {
        assert!(!pair.both_say(b"message", &random()));
    }
}

#[test]
fn numbers_at_the_edges_fail_on_both() {
    let pair = Pair::new(0);
    let mut one = [0; 384];
    one[383] = 1;
    let mut below = pair.modulus;
    below[383] -= 1;
    let mut above = pair.modulus;
    above[383] += 2;
    for signature in [[0; 384], one, below, pair.modulus, above, [0xFF; 384]] {
        assert!(!pair.both_say(b"message", &signature));
    }
    // s and s + n are the same number modulo n; only the first is a signature.
    let signature = pair.sign(b"message");
    let mut carry = 0u16;
    let mut sum = signature;
    for (a, b) in sum.iter_mut().zip(pair.modulus).rev() {
        let total = u16::from(*a) + u16::from(b) + carry;
        (*a, carry) = (total as u8, total >> 8);
    }
    if carry == 0 {
        assert!(!pair.both_say(b"message", &sum));
    }
}

#[test]
fn another_padding_fails_on_both() {
    let pair = Pair::new(0);
    let mut signature = [0; 384];
    let padding = &ring::signature::RSA_PKCS1_SHA256;
    pair.ring.sign(padding, &SystemRandom::new(), b"message", &mut signature).unwrap();
    assert!(!pair.both_say(b"message", &signature));
}

#[test]
fn a_modulus_that_is_no_modulus_is_refused() {
    let pair = Pair::new(0);
    let signature = pair.sign(b"message");
    let digest: [u8; 32] = Sha256::digest(b"message").into();
    let mut even = pair.modulus;
    even[383] &= 0xFE;
    let mut short = pair.modulus;
    short[0] &= 0x7F;
    for (modulus, exponent) in [
        ([0; 384], 65537),
        ([0xFF; 384], 1),
        (even, 65537),
        (short, 65537),
        (pair.modulus, 0),
        (pair.modulus, 1),
        (pair.modulus, 65536),
    ] {
        let block = write_rsa_block(&RsaParts {
            digest: &digest,
            modulus_be: &modulus,
            exponent,
            signature_be: &signature,
        });
        let key = KeyDigest(rootcast_image::signature::SignatureBlock::parse(&block).unwrap().key_digest());
        let sector = write_sector(&[block]).unwrap();
        assert!(verify_image_signature(&digest, &sector, &[key]).is_err(), "exponent {exponent}");
    }
}
