use core::fmt;

/// SHA-256 over the public key fields of a Secure Boot V2 signature block: the name under which an image key
/// is trusted. `espsecure digest-sbv2-public-key` prints the same 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// Reads 64 hexadecimal digits, in either case; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        hex32(text).map(Self)
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({self})")
    }
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for &digit in pair {
            value = value << 4 | (digit as char).to_digit(16)?;
        }
        *byte = value as u8;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_key_digest_reads_what_it_prints() {
        let digest = KeyDigest(core::array::from_fn(|i| i as u8 * 7));
        assert_eq!(KeyDigest::from_hex(&digest.to_string()), Some(digest));
        assert_eq!(KeyDigest::from_hex(&digest.to_string().to_uppercase()), Some(digest));
    }

    #[test]
    fn a_key_digest_refuses_what_is_not_64_hex_digits() {
        for text in
            ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"+f".repeat(32), &"é".repeat(32)]
        {
            assert_eq!(KeyDigest::from_hex(text), None, "{text}");
        }
    }
}
