use core::fmt;

/// Why a key cannot be made or read, or something cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// The text holds no PEM section with a private key.
    NoPrivateKey,
    /// The text holds neither a public nor a private key.
    NoKey,
    /// The private key in the PEM is protected by a password.
    EncryptedKey,
    /// The key is a private key, but neither RSA-3072 nor ECDSA P-256.
    UnsupportedKey {
        /// What it is instead.
        found: std::string::String,
    },
    /// The key's numbers contradict each other.
    BrokenKey,
    /// The system gives no random numbers.
    NoRandomness,
    /// Signing takes between one key and as many as there is room for.
    KeyCount {
        /// How many were given.
        given: usize,
        /// How many blocks are free.
        room: usize,
    },
    /// One key was given twice, or has already signed this image.
    DuplicateKey {
        /// Its digest.
        key: crate::KeyDigest,
    },
    /// What is to be signed is not a complete app image.
    NotAnApp(rootcast_image::ImageError),
    /// Behind the image lies something that is no signature sector.
    TrailingBytes {
        /// Where it begins, in bytes.
        offset: usize,
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// There is no signature to add another one to.
    NotSigned,
    /// The signatures that are there are for other bytes than these.
    Changed,
    /// A release needs ECDSA P-256 (COSE ES256), and this key is another.
    NotAReleaseKey,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrivateKey => f.write_str("no private key in PEM form found"),
            Self::NoKey => f.write_str("no key in PEM form found"),
            Self::EncryptedKey => f.write_str("the private key is protected by a password; decrypt it first"),
            Self::UnsupportedKey { found } => {
                write!(f, "the key is {found}; images are signed with RSA-3072 or ECDSA P-256")
            }
            Self::BrokenKey => f.write_str("the private key's numbers contradict each other"),
            Self::NoRandomness => f.write_str("the system gives no random numbers"),
            Self::KeyCount { given, room } => {
                write!(f, "{given} keys given, and there is room for 1 to {room} signatures")
            }
            Self::DuplicateKey { key } => write!(f, "the key {key} has signed already"),
            Self::NotAnApp(error) => write!(f, "not a complete app image: {error}"),
            Self::TrailingBytes { offset, bytes } => {
                write!(f, "{bytes} bytes at offset {offset} belong neither to the image nor to a signature")
            }
            Self::NotSigned => f.write_str("the image is not signed yet, so no signature can be added"),
            Self::Changed => f.write_str("the image's own signatures are for other bytes: it changed since"),
            Self::NotAReleaseKey => {
                f.write_str("releases are signed with ECDSA P-256 keys, this key is another")
            }
        }
    }
}

impl core::error::Error for SignError {}
