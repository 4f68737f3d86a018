//! Private keys for images and releases, and their PEM forms.

use core::fmt;
use std::string::{String, ToString};

use p256::ecdsa::signature::Signer;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, LineEnding, PrivateKeyInfo, SecretDocument,
};
use ring::rand::{SecureRandom, SystemRandom};
use rootcast_image::signature::SignatureBlock;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::SignError;
use super::image::block_with;
use super::rsa_key::RsaKey;
use crate::KeyDigest;
use crate::release::ReleaseKey;

/// The two schemes of Secure Boot V2 that Rootcast signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSASSA-PSS, 3072 bits: every chip with Secure Boot V2.
    Rsa3072,
    /// ECDSA on P-256: smaller and quicker; also the key of a release (COSE ES256).
    EcdsaP256,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa3072 => "RSA-3072",
            Self::EcdsaP256 => "ECDSA P-256",
        })
    }
}

/// A private key. `Debug` shows its digest, never the key.
pub struct SigningKey(pub(super) Inner);

pub(super) enum Inner {
    Rsa(std::boxed::Box<RsaKey>),
    P256(p256::ecdsa::SigningKey),
}

impl SigningKey {
    /// Makes a new key from the system's random numbers. RSA takes a second or two.
    pub fn generate(kind: KeyKind) -> Result<Self, SignError> {
        match kind {
            KeyKind::Rsa3072 => Ok(Self(Inner::Rsa(RsaKey::generate()?.into()))),
            KeyKind::EcdsaP256 => loop {
                let mut scalar = [0; 32];
                SystemRandom::new().fill(&mut scalar).map_err(|_| SignError::NoRandomness)?;
                // Zero and numbers above the curve's order are no keys; about one draw in 2^32 is.
                if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&scalar) {
                    return Ok(Self(Inner::P256(key)));
                }
            },
        }
    }

    /// Reads the first private key of a PEM text: PKCS#8, PKCS#1 (RSA) or SEC1 (EC), which are all the forms that
    /// `espsecure generate-signing-key`, `openssl` and [`SigningKey::to_pem`] write.
    pub fn from_pem(text: &str) -> Result<Self, SignError> {
        // PKCS#8 names a locked key in its section, the older forms in a header ("Proc-Type: 4,ENCRYPTED").
        if text.contains("ENCRYPTED") {
            return Err(SignError::EncryptedKey);
        }
        match PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| SignError::NoPrivateKey)? {
            PrivateKeyDer::Pkcs1(der) => {
                Ok(Self(Inner::Rsa(RsaKey::from_pkcs1(der.secret_pkcs1_der())?.into())))
            }
            PrivateKeyDer::Sec1(der) => p256::SecretKey::from_sec1_der(der.secret_sec1_der())
                .map(|key| Self(Inner::P256(key.into())))
                .map_err(|_| SignError::UnsupportedKey { found: "an EC key that is not P-256".to_string() }),
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8(der.secret_pkcs8_der()),
            _ => Err(SignError::NoPrivateKey),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, SignError> {
        const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
        const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
        let info = PrivateKeyInfo::try_from(der).map_err(|_| SignError::NoPrivateKey)?;
        match info.algorithm.oid.to_string().as_str() {
            RSA_ENCRYPTION => Ok(Self(Inner::Rsa(RsaKey::from_pkcs1(info.private_key)?.into()))),
            EC_PUBLIC_KEY => p256::SecretKey::from_pkcs8_der(der)
                .map(|key| Self(Inner::P256(key.into())))
                .map_err(|_| SignError::UnsupportedKey { found: "an EC key that is not P-256".to_string() }),
            other => Err(SignError::UnsupportedKey { found: std::format!("of algorithm {other}") }),
        }
    }

    /// The key as PKCS#8 PEM, which `espsecure` and `openssl` read. A secret: keep it out of logs.
    pub fn to_pem(&self) -> Result<String, SignError> {
        let pem = match &self.0 {
            Inner::Rsa(key) => {
                let info = PrivateKeyInfo::new(pkcs1::ALGORITHM_ID, key.to_pkcs1());
                SecretDocument::try_from(info).and_then(|der| Ok(der.to_pem("PRIVATE KEY", LineEnding::LF)?))
            }
            Inner::P256(key) => p256::SecretKey::from(key).to_pkcs8_pem(LineEnding::LF),
        };
        pem.map(|text| text.to_string()).map_err(|_| SignError::BrokenKey)
    }

    /// Which scheme the key signs by.
    pub fn kind(&self) -> KeyKind {
        match &self.0 {
            Inner::Rsa(_) => KeyKind::Rsa3072,
            Inner::P256(_) => KeyKind::EcdsaP256,
        }
    }

    /// The name under which nodes trust this key for images; `espsecure digest-sbv2-public-key` prints the same.
    pub fn key_digest(&self) -> KeyDigest {
        let block = block_with(self, &[0; 32], &[]);
        SignatureBlock::parse(&block).map_or(KeyDigest([0; 32]), |block| KeyDigest(block.key_digest()))
    }

    /// The public key of a P-256 key as an uncompressed SEC1 point: 4, x, y, big-endian. `None` for RSA.
    pub fn public_key_p256(&self) -> Option<[u8; 65]> {
        match &self.0 {
            Inner::Rsa(_) => None,
            Inner::P256(key) => key.verifying_key().to_encoded_point(false).as_bytes().first_chunk().copied(),
        }
    }

    /// ECDSA over SHA-256 of the message: r and s, big-endian (COSE ES256, RFC 9053 §2.1).
    pub(crate) fn sign_es256(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        match &self.0 {
            Inner::Rsa(_) => Err(SignError::NotAReleaseKey),
            Inner::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                Ok(signature.to_bytes().into())
            }
        }
    }
}

/// Random bytes of the system, good for keys.
///
/// # Errors
/// [`SignError::NoRandomness`].
pub fn random_bytes<const N: usize>() -> Result<[u8; N], SignError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SignError::NoRandomness)?;
    Ok(bytes)
}

/// Reads a release key, as nodes trust it, from the PEM of its public half (SubjectPublicKeyInfo, RFC 5480) or of the
/// private key.
///
/// # Errors
/// [`SignError::NoKey`] if there is neither, [`SignError::NotAReleaseKey`] for a key that is not P-256.
pub fn release_key_from_pem(text: &str) -> Result<ReleaseKey, SignError> {
    if !text.contains("-----BEGIN PUBLIC KEY-----") {
        let key = SigningKey::from_pem(text).map_err(|error| match error {
            SignError::NoPrivateKey => SignError::NoKey,
            error => error,
        })?;
        return key.release_key().ok_or(SignError::NotAReleaseKey);
    }
    let key = p256::PublicKey::from_public_key_pem(text.trim()).map_err(|_| SignError::NotAReleaseKey)?;
    let point = key.to_encoded_point(false);
    point.as_bytes().first_chunk().and_then(ReleaseKey::from_sec1).ok_or(SignError::NotAReleaseKey)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {})", self.kind(), self.key_digest())
    }
}
