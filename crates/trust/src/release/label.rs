//! The numbers of SUIT that this profile knows.
//!
//! Sources: draft-ietf-suit-manifest-37 appendix A; draft-ietf-suit-update-management for [`USE_BEFORE`], [`VERSION`]
//! and [`SET_VERSION`]. Numbers below -256 are for private use (§11) and Rootcast's own.

// Members of the manifest.
pub(crate) const MANIFEST_VERSION: i64 = 1;
pub(crate) const SEQUENCE_NUMBER: i64 = 2;
pub(crate) const COMMON: i64 = 3;
pub(crate) const REFERENCE_URI: i64 = 4;
pub(crate) const SET_VERSION: i64 = 6;
pub(crate) const VALIDATE: i64 = 7;
pub(crate) const INSTALL: i64 = 20;
pub(crate) const TEXT: i64 = 23;
/// Rootcast: the changes of the trusted keys.
pub(crate) const KEY_CHANGES: i64 = -257;
/// Rootcast: the highest sequence number that this release may take the place of, if that is not below its own.
pub(crate) const REPLACES_UP_TO: i64 = -258;
/// Rootcast: when the release was signed, in seconds since 1970.
pub(crate) const SIGNED_AT: i64 = -259;

// Members of the common part.
pub(crate) const COMPONENTS: i64 = 2;
pub(crate) const SHARED_SEQUENCE: i64 = 4;

// Conditions, and the parameters of the same number.
pub(crate) const VENDOR: i64 = 1;
pub(crate) const CLASS: i64 = 2;
pub(crate) const IMAGE_MATCH: i64 = 3;
pub(crate) const USE_BEFORE: i64 = 4;
pub(crate) const VERSION: i64 = 28;

// Directives.
pub(crate) const SET_COMPONENT_INDEX: i64 = 12;
pub(crate) const TRY_EACH: i64 = 15;
pub(crate) const OVERRIDE_PARAMETERS: i64 = 20;
pub(crate) const FETCH: i64 = 21;

// Parameters without a condition.
pub(crate) const IMAGE_DIGEST: i64 = 3;
pub(crate) const IMAGE_SIZE: i64 = 14;
pub(crate) const URI: i64 = 21;
pub(crate) const FETCH_ARGUMENTS: i64 = 25;

// Rootcast's fetch arguments. Below 32: to be understood. From 32 on: hints, which a reader may skip.
pub(crate) const ARG_IMAGE_HASH: i64 = 1;
pub(crate) const ARG_PAGE_DIGESTS: i64 = 2;
pub(crate) const ARG_PAGE_LIST_URI: i64 = 3;
pub(crate) const ARG_CHIP_REVISIONS: i64 = 4;
pub(crate) const ARG_PATCHES: i64 = 5;
pub(crate) const FIRST_HINT: i64 = 32;
pub(crate) const HINT_CLASS_NAME: i64 = 32;

// Text: component version, and the description of the update.
pub(crate) const TEXT_UPDATE_DESCRIPTION: i64 = 2;
pub(crate) const TEXT_COMPONENT_VERSION: i64 = 6;
