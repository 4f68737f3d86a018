//! What a broker is told at its start, and the limits it keeps.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{AccessPolicy, BrokerError};

/// Everything [`EmbeddedBroker::start`](super::EmbeddedBroker::start) needs to know.
#[derive(Debug)]
pub struct BrokerConfig {
    /// Where plain MQTT is spoken; port 0 picks a free port.
    pub listen: SocketAddr,
    /// A second listener with TLS, if wanted.
    pub tls: Option<TlsListener>,
    /// Who may connect, and which topics each may read and write.
    pub access: AccessPolicy,
    /// Folder in which retained messages and sessions outlive the process; `None` keeps them in memory.
    pub data: Option<PathBuf>,
    /// Bounds on what clients can make the broker hold.
    pub limits: BrokerLimits,
}

impl BrokerConfig {
    /// A broker for this machine only: a free port on 127.0.0.1, open to every local program, in memory.
    pub fn loopback() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            access: AccessPolicy::Open,
            data: None,
            limits: BrokerLimits::default(),
        }
    }

    /// Refuses a configuration that would be unsafe or cannot work.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        if matches!(self.access, AccessPolicy::Open) {
            let listeners = [Some(self.listen), self.tls.as_ref().map(|tls| tls.listen)];
            if let Some(address) = listeners.into_iter().flatten().find(|a| !a.ip().is_loopback()) {
                return Err(BrokerError::OpenBeyondLoopback { address });
            }
        }
        self.limits.check()
    }
}

/// A listener that speaks MQTT over TLS 1.2 and 1.3.
pub struct TlsListener {
    /// Where it listens; port 0 picks a free port.
    pub listen: SocketAddr,
    /// The server's certificate followed by its intermediates, PEM.
    pub certificate_chain_pem: Vec<u8>,
    /// The key of the first certificate, PEM.
    pub private_key_pem: Vec<u8>,
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Bounds on what clients can make the broker hold. `Default` suits a site of some thousand nodes.
#[derive(Debug, Clone)]
pub struct BrokerLimits {
    /// Connections at once, those still in their TLS or MQTT handshake included.
    pub max_clients: usize,
    /// Bytes of the largest packet taken from a client; a larger one ends its connection. A trigger with
    /// the longest URL is under 3 KiB, a status under 1 KiB.
    pub max_packet_bytes: usize,
    /// Topic filters one client may subscribe to.
    pub max_subscriptions_per_client: usize,
    /// Topics with a retained message.
    pub max_retained_messages: usize,
    /// Messages held for one client that is slow or away (QoS 1 and 2).
    pub max_queued_messages_per_client: usize,
    /// Payload bytes held for one client that is slow or away.
    pub max_queued_bytes_per_client: usize,
    /// Messages with QoS 1 or 2 that one client may have unacknowledged towards the broker.
    pub max_inflight_per_client: u16,
    /// How long the session of a client that is away is kept, at most.
    pub max_session_age: Duration,
    /// How long a connection may take for its TLS handshake.
    pub tls_handshake_timeout: Duration,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self {
            max_clients: 4_096,
            max_packet_bytes: 64 * 1024,
            max_subscriptions_per_client: 256,
            max_retained_messages: 65_536,
            max_queued_messages_per_client: 1_000,
            max_queued_bytes_per_client: 1024 * 1024,
            max_inflight_per_client: 64,
            max_session_age: Duration::from_secs(24 * 60 * 60),
            tls_handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// The smallest packet limit that still lets every CONNECT of a node through.
const LEAST_PACKET_BYTES: usize = 1024;

impl BrokerLimits {
    fn check(&self) -> Result<(), BrokerError> {
        let least = |name, found, least| {
            if found < least { Err(BrokerError::Limit { name, least, found }) } else { Ok(()) }
        };
        least("max_clients", self.max_clients, 1)?;
        least("max_packet_bytes", self.max_packet_bytes, LEAST_PACKET_BYTES)?;
        least("max_subscriptions_per_client", self.max_subscriptions_per_client, 1)?;
        least("max_retained_messages", self.max_retained_messages, 1)?;
        least("max_queued_messages_per_client", self.max_queued_messages_per_client, 1)?;
        least("max_queued_bytes_per_client", self.max_queued_bytes_per_client, 1)?;
        least("max_inflight_per_client", usize::from(self.max_inflight_per_client), 1)
    }
}
