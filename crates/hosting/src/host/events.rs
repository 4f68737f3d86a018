//! What a host tells while it works: counters, and one event for each thing that happened.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;
use tokio::sync::broadcast;

/// Events that a slow listener may fall behind by before it misses some.
const EVENT_BACKLOG: usize = 1024;

/// Something that happened at a host.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostEvent {
    /// A request ended: answered in full, or cut.
    Request(RequestEvent),
    /// A client did not get through the TLS handshake (for a node: it does not trust this certificate, or speaks no common version).
    HandshakeFailed {
        /// The client.
        client: SocketAddr,
        /// What the TLS stack said.
        error: String,
    },
    /// A client was turned away because the host has as many connections as it allows.
    TooManyConnections {
        /// The client.
        client: SocketAddr,
    },
    /// The certificate files changed and are in use.
    IdentityReloaded,
    /// The certificate files changed and are not usable; the old certificate stays in use.
    IdentityRefused {
        /// What is wrong with them.
        error: String,
    },
}

/// One request and its answer.
#[derive(Debug, Clone, Serialize)]
pub struct RequestEvent {
    /// The number of this request since the host started, from 1.
    pub number: u64,
    /// The client.
    pub client: SocketAddr,
    /// The mesh the client counts to.
    pub mesh: String,
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path, without the query (queries may hold signatures).
    pub path: String,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub version: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// The first byte sent, of a partial answer.
    pub range_start: Option<u64>,
    /// Bytes of content in the answer.
    pub length: u64,
    /// Bytes of content handed to the connection.
    pub sent: u64,
    /// Whether all of them were.
    pub complete: bool,
    /// From the request's arrival to its end, in milliseconds.
    pub millis: u64,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
}

/// Counters since the host started, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct HostCounters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
    /// Connections turned away because there were too many.
    pub refused_connections: u64,
    /// TLS handshakes that failed.
    pub failed_handshakes: u64,
    /// Requests answered or cut.
    pub requests: u64,
    /// Requests answered with a status of 400 or more.
    pub failed_requests: u64,
    /// Answers that ended before their last byte.
    pub cut_requests: u64,
    /// Bytes of content handed to connections.
    pub bytes_served: u64,
}

#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed_handshakes: AtomicU64,
    requests: AtomicU64,
    failed: AtomicU64,
    cut: AtomicU64,
    pub(crate) bytes: AtomicU64,
    numbers: AtomicU64,
    events: broadcast::Sender<HostEvent>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            connections: zero(),
            open: zero(),
            refused: zero(),
            failed_handshakes: zero(),
            requests: zero(),
            failed: zero(),
            cut: zero(),
            bytes: zero(),
            numbers: zero(),
            events: broadcast::channel(EVENT_BACKLOG).0,
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<HostEvent> {
        self.events.subscribe()
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn counters(&self) -> HostCounters {
        HostCounters {
            connections: self.connections.load(Relaxed),
            open_connections: self.open.load(Relaxed),
            refused_connections: self.refused.load(Relaxed),
            failed_handshakes: self.failed_handshakes.load(Relaxed),
            requests: self.requests.load(Relaxed),
            failed_requests: self.failed.load(Relaxed),
            cut_requests: self.cut.load(Relaxed),
            bytes_served: self.bytes.load(Relaxed),
        }
    }

    pub(crate) fn request(&self, event: RequestEvent) {
        self.requests.fetch_add(1, Relaxed);
        if event.status >= 400 {
            self.failed.fetch_add(1, Relaxed);
        }
        if !event.complete {
            self.cut.fetch_add(1, Relaxed);
        }
        tracing::info!(
            client = %event.client,
            mesh = event.mesh,
            method = event.method,
            path = event.path,
            version = event.version,
            status = event.status,
            range_start = event.range_start,
            length = event.length,
            sent = event.sent,
            complete = event.complete,
            millis = event.millis,
            user_agent = event.user_agent,
            "request"
        );
        self.tell(HostEvent::Request(event));
    }

    /// Nobody listening is no error.
    pub(crate) fn tell(&self, event: HostEvent) {
        let _ = self.events.send(event);
    }
}
