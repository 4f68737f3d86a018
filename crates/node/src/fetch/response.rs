//! Heads and bodies of HTTP/1.1 responses (RFC 9112), bounded and without allocation.

use heapless::String;

/// Longest strong entity tag that is kept for `If-Range`; a longer one counts as none.
pub const MAX_ETAG_BYTES: usize = 96;

/// Most header lines that a response may have.
const MAX_HEADERS: usize = 64;

/// Why a response cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// Not HTTP/1.x, or broken framing.
    Malformed,
    /// More header lines than [`MAX_HEADERS`].
    TooManyHeaders,
}

/// What a node needs of a response's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// Bytes that the head takes, blank line included.
    pub length: usize,
    /// Status code.
    pub status: u16,
    /// How long the body is.
    pub framing: Framing,
    /// `Location`, for redirects.
    pub location: Option<&'a str>,
    /// A strong `ETag` with its quotes.
    pub etag: Option<String<MAX_ETAG_BYTES>>,
    /// First byte and whole length of `Content-Range: bytes first-last/whole`.
    pub content_range: Option<(u32, Option<u32>)>,
    /// Whether `Content-Encoding` names anything but `identity`.
    pub encoded: bool,
    /// `Retry-After` in seconds.
    pub retry_after_s: Option<u32>,
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the connection closes.
    UntilClose,
}

impl<'a> ResponseHead<'a> {
    /// Reads a head, or says `None` while its blank line has not arrived.
    ///
    /// # Errors
    /// [`ResponseError`] as soon as it is clear that this is no usable response.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, ResponseError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(ResponseError::TooManyHeaders),
            Err(_) => return Err(ResponseError::Malformed),
        };
        let mut head = Self {
            length,
            status: response.code.ok_or(ResponseError::Malformed)?,
            framing: Framing::UntilClose,
            location: None,
            etag: None,
            content_range: None,
            encoded: false,
            retry_after_s: None,
        };
        let mut content_length = None;
        let mut chunked = false;
        for header in response.headers.iter() {
            let value = core::str::from_utf8(header.value).ok().map(str::trim);
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let parsed =
                    value.and_then(|value| value.parse::<u64>().ok()).ok_or(ResponseError::Malformed)?;
                if content_length.is_some_and(|earlier| earlier != parsed) {
                    return Err(ResponseError::Malformed);
                }
                content_length = Some(parsed);
            } else if is("transfer-encoding") {
                // Anything but a plain "chunked" would hide the image's bytes from us.
                if !value.is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
                    return Err(ResponseError::Malformed);
                }
                chunked = true;
            } else if is("location") {
                head.location = value;
            } else if is("etag") {
                head.etag =
                    value.filter(|tag| tag.starts_with('"')).and_then(|tag| String::try_from(tag).ok());
            } else if is("content-range") {
                head.content_range =
                    Some(value.and_then(parse_content_range).ok_or(ResponseError::Malformed)?);
            } else if is("content-encoding") {
                head.encoded =
                    !value.is_some_and(|value| value.is_empty() || value.eq_ignore_ascii_case("identity"));
            } else if is("retry-after") {
                head.retry_after_s = value.and_then(|value| value.parse().ok());
            }
        }
        head.framing = match (chunked, content_length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        Ok(Some(head))
    }
}

/// `bytes 0-99/1234` or `bytes 0-99/*` (RFC 9110 §14.4).
fn parse_content_range(value: &str) -> Option<(u32, Option<u32>)> {
    let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
    let whole = if whole == "*" { None } else { Some(whole.parse::<u32>().ok()?) };
    (first <= last && whole.is_none_or(|whole| last < whole)).then_some((first, whole))
}

/// Finds the bytes of a body in what a connection delivers.
#[derive(Clone, Debug)]
pub struct BodyReader {
    state: BodyState,
}

#[derive(Clone, Copy, Debug)]
enum BodyState {
    Counted { left: u64 },
    UntilClose,
    ChunkSize { size: u32, digits: u8, in_extension: bool },
    ChunkData { left: u32 },
    ChunkEnd,
    Trailer { line_bytes: u16, all_bytes: u16 },
    Done,
}

/// Longest chunk extension and trailer that is skipped, in bytes.
const MAX_TRAILER_BYTES: u16 = 4096;

/// One step of [`BodyReader::step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyStep {
    /// This many bytes of the input are framing: skip them.
    Skip(usize),
    /// This many bytes of the input are the body's.
    Data(usize),
    /// The body is complete.
    End,
    /// The framing is broken.
    Malformed,
}

