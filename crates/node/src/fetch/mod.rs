//! One download: connect, ask, follow redirects, hand out the body (RFC 9110, RFC 9112).
//!
//! ```text
//!            poll            connected            head 2xx
//!  Connect ───────▶ Connecting ───────▶ Head ─────────────▶ Body ──▶ Done
//!     ▲                                   │ 3xx
//!     └───────────────────────────────────┘
//! ```
//! A [`Fetch`] is one try. Trying again, and from which byte, is the update's decision.

mod response;
mod url;

pub use response::{BodyReader, BodyStep, Framing, MAX_ETAG_BYTES, ResponseError, ResponseHead};
pub use url::{Url, UrlError};

use crate::PAGE_BYTES;
use crate::mutation::{self, Mutation};
use crate::time::Instant;
use core::fmt::Write;
use heapless::String;
use rootcast_wire::ErrorCode;

/// Redirects followed before a download counts as looping (curl and ESP-IDF stop in this range too).
pub const MAX_REDIRECTS: u8 = 10;

/// Room for a request and, after it, for a response's head: a page, since no page is being filled then.
pub type Scratch = [u8; PAGE_BYTES];

/// An entity tag with its quotes.
pub type EntityTag = String<MAX_ETAG_BYTES>;

/// Why a download ended without its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// What the operator is told.
    pub code: ErrorCode,
    /// A number that explains the code: the HTTP status, usually.
    pub number: Option<u32>,
    /// How long the server asks to be left alone, in seconds.
    pub retry_after_s: Option<u32>,
}

impl From<ErrorCode> for FetchError {
    fn from(code: ErrorCode) -> Self {
        Self { code, number: None, retry_after_s: None }
    }
}

/// What the beginning of a body says about the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Offset of the body's first byte in the file.
    pub start: u32,
    /// Size of the whole file in bytes, where the server says it.
    pub size: Option<u32>,
    /// The file's strong entity tag, where the server gives one.
    pub etag: Option<EntityTag>,
}

/// What the body has to do for a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamAction {
    /// Open a connection to the current URL's host; an open one is closed first.
    Connect,
    /// Send the first bytes of the scratch page.
    Send(usize),
    /// Close the connection.
    Close,
}

/// What became of received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchStep {
    /// So many bytes are used up; give the rest.
    Used(usize),
    /// The head is there, so many bytes are used up; the body follows.
    Head(usize, FileInfo),
    /// The first bytes of the input belong to the file.
    Data(usize),
    /// The body is complete.
    End,
    /// A redirect: poll for what to do.
    Redirected,
    /// This try has failed.
    Failed(FetchError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connect,
    Connecting,
    Request,
    Head,
    Body,
    Over { close: bool },
}

/// One try to download a file, from one offset on.
#[derive(Clone, Debug)]
pub struct Fetch {
    url: Url,
    phase: Phase,
    redirects: u8,
    offset: u32,
    etag: Option<EntityTag>,
    body: BodyReader,
    head_bytes: usize,
    heard: Instant,
    stall_ms: u32,
}

impl Fetch {
    /// Begins with byte `offset` of the file at `url`. An offset is only used together with the tag
    /// that the bytes before it were served with: without one a change could not be noticed.
    #[must_use]
    pub fn start(url: Url, resume: Option<(u32, EntityTag)>, stall_ms: u32, now: Instant) -> Self {
        let (offset, etag) = resume.map_or((0, None), |(offset, etag)| (offset, Some(etag)));
        Self {
            url,
            phase: Phase::Connect,
            redirects: 0,
            offset,
            etag,
            body: BodyReader::new(Framing::UntilClose),
            head_bytes: 0,
            heard: now,
            stall_ms,
        }
    }

