//! One attempt.

use super::message::Message;
use crate::store::webhook::WebhookRow;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode};
use std::error::Error;
use std::time::Duration;

/// How long an attempt may take.
pub const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no connection.
    #[error("it cannot be reached: {0}")]
    Connection(String),
    /// No answer came.
    #[error("it did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// It says that it is elsewhere, where nobody asked us to send anything.
    #[error("it answered {0}, a redirect; those are not followed: give the URL that it leads to")]
    Redirect(u16),
    /// It is gone for good.
    #[error("it answered 410: it wants no more messages")]
    Gone,
    /// It does not take the message.
    #[error("it answered {status}")]
    Status {
        /// The answer's status.
        status: u16,
        /// After which pause it asks to be tried again.
        retry_after: Option<Duration>,
    },
}

/// A client that sends to one webhook.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
}

impl Sender {
    /// A client that trusts the system's authorities, and the webhook's own.
    pub fn new(webhook: &WebhookRow) -> Result<Self, SendError> {
        // Fails only if somebody installed one before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unusable = |error: reqwest::Error| SendError::Connection(causes(error));
        let more = match &webhook.ca {
            Some(pem) => Certificate::from_pem_bundle(pem.as_bytes()).map_err(unusable)?,
            None => Vec::new(),
        };
        let client = Client::builder()
            .user_agent(concat!("rootcast/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .tls_certs_merge(more)
            .build()
            .map_err(unusable)?;
        Ok(Self { client })
    }

    /// Sends a message once. `seconds`: the time, since 1970.
    pub async fn send(&self, webhook: &WebhookRow, message: &Message, seconds: u64) -> Result<(), SendError> {
        let request = self
            .client
            .post(&webhook.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", message.signature(&webhook.secret, seconds))
            .body(message.body.clone());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_timeout() => return Err(SendError::Timeout),
            Err(error) => return Err(SendError::Connection(causes(error))),
        };
        // What it says beside the status is of no interest, and not read.
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(match status {
            StatusCode::GONE => SendError::Gone,
            status if status.is_redirection() => SendError::Redirect(status.as_u16()),
            status => {
                let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let retry_after = header.and_then(|text| text.parse().ok()).map(Duration::from_secs);
                SendError::Status { status: status.as_u16(), retry_after }
            }
        })
    }
}

/// The innermost cause says most; the URL, which may hold a secret, is left out.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
