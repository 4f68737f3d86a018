//! Handshakes: first as a node's stack does them, then as anyone's, to tell what the server offers instead.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring as provider};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, NamedGroup, ProtocolVersion, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// What the nodes' stack speaks: TLS 1.3 with AES-128-GCM and P-256.
const NODE_SUITE: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
const NODE_GROUP: NamedGroup = NamedGroup::secp256r1;

/// How much of TLS to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// As a node.
    Node,
    /// All of TLS 1.3.
    Tls13,
    /// All of TLS 1.2.
    Tls12,
}

/// A connection whose certificates nobody has judged yet.
pub(super) struct Shaken {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) version: &'static str,
}

/// Shakes hands and accepts any certificate; the chain comes back for judgement.
pub(super) async fn shake(stream: TcpStream, host: &str, offer: Offer) -> io::Result<Shaken> {
    let recorder = Arc::new(Recorder::default());
    let version = match offer {
        Offer::Node | Offer::Tls13 => &rustls::version::TLS13,
        Offer::Tls12 => &rustls::version::TLS12,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(crypto(offer)))
        .with_protocol_versions(&[version])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(done) => done?,
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let version = match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let chain = std::mem::take(&mut *recorder.chain.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Shaken { stream, chain, version })
}

fn crypto(offer: Offer) -> CryptoProvider {
    let mut crypto = provider::default_provider();
    if offer == Offer::Node {
        crypto.cipher_suites.retain(|suite| suite.suite() == NODE_SUITE);
        crypto.kx_groups.retain(|group| group.name() == NODE_GROUP);
    }
    crypto
}

/// Keeps the certificates and judges only the handshake's own signature.
#[derive(Debug, Default)]
struct Recorder {
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider::default_provider().signature_verification_algorithms
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) =
            all.map(|certificate| certificate.clone().into_owned()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}
