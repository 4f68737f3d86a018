//! A server's identity: certificate chain and private key, and exchanging them while the host runs.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::HostingError;

/// Which versions of TLS a host offers.
///
/// The nodes' own stack speaks TLS 1.3 only; the other two exist for other clients and for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersions {
    /// TLS 1.3, and 1.2 for clients without it.
    #[default]
    Modern,
    /// TLS 1.3 alone.
    Only13,
    /// TLS 1.2 alone: what an old server looks like to a node.
    Only12,
}

impl TlsVersions {
    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static MODERN: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
        static ONLY_13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        static ONLY_12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
        match self {
            Self::Modern => &MODERN,
            Self::Only13 => &ONLY_13,
            Self::Only12 => &ONLY_12,
        }
    }
}

/// A certificate chain, the server's own certificate first, with the private key that belongs to it.
pub struct ServerIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for ServerIdentity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for ServerIdentity {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}

impl ServerIdentity {
    /// From DER: the server's own certificate first, intermediates after it.
    pub fn from_der(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key }
    }

    /// From PEM text, as `fullchain.pem` and `privkey.pem` of the usual tools hold it.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, HostingError> {
        let certificates = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| HostingError::certificate("the certificate file", e))?;
        if certificates.is_empty() {
            return Err(HostingError::certificate(
                "the certificate file",
                "expected PEM with -----BEGIN CERTIFICATE-----, found none",
            ));
        }
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|e| HostingError::certificate("the key file", e))?;
        Ok(Self { chain: certificates, key })
    }

    /// From two PEM files.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, HostingError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| HostingError::Read { path: path.to_path_buf(), source })
        };
        Self::from_pem(&read(certificate)?, &read(key)?).map_err(|error| match error {
            HostingError::Certificate { what, reason } => HostingError::Certificate {
                what: format!("{what} ({} / {})", certificate.display(), key.display()),
                reason,
            },
            other => other,
        })
    }

    /// The chain, the server's own certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key in DER.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// The chain as PEM, for servers that want files (nginx, apache).
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|der| pem_block("CERTIFICATE", der)).collect()
    }

    /// The private key as PEM, for servers that want files.
    pub fn key_pem(&self) -> String {
        let label = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem_block(label, self.key.secret_der())
    }

    fn certified_key(&self) -> Result<CertifiedKey, HostingError> {
        let key =
            any_supported_type(&self.key).map_err(|e| HostingError::certificate("the private key", e))?;
        let certified = CertifiedKey::new(self.chain.clone(), key);
        match certified.keys_match() {
            // Unknown: a certificate that webpki cannot read (a test's, or an exotic one) is still served.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
            Err(rustls::Error::InvalidCertificate(_)) => Ok(certified),
            Err(error) => Err(HostingError::certificate("the private key", error)),
        }
    }
}

/// Where a host's identity comes from.
#[derive(Debug, Clone)]
pub enum IdentitySource {
    /// Fixed for the life of the host (or until [`crate::FirmwareHost::set_identity`]).
    Fixed(ServerIdentity),
    /// Two PEM files, read again when they change, as renewing tools leave them.
    Files {
        /// The chain, the server's own certificate first.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

impl From<ServerIdentity> for IdentitySource {
    fn from(identity: ServerIdentity) -> Self {
        Self::Fixed(identity)
    }
}

/// The identity in use, exchangeable between two handshakes.
#[derive(Debug)]
pub(crate) struct CurrentIdentity(RwLock<Arc<CertifiedKey>>);

impl CurrentIdentity {
    pub(crate) fn new(identity: &ServerIdentity) -> Result<Arc<Self>, HostingError> {
        Ok(Arc::new(Self(RwLock::new(Arc::new(identity.certified_key()?)))))
    }

    pub(crate) fn replace(&self, identity: &ServerIdentity) -> Result<(), HostingError> {
        let certified = Arc::new(identity.certified_key()?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }
}

impl ResolvesServerCert for CurrentIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// TLS as the host speaks it: ring, HTTP/2 and HTTP/1.1 by ALPN.
pub(crate) fn server_config(
    identity: Arc<CurrentIdentity>,
    versions: TlsVersions,
    http2: bool,
) -> Result<Arc<ServerConfig>, HostingError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions.list())
        .map_err(|e| HostingError::certificate("the TLS set-up", e))?
        .with_no_client_auth()
        .with_cert_resolver(identity);
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    // A node downloads once; one ticket is enough for a client that comes back, and saves a few hundred bytes.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// PEM as RFC 7468 writes it: 64 characters a line.
pub(crate) fn pem_block(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
