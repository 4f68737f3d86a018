//! Home Assistant: every node is an `update` entity, found by MQTT discovery.
//!
//! | module | what it does |
//! |---|---|
//! | [`entity`] | what is said of a node: discovery, state, availability |
//! | `run` | says it when it changes, and hears the install button |
//!
//! The latest version of a node is that of the newest release that has an image for it. Its install button begins a rollout
//! for this node alone, with everything that rollouts have: evidence, soak time, rollback. Whoever may publish on the
//! command topics may press it: on a broker with users, that is Home Assistant's.

pub mod entity;
mod run;

pub use run::{HomeAssistant, Options};
