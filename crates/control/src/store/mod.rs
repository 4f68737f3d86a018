//! What outlives the process: the only place with SQL.
//!
//! SQLite in the data folder (WAL, one connection: one writer, no waiting for locks), or PostgreSQL by its URL. The
//! statements are the same for both; only the migrations differ, in how rows are counted, and what several processes need
//! ([`lease`]) is for PostgreSQL. Changes that belong together are one transaction ([`Changes`]).
//!
//! | module | tables |
//! |---|---|
//! | [`node`] | nodes, meshes |
//! | [`release`] | releases, images |
//! | [`rollout`] | rollouts, updates, triggers |
//! | [`event`] | events |
//! | [`access`] | tokens, audit, idempotency |
//! | `session` | sessions of the web page |
//! | [`webhook`] | webhooks |
//! | [`lease`] | processes, leases |
//! | [`change`] | what the engine writes in one transaction |

pub mod access;
pub mod change;
mod error;
pub mod event;
pub mod lease;
pub mod node;
mod open;
pub mod release;
pub mod rollout;
mod session;
pub mod webhook;

pub use change::Changes;
pub use error::StoreError;
pub use open::{Place, Store};
