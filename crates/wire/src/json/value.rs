//! Values: numbers in any spelling, texts with their escapes, arrays to be read again.

use super::scan::Scanner;

/// A value as found: scalars ready to use, containers as their (already checked) text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    Text(JsonText<'a>),
    Array(Array<'a>),
    Object,
}

/// A number's digits as written, checked against RFC 8259 §6.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number<'a>(pub(super) &'a str);

impl Number<'_> {
    /// The number, if it is whole and at least 0, however it is written (`1000`, `1e3`, `1000.0`).
    pub(crate) fn as_u64(self) -> Option<u64> {
        if self.0.starts_with('-') {
            return self.as_i64().and_then(|n| u64::try_from(n).ok());
        }
        self.magnitude()
    }

    /// The number, if it is whole and fits.
    pub(crate) fn as_i64(self) -> Option<i64> {
        let magnitude = i64::try_from(self.magnitude()?).ok()?;
        Some(if self.0.starts_with('-') { -magnitude } else { magnitude })
    }

    /// Whole part of the absolute value, if nothing but zeros follows the decimal point.
    fn magnitude(self) -> Option<u64> {
        let digits = self.0.trim_start_matches('-');
        let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.trim_start_matches('+').parse::<i32>().ok()?),
            None => (digits, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let mut value: u64 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        }
        if value == 0 {
            return Some(0);
        }
        let mut shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        while shift > 0 {
            value = value.checked_mul(10)?;
            shift -= 1;
        }
        while shift < 0 {
            if !value.is_multiple_of(10) {
                return None;
            }
            value /= 10;
            shift += 1;
        }
        Some(value)
    }
}

/// A text between its quotes, escapes not yet decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct JsonText<'a>(pub(super) &'a str);

/// Why a text cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonTextError {
    /// Has more bytes than fit; says how many.
    TooLong(usize),
    /// Contains half of a surrogate pair, which stands for no character.
    LoneSurrogate,
}

impl<'a> JsonText<'a> {
    /// The characters, escapes decoded; `Err` at a lone surrogate.
    pub(crate) fn chars(self) -> impl Iterator<Item = Result<char, JsonTextError>> + 'a {
        let mut rest = self.0.chars();
        core::iter::from_fn(move || {
            Some(match rest.next()? {
                '\\' => decode_escape(&mut rest).ok_or(JsonTextError::LoneSurrogate),
                plain => Ok(plain),
            })
        })
    }

    /// True if the decoded text is `other`.
    pub(crate) fn is(self, other: &str) -> bool {
        if self.0.contains('\\') { self.chars().eq(other.chars().map(Ok)) } else { self.0 == other }
    }

    /// Decodes into bounded text. Nothing is cut: too long is an error, which says how many bytes it has.
    pub(crate) fn copy_to<const N: usize>(self, text: &mut heapless::String<N>) -> Result<(), JsonTextError> {
        text.clear();
        if !self.0.contains('\\') {
            return text.push_str(self.0).map_err(|_| JsonTextError::TooLong(self.0.len()));
        }
        let mut length = 0;
        for c in self.chars() {
            let c = c?;
            length += c.len_utf8();
            let _ = text.push(c);
        }
        if length > N { Err(JsonTextError::TooLong(length)) } else { Ok(()) }
    }

    /// Decodes into new bounded text.
    pub(crate) fn copy<const N: usize>(self) -> Result<heapless::String<N>, JsonTextError> {
        let mut text = heapless::String::new();
        self.copy_to(&mut text).map(|()| text)
    }
}

/// The character behind a backslash that was just read. The syntax was checked before.
fn decode_escape(rest: &mut core::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = hex4(rest)?;
            match first {
                0xd800..=0xdbff => {
                    let mut ahead = rest.clone();
                    if ahead.next()? != '\\' || ahead.next()? != 'u' {
                        return None;
                    }
                    let second = hex4(&mut ahead)?;
                    if !(0xdc00..=0xdfff).contains(&second) {
                        return None;
                    }
                    *rest = ahead;
                    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?
                }
                _ => char::from_u32(first)?,
            }
        }
        plain => plain,
    })
}

fn hex4(rest: &mut core::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |number, _| Some(number << 4 | rest.next()?.to_digit(16)?))
}

/// An array whose syntax has been checked; its elements can be read again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Array<'a>(pub(super) &'a str);

impl<'a> Array<'a> {
    /// The elements.
    pub(crate) fn elements(self) -> impl Iterator<Item = Value<'a>> {
        let mut scanner = Scanner { text: self.0, at: 1 };
        core::iter::from_fn(move || {
            scanner.space();
            if scanner.peek() == Some(b',') {
                scanner.at += 1;
                scanner.space();
            }
            // The array was scanned before it became an `Array`, so an error here can only mean its end.
            scanner.value().ok()
        })
    }
}
