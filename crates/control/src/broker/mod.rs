//! An MQTT 3.1.1 and 5 broker inside the process.
//!
//! One port speaks both protocol versions, a second one may speak TLS. Without users it listens on
//! loopback only; with users each of them has rules that say which topics it may read and write.
//! Everything a stranger can make grow has a limit ([`BrokerLimits`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), rootcast_control::broker::BrokerError> {
//! use rootcast_control::broker::{BrokerConfig, EmbeddedBroker};
//!
//! let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await?;
//! println!("mqtt://{}", broker.address());
//! broker.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Layout: [`BrokerConfig`] and limits in `config`, who may do what in `access`, MQTT topic filters in
//! `topic`, the listeners in `server`, one error a cause in `error`. The protocol itself (packets,
//! sessions, routing) is the `mqtt5` crate's, and no type of it leaves this module: another broker
//! can take its place. `tests/broker.rs` holds it to the same cases as mosquitto.

mod access;
mod adapter;
mod config;
mod error;
mod server;
mod topic;

pub use access::{Access, AccessPolicy, ClientInfo, Login, Rule, RuleAccess, Users};
pub use config::{BrokerConfig, BrokerLimits, TlsListener};
pub use error::BrokerError;
pub use server::{EmbeddedBroker, RunningBroker};
pub use topic::{FilterError, TopicFilter};
