//! One download, by the nodes' own HTTP client.

use std::io;
use std::time::{Duration, Instant};

use rootcast_node::Instant as NodeInstant;
use rootcast_node::fetch::{EntityTag, Fetch, FetchStep, FileInfo, Scratch, StreamAction, Url};
use rootcast_wire::ErrorCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::connect::{Stream, open, reopen};
use super::head::RawHead;
use super::options::CheckOptions;
use super::report::{Notes, StepId, Transfer, warning};
use super::{chain, run};

/// More than any chip's flash is not read.
const MAX_CONTENT_BYTES: usize = 32 << 20;
const READ_BYTES: usize = 16 << 10;

/// What was downloaded.
pub(super) struct Downloaded {
    pub(super) content: Vec<u8>,
    pub(super) info: FileInfo,
    /// Whether it ended as it should.
    pub(super) whole: bool,
    /// The URL after all redirects.
    pub(super) url: Url,
}

/// Downloads as a node does; notes connection, certificates, redirects, head and transfer.
pub(super) async fn download(url: Url, options: &CheckOptions, notes: &mut Notes<'_>) -> Option<Downloaded> {
    let begun = Instant::now();
    let now = || NodeInstant(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
    let mut scratch: Scratch = [0; _];
    let mut fetch = Fetch::start(url, None, stall_ms(options), now());
    let mut stream: Option<Stream> = None;
    let mut raw = RawHead::default();
    let mut found: Option<(FileInfo, Vec<u8>, Instant)> = None;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match fetch.poll(now(), &mut scratch) {
            Some(StreamAction::Connect) => {
                let opened = open(fetch.url(), options, notes).await?;
                if let Some(certificates) = opened.certificates() {
                    chain::judge(
                        certificates,
                        fetch.url().host(),
                        &options.trust,
                        run::unix_now(options),
                        notes,
                    );
                }
                stream = Some(opened);
                raw = RawHead::default();
                fetch.connected(now());
                continue;
            }
            Some(StreamAction::Send(count)) => {
                let request = scratch.get(..count).unwrap_or_default();
                if let Some(stream) = &mut stream {
                    // A server that answers before it has read everything may close early; its answer tells.
                    let _ = stream.write_all(request).await;
                    let _ = stream.flush().await;
                }
                continue;
            }
            Some(StreamAction::Close) => stream = None,
            None => {}
        }
        let read = match &mut stream {
            Some(stream) => tokio::time::timeout(options.stall, stream.read(&mut buffer)).await,
            None => break,
        };
        let count = match read {
            Ok(Ok(count)) => count,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection broke");
                0
            }
            Err(_) => {
                let got = found.as_ref().map_or(0, |(_, content, _)| content.len());
                let waited = format!("nothing came for {} s, after {got} bytes", options.stall.as_secs());
                notes.fail(step_of(found.is_some()), ErrorCode::DownloadStalled, waited);
                break;
            }
        };
        if count == 0 {
            match fetch.closed() {
                FetchStep::End => return end(fetch, found, notes),
                FetchStep::Failed(error) => match &found {
                    Some((info, content, _)) => {
                        let code = after_a_break(fetch.url(), info, content.len(), options).await;
                        let text = format!("the connection was cut after {} bytes of content", content.len());
                        notes.fail(StepId::Transfer, code.unwrap_or(error.code), text);
                    }
                    None => {
                        notes.fail(StepId::Status, error.code, "the connection was closed without an answer")
                    }
                },
                _ => {}
            }
            break;
        }
        let mut input = buffer.get(..count).unwrap_or_default();
        if found.is_none() {
            raw.push(input);
        }
        while !input.is_empty() {
            let from = fetch.url().clone();
            match fetch.received(now(), input, &mut scratch) {
                FetchStep::Used(count) => input = input.get(count..).unwrap_or_default(),
                FetchStep::Head(count, info) => {
                    input = input.get(count..).unwrap_or_default();
                    if let Some(head) = raw.read() {
                        notes.ok(StepId::Status, head.status_line.clone());
                        head.note_file(notes);
                    }
                    found = Some((info, Vec::new(), Instant::now()));
                }
                FetchStep::Data(count) => {
                    let (data, rest) = input.split_at(count.min(input.len()));
                    input = rest;
                    if let Some((_, content, _)) = &mut found {
                        content.extend_from_slice(data);
                        if content.len() > MAX_CONTENT_BYTES {
                            notes.fail(
                                StepId::Transfer,
                                ErrorCode::ImageTooLarge,
                                "over 32 MiB: no chip has a flash for it",
                            );
                            return end(fetch, found, notes);
                        }
                    }
                }
                FetchStep::End => return end(fetch, found, notes),
                FetchStep::Redirected => {
                    note_redirect(&from, fetch.url(), &raw, notes);
                    stream = None;
                    break;
                }
                FetchStep::Failed(error) => {
                    note_failure(error.code, &raw, notes);
                    return None;
                }
            }
        }
        // A counted body may have ended with its last byte: an empty read would only wait for the server to close.
        if let Some((info, content, _)) = &found
            && info.size.is_some_and(|size| content.len() as u64 >= u64::from(size))
        {
            return end(fetch, found, notes);
        }
    }
    let (info, content, _) = found?;
    Some(Downloaded { content, info, whole: false, url: fetch.url().clone() })
}

