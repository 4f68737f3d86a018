//! Where a broker is, and who we are to it.

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use std::fmt;
use std::sync::Arc;

/// Where a broker is, and who we are to it. `Debug` leaves the secrets out.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
    /// User and password.
    pub login: Option<(String, String)>,
    /// What a broker that asks for a client certificate is shown; only over TLS.
    pub identity: Option<ClientIdentity>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// A client certificate with its private key. Clones share them.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl fmt::Debug for ClientIdentity {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Why a certificate and a key make no identity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No certificate in PEM form, or one that is damaged.
    #[error("holds no certificate in PEM form")]
    NoCertificate,
    /// No private key in PEM form, or one that is damaged.
    #[error("holds no private key in PEM form")]
    NoKey,
    /// A private key under a password.
    #[error("holds a private key that is encrypted: give it without a password")]
    EncryptedKey,
    /// A private key of a kind that TLS here cannot sign with.
    #[error("holds a private key that cannot be used: RSA, ECDSA (P-256, P-384) and Ed25519 can")]
    UnusableKey,
    /// The key is another certificate's.
    #[error("holds a private key that does not belong to the certificate")]
    Mismatch,
}

impl IdentityError {
    /// Whether the key's file is at fault, not the certificate's.
    pub fn is_about_the_key(&self) -> bool {
        !matches!(self, Self::NoCertificate)
    }
}

impl ClientIdentity {
    /// From PEM text: the client's certificate, intermediates after it; and its private key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or(IdentityError::NoCertificate)?;
        let is_encrypted = || key.windows(9).any(|part| part == b"ENCRYPTED");
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| match is_encrypted() {
            true => IdentityError::EncryptedKey,
            false => IdentityError::NoKey,
        })?;
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &default_provider()) {
            Ok(_) => Ok(Self { chain, key: Arc::new(key) }),
            Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(IdentityError::Mismatch),
            Err(TlsError::InvalidCertificate(_)) => Err(IdentityError::NoCertificate),
            Err(_) => Err(IdentityError::UnusableKey),
        }
    }

    /// The client's certificate, intermediates after it.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// Its private key.
    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    #[test]
    fn a_certificate_needs_its_own_key_and_no_message_or_debug_text_shows_it() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate =
            CertificateParams::new(vec!["plane".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (chain, key, other) = (certificate.pem(), key.serialize_pem(), other.serialize_pem());
        let make = |chain: &str, key: &str| ClientIdentity::from_pem(chain.as_bytes(), key.as_bytes());
        let identity = make(&chain, &key).unwrap();
        let endpoint = Endpoint {
            host: "broker".to_owned(),
            port: 8883,
            tls: true,
            login: None,
            identity: Some(identity.clone()),
        };
        for text in [format!("{identity:?}"), format!("{endpoint:?}"), format!("{endpoint}")] {
            assert!(text.len() < 80, "{text}");
        }
        let under_password =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (chain, key, expected) in [
            (chain.as_str(), other.as_str(), IdentityError::Mismatch),
            (&chain, under_password, IdentityError::EncryptedKey),
            (&chain, &chain, IdentityError::NoKey),
            (&chain, "", IdentityError::NoKey),
            (&key, &key, IdentityError::NoCertificate),
            (broken, &key, IdentityError::NoCertificate),
            ("no PEM", &key, IdentityError::NoCertificate),
        ] {
            assert_eq!(make(chain, key), Err(expected));
        }
    }
}
