//! Trust in a server: the verifier that TLS asks, and its answer as an error code.
//!
//! embedded-tls 0.19 brings verifiers of its own. One checks the leaf only, the other takes a leaf for a CA: neither is
//! compiled in. What decides is `rootcast_trust::certificate`, the same code as on the host.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use embedded_tls::{
    Aes128GcmSha256, CertificateEntryRef, CertificateRef, CertificateVerifyRef, CryptoProvider,
    SignatureScheme, TlsError, TlsVerifier,
};
use rand_chacha::ChaCha12Rng;
use rand_core::{CryptoRngCore, RngCore};
use rootcast_trust::algorithms;
use rootcast_trust::certificate::{
    CertificateDer, CertificateError, MAX_INTERMEDIATES, SignatureVerificationAlgorithm, TrustAnchor,
    trust_anchor, verify_handshake_signature, verify_server_chain,
};
use rootcast_wire::ErrorCode;
use sha2::{Digest, Sha256};

/// Room for the longest record of TLS 1.3 (RFC 8446 §5.2), with what embedded-tls adds.
pub const READ_BUFFER_BYTES: usize = 16_640;
/// Room for the handshake's own messages and for a request.
pub const WRITE_BUFFER_BYTES: usize = 4_096;

/// The CA certificates that servers are verified against.
#[derive(Default)]
pub struct Roots(Vec<Vec<u8>>);

impl Roots {
    /// Takes the certificates of a PEM file; what is none is passed over.
    pub fn from_pem(pem: &[u8]) -> Self {
        let text = core::str::from_utf8(pem).unwrap_or("");
        let mut roots = Vec::new();
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("-----BEGIN CERTIFICATE-----") {
            let Some((body, next)) = after.split_once("-----END CERTIFICATE-----") else { break };
            if let Some(der) = base64(body) {
                roots.push(der);
            }
            rest = next;
        }
        Self(roots)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    fn certificates(&self) -> Vec<CertificateDer<'_>> {
        self.0.iter().map(|der| CertificateDer::from(der.as_slice())).collect()
    }
}

/// Base64 (RFC 4648 §4), white space ignored.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

/// What one connection needs of cryptography: random numbers and the verifier.
pub struct Provider<'a> {
    random: ChaCha12Rng,
    verifier: Verifier<'a>,
}

impl<'a> Provider<'a> {
    /// For a connection to `host` at the time `now_unix`; why a server is not believed is left in `verdict`.
    pub fn new(
        random: ChaCha12Rng,
        roots: &'a Roots,
        host: String,
        now_unix: u64,
        verdict: &'a Cell<Option<ErrorCode>>,
    ) -> Self {
        let verifier = Verifier { roots, host, now_unix, verdict, certificate: Vec::new(), transcript: None };
        Self { random, verifier }
    }
}

impl CryptoProvider for Provider<'_> {
    type CipherSuite = Aes128GcmSha256;
    type Signature = Vec<u8>;

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.random
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Self::CipherSuite>, TlsError> {
        Ok(&mut self.verifier)
    }
}

struct Verifier<'a> {
    roots: &'a Roots,
    host: String,
    now_unix: u64,
    verdict: &'a Cell<Option<ErrorCode>>,
    /// The server's certificate, once its chain is verified.
    certificate: Vec<u8>,
    transcript: Option<[u8; 32]>,
}

impl Verifier<'_> {
    fn refuse(&self, error: CertificateError) -> TlsError {
        log::warn!("tls: {}: {error}", self.host);
        self.verdict.set(Some(certificate_code(error)));
        TlsError::InvalidCertificate
    }
}

