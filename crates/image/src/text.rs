//! Text in fixed-size fields, as C structs carry it: NUL-padded, but the NUL may be missing and the bytes may be
//! anything.

use core::fmt;

/// A text field of `N` bytes, NUL-padded. All bytes are kept, so that writing gives back what was read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize>(pub [u8; N]);

impl<const N: usize> Text<N> {
    /// The empty text.
    pub const EMPTY: Self = Self([0; N]);

    /// `text` NUL-padded; `None` if it is longer than `N` bytes.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    /// The bytes up to the first NUL, or all `N` where there is none.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or(&[])
    }

    /// The text, cut before the first byte that is not UTF-8. Display shows the rest as `U+FFFD` instead.
    pub fn as_str(&self) -> &str {
        match self.as_bytes().utf8_chunks().next() {
            Some(chunk) => chunk.valid(),
            None => "",
        }
    }

    /// Whether there is nothing before the first NUL.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{FFFD}")?;
            }
        }
        Ok(())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl<const N: usize> PartialEq<str> for Text<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> PartialEq<&str> for Text<N> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_field_without_a_nul_is_read_whole() {
        let full = Text::<4>(*b"v1.2");
        assert_eq!(full, "v1.2");
        assert_eq!(full.as_str(), "v1.2");
        assert_eq!(Text::<4>::new("v1.2"), Some(full));
        assert_eq!(Text::<4>::new("v1.23"), None);
    }

    #[test]
    fn bytes_after_the_nul_are_kept_but_not_shown() {
        let text = Text::<6>(*b"ab\0cd\0");
        assert_eq!(text.to_string(), "ab");
        assert_eq!(text.0, *b"ab\0cd\0");
        assert!(Text::<2>(*b"\0x").is_empty());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_replacement_characters() {
        let text = Text::<5>(*b"a\xFFb\xC3\0");
        assert_eq!(text.to_string(), "a\u{FFFD}b\u{FFFD}");
        assert_eq!(text.as_str(), "a");
    }
}
