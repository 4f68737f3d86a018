//! The grammar, byte by byte, without recursion.

use super::value::{Array, JsonText, Number, Value};

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

/// Steps through JSON text and checks its grammar (RFC 8259).
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn unexpected(&self) -> JsonError {
        match self.peek() {
            Some(found) => JsonError::Unexpected { at: self.at, found },
            None => JsonError::Ends(self.text.len()),
        }
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Nothing but space may follow.
    pub(super) fn end(&mut self) -> Result<(), JsonError> {
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
    pub(super) fn text(&mut self) -> Result<JsonText<'a>, JsonError> {
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

    pub(super) fn value(&mut self) -> Result<Value<'a>, JsonError> {
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
