//! A client of the operator's MQTT broker: MQTT 5, or 3.1.1 where the broker speaks nothing newer.
//!
//! | module | what it does |
//! |---|---|
//! | [`link`] | a connection that comes back by itself |

mod link;

pub use link::{BrokerError, Event, Link, Trust};
