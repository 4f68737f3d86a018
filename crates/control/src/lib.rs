//! The control side of Rootcast: what an operator runs, as opposed to what a node runs.
//!
//! | module | what it does |
//! |---|---|
//! | [`plane`] | all of it in one process; start from [`plane::ControlPlane`] |
//! | [`broker`] | an MQTT broker inside the process, for every house that has none of its own |
//! | [`mqtt`] | the only place with topics: what nodes say becomes what was heard, orders become triggers |
//! | [`engine`] | hears nodes, asks the planner (`rootcast-rollout`), writes down, publishes |
//! | [`store`] | the only place with SQL |
//! | [`service`] | everything that can be asked, as plain functions |
//! | [`api`] | the same as a REST API |
//! | [`home_assistant`] | the same as `update` entities of Home Assistant |
//! | [`webhook`] | the same, told to other programs |
//! | [`web`] | the same as pages for people |
//! | [`clock`], [`id`], [`metrics`] | the time, names, counters |

pub mod api;
pub mod broker;
pub mod clock;
pub mod engine;
pub mod home_assistant;
pub mod id;
pub mod metrics;
pub mod mqtt;
pub mod plane;
pub mod service;
pub mod store;
pub mod web;
pub mod webhook;
