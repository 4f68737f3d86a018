//! The virtual world that the production node core (`rootcast-node`) runs in. There is no update logic here: the world
//! lends flash, clock, mesh, broker and servers, and takes them away at the worst moments.
//!
//! | module | what it is |
//! |---|---|
//! | [`flash`] | NOR flash: copy-on-write, power cuts inside operations, worn cells, a guard that sees what is forbidden |
//! | [`bootloader`] | ESP-IDF's second stage on that flash |
//! | [`nvs`] | the NVS partition: what a node knows about itself, and what must not change |
//! | [`factory`] | a chip as it leaves the factory, and a demonstration mesh |
//! | [`random`] | chance that repeats |
#![warn(missing_docs)]

pub mod board;
pub mod bootloader;
pub mod factory;
pub mod flash;
pub mod nvs;
pub mod random;
