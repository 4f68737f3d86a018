//! Why a broker cannot be used.

use std::io;
use std::time::Duration;

/// Why a broker cannot be used. What was tried, with which broker, is the caller's to say.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker's name is not known.
    #[error("the name cannot be resolved: {0}")]
    Name(io::Error),
    /// No TCP connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// Not in time.
    #[error("no answer within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// TLS failed: the certificate, most often.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The broker asks for a client certificate, and there is none to show.
    #[error("the broker asks for a client certificate, and none was given (--broker-cert, --broker-key)")]
    CertificateWanted,
    /// The broker was shown a client certificate, and does not want it.
    #[error("the broker refuses the client certificate (--broker-cert): {0}")]
    CertificateRefused(String),
    /// The broker does not let us in.
    #[error("the broker refuses the login")]
    Login,
    /// The broker lets us in, but not do this.
    #[error("the broker does not allow {0}")]
    Denied(String),
    /// Anything else.
    #[error("{0}")]
    Protocol(String),
}
