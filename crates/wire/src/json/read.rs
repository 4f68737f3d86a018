//! Reading: an [`Object`] hands out its members one by one; what nobody asks for is checked and skipped.

/// How deep arrays and objects may nest. A skipped value costs one bit of memory for each level.
const MAX_DEPTH: u32 = u64::BITS;

/// Why bytes are not acceptable JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not UTF-8, which RFC 8259 §8.1 demands.
    #[error("not UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// The text ends too early.
    #[error("ends in the middle, after {0} bytes")]
    Ends(usize),
    /// A byte that may not stand here.
    #[error("unexpected byte 0x{found:02x} at byte {at}")]
    Unexpected {
        /// Offset from the beginning.
        at: usize,
        /// The byte.
        found: u8,
    },
    /// Arrays or objects nest deeper than 64 levels.
    #[error("nested deeper than {MAX_DEPTH} levels at byte {0}")]
    TooDeep(usize),
    /// The outermost value is not an object.
    #[error("not an object")]
    NotAnObject,
}

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
pub(crate) struct Number<'a>(&'a str);

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
pub(crate) struct JsonText<'a>(&'a str);

/// Why a text cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextError {
    /// Has more bytes than fit; says how many.
    TooLong(usize),
    /// Contains half of a surrogate pair, which stands for no character.
    LoneSurrogate,
}

impl<'a> JsonText<'a> {
    /// The characters, escapes decoded; `Err` at a lone surrogate.
    pub(crate) fn chars(self) -> impl Iterator<Item = Result<char, TextError>> + 'a {
        let mut rest = self.0.chars();
        core::iter::from_fn(move || {
            Some(match rest.next()? {
                '\\' => decode_escape(&mut rest).ok_or(TextError::LoneSurrogate),
                plain => Ok(plain),
            })
        })
    }

    /// True if the decoded text is `other`.
    pub(crate) fn is(self, other: &str) -> bool {
        if self.0.contains('\\') { self.chars().eq(other.chars().map(Ok)) } else { self.0 == other }
    }

    /// Decodes into bounded text. Nothing is cut: too long is an error, which says how many bytes it has.
    pub(crate) fn copy_to<const N: usize>(self, text: &mut heapless::String<N>) -> Result<(), TextError> {
        text.clear();
        if !self.0.contains('\\') {
            return text.push_str(self.0).map_err(|_| TextError::TooLong(self.0.len()));
        }
        let mut length = 0;
        for c in self.chars() {
            let c = c?;
            length += c.len_utf8();
            let _ = text.push(c);
        }
        if length > N { Err(TextError::TooLong(length)) } else { Ok(()) }
    }

    /// Decodes into new bounded text.
    pub(crate) fn copy<const N: usize>(self) -> Result<heapless::String<N>, TextError> {
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

/// The members of the outermost object, one after the other.
pub(crate) struct Object<'a> {
    scanner: Scanner<'a>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Begins at the outermost value, which must be an object. A byte order mark before it is let pass: editors on
    /// Windows write one into files that people then publish.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = core::str::from_utf8(bytes).map_err(|e| JsonError::NotUtf8(e.valid_up_to()))?;
        let mut scanner = Scanner { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
        scanner.space();
        match scanner.peek() {
            Some(b'{') => scanner.at += 1,
            Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                scanner.value()?;
                scanner.end()?;
                return Err(JsonError::NotAnObject);
            }
            _ => return Err(scanner.unexpected()),
        }
        Ok(Object { scanner, first: true })
    }

    /// The next member; `None` after the last, when the rest of the input has been checked to be empty.
    pub(crate) fn next(&mut self) -> Result<Option<(JsonText<'a>, Value<'a>)>, JsonError> {
        let scanner = &mut self.scanner;
        scanner.space();
        if scanner.peek() == Some(b'}') {
            scanner.at += 1;
            scanner.end()?;
            scanner.at = scanner.text.len();
            return Ok(None);
        }
        if !self.first {
            scanner.expect(b',')?;
            scanner.space();
        }
        self.first = false;
        let key = scanner.text()?;
        scanner.space();
        scanner.expect(b':')?;
        scanner.space();
        Ok(Some((key, scanner.value()?)))
    }
}

/// An array whose syntax has been checked; its elements can be read again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Array<'a>(&'a str);

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

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn unexpected(&self) -> JsonError {
        match self.peek() {
            Some(found) => JsonError::Unexpected { at: self.at, found },
            None => JsonError::Ends(self.text.len()),
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Nothing but space may follow.
    fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.unexpected()) }
    }

    fn slice(&self, from: usize) -> &'a str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonError> {
        word.bytes().try_for_each(|byte| self.expect(byte))
    }

    /// A text with its quotes; hands out what is between them.
    fn text(&mut self) -> Result<JsonText<'a>, JsonError> {
        self.expect(b'"')?;
        let from = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                _ => return Err(self.unexpected()),
            }
        }
        let text = self.slice(from);
        self.at += 1;
        Ok(JsonText(text))
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|c| c.is_ascii_hexdigit()) {
                        return Err(self.unexpected());
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected()),
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Err(self.unexpected());
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Number<'a>, JsonError> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1
        } else {
            self.digits()?
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Number(self.slice(from)))
    }

    fn value(&mut self) -> Result<Value<'a>, JsonError> {
        let from = self.at;
        Ok(match self.peek() {
            Some(b'"') => Value::Text(self.text()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => {
                self.literal("true")?;
                Value::Bool(true)
            }
            Some(b'f') => {
                self.literal("false")?;
                Value::Bool(false)
            }
            Some(b'n') => {
                self.literal("null")?;
                Value::Null
            }
            Some(b'[') => {
                self.container()?;
                Value::Array(Array(self.slice(from)))
            }
            Some(b'{') => {
                self.container()?;
                Value::Object
            }
            _ => return Err(self.unexpected()),
        })
    }

    /// Steps over a whole array or object without recursion: one bit a level says which of the two it is.
    fn container(&mut self) -> Result<(), JsonError> {
        let mut is_object: u64 = 0;
        let mut depth: u32 = 0;
        loop {
            // A value begins here.
            match self.peek() {
                Some(open @ (b'[' | b'{')) => {
                    if depth == MAX_DEPTH {
                        return Err(JsonError::TooDeep(self.at));
                    }
                    depth += 1;
                    is_object = is_object << 1 | u64::from(open == b'{');
                    self.at += 1;
                    self.space();
                    if !self.closes(is_object) {
                        self.key_if(is_object)?;
                        continue;
                    }
                }
                _ => drop(self.value()?),
            }
            // A value has ended here: close what closes, or go on behind a comma.
            loop {
                self.space();
                if self.closes(is_object) {
                    self.at += 1;
                    depth -= 1;
                    is_object >>= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                } else {
                    self.expect(b',')?;
                    self.space();
                    self.key_if(is_object)?;
                    break;
                }
            }
        }
    }

    fn closes(&self, is_object: u64) -> bool {
        self.peek() == Some(if is_object & 1 == 1 { b'}' } else { b']' })
    }

    fn key_if(&mut self, is_object: u64) -> Result<(), JsonError> {
        if is_object & 1 == 1 {
            self.text()?;
            self.space();
            self.expect(b':')?;
            self.space();
        }
        Ok(())
    }
}

pub(crate) use TextError as JsonTextError;
