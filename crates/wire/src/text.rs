//! Bounded text: copying, cutting with a marker, hexadecimal.

use core::fmt::{self, Write};
use heapless::String;

/// What stands at the end of a text that was cut: HORIZONTAL ELLIPSIS, three bytes of UTF-8.
pub const CUT_MARKER: &str = "…";

/// The whole of `text`, or as much of it as fits with [`CUT_MARKER`] at the end. Never splits a character.
///
/// For texts that people read (a report's detail). Text with a meaning for programs (a URL, a rollout's id) is refused
/// when too long, never cut.
pub fn cut<const N: usize>(text: &str) -> String<N> {
    cut_to(text, N)
}

/// As [`cut`], with a further limit in bytes that is only known at run time.
pub(crate) fn cut_to<const N: usize>(text: &str, limit: usize) -> String<N> {
    let limit = limit.min(N);
    let mut out = String::new();
    if text.len() <= limit {
        let _ = out.push_str(text);
        return out;
    }
    // Not even the marker has room: nothing is better than half a word that looks whole.
    let Some(room) = limit.checked_sub(CUT_MARKER.len()) else { return out };
    let _ = out.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
    let _ = out.push_str(CUT_MARKER);
    out
}

/// Formats into bounded text, cut with [`CUT_MARKER`] when it does not fit: `cut_format(format_args!("{n} bytes"))`.
pub fn cut_format<const N: usize>(arguments: fmt::Arguments<'_>) -> String<N> {
    struct Cutter<const N: usize> {
        text: String<N>,
        overflowed: bool,
    }
    impl<const N: usize> Write for Cutter<N> {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            if self.overflowed {
                return Ok(());
            }
            if self.text.push_str(s).is_err() {
                self.overflowed = true;
                let room = N - self.text.len();
                let _ = self.text.push_str(s.get(..s.floor_char_boundary(room)).unwrap_or_default());
                while !self.text.is_empty() && self.text.len() + CUT_MARKER.len() > N {
                    self.text.pop();
                }
                // If not even the marker has room, nothing stays: better than half a word that looks whole.
                let _ = self.text.push_str(CUT_MARKER);
            }
            Ok(())
        }
    }
    let mut cutter = Cutter { text: String::new(), overflowed: false };
    let _ = cutter.write_fmt(arguments);
    cutter.text
}

/// Bytes as lower-case hexadecimal digits, for `{}`.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Exactly `N` bytes from `2 * N` hexadecimal digits, either case.
pub fn from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let digit = |c: &u8| char::from(*c).to_digit(16);
        *byte = u8::try_from(digit(high)? << 4 | digit(low)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_fits_is_kept_whole_and_longer_text_says_that_it_was_cut() {
        assert_eq!(cut::<8>("12345678"), "12345678");
        assert_eq!(cut::<8>("123456789"), "12345…");
        assert_eq!(cut::<8>("1234äöü"), "1234…", "ä does not fit whole before the marker");
        assert_eq!(cut::<2>("123"), "");
    }

    #[test]
    fn formatting_cuts_alike() {
        assert_eq!(cut_format::<8>(format_args!("{}{}", 1234, 5678)), "12345678");
        assert_eq!(cut_format::<8>(format_args!("{}{}", 1234, 56789)), "12345…");
        assert_eq!(cut_format::<8>(format_args!("{}{}{}", "1234567", "ö", "z")), "12345…");
        assert_eq!(cut_format::<2>(format_args!("abc")), "");
    }

    #[test]
    fn hexadecimal_needs_exactly_the_right_number_of_digits() {
        assert_eq!(from_hex::<2>("0aFF"), Some([0x0a, 0xff]));
        for wrong in ["", "0aF", "0aFF0", "0aFg", "+aFF", "0aF\u{e9}"] {
            assert_eq!(from_hex::<2>(wrong), None, "{wrong}");
        }
    }
}
