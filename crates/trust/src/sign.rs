//! Keys, and signing with them: for hosts, never for nodes.
//!
//! - [`key`]: [`SigningKey`], made here or read from any PEM that `espsecure` or `openssl` writes
//! - [`release`]: [`create_release`], [`add_signature`]: signed releases
//! - [`annotate()`]: a release as an annotated hex dump
//! - [`image`]: [`sign_image`] and [`append_signature`], the work of `espsecure sign-data`
//!
//! RSA signs by ring (the `rsa` family leaks timing: RUSTSEC-2023-0071); P-256 signs by RFC 6979, so the same
//! key and the same bytes give the same file, and a release can be reproduced.

pub mod annotate;
mod error;
pub mod image;
pub mod key;
pub mod release;
mod rsa_key;
mod suit;

pub use annotate::annotate;
pub use error::SignError;
pub use image::{append_signature, sign_image};
pub use key::{KeyKind, SigningKey, random_bytes, release_key_from_pem};
pub use release::{
    ClassSpec, CreateError, PatchSpec, ReleaseSpec, VariantSpec, add_signature, create_release, page_list,
};
