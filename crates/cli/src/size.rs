//! Sizes as people write and read them.

use std::fmt;

/// Reads `4MB`, `1408K`, `0x160000` or `4194304`: units of 1,024.
pub fn parse(text: &str) -> Result<u32, String> {
    let lower = text.trim().to_ascii_lowercase();
    let (digits, unit) = [("mib", 20), ("mb", 20), ("m", 20), ("kib", 10), ("kb", 10), ("k", 10)]
        .iter()
        .find_map(|(suffix, shift)| Some((lower.strip_suffix(suffix)?.trim_end(), 1u32 << shift)))
        .unwrap_or((&lower, 1));
    let number = match digits.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|c| c.is_ascii_hexdigit()) => u32::from_str_radix(digits, 16).ok(),
        None if digits.bytes().all(|c| c.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    };
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| format!("\"{text}\" is not a size: write 4MB, 1408K, 0x160000 or 1441792"))
}

/// Bytes for people: `1.31 MB` is 1,310,000 bytes, as download meters count.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            bytes @ 0..1_000 => format!("{bytes} B"),
            bytes @ 1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
            bytes @ 1_000_000..1_000_000_000 => format!("{:.2} MB", bytes as f64 / 1e6),
            bytes => format!("{:.2} GB", bytes as f64 / 1e9),
        };
        f.pad(&text)
    }
}

/// Sizes of flash and partitions: `1408 KiB`, `4 MiB`, plain bytes where it does not come out even.
pub struct Binary(pub u32);

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
            bytes => format!("{bytes} bytes"),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_may_be_written_in_every_usual_way() {
        for (text, bytes) in [
            ("4MB", 4 << 20),
            ("4 MiB", 4 << 20),
            ("16m", 16 << 20),
            ("1408K", 1_441_792),
            ("0x160000", 1_441_792),
            ("1441792", 1_441_792),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "4GB", "-1", "+1", "0x", "0x+1", "4.5MB", "5000000K"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
