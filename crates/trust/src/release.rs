//! Signed releases: one small file for a mixed mesh, that says which image is for whom.
//!
//! A release is a SUIT envelope (draft-ietf-suit-manifest, a minimal profile) signed by COSE_Sign1 with ES256. The format,
//! byte by byte, is `docs/release-format.md`. Verifying and deciding allocate nothing and never panic, whatever the
//! bytes; a release is at most [`MAX_RELEASE_BYTES`] long and everything in it is bounded.
//!
//! ```text
//!   bytes ──Release::verify──▶ Release ──decide──▶ Action: install this variant | runs already | keys only
//!              │  TrustRecord (nvs)       │  Node, ReleasePolicy
//!              ▼                          ▼
//!         ReleaseError                 Refusal            both with a stable code()
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | [`verify`] | digest, signature, structure: [`Release`], and [`UnverifiedRelease`] for showing a file |
//! | [`mod@decide`] | the rules: [`decide()`], [`accepted`], [`Refusal`] |
//! | [`trust_record`] | what a node remembers: keys and the newest release |
//! | [`key`], [`key_change`] | release keys, their names, their changes |
//! | [`variant`], [`version`], [`uuid`], [`uri`], [`text`] | the parts of a release |
//! | [`pages`] | the digests of an image's pages |
//! | [`cbor`] | deterministic CBOR and nothing else |

pub mod cbor;
mod command;
mod cose;
pub mod decide;
mod envelope;
mod error;
pub mod key;
pub mod key_change;
pub(crate) mod label;
mod manifest;
pub mod pages;
pub mod text;
pub mod trust_record;
pub mod uri;
pub mod uuid;
pub mod variant;
pub mod verify;
pub mod version;

#[cfg(feature = "sign")]
pub(crate) use cose::ES256;
#[cfg(feature = "sign")]
pub(crate) use envelope::SHA_256;

pub use cbor::CborFault;
pub use decide::{
    Action, Node, Refusal, ReleasePolicy, accepted, decide, decide_bare_image, try_key_changes,
};
pub use error::{Part, ReleaseError};
pub use key::{KeyId, Purposes, ReleaseKey};
pub use key_change::KeyChange;
pub use pages::{PageDigest, PageDigests, page_digest};
pub use trust_record::{KeyChangeError, MAX_TRUST_RECORD_BYTES, TrustRecord, TrustedKey};
pub use uuid::{ClassId, DEFAULT_VENDOR_DOMAIN, NodeClasses, VendorId};
pub use variant::{FileMismatch, Patch, Variant};
pub use verify::{Release, UnverifiedRelease};
pub use version::Version;

/// The longest release, in bytes: what a node sets aside for one. A release of four variants has about 1 KB.
pub const MAX_RELEASE_BYTES: usize = 8192;
/// Most signatures of a release: old key, new key, and one to spare.
pub const MAX_SIGNATURES: usize = 3;
/// Most variants of a release.
pub const MAX_VARIANTS: usize = 16;
/// Most patches of a variant.
pub const MAX_PATCHES: usize = 8;
/// Most changes of keys in a release.
pub const MAX_KEY_CHANGES: usize = 8;
/// The largest image or patch that a release may speak of, in bytes: the largest flash that the chips address.
pub const MAX_IMAGE_BYTES: u32 = 16 * 1024 * 1024;
