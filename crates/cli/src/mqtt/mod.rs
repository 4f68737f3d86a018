//! A client of the operator's MQTT broker: MQTT 5, or 3.1.1 where the broker speaks nothing newer.
//!
//! | module | what it does |
//! |---|---|
//! | [`address`] | `mqtt://user:password@host:port`, and never the password in a message |
//! | [`link`] | a connection that comes back by itself |

mod address;
mod link;

pub use address::Address;
pub use link::{BrokerError, Event, Link, Trust};
