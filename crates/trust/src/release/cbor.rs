//! A reader for deterministic CBOR (RFC 8949 §4.2.1) that takes nothing else.
//!
//! A release has one encoding, so that no two readers can see two things in the same bytes: lengths are definite and
//! in their shortest form, map keys ascend and none is twice, nothing trails. General decoders accept more (minicbor
//! and cbor2 take long forms and indefinite lengths), which is why reading is done here and only writing by minicbor.

use core::fmt;

use super::{Part, ReleaseError};

/// How the bytes depart from deterministic CBOR, or from the type that belongs in this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CborFault {
    /// The bytes end inside an item.
    Truncated,
    /// A number or length is longer than it needs to be.
    NotShortest,
    /// An item of indefinite length.
    Indefinite,
    /// Another type than belongs here.
    WrongType {
        /// The CBOR major type that belongs here.
        expected: u8,
        /// The initial byte that was found.
        found: u8,
    },
    /// A number of items or bytes that cannot fit in what is left.
    LengthTooLarge {
        /// What the item claims.
        claimed: u64,
    },
    /// A map has a key twice.
    DuplicateKey,
    /// A map's keys do not ascend.
    KeysOutOfOrder,
    /// An array or map has another number of items than belongs here.
    WrongCount {
        /// How many it has.
        found: u64,
    },
    /// A text is not UTF-8.
    NotUtf8,
    /// Something follows the last item.
    TrailingBytes,
    /// A value is not one that may be here.
    WrongValue,
    /// Arrays and maps lie deeper in each other than [`MAX_DEPTH`].
    TooDeep,
}

impl fmt::Display for CborFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end inside an item"),
            Self::NotShortest => f.write_str("a number is not in its shortest form"),
            Self::Indefinite => f.write_str("an item has an indefinite length"),
            Self::WrongType { expected, found } => {
                write!(f, "expected major type {expected}, found initial byte {found:#04x}")
            }
            Self::LengthTooLarge { claimed } => {
                write!(f, "an item claims a length of {claimed}, more than there is")
            }
            Self::DuplicateKey => f.write_str("a map has a key twice"),
            Self::KeysOutOfOrder => f.write_str("the keys of a map do not ascend"),
            Self::WrongCount { found } => write!(f, "an array or map has the wrong number of items, {found}"),
            Self::NotUtf8 => f.write_str("a text is not UTF-8"),
            Self::TrailingBytes => f.write_str("bytes follow the last item"),
            Self::WrongValue => f.write_str("a value is not allowed here"),
            Self::TooDeep => f.write_str("items lie too deep in each other"),
        }
    }
}

/// How deep arrays, maps and tags may lie in an item that is skipped.
pub const MAX_DEPTH: usize = 8;

pub(crate) const UINT: u8 = 0;
pub(crate) const NINT: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;
pub(crate) const TAG: u8 = 6;

type Outcome<T> = Result<T, ReleaseError>;

