use core::fmt;

use super::cbor::CborFault;

/// Why a release is not believed, or cannot be read.
///
/// What is understood and still not done is a [`super::Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseError {
    /// More bytes than [`super::MAX_RELEASE_BYTES`].
    TooLarge {
        /// How many there are.
        found: usize,
    },
    /// The bytes do not begin as a SUIT envelope does: probably no release at all.
    NotARelease,
    /// Not deterministic CBOR, or not of the shape that belongs there.
    Malformed {
        /// The part of the release.
        part: Part,
        /// What is wrong with it.
        fault: CborFault,
    },
    /// The manifest is not the one that was signed.
    ManifestChanged,
    /// The text beside the manifest is not the one that was signed.
    TextChanged,
    /// No signature, or more than [`super::MAX_SIGNATURES`].
    SignatureCount {
        /// How many there are.
        found: u64,
    },
    /// A signature or digest by an algorithm other than ES256 and SHA-256 (COSE algorithm numbers).
    UnsupportedAlgorithm {
        /// Its COSE number.
        algorithm: i64,
    },
    /// A COSE header other than algorithm and key id.
    UnsupportedHeader {
        /// Its COSE number.
        header: i64,
    },
    /// No signature is by a key that is trusted.
    UntrustedKey,
    /// A signature names a trusted key and does not verify.
    SignatureInvalid,
    /// Every signature that verifies is by a revoked key.
    KeyRevoked,
    /// Every signature that verifies is by a key retired before this sequence number.
    KeyRetired {
        /// The last sequence number that the key may sign.
        last: u64,
        /// The release's.
        found: u64,
    },
    /// The key that signed may not sign this.
    KeyPurpose,
    /// A manifest of another version than 1.
    UnsupportedVersion {
        /// Its version.
        version: u64,
    },
    /// A part of a SUIT manifest that is outside this profile.
    UnsupportedMember {
        /// Its label.
        label: i64,
    },
    /// A part without which there is no release is not there.
    MissingMember {
        /// Its label.
        label: i64,
    },
    /// A command that is outside this profile.
    UnsupportedCommand {
        /// Its label.
        label: i64,
    },
    /// A parameter that is outside this profile.
    UnsupportedParameter {
        /// Its label.
        label: i64,
    },
    /// More than one component: a node has one, its app.
    TooManyComponents {
        /// How many there are.
        found: u64,
    },
    /// More variants than [`super::MAX_VARIANTS`].
    TooManyVariants {
        /// How many there are.
        found: u64,
    },
    /// More patches in a variant than [`super::MAX_PATCHES`].
    TooManyPatches {
        /// How many there are.
        found: u64,
    },
    /// More changes of keys than [`super::MAX_KEY_CHANGES`].
    TooManyKeyChanges {
        /// How many there are.
        found: u64,
    },
    /// A variant lacks something without which it cannot be installed.
    MissingParameter {
        /// The SUIT label of what is missing.
        label: i64,
    },
    /// A condition that makes the manifest safe to follow is not in it.
    MissingCondition {
        /// The SUIT label of the condition.
        label: i64,
    },
    /// An image or patch larger than [`super::MAX_IMAGE_BYTES`], or of no bytes.
    AbsurdSize {
        /// The size stated.
        found: u64,
    },
    /// A URI that is too long, empty, not plain ASCII, or of another scheme than http and https.
    InvalidUri,
    /// The digests of the pages are not as many as the image's size asks for.
    PageDigestCount {
        /// How many digests of list pages the size asks for.
        expected: u32,
        /// How many bytes there are in their place.
        found_bytes: usize,
    },
}

/// A part of a release that is read by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The envelope, outermost.
    Envelope,
    /// The authentication wrapper: digest and signatures.
    Authentication,
    /// A signature (COSE_Sign1).
    Signature,
    /// The manifest.
    Manifest,
    /// What the command sequences share.
    Common,
    /// A sequence of commands.
    Commands,
    /// The parameters of a command.
    Parameters,
    /// What a variant says about fetching.
    FetchArguments,
    /// The texts for people.
    Text,
    /// The changes of the trusted keys.
    KeyChanges,
    /// What a node keeps about trust.
    TrustRecord,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Envelope => "envelope",
            Self::Authentication => "authentication wrapper",
            Self::Signature => "signature",
            Self::Manifest => "manifest",
            Self::Common => "common part",
            Self::Commands => "command sequence",
            Self::Parameters => "parameters",
            Self::FetchArguments => "fetch arguments",
            Self::Text => "text",
            Self::KeyChanges => "key changes",
            Self::TrustRecord => "trust record",
        })
    }
}

