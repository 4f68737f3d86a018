//! One HTTP client for what is not an object store: ring, no OpenSSL.

use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::PublishError;

/// Tries of one request before giving up, with growing pauses between them.
pub(super) const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Silence of the server for so long counts as a broken connection.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes ring the process's TLS provider, unless the program chose one already.
pub(crate) fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client that trusts the system's authorities and `more`.
pub(super) fn client(place: &str, more: &[CertificateDer<'static>]) -> Result<reqwest::Client, PublishError> {
    use_ring();
    let unusable =
        |error: reqwest::Error| PublishError::Refused { place: place.to_owned(), detail: chain(&error) };
    let mut certificates = Vec::new();
    for der in more {
        certificates.push(reqwest::Certificate::from_der(der).map_err(unusable)?);
    }
    reqwest::Client::builder()
        .user_agent(concat!("rootcast/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .tls_certs_merge(certificates)
        .build()
        .map_err(unusable)
}

/// Sends a request, again after a broken connection or a server's own failure (5xx, 429). Only for requests that may be repeated.
pub(super) async fn send(
    place: &str,
    request: reqwest::RequestBuilder,
) -> Result<reqwest::Response, PublishError> {
    let mut pause = FIRST_PAUSE;
    let mut last = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(pause).await;
            pause *= 3;
        }
        let Some(copy) = request.try_clone() else { break };
        match copy.send().await {
            Ok(response) if response.status().is_server_error() || response.status().as_u16() == 429 => {
                last = format!("it answered {}", response.status());
            }
            Ok(response) => return Ok(response),
            Err(error) => last = chain(&error),
        }
        tracing::debug!(place, attempt, last, "request failed");
    }
    Err(PublishError::Network { place: place.to_owned(), detail: last })
}

/// An error with its causes, without the URL's query (it may hold a signature).
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    let shown = |word: &'_ str| match word.contains("://") {
        true => word.split('?').next().unwrap_or_default().to_owned(),
        false => word.to_owned(),
    };
    text.split_whitespace().map(shown).collect::<Vec<_>>().join(" ")
}