/// Reads items from a slice, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// What is being read, for the error that names it.
    pub part: Part,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8], part: Part) -> Self {
        Self { bytes, part }
    }

    /// The error for a fault found here.
    pub(crate) fn fault(&self, fault: CborFault) -> ReleaseError {
        ReleaseError::Malformed { part: self.part, fault }
    }

    /// What is left.
    #[cfg(feature = "sign")]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Fails unless everything was read.
    pub(crate) fn end(&self) -> Outcome<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.fault(CborFault::TrailingBytes)) }
    }

    /// The major type of the next item.
    pub(crate) fn peek(&self) -> Outcome<u8> {
        self.bytes.first().map(|byte| byte >> 5).ok_or_else(|| self.fault(CborFault::Truncated))
    }

    /// Whether the next item is `null`; if so, it is read.
    pub(crate) fn take_null(&mut self) -> bool {
        match self.bytes {
            [0xF6, rest @ ..] => {
                self.bytes = rest;
                true
            }
            _ => false,
        }
    }

    /// Major type and argument of the next item (RFC 8949 §3), in the shortest form only.
    pub(crate) fn head(&mut self) -> Outcome<(u8, u64)> {
        let (&initial, rest) = self.bytes.split_first().ok_or_else(|| self.fault(CborFault::Truncated))?;
        let length = match initial & 0x1F {
            0..=23 => 0,
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 => return Err(self.fault(CborFault::Indefinite)),
            _ => return Err(self.fault(CborFault::WrongValue)),
        };
        let (argument, rest) =
            rest.split_at_checked(length).ok_or_else(|| self.fault(CborFault::Truncated))?;
        let value = match length {
            0 => u64::from(initial & 0x1F),
            _ => argument.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)),
        };
        let shortest = match length {
            0 => true,
            1 => value >= 24,
            length => value >> (4 * length) != 0,
        };
        if !shortest {
            return Err(self.fault(CborFault::NotShortest));
        }
        self.bytes = rest;
        Ok((initial >> 5, value))
    }

    fn expect(&mut self, expected: u8) -> Outcome<u64> {
        let found = *self.bytes.first().ok_or_else(|| self.fault(CborFault::Truncated))?;
        if found >> 5 != expected {
            return Err(self.fault(CborFault::WrongType { expected, found }));
        }
        Ok(self.head()?.1)
    }

    pub(crate) fn uint(&mut self) -> Outcome<u64> {
        self.expect(UINT)
    }

    /// A small number of either sign: labels of commands, parameters and algorithms.
    pub(crate) fn int(&mut self) -> Outcome<i64> {
        let (value, negative) = match self.peek()? {
            NINT => (self.expect(NINT)?, true),
            _ => (self.expect(UINT)?, false),
        };
        let value = i64::try_from(value).map_err(|_| self.fault(CborFault::WrongValue))?;
        Ok(if negative { -1 - value } else { value })
    }

    pub(crate) fn bytes(&mut self) -> Outcome<&'a [u8]> {
        let length = self.expect(BYTES)?;
        self.take(length)
    }

    /// A byte string of exactly this length.
    pub(crate) fn array_of<const N: usize>(&mut self) -> Outcome<&'a [u8; N]> {
        self.bytes()?.try_into().map_err(|_| self.fault(CborFault::WrongValue))
    }

    pub(crate) fn text(&mut self) -> Outcome<&'a str> {
        let length = self.expect(TEXT)?;
        core::str::from_utf8(self.take(length)?).map_err(|_| self.fault(CborFault::NotUtf8))
    }

    /// The number of items of an array, at most as many as there are bytes left.
    pub(crate) fn array(&mut self) -> Outcome<u64> {
        let count = self.expect(ARRAY)?;
        self.bounded(count, 1)
    }

    /// An array of exactly this many items.
    pub(crate) fn array_exactly(&mut self, count: u64) -> Outcome<()> {
        let found = self.array()?;
        if found == count { Ok(()) } else { Err(self.fault(CborFault::WrongCount { found })) }
    }

    /// A map, whose keys are then read through the result.
    pub(crate) fn map(&mut self) -> Outcome<Keys<'a>> {
        let count = self.expect(MAP)?;
        Ok(Keys { left: self.bounded(count, 2)?, last: &[] })
    }

    pub(crate) fn tag(&mut self, expected: u64) -> Outcome<()> {
        if self.expect(TAG)? == expected { Ok(()) } else { Err(self.fault(CborFault::WrongValue)) }
    }

    /// One whole item of any type, as its encoded bytes.
    pub(crate) fn item(&mut self) -> Outcome<&'a [u8]> {
        let start = self.bytes;
        self.skip(0)?;
        Ok(start.get(..start.len() - self.bytes.len()).unwrap_or_default())
    }

    fn skip(&mut self, depth: usize) -> Outcome<()> {
        if depth == MAX_DEPTH {
            return Err(self.fault(CborFault::TooDeep));
        }
        match self.peek()? {
            UINT | NINT => self.head().map(drop),
            BYTES => self.bytes().map(drop),
            TEXT => self.text().map(drop),
            ARRAY => {
                for _ in 0..self.array()? {
                    self.skip(depth + 1)?;
                }
                Ok(())
            }
            MAP => {
                let mut keys = self.map()?;
                while keys.next_raw(self)?.is_some() {
                    self.skip(depth + 1)?;
                }
                Ok(())
            }
            TAG => {
                self.head()?;
                self.skip(depth + 1)
            }
            // false, true, null, undefined; no floats, no other simple values.
            _ => match self.bytes.split_first() {
                Some((0xF4..=0xF7, rest)) => {
                    self.bytes = rest;
                    Ok(())
                }
                Some((0xFF, _)) => Err(self.fault(CborFault::Indefinite)),
                _ => Err(self.fault(CborFault::WrongValue)),
            },
        }
    }

    pub(crate) fn take(&mut self, length: u64) -> Outcome<&'a [u8]> {
        let fitting = usize::try_from(length).ok().and_then(|length| self.bytes.split_at_checked(length));
        let (taken, rest) =
            fitting.ok_or_else(|| self.fault(CborFault::LengthTooLarge { claimed: length }))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn bounded(&self, count: u64, bytes_each: u64) -> Outcome<u64> {
        match count.checked_mul(bytes_each) {
            Some(least) if least <= self.bytes.len() as u64 => Ok(count),
            _ => Err(self.fault(CborFault::LengthTooLarge { claimed: count })),
        }
    }
}

