//! Why the control plane does not do what was asked.

use std::error::Error as _;

/// Why the control plane does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It is not there.
    #[error("the control plane at {server} cannot be reached: {reason}")]
    Unreachable { server: String, reason: String },
    /// It says no.
    #[error("the control plane refuses: {detail}")]
    Refused { status: u16, detail: String },
    /// It answers in another language.
    #[error("the answer of {server} cannot be read: {reason}")]
    Answer { server: String, reason: String },
}

impl ClientError {
    /// A request that got no answer; the innermost cause says why.
    pub fn unreachable(server: &str, error: &reqwest::Error) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            reason = inner.to_string();
            cause = inner.source();
        }
        Self::Unreachable { server: server.to_string(), reason }
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable { .. } => {
                "Start it with rootcast serve, or say where it is with --server; trust its CA with --server-ca."
            }
            Self::Refused { status: 401, .. } => "Put a token that was not revoked into ROOTCAST_TOKEN.",
            Self::Refused { status: 403, .. } => "Ask an administrator for a token with this role.",
            Self::Refused { .. } => return None,
            Self::Answer { .. } => "Check that --server is a Rootcast control plane of this version.",
        })
    }
}
