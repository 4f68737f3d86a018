//! A certificate authority for hosts that have no public name: made on the spot, or kept in a folder.
//!
//! Nodes trust it because `rootcast provision --ca` puts its certificate into their `nvs`. It signs for whatever name it is asked to, so its
//! key stays on the machine that made it: file mode 0600, never printed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use ring::digest;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use crate::identity::pem_block;
use crate::{HostingError, ServerIdentity};

/// The certificate of a kept authority, in its folder.
pub const CA_CERTIFICATE_FILE: &str = "rootcast-ca.pem";
/// The key of a kept authority, in its folder; mode 0600.
pub const CA_KEY_FILE: &str = "rootcast-ca.key";
/// The names every development certificate carries besides the given ones.
pub const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How long an authority lasts: a device on a wall outlives several laptops.
const CA_LIFETIME: Duration = Duration::days(3650);
/// How long a server certificate lasts; it is made anew at each start of a host.
const SERVER_LIFETIME: Duration = Duration::days(397);
/// Clocks of nodes and of this machine may differ: certificates begin this much earlier.
const CLOCK_ALLOWANCE: Duration = Duration::days(2);

/// A certificate authority of one's own (ECDSA P-256, SHA-256).
pub struct DevelopmentCa {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl std::fmt::Debug for DevelopmentCa {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevelopmentCa")
            .field("certificate_bytes", &self.certificate.len())
            .finish_non_exhaustive()
    }
}

impl DevelopmentCa {
    /// A new authority that lives in memory only.
    pub fn generate() -> Result<Self, HostingError> {
        let key = KeyPair::generate().map_err(refused)?;
        let params = authority_params(&key, OffsetDateTime::now_utc());
        let certificate = params.self_signed(&key).map_err(refused)?.der().clone();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority kept in `folder`, made there (with the folder) if there is none yet.
    ///
    /// Refuses a key file that others can read.
    pub fn keep_in(folder: &Path) -> Result<Self, HostingError> {
        let certificate_path = folder.join(CA_CERTIFICATE_FILE);
        let key_path = folder.join(CA_KEY_FILE);
        match (certificate_path.exists(), key_path.exists()) {
            (true, true) => Self::load(&certificate_path, &key_path),
            // A key alone can be left by a stop between the two writes: it has never signed anything that matters.
            (false, _) => {
                let made = Self::generate()?;
                fs::create_dir_all(folder)
                    .map_err(|source| HostingError::Write { path: folder.to_path_buf(), source })?;
                write_private(&key_path, made.issuer.key().serialize_pem().as_bytes())?;
                write_whole(&certificate_path, made.certificate_pem().as_bytes())?;
                Ok(made)
            }
            (true, false) => Err(HostingError::certificate(
                format!("the authority in {}", folder.display()),
                format!(
                    "{CA_KEY_FILE} is missing beside {CA_CERTIFICATE_FILE}; \
                     restore it, or remove the certificate to begin a new authority that nodes must be given"
                ),
            )),
        }
    }

    fn load(certificate_path: &Path, key_path: &Path) -> Result<Self, HostingError> {
        refuse_open_permissions(key_path)?;
        let read = |path: &Path| {
            fs::read(path).map_err(|source| HostingError::Read { path: path.to_path_buf(), source })
        };
        let certificate = CertificateDer::from_pem_slice(&read(certificate_path)?)
            .map_err(|e| HostingError::certificate(certificate_path.display().to_string(), e))?;
        let key_text = String::from_utf8(read(key_path)?)
            .map_err(|_| HostingError::certificate(key_path.display().to_string(), "not PEM text"))?;
        let key = KeyPair::from_pem(&key_text)
            .map_err(|e| HostingError::certificate(key_path.display().to_string(), e))?;
        let public = key.subject_public_key_info();
        if !certificate.windows(public.len()).any(|part| part == public.as_slice()) {
            return Err(HostingError::certificate(
                certificate_path.display().to_string(),
                format!("it does not belong to the key in {}", key_path.display()),
            ));
        }
        // The name follows from the key, so the certificate need not be taken apart to sign in its name.
        let params = authority_params(&key, OffsetDateTime::now_utc());
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's certificate in DER: what a node's trust store holds.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's certificate in PEM: for `curl --cacert` and `rootcast provision --ca`.
    pub fn certificate_pem(&self) -> String {
        pem_block("CERTIFICATE", &self.certificate)
    }

    /// A server certificate for `localhost`, `127.0.0.1`, `::1` and the given DNS names and addresses, valid from now on for 397 days.
    pub fn server_identity(&self, names: &[&str]) -> Result<ServerIdentity, HostingError> {
        let mut all: Vec<&str> = LOOPBACK_NAMES.to_vec();
        all.extend(names.iter().filter(|name| !LOOPBACK_NAMES.contains(*name)));
        let now = OffsetDateTime::now_utc();
        self.issue(&all, now - CLOCK_ALLOWANCE, now + SERVER_LIFETIME)
    }

    /// A server certificate for exactly these names and this time.
    pub fn issue(
        &self,
        names: &[&str],
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
    ) -> Result<ServerIdentity, HostingError> {
        let key = KeyPair::generate().map_err(refused)?;
        let params = server_params(names, not_before, not_after)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(refused)?;
        Ok(ServerIdentity::from_der(vec![certificate.der().clone()], private_key(&key)))
    }
}

pub(crate) fn refused(error: rcgen::Error) -> HostingError {
    HostingError::certificate("the certificate to make", error)
}

pub(crate) fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

/// An authority's certificate; its name carries a part of its key's digest, so that two authorities are never mistaken for one another.
pub(crate) fn authority_params(key: &KeyPair, now: OffsetDateTime) -> CertificateParams {
    let digest = digest::digest(&digest::SHA256, &key.subject_public_key_info());
    let mark: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&format!("Rootcast development CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - CLOCK_ALLOWANCE;
    params.not_after = now + CA_LIFETIME;
    params
}

/// A server's certificate: serverAuth only, authority identifier present.
pub(crate) fn server_params(
    names: &[&str],
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
) -> Result<CertificateParams, HostingError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let label = names.first().cloned().unwrap_or_else(|| "rootcast".to_owned());
    let mut params = CertificateParams::new(names).map_err(refused)?;
    params.distinguished_name = common_name(&label);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.not_before = not_before;
    params.not_after = not_after;
    Ok(params)
}

pub(crate) fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), HostingError> {
    fs::write(path, bytes).map_err(|source| HostingError::Write { path: path.to_path_buf(), source })
}

/// Writes a key so that it is never, not even for an instant, readable by others.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), HostingError> {
    let failed = |source| HostingError::Write { path: PathBuf::from(path), source };
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

fn refuse_open_permissions(path: &Path) -> Result<(), HostingError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata =
            fs::metadata(path).map_err(|source| HostingError::Read { path: path.to_path_buf(), source })?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(HostingError::KeyReadableByOthers { path: path.to_path_buf(), mode });
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