fn end(
    fetch: Fetch,
    found: Option<(FileInfo, Vec<u8>, Instant)>,
    notes: &mut Notes<'_>,
) -> Option<Downloaded> {
    let (info, content, begun) = found?;
    let bytes = content.len() as u64;
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    notes.report.transfer = Some(Transfer { bytes, millis });
    let rate = bytes / millis;
    if info.size.is_some_and(|size| u64::from(size) != bytes) {
        let announced = info.size.unwrap_or_default();
        notes.fail(
            StepId::Transfer,
            ErrorCode::HttpLengthMismatch,
            format!("{bytes} bytes came, {announced} were announced"),
        );
        return Some(Downloaded { content, info, whole: false, url: fetch.url().clone() });
    }
    let text = format!("{bytes} bytes in {millis} ms ({rate} kB/s)");
    match rate < super::estimate::NODE_RATE_KB && bytes > 100_000 {
        true => notes.warn(
            StepId::Transfer,
            warning::SLOW,
            text,
            "the server is slower than a node: look at its load, limits and line",
        ),
        false => notes.ok(StepId::Transfer, text),
    }
    Some(Downloaded { content, info, whole: true, url: fetch.url().clone() })
}

fn step_of(in_content: bool) -> StepId {
    if in_content { StepId::Transfer } else { StepId::Status }
}

fn note_redirect(from: &Url, to: &Url, raw: &RawHead, notes: &mut Notes<'_>) {
    let status = raw.read().map(|head| head.status_line).unwrap_or_default();
    let where_to = to.as_str().split('?').next().unwrap_or_default();
    let other =
        if from.host() == to.host() { String::new() } else { format!(", another host than {}", from.host()) };
    notes.ok(StepId::Redirect, format!("{status}: to {where_to}{other}"));
    notes.hop = notes.hop.saturating_add(1);
}

fn note_failure(code: ErrorCode, raw: &RawHead, notes: &mut Notes<'_>) {
    let head = raw.read();
    let status = head.as_ref().map(|head| head.status_line.clone()).unwrap_or_default();
    let said = |name: &str| head.as_ref().and_then(|head| head.get(name)).unwrap_or("none").to_owned();
    match code {
        ErrorCode::HttpRedirectLoop
        | ErrorCode::HttpRedirectInsecure
        | ErrorCode::HttpRedirectInvalid
        | ErrorCode::UrlTooLong => {
            let to = said("location");
            let to: String = to.split('?').next().unwrap_or_default().chars().take(200).collect();
            notes.fail(StepId::Redirect, code, format!("{status}: Location {to}"));
        }
        ErrorCode::HttpContentEncoding => {
            notes.ok(StepId::Status, status);
            notes.fail(StepId::Encoding, code, format!("Content-Encoding {}", said("content-encoding")));
        }
        ErrorCode::HttpHeadTooLarge => {
            let size = head.map_or(0, |head| head.bytes);
            notes.fail(
                StepId::Status,
                code,
                format!("{status}: a head of {size} bytes or more; nodes take 4,096"),
            );
        }
        ErrorCode::HttpInvalidResponse if status.is_empty() => {
            notes.fail(StepId::Status, code, format!("this is not HTTP: {:?}", raw.beginning()));
        }
        _ => notes.fail(StepId::Status, code, status),
    }
}

