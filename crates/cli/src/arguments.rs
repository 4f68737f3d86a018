//! Readers of arguments that several commands take.

use rootcast_trust::KeyDigest;

/// A key digest: 64 hexadecimal digits.
pub fn key_digest(text: &str) -> Result<KeyDigest, String> {
    KeyDigest::from_hex(text.trim()).ok_or_else(|| {
        let digits = text.trim().len();
        format!(
            "a key digest has 64 hexadecimal digits, this has {digits} characters; rootcast keygen prints it"
        )
    })
}
