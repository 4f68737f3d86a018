//! An [`Object`] hands out its members one by one; what nobody asks for is checked and skipped.

use super::{
    scan::{JsonError, Scanner},
    value::{JsonText, Value},
};

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
