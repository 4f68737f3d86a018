//! Whose certificates a server may have, and one code for each reason to refuse one.
//!
//! rustls shakes hands; whether the chain is believed is decided by `rootcast_trust`, as on a chip.

use rootcast_trust::certificate::{
    CertificateError, TrustAnchor, ring_algorithms, trust_anchor, verify_server_chain,
};
use rootcast_wire::ErrorCode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Certificate authorities that are believed.
#[derive(Clone)]
pub struct Trust {
    anchors: Arc<[TrustAnchor<'static>]>,
}

/// Why certificates cannot be trusted anchors.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The text is not PEM.
    #[error("CA certificates: not PEM: {0}")]
    Pem(String),
    /// There is none in it.
    #[error("CA certificates: none found")]
    None,
    /// One does not parse.
    #[error("CA certificates: {0}")]
    Certificate(CertificateError),
}

impl Trust {
    /// The authorities that browsers believe (Mozilla's list).
    #[must_use]
    pub fn public_authorities() -> Self {
        Self { anchors: webpki_roots::TLS_SERVER_ROOTS.into() }
    }

    /// These authorities and no others.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn authorities(certificates: &[CertificateDer<'_>]) -> Result<Self, TrustError> {
        let anchors = certificates.iter().map(|certificate| Ok(trust_anchor(certificate)?.to_owned()));
        let anchors: Arc<[_]> = anchors.collect::<Result<_, _>>().map_err(TrustError::Certificate)?;
        if anchors.is_empty() { Err(TrustError::None) } else { Ok(Self { anchors }) }
    }

    /// The authorities in a PEM file and no others.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| TrustError::Pem(error.to_string()))?;
        Self::authorities(&certificates)
    }

    /// A TLS configuration of what a chip's stack speaks (TLS 1.3 with AES-128-GCM and P-256) that judges the server's certificate as a node does; why it was refused is left in the
    /// judge.
    pub(super) fn client(
        &self,
        clock_ahead_s: i64,
    ) -> Result<(Arc<ClientConfig>, Arc<Judge>), rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let judge = Arc::new(Judge {
            trust: self.clone(),
            provider: Arc::clone(&provider),
            clock_ahead_s,
            verdict: Mutex::new(None),
        });
        let mut stack = ring::default_provider();
        stack.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
        stack.kx_groups.retain(|group| group.name() == NamedGroup::secp256r1);
        let config = ClientConfig::builder_with_provider(Arc::new(stack))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Judge>::clone(&judge))
            .with_no_client_auth();
        Ok((Arc::new(config), judge))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} authorities)", self.anchors.len())
    }
}

/// The code under which a certificate that is not believed is reported.
#[must_use]
pub const fn certificate_code(error: &CertificateError) -> ErrorCode {
    match error {
        CertificateError::Expired { .. } => ErrorCode::CertificateExpired,
        CertificateError::NotYetValid { .. } => ErrorCode::CertificateNotYetValid,
        CertificateError::WrongHost | CertificateError::InvalidServerName => ErrorCode::CertificateWrongHost,
        CertificateError::SelfSigned => ErrorCode::CertificateSelfSigned,
        CertificateError::UnknownIssuer => ErrorCode::CertificateUnknownCa,
        CertificateError::IssuerNotCa => ErrorCode::CertificateIssuerNotCa,
        CertificateError::Revoked => ErrorCode::CertificateRevoked,
        _ => ErrorCode::CertificateInvalid,
    }
}

/// Decides about the certificate of one connection.
pub(super) struct Judge {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    clock_ahead_s: i64,
    verdict: Mutex<Option<ErrorCode>>,
}

impl Judge {
    /// Why the certificate was refused, if it was.
    pub(super) fn refusal(&self) -> Option<ErrorCode> {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Judge({:?})", self.trust)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let intermediates: Vec<&[u8]> = intermediates.iter().map(AsRef::as_ref).collect();
        let now = now.as_secs().saturating_add_signed(self.clock_ahead_s);
        let name = server_name.to_str();
        let anchors = &self.trust.anchors;
        match verify_server_chain(end_entity, &intermediates, anchors, &name, now, ring_algorithms()) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(error) => {
                *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate_code(&error));
                Err(rustls::Error::General(error.to_string()))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
