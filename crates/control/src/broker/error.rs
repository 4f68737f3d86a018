//! Why a broker could not start. Once it runs, a client's fault ends that client's connection only.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What kept the broker from starting.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Another program listens on the address already.
    #[error("cannot listen on {address}: the port is taken by another program (port 0 picks a free one)")]
    PortTaken {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The operating system refused the listener for another reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Anybody who reaches the address could command the fleet.
    #[error("{address} is not loopback, so the broker needs users: expected at least one, found none")]
    OpenBeyondLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The TLS certificate chain or its key cannot be used.
    #[error("the broker's TLS certificate cannot be used: {reason}")]
    Certificate {
        /// What is wrong with it.
        reason: String,
    },
    /// A limit is too small to speak MQTT with.
    #[error("broker limit {name}: expected at least {least}, found {found}")]
    Limit {
        /// The field of [`BrokerLimits`](super::BrokerLimits).
        name: &'static str,
        /// The smallest value that works.
        least: usize,
        /// The value given.
        found: usize,
    },
    /// The folder for retained messages and sessions cannot be used (another broker may hold it).
    #[error("the broker's data folder {} cannot be used: {reason}", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
}
