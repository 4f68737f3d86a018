//! A node of a mesh that updates itself over the air: the root, which takes triggers from MQTT and casts them, and
//! the leaf, which hears the cast. Both download, verify, install, restart, prove themselves and report.
//!
//! No I/O happens here. [`Node`] is one deterministic state machine: tell it what happened
//! ([`Node::handle`]), tell it when the time that [`Node::deadline`] names has come ([`Node::handle_timeout`]), and
//! do what [`Node::poll`] says until it says nothing more. Flash, settings and randomness are lent for each call
//! ([`Platform`]). The same code therefore runs in the simulator, under power cuts, in an emulator and on the chip.
//!
//! | module | what it knows |
//! |---|---|
//! | [`io`] | what passes between a node and its body |
//! | [`node`] | the two roles: frames and messages in, frames and messages out |
//! | `root` | who is in the mesh, who may download now, whom a cast has still to reach |
//! | `update` | one update from the first byte to the switch of the boot slot |
//! | [`fetch`] | one download: URL, HTTP response, redirects, resuming |
//! | [`install`] | flash: slots, the journal that survives a power cut, the boot record |
//! | [`spread`] | the mesh sharing one download |
//! | [`trial`] | after a reset: on trial, proved, given up, or back on the old image |
//! | [`settings`], [`platform`] | what a body provides |
//!
//! Start with [`Node::boot`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod bad_images;
mod errors;
pub mod fetch;
pub mod install;
pub mod io;
#[cfg(feature = "mutations")]
pub mod mutation;
#[cfg(not(feature = "mutations"))]
mod mutation;
pub mod node;
pub mod platform;
mod root;
pub mod settings;
pub mod spread;
mod status;
mod step;
mod time;
pub mod trial;
mod update;

pub use io::{BootInfo, Colour, Destination, Input, MeshState, Output, Progress};
pub use node::Node;
pub use platform::{Platform, ResetReason, SettingKey, SettingLost};
pub use root::MAX_PEERS;
pub use settings::Settings;
pub use time::{Backoff, Instant};

/// Bytes of a page: a flash sector.
pub(crate) const PAGE_BYTES: usize = rootcast_image::PAGE_BYTES as usize;