impl BodyReader {
    /// Starts at a body's first byte.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => BodyState::Done,
            Framing::Length(left) => BodyState::Counted { left },
            Framing::Chunked => BodyState::ChunkSize { size: 0, digits: 0, in_extension: false },
            Framing::UntilClose => BodyState::UntilClose,
        };
        Self { state }
    }

    /// Whether a closed connection is the regular end here.
    #[must_use]
    pub const fn ends_by_close(&self) -> bool {
        matches!(self.state, BodyState::UntilClose | BodyState::Done)
    }

    /// Looks at the front of `input`, which must not be empty unless the body may be complete.
    pub fn step(&mut self, input: &[u8]) -> BodyStep {
        let Some(&first) = input.first() else {
            return if matches!(self.state, BodyState::Done) { BodyStep::End } else { BodyStep::Skip(0) };
        };
        match &mut self.state {
            BodyState::Done => BodyStep::End,
            BodyState::UntilClose => BodyStep::Data(input.len()),
            BodyState::Counted { left } => {
                let count = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= count as u64;
                if *left == 0 {
                    self.state = BodyState::Done;
                }
                BodyStep::Data(count)
            }
            BodyState::ChunkData { left } => {
                let count = (*left as usize).min(input.len());
                *left -= count as u32;
                if *left == 0 {
                    self.state = BodyState::ChunkEnd;
                }
                BodyStep::Data(count)
            }
            BodyState::ChunkSize { size, digits, in_extension } => {
                match first {
                    b'\n' if *digits == 0 => return BodyStep::Malformed,
                    b'\n' if *size == 0 => self.state = BodyState::Trailer { line_bytes: 0, all_bytes: 0 },
                    b'\n' => self.state = BodyState::ChunkData { left: *size },
                    _ if *in_extension => {}
                    b'\r' => {}
                    b';' | b' ' | b'\t' => *in_extension = true,
                    _ => match (first as char).to_digit(16) {
                        Some(digit) if *digits < 8 => {
                            *size = (*size << 4) | digit;
                            *digits += 1;
                        }
                        _ => return BodyStep::Malformed,
                    },
                }
                BodyStep::Skip(1)
            }
            BodyState::ChunkEnd => match first {
                b'\r' => BodyStep::Skip(1),
                b'\n' => {
                    self.state = BodyState::ChunkSize { size: 0, digits: 0, in_extension: false };
                    BodyStep::Skip(1)
                }
                _ => BodyStep::Malformed,
            },
            BodyState::Trailer { line_bytes, all_bytes } => {
                *all_bytes += 1;
                match first {
                    b'\n' if *line_bytes == 0 => self.state = BodyState::Done,
                    b'\n' => *line_bytes = 0,
                    b'\r' => {}
                    _ => *line_bytes += 1,
                }
                let too_long = matches!(self.state, BodyState::Trailer { all_bytes, .. } if all_bytes >= MAX_TRAILER_BYTES);
                if too_long { BodyStep::Malformed } else { BodyStep::Skip(1) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn read(framing: Framing, wire: &[u8], slice: usize) -> Result<(Vec<u8>, bool), ()> {
        let mut reader = BodyReader::new(framing);
        let mut body = Vec::new();
        for mut input in wire.chunks(slice) {
            while !input.is_empty() {
                match reader.step(input) {
                    BodyStep::Skip(count) => input = &input[count..],
                    BodyStep::Data(count) => {
                        body.extend_from_slice(&input[..count]);
                        input = &input[count..];
                    }
                    BodyStep::End => return Ok((body, true)),
                    BodyStep::Malformed => return Err(()),
                }
            }
        }
        let ended = reader.step(&[]) == BodyStep::End;
        Ok((body, ended))
    }

    #[test]
    fn chunks_come_apart_however_the_network_slices_them() {
        let wire = b"5\r\nhello\r\n6;name=\"v\"\r\n world\r\n0\r\nX-Trailer: yes\r\n\r\n";
        for slice in 1..=wire.len() {
            assert_eq!(
                read(Framing::Chunked, wire, slice),
                Ok((b"hello world".to_vec(), true)),
                "slice {slice}"
            );
        }
        for cut in 0..wire.len() {
            let (_, ended) = read(Framing::Chunked, &wire[..cut], 7).unwrap();
            assert!(!ended, "cut at {cut} must not look complete");
        }
        for broken in [&b"\r\n"[..], b"g\r\n", b"123456789\r\n", b"1\r\naX"] {
            assert_eq!(read(Framing::Chunked, broken, 3), Err(()), "{broken:?}");
        }
    }

    #[test]
    fn a_counted_body_ends_at_its_length_and_not_before() {
        assert_eq!(read(Framing::Length(3), b"abcdef", 2), Ok((b"abc".to_vec(), true)));
        assert_eq!(read(Framing::Length(3), b"ab", 2), Ok((b"ab".to_vec(), false)));
        assert_eq!(read(Framing::Length(0), b"", 1), Ok((Vec::new(), true)));
    }

    #[test]
    fn a_head_yields_what_a_download_needs() {
        let head = ResponseHead::parse(
            b"HTTP/1.1 206 Partial Content\r\nETag: \"abc\"\r\nContent-Range: bytes 4096-9999/10000\r\nContent-Length: 5904\r\n\r\nBODY",
        )
        .unwrap()
        .unwrap();
        assert_eq!((head.status, head.framing), (206, Framing::Length(5904)));
        assert_eq!(head.content_range, Some((4096, Some(10000))));
        assert_eq!(head.etag.as_deref(), Some("\"abc\""));
        let weak =
            ResponseHead::parse(b"HTTP/1.1 200 OK\r\nETag: W/\"abc\"\r\nContent-Encoding: gzip\r\n\r\n")
                .unwrap()
                .unwrap();
        assert_eq!((weak.etag, weak.encoded, weak.framing), (None, true, Framing::UntilClose));
    }

    #[test]
    fn heads_that_contradict_themselves_are_refused() {
        for bytes in [
            &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 206 OK\r\nContent-Range: bytes 9-1/5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ] {
            assert_eq!(
                ResponseHead::parse(bytes),
                Err(ResponseError::Malformed),
                "{:?}",
                core::str::from_utf8(bytes)
            );
        }
        let mut many = b"HTTP/1.1 200 OK\r\n".to_vec();
        for index in 0..=MAX_HEADERS {
            many.extend_from_slice(std::format!("X-{index}: y\r\n").as_bytes());
        }
        many.extend_from_slice(b"\r\n");
        assert_eq!(ResponseHead::parse(&many), Err(ResponseError::TooManyHeaders));
        assert_eq!(ResponseHead::parse(b"HTTP/1.1 200 OK\r\nContent-Le"), Ok(None));
    }
}
