//! Why a control plane does not start.

use crate::broker::BrokerError;
use crate::id::NoRandomness;
use crate::store::StoreError;
use rootcast_hosting::HostingError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a control plane does not start.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The data folder cannot be made or used.
    #[error("the data folder {} cannot be used: {source}", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process works with the data folder.
    #[error("another rootcast serve works with the data folder {}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// What is to stand before the names of files in triggers is no URL.
    #[error(
        "{url:?} cannot stand before the names of files: it has to be http:// or https://, without a query"
    )]
    FilesUrl {
        /// What was given.
        url: String,
    },
    /// The API's port is taken.
    #[error("cannot listen on {address}: {source}; choose another port (0 picks a free one)")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be used for TLS.
    #[error("the API's TLS certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The embedded broker does not start.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The firmware host does not start.
    #[error(transparent)]
    Host(#[from] HostingError),
    /// The system has no randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}
