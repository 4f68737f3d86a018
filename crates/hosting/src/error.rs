//! [`HostingError`]: what can go wrong with a place that firmware is served from.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failure of a host, a certificate or a folder; one variant a cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostingError {
    /// The address to listen on is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another port (0 picks a free one)")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate or key file does not hold what it should.
    #[error("{what} is not usable: {reason}")]
    Certificate {
        /// The file or object in question.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key file that other users of the machine can read.
    #[error(
        "{path} holds a private key that others can read (mode {mode:o}, expected 600): run chmod 600 on it"
    )]
    KeyReadableByOthers {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A path that cannot be served.
    #[error("{path:?} is not a path that can be served: {reason}")]
    ServedPath {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The background thread of a host could not be started.
    #[error("cannot start the host's runtime: {0}")]
    Runtime(io::Error),
}

impl HostingError {
    pub(crate) fn certificate(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Certificate { what: what.into(), reason: reason.to_string() }
    }
}
