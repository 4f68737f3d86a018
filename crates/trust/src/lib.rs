//! What a node believes, and why: image signatures (Secure Boot V2), the certificate chain of a firmware
//! server, and signed releases. Nothing here knows where bytes come from; nothing here allocates, except
//! behind the feature `sign`.
//!
//! Layout:
//! - [`image_signature`]: [`verify_image_signature`], any of three blocks against trusted [`KeyDigest`]s
//! - [`certificate`]: [`certificate::verify_server_chain`] over webpki, with one error per cause
//! - [`release`]: signed releases: verify, decide, remember
//! - `algorithms` (feature `algorithms`): signature algorithms for webpki in pure Rust, for the chip
//! - `sign` (feature `sign`): keys from PEM and to PEM, signing of images
//!
//! Start from [`verify_image_signature`] for a `.bin`, from [`release::Release::verify`] for a release, from
//! [`certificate::verify_server_chain`] for a server.
//!
//! What all this takes on an ESP32-C3 is measured in `measure/`.
#![no_std]

#[cfg(any(test, feature = "sign"))]
extern crate std;

#[cfg(feature = "algorithms")]
pub mod algorithms;
pub mod certificate;
pub mod image_signature;
mod key_digest;
pub mod release;
mod rsa_verify;
#[cfg(feature = "sign")]
pub mod sign;

pub use image_signature::{SignatureError, verify_image_signature};
pub use key_digest::KeyDigest;
