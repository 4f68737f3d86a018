//! The whole control plane in one process: store, broker, firmware host, engine and API, started together and stopped in
//! order.
//!
//! | module | what it does |
//! |---|---|
//! | [`setup`](Setup) | what an operator may choose |
//! | `start` | starting: what is published must be reachable before anybody is triggered |
//! | `upload` | who may upload to the firmware host |
//! | [`error`](PlaneError) | why it does not start |

mod error;
mod setup;
mod start;
mod upload;

pub use error::PlaneError;
pub use setup::{BrokerChoice, Setup};
pub use start::ControlPlane;
