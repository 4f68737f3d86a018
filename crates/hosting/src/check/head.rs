//! What an answer's head says, for people: beyond what a node needs, but as sent to a node.

use super::report::{Notes, StepId, warning};

/// Heads beyond this are not kept for reading; a node gives up far earlier.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Header lines read.
const MAX_LINES: usize = 100;

/// The head's bytes as they arrive.
#[derive(Debug, Default)]
pub(super) struct RawHead {
    bytes: Vec<u8>,
    complete: bool,
}

impl RawHead {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.complete || self.bytes.len() > MAX_HEAD_BYTES {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = end {
            self.bytes.truncate(end);
            self.complete = true;
        }
    }

    pub(super) fn read(&self) -> Option<Head> {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut lines = text.split("\r\n");
        let status_line = lines.next().filter(|line| line.starts_with("HTTP/"))?.to_owned();
        let headers = lines
            .take(MAX_LINES)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Head { status_line, headers, bytes: self.bytes.len() })
    }

    /// The beginning of what came instead of a head.
    pub(super) fn beginning(&self) -> String {
        self.bytes
            .iter()
            .take(40)
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { *byte as char } else { '.' })
            .collect()
    }
}

/// A head that was read.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status_line: String,
    pub(super) bytes: usize,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Notes length, tag and type of a file's answer.
    pub(super) fn note_file(&self, notes: &mut Notes<'_>) {
        match self.get("content-length") {
            Some(length) => notes.ok(StepId::Length, format!("Content-Length {length}")),
            None => notes.warn(
                StepId::Length,
                warning::NO_CONTENT_LENGTH,
                "no Content-Length",
                "serve the file as it is, without filters: nodes then notice a short file at once and can show progress",
            ),
        }
        match self.get("etag") {
            Some(tag) if tag.starts_with('"') => notes.ok(StepId::Etag, format!("ETag {tag}")),
            found => notes.warn(
                StepId::Etag,
                warning::NO_STRONG_ETAG,
                found.map_or_else(|| "no ETag".to_owned(), |tag| format!("ETag {tag} is weak")),
                "nodes begin anew after a break instead of resuming: use a server with strong ETags (nginx, apache, S3, rootcast host)",
            ),
        }
        match self.get("content-encoding").unwrap_or("identity") {
            "identity" | "" => notes.ok(StepId::Encoding, "not compressed"),
            // The failure itself is the HTTP client's to note.
            _ => {}
        }
        match self.get("content-type").map(|text| text.split(';').next().unwrap_or(text).trim()) {
            Some("application/octet-stream") => notes.ok(StepId::ContentType, "application/octet-stream"),
            Some(html @ "text/html") => notes.warn(
                StepId::ContentType,
                warning::CONTENT_TYPE,
                html,
                "this is a page, not firmware: a login page, an error page, or the address of a download page",
            ),
            other => notes.warn(
                StepId::ContentType,
                warning::CONTENT_TYPE,
                other.unwrap_or("no Content-Type"),
                "nodes do not mind; application/octet-stream keeps proxies and browsers from touching the file",
            ),
        }
    }
}
