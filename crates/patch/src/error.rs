//! What can go wrong while a patch is read or applied.

use core::fmt;

/// The old image could not be read at the place asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OldImageError;

/// Why a patch cannot be applied. Nothing written so far may be used after any of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatchError {
    /// The first bytes are not `RP`.
    NotAPatch,
    /// A format version that this decoder does not know.
    Version {
        /// The version found.
        found: u8,
    },
    /// The patch is for another old image.
    WrongBase {
        /// First bytes of the image hash that the patch is for.
        expected: [u8; 8],
        /// First bytes of the image hash of the old image at hand.
        found: [u8; 8],
    },
    /// The new image would be longer than the caller allows.
    TooLong {
        /// Length of the new image in bytes.
        length: u32,
        /// Longest length allowed.
        limit: u32,
    },
    /// The patch ends before the new image does.
    Truncated,
    /// The old image could not be read, or is not what its header says.
    OldImage {
        /// Where reading failed, in bytes from the start of the old image.
        position: u32,
    },
    /// The patch contradicts itself.
    Corrupt(&'static str),
    /// The bytes made are not the new image: the patch is damaged or the old image changed under it.
    WrongResult {
        /// First bytes of the SHA-256 that the new file should have.
        expected: [u8; 8],
        /// First bytes of the SHA-256 of what was made.
        found: [u8; 8],
    },
    /// A saved state is damaged or from another version of this crate.
    BadSnapshot,
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPatch => write!(f, "not a Rootcast patch: it does not begin with \"RP\""),
            Self::Version { found } => {
                write!(
                    f,
                    "patch format version {found}, this decoder knows version {}",
                    crate::header::VERSION
                )
            }
            Self::WrongBase { expected, found } => {
                write!(f, "the patch is for the image {}…, the image here is {}…", Hex(expected), Hex(found))
            }
            Self::TooLong { length, limit } => {
                write!(f, "the patch makes an image of {length} bytes, at most {limit} fit")
            }
            Self::Truncated => write!(f, "the patch ends early"),
            Self::OldImage { position } => write!(f, "the old image cannot be read at byte {position}"),
            Self::Corrupt(what) => write!(f, "the patch is damaged: {what}"),
            Self::WrongResult { expected, found } => {
                write!(f, "the patch should make the file {}…, it made {}…", Hex(expected), Hex(found))
            }
            Self::BadSnapshot => write!(f, "the saved decoder state is damaged or of another version"),
        }
    }
}

impl core::error::Error for PatchError {}
