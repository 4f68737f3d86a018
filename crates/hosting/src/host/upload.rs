//! Uploads: `PUT` with a bearer token, stored whole or not at all.
//!
//! `If-None-Match: *` asks that nothing be replaced (RFC 9110 §13.1.2); `Repr-Digest` lets the host compare what arrived with what was sent
//! (RFC 9530).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, IF_NONE_MATCH};
use ring::digest::{SHA256, digest};

use crate::content::Files;

/// The largest upload: the largest flash of these chips.
const MAX_UPLOAD_BYTES: usize = 32 << 20;
/// Shorter tokens can be guessed.
const MIN_TOKEN_BYTES: usize = 16;

/// The secret that allows uploads.
#[derive(Clone)]
pub struct UploadToken(String);

impl fmt::Debug for UploadToken {
    /// Never shows the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadToken")
    }
}

impl UploadToken {
    /// A token of at least 16 characters; `None` if it is shorter.
    pub fn new(token: impl Into<String>) -> Option<Self> {
        let token = token.into();
        (token.len() >= MIN_TOKEN_BYTES).then_some(Self(token))
    }

    /// Digests are compared, so the time it takes tells nothing about the token.
    fn is(&self, given: &str) -> bool {
        digest(&SHA256, self.0.as_bytes()).as_ref() == digest(&SHA256, given.as_bytes()).as_ref()
    }
}

/// Decides about each upload, and is told how it ended.
#[async_trait]
pub trait UploadGate: fmt::Debug + Send + Sync {
    /// Whether whoever has this token may store something at this path; if not, the status and the words to answer.
    async fn may(&self, token: &str, path: &str) -> Result<(), (StatusCode, String)>;
    /// An upload that was allowed has ended.
    async fn ended(&self, token: &str, client: SocketAddr, path: &str, status: StatusCode);
}

/// Who may upload.
#[derive(Clone, Debug)]
pub enum Uploads {
    /// Whoever has this token.
    Token(UploadToken),
    /// Whoever this says.
    Gate(Arc<dyn UploadGate>),
}

impl Uploads {
    async fn may(&self, token: &str, path: &str) -> Result<(), (StatusCode, String)> {
        match self {
            Self::Gate(gate) => gate.may(token, path).await,
            Self::Token(expected) if expected.is(token) => Ok(()),
            Self::Token(_) => Err(unauthorized()),
        }
    }
}

fn unauthorized() -> (StatusCode, String) {
    (StatusCode::UNAUTHORIZED, "uploads need the token: Authorization: Bearer …".to_owned())
}

/// Takes an upload; what to answer.
pub(crate) async fn receive(
    files: &Files,
    uploads: &Uploads,
    client: SocketAddr,
    path: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> (StatusCode, String) {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(token) = bearer.map(str::trim) else { return unauthorized() };
    if let Err(refusal) = uploads.may(token, path).await {
        return refusal;
    }
    let answer = take(files, path, headers, body).await;
    if let Uploads::Gate(gate) = uploads {
        gate.ended(token, client, path, answer.0).await;
    }
    answer
}

async fn take(files: &Files, path: &str, headers: &HeaderMap, body: Incoming) -> (StatusCode, String) {
    let bytes = match Limited::new(body, MAX_UPLOAD_BYTES).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return (StatusCode::PAYLOAD_TOO_LARGE, format!("at most {MAX_UPLOAD_BYTES} bytes"));
        }
        Err(error) => return (StatusCode::BAD_REQUEST, format!("the upload broke off: {error}")),
    };
    if let Some(expected) = headers.get("repr-digest").map(|value| value.to_str().unwrap_or_default()) {
        let found = base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, &bytes));
        if expected != format!("sha-256=:{found}:") {
            return (StatusCode::BAD_REQUEST, "what arrived is not what Repr-Digest says".to_owned());
        }
    }
    let replace = headers.get(IF_NONE_MATCH).is_none();
    match store(files.clone(), path.to_owned(), bytes, replace).await {
        Ok(()) => (StatusCode::CREATED, "stored".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            (StatusCode::PRECONDITION_FAILED, "there is something of this name".to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            (StatusCode::BAD_REQUEST, "not a path that can be served".to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            (StatusCode::INSUFFICIENT_STORAGE, "the disk is full".to_owned())
        }
        Err(error) => {
            tracing::warn!(path, %error, "an upload could not be stored");
            (StatusCode::INTERNAL_SERVER_ERROR, "it could not be stored; see the host's log".to_owned())
        }
    }
}

async fn store(files: Files, path: String, bytes: Bytes, replace: bool) -> io::Result<()> {
    tokio::task::spawn_blocking(move || files.upload(&path, bytes, replace))
        .await
        .map_err(io::Error::other)?
}
