//! What is sent, and its signature.

use crate::id::{NoRandomness, random};
use crate::service::events::EventView;
use crate::store::event::EventRow;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac::{HMAC_SHA256, Key, sign};
use serde::Serialize;

/// Stands before the base64 of a secret.
const SECRET_PREFIX: &str = "whsec_";
/// The length of a secret in bytes; Standard Webhooks asks for 24 to 64.
const SECRET_BYTES: usize = 32;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same in every attempt: a receiver that has seen it may ignore it.
    pub id: String,
    /// JSON.
    pub body: String,
}

/// The body of a message.
#[derive(Serialize)]
struct Envelope<T> {
    /// The kind of the event, or `test`.
    #[serde(rename = "type")]
    kind: String,
    /// When it happened, RFC 3339.
    timestamp: String,
    /// The event as the API has it.
    data: T,
}

#[derive(Serialize)]
struct TestData {
    text: &'static str,
}

impl Message {
    /// The message about an event.
    pub fn of(event: EventRow, webhook: &str) -> Self {
        let view = EventView::from(event);
        let id = format!("{webhook}_{}", view.seq);
        let envelope = Envelope { kind: view.kind.clone(), timestamp: view.at.clone(), data: view };
        Self { id, body: serde_json::to_string(&envelope).unwrap_or_default() }
    }

    /// A message that says only that messages arrive.
    pub fn test(id: String, timestamp: String) -> Self {
        let data = TestData { text: "a test: messages of Rootcast arrive here" };
        let envelope = Envelope { kind: "test".to_owned(), timestamp, data };
        Self { id, body: serde_json::to_string(&envelope).unwrap_or_default() }
    }

    /// The header `webhook-signature` for an attempt at this time, in seconds since 1970.
    pub fn signature(&self, secret: &str, seconds: u64) -> String {
        let key = Key::new(HMAC_SHA256, &key_of(secret));
        let tag = sign(&key, format!("{}.{seconds}.{}", self.id, self.body).as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    }
}

/// Makes a secret, as it is shown to whoever makes a webhook.
pub fn make_secret() -> Result<String, NoRandomness> {
    let key: [u8; SECRET_BYTES] = random()?;
    Ok(format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(key)))
}

fn key_of(secret: &str) -> Vec<u8> {
    // A secret is always of our own making.
    BASE64_STANDARD.decode(secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_in_the_standard() {
        // The example of https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned();
        let message = Message { id, body: r#"{"test": 2432232314}"#.to_owned() };
        let signature = message.signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1_614_265_330);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_differ_and_are_long_enough() {
        let (a, b) = (make_secret().unwrap(), make_secret().unwrap());
        assert_ne!(a, b);
        assert_eq!(key_of(&a).len(), SECRET_BYTES);
    }
}
