//! The certificate chain of a firmware server: webpki's path building and name checks (RFC 5280, RFC 6125),
//! and one error for each cause an operator can act on.
//!
//! TLS libraries for small chips check less than they seem to (one accepted a leaf acting as a CA): a node
//! decides by this function, whatever its TLS stack says.

use core::fmt;
use core::time::Duration;

use rustls_pki_types::{ServerName, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

pub use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};

/// Most intermediates taken from a server, a bound on stack use and work. webpki follows at most six in one
/// path; servers often send the root or a cross certificate besides.
pub const MAX_INTERMEDIATES: usize = 8;

/// Why a server's certificate chain is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// A certificate of the chain ended before now. Both in seconds since 1970.
    Expired {
        /// The time it was checked for.
        now: u64,
        /// The certificate's notAfter.
        not_after: u64,
    },
    /// A certificate of the chain begins after now (or the node's clock is behind). Seconds since 1970.
    NotYetValid {
        /// The time it was checked for.
        now: u64,
        /// The certificate's notBefore.
        not_before: u64,
    },
    /// The certificate is for other names or addresses than the one asked for.
    WrongHost,
    /// The name to check for is neither a DNS name nor an IP address.
    InvalidServerName,
    /// The server's certificate is signed by itself and not trusted.
    SelfSigned,
    /// No path leads to a trusted CA: an unknown CA, or the server leaves an intermediate out.
    UnknownIssuer,
    /// A certificate in the path was issued by one that is not a CA.
    IssuerNotCa,
    /// The server presents a CA certificate as its own.
    CaAsServer,
    /// A CA in the path may not issue for this name.
    NameConstraint,
    /// A CA in the path may not issue further CAs.
    PathLength,
    /// The certificate is for other purposes than TLS servers (extended key usage).
    NotForServers,
    /// A signature in the chain, or of the handshake, does not verify.
    BadSignature,
    /// A signature or key of the chain is of an algorithm this node does not have.
    UnsupportedAlgorithm,
    /// A certificate, or its issuer, is revoked or distrusted.
    Revoked,
    /// A certificate is not well-formed DER or X.509 v3, or carries an unknown critical extension.
    Malformed,
    /// More intermediates than [`MAX_INTERMEDIATES`].
    TooManyCertificates {
        /// How many the server sent.
        found: usize,
    },
    /// Path building was given up: too deep, or too many possibilities.
    TooComplex,
    /// A certificate in the trust store does not parse.
    MalformedRoot,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { now, not_after } => {
                write!(f, "a certificate expired at {not_after}, now is {now} (seconds since 1970)")
            }
            Self::NotYetValid { now, not_before } => {
                write!(f, "a certificate is valid from {not_before} only, now is {now} (seconds since 1970)")
            }
            Self::WrongHost => f.write_str("the certificate is for another host name"),
            Self::InvalidServerName => f.write_str("the host is neither a DNS name nor an IP address"),
            Self::SelfSigned => f.write_str("the server's certificate is self-signed and not trusted"),
            Self::UnknownIssuer => f.write_str(
                "no path to a trusted CA: the CA is unknown here, or the server leaves out an intermediate certificate",
            ),
            Self::IssuerNotCa => {
                f.write_str("a certificate was issued by one that is not a CA (a leaf acting as a CA)")
            }
            Self::CaAsServer => f.write_str("the server presents a CA certificate as its own"),
            Self::NameConstraint => f.write_str("a CA in the chain may not issue for this name"),
            Self::PathLength => f.write_str("a CA in the chain may not issue further CAs"),
            Self::NotForServers => f.write_str("the certificate is not for TLS servers"),
            Self::BadSignature => f.write_str("a signature in the certificate chain does not verify"),
            Self::UnsupportedAlgorithm => {
                f.write_str("the certificate chain uses a signature algorithm this node does not have")
            }
            Self::Revoked => f.write_str("a certificate is revoked or distrusted"),
            Self::Malformed => f.write_str("a certificate is malformed"),
            Self::TooManyCertificates { found } => {
                write!(f, "the server sent {found} intermediate certificates, at most {MAX_INTERMEDIATES} are taken")
            }
            Self::TooComplex => f.write_str("the certificate chain is too deep or too tangled"),
            Self::MalformedRoot => f.write_str("a trusted CA certificate does not parse"),
        }
    }
}

impl core::error::Error for CertificateError {}

/// Takes a CA certificate as trusted: what a node holds in `nvs`, or a host in its CA file.
pub fn trust_anchor<'a>(certificate: &'a CertificateDer<'a>) -> Result<TrustAnchor<'a>, CertificateError> {
    webpki::anchor_from_trusted_cert(certificate).map_err(|_| CertificateError::MalformedRoot)
}

