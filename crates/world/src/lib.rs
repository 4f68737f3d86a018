//! The virtual world that the production node core (`rootcast-node`) runs in. There is no update logic here: the world
//! lends flash, clock, mesh, broker and servers, and takes them away at the worst moments.
//!
//! | module | what it is |
//! |---|---|
//! | [`flash`] | NOR flash: copy-on-write, power cuts inside operations, worn cells, a guard that sees what is forbidden |
//! | [`bootloader`] | ESP-IDF's second stage on that flash |
//! | [`nvs`] | the NVS partition: what a node knows about itself, and what must not change |
//! | [`factory`] | a chip as it leaves the factory, and a demonstration mesh |
//! | [`machine`] | all of these with the node core running on them, without clock and wires |
//! | [`body`] | clock and wires: a world in virtual time, or real sockets |
//! | [`powercut`] | cuts inside every flash operation of an update |
//! | [`random`] | chance that repeats |
//!
//! Start with [`body::virtual_time::World`].
#![warn(missing_docs)]

pub mod board;
pub mod body;
pub mod bootloader;
pub mod factory;
pub mod flash;
pub mod machine;
pub mod nvs;
pub mod powercut;
pub mod radio;
pub mod random;
