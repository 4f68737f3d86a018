//! RSA-3072 private keys: made and converted by `rsa_heapless`, used by ring.

use pkcs1::der::{Decode, Encode};
use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::KeyPair;
use rsa::BoxedUint;
use rsa::rand_core::{TryCryptoRng, TryRng, UnwrapErr};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use std::format;
use std::vec::Vec;

use super::SignError;

const BITS: usize = 3072;

pub(super) struct RsaKey {
    pair: KeyPair,
    /// The key as PKCS#1 DER.
    der: Vec<u8>,
    modulus: [u8; 384],
    exponent: u32,
}

impl RsaKey {
    pub(super) fn generate() -> Result<Self, SignError> {
        // Ask once by ourselves: a system without random numbers gets an error and not the panic of `UnwrapErr`.
        let mut random = SystemRng(SystemRandom::new());
        random.try_next_u64().map_err(|_| SignError::NoRandomness)?;
        let key = rsa::RsaPrivateKey::new(&mut UnwrapErr(random), BITS).map_err(|_| SignError::BrokenKey)?;
        Self::from_pkcs1(&larger_prime_first(key)?)
    }

    pub(super) fn from_pkcs1(der: &[u8]) -> Result<Self, SignError> {
        let key = pkcs1::RsaPrivateKey::from_der(der).map_err(|_| SignError::BrokenKey)?;
        let modulus = key.modulus.as_bytes();
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros()) as usize;
        if bits != BITS {
            return Err(SignError::UnsupportedKey { found: format!("RSA-{bits}") });
        }
        // ring wants the larger prime first; not every tool writes it so. (Both are 192 bytes: the order of bytes is
        // the order of numbers.)
        let der = if key.prime1.as_bytes() < key.prime2.as_bytes() {
            let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
            larger_prime_first(
                rsa::RsaPrivateKey::from_p_q(
                    number(key.prime2.as_bytes()),
                    number(key.prime1.as_bytes()),
                    number(key.public_exponent.as_bytes()),
                )
                .map_err(|_| SignError::BrokenKey)?,
            )?
        } else {
            der.to_vec()
        };
        let exponent = key.public_exponent.as_bytes();
        if exponent.len() > 4 {
            return Err(SignError::UnsupportedKey { found: "RSA with an exponent over 32 bits".into() });
        }
        Ok(Self {
            pair: KeyPair::from_der(&der).map_err(|_| SignError::BrokenKey)?,
            modulus: *key.modulus.as_bytes().first_chunk().ok_or(SignError::BrokenKey)?,
            exponent: exponent.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)),
            der,
        })
    }

    /// The key as PKCS#1 DER.
    pub(super) fn to_pkcs1(&self) -> &[u8] {
        &self.der
    }

    /// The modulus, big-endian.
    pub(super) fn modulus(&self) -> &[u8; 384] {
        &self.modulus
    }

    pub(super) fn exponent(&self) -> u32 {
        self.exponent
    }

    /// RSASSA-PSS with SHA-256 and a salt as long as the hash (32 bytes, which Secure Boot V2 wants): big-endian.
    pub(super) fn sign_pss(&self, message: &[u8]) -> Result<[u8; 384], SignError> {
        let mut signature = [0; 384];
        self.pair
            .sign(&ring::signature::RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SignError::BrokenKey)?;
        Ok(signature)
    }
}

/// PKCS#1 DER of a key, with its primes exchanged if need be.
fn larger_prime_first(key: rsa::RsaPrivateKey) -> Result<Vec<u8>, SignError> {
    let key = match key.primes() {
        [p, q] if p < q => rsa::RsaPrivateKey::from_p_q(q.clone(), p.clone(), key.e().clone())
            .map_err(|_| SignError::BrokenKey)?,
        _ => key,
    };
    let bytes = |number: &BoxedUint| number.to_be_bytes_trimmed_vartime();
    let (Some([p, q]), Some(dp), Some(dq), Some(coefficient)) =
        (key.primes().first_chunk(), key.dp(), key.dq(), key.crt_coefficient())
    else {
        return Err(SignError::BrokenKey);
    };
    let [n, e, d] = [key.n().as_ref(), key.e(), key.d()].map(bytes);
    let [p, q, dp, dq, coefficient] = [p, q, dp, dq, &coefficient].map(bytes);
    let number = |bytes| pkcs1::UintRef::new(bytes).map_err(|_| SignError::BrokenKey);
    pkcs1::RsaPrivateKey {
        modulus: number(&n)?,
        public_exponent: number(&e)?,
        private_exponent: number(&d)?,
        prime1: number(&p)?,
        prime2: number(&q)?,
        exponent1: number(&dp)?,
        exponent2: number(&dq)?,
        coefficient: number(&coefficient)?,
        other_prime_infos: None,
    }
    .to_der()
    .map_err(|_| SignError::BrokenKey)
}

/// ring's randomness behind the traits of `rand_core` 0.10.
struct SystemRng(SystemRandom);

impl TryRng for SystemRng {
    type Error = ring::error::Unspecified;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out)
    }
}

impl TryCryptoRng for SystemRng {}