/// Verifies that `end_entity` (DER) speaks for `server_name` at `now_unix` (seconds since 1970), by a path through
/// `intermediates` (DER, any order) to one of `roots`.
///
/// `server_name` is a DNS name or an IP address, the latter with or without the brackets of a URL. `algorithms`
/// is `ring_algorithms` on a host and `crate::algorithms::ALL` on a chip.
pub fn verify_server_chain(
    end_entity: &[u8],
    intermediates: &[&[u8]],
    roots: &[TrustAnchor<'_>],
    server_name: &str,
    now_unix: u64,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), CertificateError> {
    let server_name = parse_server_name(server_name)?;
    let end_entity = CertificateDer::from_slice(end_entity);
    let end_entity = EndEntityCert::try_from(&end_entity).map_err(cause)?;

    let mut chain: [CertificateDer<'_>; MAX_INTERMEDIATES] =
        core::array::from_fn(|_| CertificateDer::from_slice(&[]));
    let chain = chain
        .get_mut(..intermediates.len())
        .ok_or(CertificateError::TooManyCertificates { found: intermediates.len() })?;
    for (certificate, der) in chain.iter_mut().zip(intermediates) {
        *certificate = CertificateDer::from_slice(der);
    }

    let now = UnixTime::since_unix_epoch(Duration::from_secs(now_unix));
    let path =
        end_entity.verify_for_usage(algorithms, roots, chain, now, KeyUsage::server_auth(), None, None);
    if let Err(error) = path {
        // webpki calls a self-signed stranger "unknown issuer" or, made by `openssl req -x509`, "a CA used as
        // an end entity"; the operator's remedy is the same for both and another than for either.
        let self_issued = end_entity.issuer() == end_entity.subject();
        let trusted = roots.iter().any(|root| root.subject.as_ref() == end_entity.subject());
        return Err(match error {
            Error::UnknownIssuer | Error::CaUsedAsEndEntity if self_issued && !trusted => {
                CertificateError::SelfSigned
            }
            other => cause(other),
        });
    }
    end_entity.verify_is_valid_for_subject_name(&server_name).map_err(cause)
}

/// Verifies the server's signature over the TLS handshake (RFC 8446 §4.4.3, `CertificateVerify`) by the key of
/// its certificate. Call it only with a certificate that [`verify_server_chain`] accepted.
pub fn verify_handshake_signature(
    end_entity: &[u8],
    algorithm: &dyn SignatureVerificationAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), CertificateError> {
    let end_entity = CertificateDer::from_slice(end_entity);
    EndEntityCert::try_from(&end_entity)
        .and_then(|certificate| certificate.verify_signature(algorithm, message, signature))
        .map_err(cause)
}

/// Every algorithm that webpki has by ring: what a host passes to [`verify_server_chain`].
#[cfg(feature = "ring")]
pub fn ring_algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    webpki::ALL_VERIFICATION_ALGS
}

fn parse_server_name(name: &str) -> Result<ServerName<'_>, CertificateError> {
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match ServerName::try_from(bracketed.unwrap_or(name)) {
        Ok(ServerName::DnsName(_)) if bracketed.is_some() => Err(CertificateError::InvalidServerName),
        Ok(server_name) => Ok(server_name),
        Err(_) => Err(CertificateError::InvalidServerName),
    }
}

/// webpki's errors, sorted by what can be done about them.
fn cause(error: Error) -> CertificateError {
    use CertificateError as Is;
    match error {
        Error::CertExpired { time, not_after } => {
            Is::Expired { now: time.as_secs(), not_after: not_after.as_secs() }
        }
        Error::CertNotValidYet { time, not_before } => {
            Is::NotYetValid { now: time.as_secs(), not_before: not_before.as_secs() }
        }
        Error::CertNotValidForName(_) => Is::WrongHost,
        Error::UnknownIssuer => Is::UnknownIssuer,
        Error::EndEntityUsedAsCa => Is::IssuerNotCa,
        Error::CaUsedAsEndEntity => Is::CaAsServer,
        Error::NameConstraintViolation => Is::NameConstraint,
        Error::PathLenConstraintViolated => Is::PathLength,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Is::NotForServers,
        Error::InvalidSignatureForPublicKey => Is::BadSignature,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Is::UnsupportedAlgorithm,
        Error::CertRevoked | Error::CertDistrusted | Error::UnknownRevocationStatus => Is::Revoked,
        Error::MaximumPathDepthExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => Is::TooComplex,
        // What is left are DER and X.509 errors, and those of revocation lists, which are not used here.
        _ => Is::Malformed,
    }
}
