//! The control side of Rootcast: what an operator runs, as opposed to what a node runs.
//!
//! Layout:
//!
//! - [`broker`]: an MQTT broker inside the process, for `rootcast demo`, `rootcast serve` and every
//!   house that has none of its own. Start from [`broker::EmbeddedBroker`].

pub mod broker;