/// The keys of a map that is being read: ascending, none twice.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    left: u64,
    last: &'a [u8],
}

impl<'a> Keys<'a> {
    /// How many entries are left.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// The next key as a number; its value is next in the reader. `None` after the last.
    pub(crate) fn next(&mut self, reader: &mut Reader<'a>) -> Outcome<Option<i64>> {
        match self.next_raw(reader)? {
            Some(key) => Reader::new(key, reader.part).int().map(Some),
            None => Ok(None),
        }
    }

    /// The next key, encoded.
    pub(crate) fn next_raw(&mut self, reader: &mut Reader<'a>) -> Outcome<Option<&'a [u8]>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let key = reader.item()?;
        match key.cmp(self.last) {
            core::cmp::Ordering::Equal => Err(reader.fault(CborFault::DuplicateKey)),
            core::cmp::Ordering::Less => Err(reader.fault(CborFault::KeysOutOfOrder)),
            core::cmp::Ordering::Greater => {
                self.last = key;
                Ok(Some(key))
            }
        }
    }
}

/// The head of a byte string of this length, and how many of the bytes are used: for hashing what is not in memory as
/// CBOR.
pub(crate) fn bytes_head(length: usize) -> ([u8; 5], usize) {
    let wide = length as u32;
    let [a, b, c, d] = wide.to_be_bytes();
    match wide {
        0..=23 => ([0x40 | d, 0, 0, 0, 0], 1),
        24..=0xFF => ([0x58, d, 0, 0, 0], 2),
        0x100..=0xFFFF => ([0x59, c, d, 0, 0], 3),
        _ => ([0x5A, a, b, c, d], 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn skipped(bytes: &[u8]) -> Result<(), CborFault> {
        let mut reader = Reader::new(bytes, Part::Envelope);
        reader.item().and_then(|_| reader.end()).map_err(|error| match error {
            ReleaseError::Malformed { part: Part::Envelope, fault } => fault,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn deterministic_items_are_read() {
        // RFC 8949 appendix A, without floats and indefinite lengths.
        for bytes in [
            &[0x00][..],
            &[0x17],
            &[0x18, 0x18],
            &[0x19, 0x03, 0xE8],
            &[0x1A, 0x00, 0x0F, 0x42, 0x40],
            &[0x1B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x20],
            &[0x38, 0x63],
            &[0xF4],
            &[0xF5],
            &[0xF6],
            &[0xF7],
            &[0xC1, 0x1A, 0x51, 0x4B, 0x67, 0xB0],
            &[0x40],
            &[0x44, 1, 2, 3, 4],
            &[0x60],
            &[0x62, 0xC3, 0xBC],
            &[0x80],
            &[0x83, 1, 0x82, 2, 3, 0x82, 4, 5],
            &[0xA2, 1, 2, 3, 4],
            &[0xA2, 0x61, 0x61, 1, 0x61, 0x62, 0x82, 2, 3],
        ] {
            assert_eq!(skipped(bytes), Ok(()), "{bytes:02x?}");
        }
    }

    #[test]
    fn everything_that_has_a_shorter_form_is_refused() {
        for bytes in [
            &[0x18, 0x17][..],
            &[0x19, 0x00, 0xFF],
            &[0x1A, 0x00, 0x00, 0xFF, 0xFF],
            &[0x1B, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x38, 0x00],
            &[0x58, 0x01, 0x00],
            &[0x78, 0x01, 0x61],
            &[0x98, 0x01, 0x00],
            &[0xB8, 0x01, 0x00, 0x00],
            &[0xD8, 0x01, 0x00],
        ] {
            assert_eq!(skipped(bytes), Err(CborFault::NotShortest), "{bytes:02x?}");
        }
    }

    #[test]
    fn indefinite_lengths_are_refused() {
        for bytes in [&[0x5F, 0x41, 0, 0xFF][..], &[0x7F, 0xFF], &[0x9F, 0xFF], &[0xBF, 0xFF], &[0xFF]] {
            assert_eq!(skipped(bytes), Err(CborFault::Indefinite), "{bytes:02x?}");
        }
    }

    #[test]
    fn map_keys_ascend_and_none_is_twice() {
        assert_eq!(skipped(&[0xA2, 1, 0, 1, 0]), Err(CborFault::DuplicateKey));
        assert_eq!(skipped(&[0xA2, 2, 0, 1, 0]), Err(CborFault::KeysOutOfOrder));
        assert_eq!(skipped(&[0xA2, 0x20, 0, 0, 0]), Err(CborFault::KeysOutOfOrder));
        assert_eq!(skipped(&[0xA2, 0x18, 0x18, 0, 0x20, 0]), Ok(()));
    }

    #[test]
    fn absurd_lengths_are_refused_at_once() {
        for major in [0x40u8, 0x60, 0x80, 0xA0] {
            let bytes = [major | 27, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0];
            assert_eq!(skipped(&bytes), Err(CborFault::LengthTooLarge { claimed: u64::MAX }));
        }
        assert_eq!(skipped(&[0x82, 0]), Err(CborFault::LengthTooLarge { claimed: 2 }));
    }

    #[test]
    fn floats_reserved_values_and_deep_nesting_are_refused() {
        for bytes in [&[0xF9, 0, 0][..], &[0xFA, 0, 0, 0, 0], &[0xF0], &[0xF8, 0xFF], &[0x1C], &[0x3E]] {
            assert_eq!(skipped(bytes), Err(CborFault::WrongValue), "{bytes:02x?}");
        }
        let deep: Vec<u8> = core::iter::repeat_n(0x81, 100).chain([0]).collect();
        assert_eq!(skipped(&deep), Err(CborFault::TooDeep));
        let tags: Vec<u8> = core::iter::repeat_n(0xC1, 100).chain([0]).collect();
        assert_eq!(skipped(&tags), Err(CborFault::TooDeep));
    }

    #[test]
    fn every_truncation_is_noticed() {
        let bytes = [0xA2, 1, 0x82, 0x19, 1, 0, 0x43, 1, 2, 3, 0x62, 0x61, 0x62, 0xF6];
        assert_eq!(skipped(&bytes), Ok(()));
        for length in 0..bytes.len() {
            assert!(skipped(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn the_head_of_a_byte_string_reads_back() {
        for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536] {
            let (head, used) = bytes_head(length);
            let mut encoded = head[..used].to_vec();
            encoded.resize(used + length, 7);
            assert_eq!(Reader::new(&encoded, Part::Envelope).bytes().map(<[u8]>::len), Ok(length));
            assert_eq!(skipped(&encoded), Ok(()));
        }
    }
}