impl TlsVerifier<Aes128GcmSha256> for Verifier<'_> {
    fn set_hostname_verification(&mut self, _: &str) -> Result<(), TlsError> {
        // The name was given at the beginning; for an address there is no server name to send.
        Ok(())
    }

    fn verify_certificate(&mut self, transcript: &Sha256, chain: CertificateRef) -> Result<(), TlsError> {
        let mut certificates = chain.entries.iter().filter_map(|entry| match entry {
            CertificateEntryRef::X509(der) => Some(*der),
            CertificateEntryRef::RawPublicKey(_) => None,
        });
        let end_entity = certificates.next().ok_or_else(|| self.refuse(CertificateError::Malformed))?;
        let intermediates: Vec<&[u8]> = certificates.take(MAX_INTERMEDIATES + 1).collect();
        let roots = self.roots.certificates();
        let anchors: Vec<TrustAnchor<'_>> = roots.iter().filter_map(|root| trust_anchor(root).ok()).collect();
        verify_server_chain(end_entity, &intermediates, &anchors, &self.host, self.now_unix, algorithms::ALL)
            .map_err(|error| self.refuse(error))?;
        self.certificate = end_entity.to_vec();
        self.transcript = Some(transcript.clone().finalize().into());
        Ok(())
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef) -> Result<(), TlsError> {
        let transcript = self.transcript.ok_or(TlsError::InvalidHandshake)?;
        let algorithm = algorithm(verify.signature_scheme)
            .ok_or_else(|| self.refuse(CertificateError::UnsupportedAlgorithm))?;
        // RFC 8446 §4.4.3: 64 spaces, the context, a zero, the transcript's hash.
        let mut message = Vec::from([0x20; 64]);
        message.extend_from_slice(b"TLS 1.3, server CertificateVerify\0");
        message.extend_from_slice(&transcript);
        verify_handshake_signature(&self.certificate, algorithm, &message, verify.signature)
            .map_err(|error| self.refuse(error))
    }
}

/// The algorithms that TLS 1.3 allows for the handshake (RFC 8446 §4.2.3: no PKCS#1 v1.5 here) and that are at hand.
fn algorithm(scheme: SignatureScheme) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    Some(match scheme {
        SignatureScheme::EcdsaSecp256r1Sha256 => algorithms::ECDSA_P256_SHA256,
        #[cfg(feature = "p384")]
        SignatureScheme::EcdsaSecp384r1Sha384 => algorithms::ECDSA_P384_SHA384,
        SignatureScheme::RsaPssRsaeSha256 => algorithms::RSA_PSS_SHA256,
        SignatureScheme::RsaPssRsaeSha384 => algorithms::RSA_PSS_SHA384,
        _ => return None,
    })
}

/// What an operator is told about a certificate.
const fn certificate_code(error: CertificateError) -> ErrorCode {
    match error {
        CertificateError::Expired { .. } => ErrorCode::CertificateExpired,
        CertificateError::NotYetValid { .. } => ErrorCode::CertificateNotYetValid,
        CertificateError::WrongHost => ErrorCode::CertificateWrongHost,
        CertificateError::SelfSigned => ErrorCode::CertificateSelfSigned,
        CertificateError::UnknownIssuer => ErrorCode::CertificateUnknownCa,
        CertificateError::IssuerNotCa => ErrorCode::CertificateIssuerNotCa,
        CertificateError::Revoked => ErrorCode::CertificateRevoked,
        _ => ErrorCode::CertificateInvalid,
    }
}

/// A generator for one connection, seeded by the one that the body seeded from hardware.
pub fn fork(random: &mut ChaCha12Rng) -> ChaCha12Rng {
    let mut seed = [0; 32];
    random.fill_bytes(&mut seed);
    rand_core::SeedableRng::from_seed(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_written_with_line_breaks() {
        assert_eq!(base64("Zm9v\nYmFy\n").unwrap(), b"foobar");
        assert_eq!(base64("Zm9vYg==").unwrap(), b"foob");
        assert_eq!(base64("Zm9v!"), None);
    }

    #[test]
    fn certificates_are_found_between_other_text_and_the_unfinished_is_passed_over() {
        let pem = "x\n-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\ny\n-----BEGIN CERTIFICATE-----\nAA";
        assert_eq!(Roots::from_pem(pem.as_bytes()).count(), 1);
        assert_eq!(Roots::from_pem(&[0xFF, 0xFE]).count(), 0);
    }
}
