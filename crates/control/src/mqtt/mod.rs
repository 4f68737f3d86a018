//! The MQTT side, and the only place with topics.
//!
//! | module | what it does |
//! |---|---|
//! | [`endpoint`](Endpoint) | where a broker is, and who we are to it |
//! | [`link`](Link) | a connection to any broker that comes back by itself, with its subscriptions |
//! | `tls` | whom we trust, what we show, and what a broker objects to |
//! | [`hear`] | a received message becomes what was heard of which node, or is turned down |
//! | [`say`] | triggers and aborts |
//! | [`error`](BrokerError) | why a broker cannot be used |

mod endpoint;
mod error;
mod hear;
mod link;
mod say;
mod tls;

pub use endpoint::{ClientIdentity, Endpoint, IdentityError};
pub use error::BrokerError;
pub use hear::{Heard, Unheard, filters, hear};
pub use link::{BACKLOG, Connection, Event, Link, Publisher, Received, Sink};
pub use say::{Order, SayError, abort, trigger};
pub use tls::Trust;