/// Asks for the rest from the middle, as a node does after a break, and compares.
pub(super) async fn try_resume(downloaded: &Downloaded, options: &CheckOptions, notes: &mut Notes<'_>) {
    let Some(tag) = downloaded.info.etag.clone() else {
        notes.warn(
            StepId::Range,
            warning::NO_RANGE,
            "without a strong ETag nodes do not resume",
            "after a break the download begins anew; choose another server for large or distant meshes",
        );
        return;
    };
    let middle = downloaded.content.len() / 2;
    let offset = u32::try_from(middle).unwrap_or_default();
    let expected = downloaded.content.get(middle..).unwrap_or_default();
    match resume(&downloaded.url, offset, tag, options).await {
        Ok(Some(bytes)) if !bytes.is_empty() && expected.starts_with(&bytes) => {
            notes.ok(StepId::Range, "downloads can be resumed (Range with If-Range)");
        }
        Ok(Some(_)) => notes.warn(
            StepId::Range,
            warning::RANGE_WRONG,
            "a resumed download gets other bytes than the whole one",
            "look at caches and balancers before the server: they must keep to one version of the file",
        ),
        Ok(None) => notes.warn(
            StepId::Range,
            warning::NO_RANGE,
            "the server ignores Range",
            "after a break the download begins anew; choose another server for large or distant meshes",
        ),
        Err(error) => notes.warn(
            StepId::Range,
            warning::NO_RANGE,
            format!("asking for a part failed: {error}"),
            "after a break the download begins anew; look at the server's log",
        ),
    }
}

/// What a node meets when it goes on after a break: it has whole pages, and asks for the rest.
async fn after_a_break(url: &Url, info: &FileInfo, got: usize, options: &CheckOptions) -> Option<ErrorCode> {
    let whole_pages = got - got % rootcast_image::PAGE_BYTES as usize;
    let offset = u32::try_from(whole_pages).ok().filter(|offset| *offset > 0)?;
    match resume(url, offset, info.etag.clone()?, options).await {
        Err(Broken::Answer(code)) => Some(code),
        _ => None,
    }
}

/// Why a resumed download gave nothing.
#[derive(Debug)]
enum Broken {
    Connection(io::Error),
    Answer(ErrorCode),
}

impl<E: Into<io::Error>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Connection(error.into())
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "{error}"),
            Self::Answer(code) => write!(f, "{code}"),
        }
    }
}

/// The first bytes from an offset on; nothing if the server sends the whole file instead.
async fn resume(
    url: &Url,
    offset: u32,
    tag: EntityTag,
    options: &CheckOptions,
) -> Result<Option<Vec<u8>>, Broken> {
    let now = NodeInstant(0);
    let mut scratch: Scratch = [0; _];
    let mut fetch = Fetch::start(url.clone(), Some((offset, tag)), stall_ms(options), now);
    let mut stream = reopen(url, options).await?;
    fetch.poll(now, &mut scratch);
    fetch.connected(now);
    if let Some(StreamAction::Send(count)) = fetch.poll(now, &mut scratch) {
        stream.write_all(scratch.get(..count).unwrap_or_default()).await?;
        stream.flush().await?;
    }
    let mut buffer = vec![0; READ_BYTES];
    let mut part = None;
    loop {
        let count = tokio::time::timeout(options.stall, stream.read(&mut buffer)).await??;
        let mut input = buffer.get(..count).unwrap_or_default();
        if input.is_empty() {
            return Ok(part);
        }
        while !input.is_empty() {
            match fetch.received(now, input, &mut scratch) {
                FetchStep::Used(count) => input = input.get(count..).unwrap_or_default(),
                FetchStep::Head(_, info) if info.start != offset => return Ok(None),
                FetchStep::Head(count, _) => {
                    input = input.get(count..).unwrap_or_default();
                    part = Some(Vec::new());
                }
                FetchStep::Data(count) => return Ok(input.get(..count).map(<[u8]>::to_vec)),
                FetchStep::End | FetchStep::Redirected => return Ok(part),
                FetchStep::Failed(error) => return Err(Broken::Answer(error.code)),
            }
        }
    }
}

fn stall_ms(options: &CheckOptions) -> u32 {
    u32::try_from(options.stall.min(Duration::from_secs(600)).as_millis()).unwrap_or(u32::MAX)
}
