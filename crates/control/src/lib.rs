//! The control side of Rootcast: what an operator runs, as opposed to what a node runs.

pub mod broker;
pub mod clock;
pub mod engine;
pub mod id;
pub mod metrics;
pub mod mqtt;
pub mod service;
pub mod store;
