//! [`CheckOptions`]: which nodes to check for.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rootcast_image::ChipId;
use rootcast_trust::KeyDigest;
use rootcast_trust::release::ReleaseKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::HostingError;

/// The slot of the default and of the original partition table: 1408 KiB.
const DEFAULT_SLOT_BYTES: u32 = 1408 << 10;
/// How long a node waits for a server that says nothing.
const DEFAULT_STALL: Duration = Duration::from_secs(15);

/// Which certificate authorities the nodes trust.
#[derive(Debug, Clone, Default)]
pub enum TrustStore {
    /// Mozilla's, as ESP-IDF's certificate bundle has them.
    #[default]
    Mozilla,
    /// These alone, as `rootcast provision --ca` puts them on nodes.
    Only(Vec<CertificateDer<'static>>),
}

impl TrustStore {
    /// The certificates of PEM files.
    pub fn from_files<P: AsRef<Path>>(paths: &[P]) -> Result<Self, HostingError> {
        let mut found = Vec::new();
        for path in paths {
            let path = path.as_ref();
            let before = found.len();
            let text = std::fs::read(path)
                .map_err(|source| HostingError::Read { path: path.to_path_buf(), source })?;
            for certificate in CertificateDer::pem_slice_iter(&text) {
                found
                    .push(certificate.map_err(|e| HostingError::certificate(path.display().to_string(), e))?);
            }
            if found.len() == before {
                let reason = "expected PEM with -----BEGIN CERTIFICATE-----, found none";
                return Err(HostingError::certificate(path.display().to_string(), reason));
            }
        }
        Ok(Self::Only(found))
    }
}

/// Which nodes to check for, and how.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// The authorities the nodes trust.
    pub trust: TrustStore,
    /// The digests of the keys that images must be signed with; empty: the nodes take unsigned images.
    pub trusted_keys: Vec<KeyDigest>,
    /// The keys that releases must be signed with; empty: their signatures are not checked.
    pub release_keys: Vec<ReleaseKey>,
    /// The nodes' chip; `None`: any.
    pub chip: Option<ChipId>,
    /// The chip's revision, major * 100 + minor; `None`: any.
    pub revision: Option<u16>,
    /// The nodes' anti-rollback version.
    pub secure_version: u32,
    /// The nodes' slot in bytes.
    pub slot_size: u32,
    /// The `sha256` of the trigger, if it will have one.
    pub expected_sha256: Option<[u8; 32]>,
    /// The `size` of the trigger, if it will have one.
    pub expected_size: Option<u32>,
    /// How many nodes the estimate is for.
    pub nodes: u32,
    /// The time certificates are checked for, in seconds since 1970; `None`: now.
    pub now: Option<u64>,
    /// How long to wait for a server that says nothing.
    pub stall: Duration,
    /// Addresses for names, instead of asking DNS.
    pub resolve: Vec<(String, SocketAddr)>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            trust: TrustStore::default(),
            trusted_keys: Vec::new(),
            release_keys: Vec::new(),
            chip: None,
            revision: None,
            secure_version: 0,
            slot_size: DEFAULT_SLOT_BYTES,
            expected_sha256: None,
            expected_size: None,
            nodes: 12,
            now: None,
            stall: DEFAULT_STALL,
            resolve: Vec::new(),
        }
    }
}
