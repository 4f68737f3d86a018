//! The MQTT side, and the only place with topics.
//!
//! | module | what it does |
//! |---|---|
//! | [`link`](Link) | a connection to any broker that comes back by itself, with its subscriptions |
//! | [`hear`] | a received message becomes what was heard of which node, or is turned down |
//! | [`say`] | triggers and aborts |

mod hear;
mod link;
mod say;

pub use hear::{Heard, Unheard, filters, hear};
pub use link::{BrokerError, Endpoint, Event, Link, Publisher, Trust};
pub use say::{Order, SayError, abort, trigger};
