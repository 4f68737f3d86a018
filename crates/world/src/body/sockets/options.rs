//! How nodes with real sockets are run.

use super::{BrokerAddress, Trust};
use crate::body::behaviour::Behaviours;
use crate::body::radio::Span;
use std::time::Duration;

/// What the nodes of a mesh have in common.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The broker, for the root; without one it never hears a trigger.
    pub broker: Option<BrokerAddress>,
    /// Whose certificates the broker may have.
    pub broker_trust: Trust,
    /// Whose certificates firmware servers may have.
    pub trust: Trust,
    /// How long a reset takes, in milliseconds.
    pub reset: Span,
    /// How long power is away after a cut in a flash operation, in milliseconds.
    pub power_off: Span,
    /// From the moment that software hangs until the watchdog bites, in milliseconds.
    pub watchdog_ms: u32,
    /// From the application's start until it says how it is, where the core wants to know, in milliseconds.
    pub application: Span,
    /// How long a connection to a server may take, TLS included.
    pub connect_timeout: Duration,
    /// Seconds that the nodes' clocks are ahead of this machine's.
    pub clock_ahead_s: i64,
    /// What images do; those not named are healthy.
    pub behaviours: Behaviours,
    /// Decides what is left to chance.
    pub seed: u64,
}

impl Default for NodeOptions {
    /// Quick resets, no broker, public CAs.
    fn default() -> Self {
        Self {
            broker: None,
            broker_trust: Trust::public_authorities(),
            trust: Trust::public_authorities(),
            reset: (50, 200),
            power_off: (200, 1_000),
            watchdog_ms: 2_000,
            application: (50, 200),
            connect_timeout: Duration::from_secs(15),
            clock_ahead_s: 0,
            behaviours: Behaviours::new(),
            seed: 0,
        }
    }
}
