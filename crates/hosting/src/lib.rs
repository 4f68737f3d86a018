//! Where firmware comes from: "you choose where".
//!
//! Rootcast takes an image from any HTTP(S) server. This crate is the operator's side of that sentence: a host of its own for those who
//! have no server.
//!
//! | module | purpose |
//! |---|---|
//! | [`host`] | [`FirmwareHost`]: the built-in HTTPS host (Range, strong ETags, HTTP/1.1 and 2, limits, events) |
//! | [`content`] | [`Files`]: what the host serves, from memory and from a folder |
//! | [`authority`] | [`DevelopmentCa`]: a certificate authority for hosts that have no public name |
//! | [`identity`] | [`ServerIdentity`]: a certificate chain and its key, and reloading them when the files change |
//! | [`publish`] | [`publish::publish`]: put an image into a folder, S3, GCS, Azure, a GitHub release or another host |
//! | [`check`] | [`check::check`]: what a node will see at a URL, before the trigger |
//! | [`faults`] | ways for a host to misbehave on purpose, for tests and demonstrations |
//!
//! Start reading at [`FirmwareHost::start`].

mod atomic;
pub mod authority;
pub mod check;
pub mod content;
mod error;
pub mod faults;
pub mod host;
pub mod identity;
pub mod publish;
mod release_files;

pub use authority::DevelopmentCa;
pub use content::Files;
pub use error::HostingError;
pub use host::{FirmwareHost, HostOptions};
pub use identity::ServerIdentity;
