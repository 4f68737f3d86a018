//! TLS to a broker: whom we trust, what we show, and what the broker objects to.

use super::Endpoint;
use mqtt5::transport::tls::TlsConfig;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, SignatureScheme};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long a broker gets to say what it objects to.
const OBJECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Whose certificates a broker may have.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Issued by a public CA.
    #[default]
    PublicAuthorities,
    /// Issued by one of these.
    Authorities(Vec<CertificateDer<'static>>),
}

/// TLS to this broker at this address.
pub(super) fn tls_config(endpoint: &Endpoint, trust: &Trust, place: SocketAddr) -> TlsConfig {
    let mut tls = TlsConfig::new(place, &endpoint.host);
    if let Some(identity) = &endpoint.identity {
        tls = tls.with_client_auth(identity.chain(), identity.key());
    }
    match trust {
        Trust::PublicAuthorities => tls,
        Trust::Authorities(certificates) => {
            tls.with_root_certs(certificates.clone()).with_system_roots(false)
        }
    }
}

/// What a broker has against the client certificate that it was shown, or was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// It asked for one, and there was none.
    Missing,
    /// It has this against the one there is.
    To(String),
}

/// Asks a broker that ended a connection whether the client certificate was the reason. In TLS 1.3 it says so only after
/// the handshake, when the first message is on its way already, and closes: that message then meets a closed connection,
/// and "broken pipe" is all that is left of the reason. Here nothing is sent, so that the reason is heard.
pub(super) async fn objection(endpoint: &Endpoint, trust: &Trust, place: SocketAddr) -> Option<Objection> {
    let mut config = tls_config(endpoint, trust, place).client_config().ok()?;
    let was_asked = Arc::new(AtomicBool::new(false));
    let shown = config.client_auth_cert_resolver;
    config.client_auth_cert_resolver = Arc::new(Asked { shown, was_asked: was_asked.clone() });
    let name = ServerName::try_from(endpoint.host.clone()).ok()?;
    let ask = async {
        let stream = TcpStream::connect(place).await?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.read_u8().await
    };
    let answer = timeout(OBJECTION_TIMEOUT, ask).await.ok()?;
    let Err(error) = answer else { return None };
    let reason = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => words(*alert),
        // It is us who object.
        Some(_) => return None,
        None => "it ends the connection".to_owned(),
    };
    was_asked.load(Relaxed).then_some(match endpoint.identity {
        None => Objection::Missing,
        Some(_) => Objection::To(reason),
    })
}

/// A broker's reason (RFC 8446 §6.2), for people.
fn words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "it does not know who issued it".to_owned(),
        AlertDescription::DecryptError | AlertDescription::BadCertificate => {
            "no CA that it knows signed it".to_owned()
        }
        AlertDescription::CertificateExpired => "it has expired".to_owned(),
        AlertDescription::CertificateRevoked => "it was revoked".to_owned(),
        other => format!("TLS alert {other:?}"),
    }
}

/// Shows what there is to show, and notes that the broker asked.
#[derive(Debug)]
struct Asked {
    shown: Arc<dyn ResolvesClientCert>,
    was_asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Relaxed);
        self.shown.resolve(hints, schemes)
    }

    /// Also when there is nothing to show: otherwise the broker's question would not come to [`Self::resolve`].
    fn has_certs(&self) -> bool {
        true
    }
}
