//! Writing: one flat object into anything that takes text.

use core::fmt::{self, Display, Write};

/// The buffer has too little room; nothing in it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer is too small for the message")]
pub struct TooSmall;

impl From<fmt::Error> for TooSmall {
    fn from(_: fmt::Error) -> Self {
        TooSmall
    }
}

/// Text into a slice of bytes, by [`core::fmt::Write`].
pub struct SliceWriter<'a> {
    buffer: &'a mut [u8],
    used: usize,
}

impl<'a> SliceWriter<'a> {
    /// Begins at the start of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        SliceWriter { buffer, used: 0 }
    }

    /// How many bytes have been written.
    pub fn used(&self) -> usize {
        self.used
    }
}

impl Write for SliceWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.used + text.len();
        self.buffer.get_mut(self.used..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}

/// Writes one object, member by member.
pub(crate) struct JsonWriter<'a, W: Write> {
    out: &'a mut W,
    first: bool,
}

impl<'a, W: Write> JsonWriter<'a, W> {
    pub(crate) fn open(out: &'a mut W) -> Result<Self, fmt::Error> {
        out.write_char('{')?;
        Ok(JsonWriter { out, first: true })
    }

    pub(crate) fn close(self) -> fmt::Result {
        self.out.write_char('}')
    }

    fn key(&mut self, key: &str) -> fmt::Result {
        if !self.first {
            self.out.write_char(',')?;
        }
        self.first = false;
        write!(self.out, "\"{key}\":")
    }

    /// A value that prints as JSON by itself: a number, `true`, `false`, `null`, a prepared array.
    pub(crate) fn plain(&mut self, key: &str, value: impl Display) -> fmt::Result {
        self.key(key)?;
        write!(self.out, "{value}")
    }

    /// As [`JsonWriter::plain`], or `null`.
    pub(crate) fn plain_or_null(&mut self, key: &str, value: Option<impl Display>) -> fmt::Result {
        match value {
            Some(value) => self.plain(key, value),
            None => self.plain(key, "null"),
        }
    }

    /// A text, escaped.
    pub(crate) fn text(&mut self, key: &str, value: impl Display) -> fmt::Result {
        self.key(key)?;
        write_text(self.out, value)
    }

    /// A text, or `null`.
    pub(crate) fn text_or_null(&mut self, key: &str, value: Option<impl Display>) -> fmt::Result {
        match value {
            Some(value) => self.text(key, value),
            None => self.plain(key, "null"),
        }
    }
}

/// One text in quotes, escaped as RFC 8259 §7 demands.
pub(crate) fn write_text(out: &mut impl Write, value: impl Display) -> fmt::Result {
    struct Escape<'a, W>(&'a mut W);
    impl<W: Write> Write for Escape<'_, W> {
        fn write_str(&mut self, mut text: &str) -> fmt::Result {
            let special = |c: char| matches!(c, '"' | '\\' | '\0'..='\x1f' | '\x7f');
            while let Some((at, c)) = text.char_indices().find(|(_, c)| special(*c)) {
                self.0.write_str(text.get(..at).unwrap_or_default())?;
                match c {
                    '"' => self.0.write_str("\\\"")?,
                    '\\' => self.0.write_str("\\\\")?,
                    '\n' => self.0.write_str("\\n")?,
                    other => write!(self.0, "\\u{:04x}", u32::from(other))?,
                }
                text = text.get(at + 1..).unwrap_or_default();
            }
            self.0.write_str(text)
        }
    }
    out.write_char('"')?;
    write!(Escape(out), "{value}")?;
    out.write_char('"')
}