    /// Where the connection goes.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// When the server counts as stalled unless something arrives.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting | Phase::Head | Phase::Body => Some(self.heard.after(self.stall_ms.into())),
            Phase::Connect | Phase::Request | Phase::Over { .. } => None,
        }
    }

    /// The next thing to do for the connection, if any.
    pub fn poll(&mut self, now: Instant, scratch: &mut Scratch) -> Option<StreamAction> {
        match self.phase {
            Phase::Connect => {
                self.phase = Phase::Connecting;
                self.heard = now;
                Some(StreamAction::Connect)
            }
            Phase::Request => {
                self.phase = Phase::Head;
                self.head_bytes = 0;
                Some(StreamAction::Send(self.write_request(scratch)))
            }
            Phase::Over { close: true } => {
                self.phase = Phase::Over { close: false };
                Some(StreamAction::Close)
            }
            Phase::Connecting | Phase::Head | Phase::Body | Phase::Over { close: false } => None,
        }
    }

    /// The connection stands, TLS included.
    pub fn connected(&mut self, now: Instant) {
        if self.phase == Phase::Connecting {
            self.phase = Phase::Request;
            self.heard = now;
        }
    }

    /// Bytes have arrived. Call again with the rest until everything is used up or the step ends the try.
    pub fn received(&mut self, now: Instant, input: &[u8], scratch: &mut Scratch) -> FetchStep {
        self.heard = now;
        match self.phase {
            Phase::Head => self.read_head(input, scratch),
            Phase::Body => match self.body.step(input) {
                BodyStep::Skip(count) => FetchStep::Used(count),
                BodyStep::Data(count) => FetchStep::Data(count),
                BodyStep::End => {
                    self.phase = Phase::Over { close: true };
                    FetchStep::End
                }
                BodyStep::Malformed => self.fail(ErrorCode::HttpInvalidResponse.into()),
            },
            // Late bytes of a connection that is already given up.
            _ => FetchStep::Used(input.len()),
        }
    }

    /// The connection is closed by the other side.
    pub fn closed(&mut self) -> FetchStep {
        match self.phase {
            Phase::Body if self.body.ends_by_close() => {
                self.phase = Phase::Over { close: false };
                FetchStep::End
            }
            Phase::Connecting | Phase::Request | Phase::Head | Phase::Body => {
                self.phase = Phase::Over { close: false };
                FetchStep::Failed(ErrorCode::ConnectionLost.into())
            }
            Phase::Connect | Phase::Over { .. } => FetchStep::Used(0),
        }
    }

    /// Whether nothing has come for too long; the try is over then.
    pub fn stalled(&mut self, now: Instant) -> bool {
        let stalled = self.deadline().is_some_and(|deadline| now >= deadline);
        if stalled {
            self.phase = Phase::Over { close: true };
        }
        stalled
    }

    fn fail(&mut self, error: FetchError) -> FetchStep {
        self.phase = Phase::Over { close: true };
        FetchStep::Failed(error)
    }

    /// `Connection: close`, as one file is all we want; `identity`, as an image is compressed by patch or not at all.
    fn write_request(&self, scratch: &mut Scratch) -> usize {
        let mut request = Cursor { bytes: scratch, length: 0 };
        let path = self.url.path_and_query();
        let slash = if path.starts_with('/') { "" } else { "/" };
        // A URL of 2,048 bytes and the fixed lines always fit a page.
        let _ = write!(
            request,
            "GET {slash}{path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: rootcast/{}\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n",
            self.url.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        if let Some(etag) = &self.etag
            && self.offset > 0
        {
            let _ = if mutation::is_on(Mutation::ChangedFileSpliced) {
                write!(request, "Range: bytes={}-\r\n", self.offset)
            } else {
                write!(request, "Range: bytes={}-\r\nIf-Range: {etag}\r\n", self.offset)
            };
        }
        let _ = request.write_str("\r\n");
        request.length
    }

    fn read_head(&mut self, input: &[u8], scratch: &mut Scratch) -> FetchStep {
        // Copied line by line, so that not a byte of the body lands in the scratch page.
        let line = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |end| end + 1);
        let (Some(room), Some(line_bytes)) =
            (scratch.get_mut(self.head_bytes..self.head_bytes + line), input.get(..line))
        else {
            return self.fail(ErrorCode::HttpHeadTooLarge.into());
        };
        room.copy_from_slice(line_bytes);
        self.head_bytes += line;
        if !matches!(line_bytes, b"\n" | b"\r\n") && !input_ends_head(scratch, self.head_bytes) {
            return FetchStep::Used(line);
        }
        let bytes = scratch.get(..self.head_bytes).unwrap_or(&[]);
        let head = match ResponseHead::parse(bytes) {
            Ok(Some(head)) => head,
            Ok(None) => return FetchStep::Used(line),
            Err(ResponseError::TooManyHeaders) => return self.fail(ErrorCode::HttpHeadTooLarge.into()),
            Err(ResponseError::Malformed) => return self.fail(ErrorCode::HttpInvalidResponse.into()),
        };
        match self.judge(&head) {
            Ok(Judgement::File(info)) => {
                self.body = BodyReader::new(head.framing);
                self.phase = Phase::Body;
                FetchStep::Head(line, info)
            }
            Ok(Judgement::Interim) => {
                self.head_bytes = 0;
                FetchStep::Used(line)
            }
            Ok(Judgement::Elsewhere(url)) => {
                self.url = url;
                self.redirects += 1;
                self.phase = Phase::Connect;
                FetchStep::Redirected
            }
            Err(error) => {
                let number = error.number.or(Some(head.status.into()));
                let retry_after_s = head.retry_after_s;
                self.fail(FetchError { number, retry_after_s, ..error })
            }
        }
    }

    fn judge(&self, head: &ResponseHead<'_>) -> Result<Judgement, FetchError> {
        let code = match head.status {
            100..=199 => return Ok(Judgement::Interim),
            200 | 206 => return self.judge_file(head).map(Judgement::File),
            301 | 302 | 303 | 307 | 308 => return self.judge_redirect(head).map(Judgement::Elsewhere),
            401 | 407 => ErrorCode::HttpUnauthorized,
            403 => ErrorCode::HttpForbidden,
            404 | 410 => ErrorCode::HttpNotFound,
            // The file has become shorter than what is already here.
            416 => ErrorCode::FileChanged,
            400..=499 => ErrorCode::HttpClientError,
            500..=599 => ErrorCode::HttpServerError,
            _ => ErrorCode::HttpInvalidResponse,
        };
        Err(code.into())
    }

    fn judge_file(&self, head: &ResponseHead<'_>) -> Result<FileInfo, FetchError> {
        if head.encoded {
            return Err(ErrorCode::HttpContentEncoding.into());
        }
        let counted = match head.framing {
            Framing::Length(length) => Some(u32::try_from(length).map_err(|_| ErrorCode::ImageTooLarge)?),
            Framing::Chunked | Framing::UntilClose => None,
        };
        if head.status == 200 {
            return Ok(FileInfo { start: 0, size: counted, etag: head.etag.clone() });
        }
        let (start, size) = head.content_range.ok_or(ErrorCode::HttpInvalidResponse)?;
        if start != self.offset || self.etag.is_none() {
            return Err(ErrorCode::HttpInvalidResponse.into());
        }
        if let (Some(size), Some(counted)) = (size, counted)
            && start.checked_add(counted) != Some(size)
        {
            return Err(ErrorCode::HttpLengthMismatch.into());
        }
        // RFC 9110 §13.1.5: a server may send 206 only if the tag still holds, but a tag that differs proves it does not.
        if head.etag.is_some() && head.etag != self.etag && !mutation::is_on(Mutation::ChangedFileSpliced) {
            return Err(ErrorCode::FileChanged.into());
        }
        Ok(FileInfo { start, size, etag: self.etag.clone() })
    }

    fn judge_redirect(&self, head: &ResponseHead<'_>) -> Result<Url, FetchError> {
        if self.redirects >= MAX_REDIRECTS {
            return Err(ErrorCode::HttpRedirectLoop.into());
        }
        let location = head.location.ok_or(ErrorCode::HttpRedirectInvalid)?;
        let next = self.url.join(location).map_err(|error| match error {
            UrlError::TooLong => ErrorCode::UrlTooLong,
            UrlError::Scheme | UrlError::Malformed => ErrorCode::HttpRedirectInvalid,
        })?;
        if self.url.is_https() && !next.is_https() {
            return Err(ErrorCode::HttpRedirectInsecure.into());
        }
        Ok(next)
    }
}

#[expect(clippy::large_enum_variant, reason = "lives for the length of one call")]
enum Judgement {
    File(FileInfo),
    Interim,
    Elsewhere(Url),
}

/// Whether the head's blank line is complete although it came in pieces.
fn input_ends_head(scratch: &Scratch, length: usize) -> bool {
    let bytes = scratch.get(..length).unwrap_or(&[]);
    bytes.ends_with(b"\r\n\r\n") || bytes.ends_with(b"\n\n")
}

struct Cursor<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// The code for a URL that cannot be used.
#[must_use]
pub const fn url_error_code(error: UrlError) -> ErrorCode {
    match error {
        UrlError::TooLong => ErrorCode::UrlTooLong,
        UrlError::Scheme => ErrorCode::UrlSchemeUnsupported,
        UrlError::Malformed => ErrorCode::UrlInvalid,
    }
}