impl ReleaseError {
    /// The stable name under which operators meet this error, the same as in node reports.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ManifestChanged | Self::TextChanged | Self::SignatureInvalid => "release_signature_invalid",
            Self::UntrustedKey | Self::KeyPurpose => "release_untrusted_key",
            Self::KeyRevoked | Self::KeyRetired { .. } => "release_key_revoked",
            Self::InvalidUri => "release_uri_invalid",
            _ => "release_malformed",
        }
    }
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use super::{
            MAX_IMAGE_BYTES, MAX_KEY_CHANGES, MAX_PATCHES, MAX_RELEASE_BYTES, MAX_SIGNATURES, MAX_VARIANTS,
        };
        match self {
            Self::TooLarge { found } => {
                write!(f, "the release has {found} bytes, at most {MAX_RELEASE_BYTES} are read")
            }
            Self::NotARelease => f.write_str("this is not a release: a SUIT envelope begins with d8 6b"),
            Self::Malformed { part, fault } => write!(f, "the release's {part} is malformed: {fault}"),
            Self::ManifestChanged => f.write_str("the release's manifest is not the one that was signed"),
            Self::TextChanged => f.write_str("the release's text is not the one that was signed"),
            Self::SignatureCount { found } => {
                write!(f, "the release has {found} signatures, expected 1 to {MAX_SIGNATURES}")
            }
            Self::UnsupportedAlgorithm { algorithm } => write!(
                f,
                "the release uses the COSE algorithm {algorithm}, expected ES256 (-7) and SHA-256 (-16)"
            ),
            Self::UnsupportedHeader { header } => {
                write!(f, "the release's signature has the COSE header {header}, which is not known here")
            }
            Self::UntrustedKey => f.write_str("the release is signed by no key that is trusted here"),
            Self::SignatureInvalid => f.write_str("the release's signature does not verify"),
            Self::KeyRevoked => f.write_str("the release is signed by a revoked key"),
            Self::KeyRetired { last, found } => write!(
                f,
                "the release has sequence number {found}, but its key was retired after sequence number {last}"
            ),
            Self::KeyPurpose => f.write_str("the release is signed by a key that may not sign this"),
            Self::UnsupportedVersion { version } => {
                write!(f, "the manifest has version {version}, expected 1")
            }
            Self::UnsupportedMember { label } => {
                write!(f, "the manifest has the member {label}, which is not known here")
            }
            Self::MissingMember { label } => write!(f, "the release lacks the member {label}"),
            Self::UnsupportedCommand { label } => {
                write!(f, "the manifest has the command {label}, which is not known here")
            }
            Self::UnsupportedParameter { label } => {
                write!(f, "the manifest has the parameter {label}, which is not known here")
            }
            Self::TooManyComponents { found } => {
                write!(f, "the release has {found} components, expected 1, the app")
            }
            Self::TooManyVariants { found } => {
                write!(f, "the release has {found} variants, at most {MAX_VARIANTS} are read")
            }
            Self::TooManyPatches { found } => {
                write!(f, "a variant has {found} patches, at most {MAX_PATCHES} are read")
            }
            Self::TooManyKeyChanges { found } => {
                write!(f, "the release has {found} changes of keys, at most {MAX_KEY_CHANGES} are read")
            }
            Self::MissingParameter { label } => write!(f, "a variant lacks the parameter {label}"),
            Self::MissingCondition { label } => write!(f, "the manifest lacks the condition {label}"),
            Self::AbsurdSize { found } => {
                write!(f, "a size of {found} bytes is stated, expected 1 to {MAX_IMAGE_BYTES}")
            }
            Self::InvalidUri => f.write_str(
                "the release has a URI that is not a plain http or https URL or a relative reference",
            ),
            Self::PageDigestCount { expected, found_bytes } => {
                write!(f, "{found_bytes} bytes of page digests, expected {expected} digests of 16 bytes")
            }
        }
    }
}

impl core::error::Error for ReleaseError {}
