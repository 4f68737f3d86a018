//! An HTTP/1.1 server in memory, as good or as bad as a test needs it.
//!
//! It honours `Range` and `If-Range` with strong entity tags (RFC 9110 §13.1.5, §14.2). What it does wrong is chosen per
//! request: see [`Manner`].

use rootcast_wire::ErrorCode;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How a server answers one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Good,
    /// Closes the connection after so many bytes of the body.
    CutAfter(u64),
    /// Sends so many bytes of the body and then nothing, with the connection open.
    StallAfter(u64),
    /// Takes the request and never answers.
    Silent,
    /// Closes the connection instead of answering.
    Hangup,
    /// Ignores `Range` and sends the whole file (as `python3 -m http.server` does).
    WithoutRange,
    /// Ignores `Range` and gives no entity tag.
    WithoutRangeAndTag,
    /// Sends the body in chunks, without a length.
    Chunked,
    /// Sends the body without a length and closes at its end.
    UntilClose,
    /// Announces so many bytes more, or fewer, than it sends.
    WrongLength(i64),
    /// Honours `Range` but ignores `If-Range`, so that a changed file comes as a splice; the tag tells the truth.
    IgnoresIfRange,
    /// Answers with this status and no body.
    Status(u16),
    /// Redirects there.
    Redirect(u16, String),
    /// Answers with these bytes.
    Raw(Vec<u8>),
}

/// A file and its tag.
#[derive(Clone, Debug)]
struct Served {
    bytes: Arc<[u8]>,
    tag: String,
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What is sent.
    pub bytes: Vec<u8>,
    /// What happens to the connection then.
    pub end: End,
}

/// What happens to a connection after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is closed.
    Close,
    /// It stays open and nothing more comes.
    Stall,
}

/// The server of one host.
#[derive(Clone, Debug, Default)]
pub struct Server {
    files: BTreeMap<String, Served>,
    refusals: VecDeque<ErrorCode>,
    always_refuses: Option<ErrorCode>,
    manners: VecDeque<Manner>,
    usual: Manner,
    requests: Vec<String>,
    bytes_sent: u64,
}

impl Server {
    /// A server without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a file there, or replaces it; its tag follows from its content.
    pub fn put(&mut self, path: &str, bytes: impl Into<Arc<[u8]>>) {
        let bytes = bytes.into();
        let tag = format!("\"{:08x}-{:x}\"", crate::nvs::crc32(0, &bytes), bytes.len());
        self.files.insert(path.to_owned(), Served { bytes, tag });
    }

    /// How it answers, unless something else is lined up.
    pub fn behave(&mut self, usual: Manner) {
        self.usual = usual;
    }

    /// Lines up how it answers the next request that nothing is lined up for.
    pub fn then(&mut self, manner: Manner) {
        self.manners.push_back(manner);
    }

    /// Lines up why the next connection fails: what the body of a node would report, TLS included.
    pub fn refuse_next(&mut self, reason: ErrorCode) {
        self.refusals.push_back(reason);
    }

    /// Why every connection fails, or `None` to let them stand again.
    pub fn refuse(&mut self, reason: Option<ErrorCode>) {
        self.always_refuses = reason;
    }

    /// The requests so far, each with its head.
    #[must_use]
    pub fn requests(&self) -> &[String] {
        &self.requests
    }

    /// Bytes of bodies sent so far.
    #[must_use]
    pub const fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// A connection is made.
    ///
    /// # Errors
    /// The code that was lined up for it.
    pub fn connect(&mut self) -> Result<Connection, ErrorCode> {
        match self.refusals.pop_front().or(self.always_refuses) {
            Some(reason) => Err(reason),
            None => Ok(Connection { received: Vec::new(), answered: false }),
        }
    }

    fn answer(&mut self, head: &str) -> Reply {
        self.requests.push(head.to_owned());
        let manner = self.manners.pop_front().unwrap_or_else(|| self.usual.clone());
        let mut words = head.split_whitespace();
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = target.split('?').next().unwrap_or("");
        match (&manner, self.files.get(path)) {
            (Manner::Silent, _) => Reply { bytes: Vec::new(), end: End::Stall },
            (Manner::Hangup, _) => Reply { bytes: Vec::new(), end: End::Close },
            (Manner::Raw(bytes), _) => Reply { bytes: bytes.clone(), end: End::Close },
            (Manner::Status(status), _) => empty(*status, ""),
            (Manner::Redirect(status, to), _) => empty(*status, &format!("Location: {to}\r\n")),
            _ if method != "GET" => empty(405, ""),
            (_, None) => empty(404, ""),
            (_, Some(file)) => {
                let reply = file.clone().serve(head, &manner);
                self.bytes_sent += reply.1;
                reply.0
            }
        }
    }
}

impl Served {
    fn serve(&self, head: &str, manner: &Manner) -> (Reply, u64) {
        let size = self.bytes.len();
        let ignores_range = matches!(manner, Manner::WithoutRange | Manner::WithoutRangeAndTag);
        let same_file = match header(head, "if-range") {
            Some(tag) => tag == self.tag || *manner == Manner::IgnoresIfRange,
            None => true,
        };
        let start = header(head, "range")
            .filter(|_| same_file && !ignores_range)
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        if start.is_some_and(|start| start >= size) {
            return (empty(416, &format!("Content-Range: bytes */{size}\r\n")), 0);
        }
        let body = &self.bytes[start.unwrap_or(0)..];
        let mut reply = match start {
            Some(start) => format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{size}\r\n",
                size.saturating_sub(1)
            ),
            None => "HTTP/1.1 200 OK\r\n".to_owned(),
        };
        if *manner != Manner::WithoutRangeAndTag {
            reply += &format!("ETag: {}\r\n", self.tag);
        }
        reply += match manner {
            Manner::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Manner::UntilClose => String::new(),
            Manner::WrongLength(by) => format!("Content-Length: {}\r\n", body.len() as i64 + by),
            _ => format!("Content-Length: {}\r\n", body.len()),
        }
        .as_str();
        reply += "Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n";
        let mut bytes = reply.into_bytes();
        let (sent, end) = match manner {
            Manner::CutAfter(limit) => (&body[..body.len().min(*limit as usize)], End::Close),
            Manner::StallAfter(limit) => (&body[..body.len().min(*limit as usize)], End::Stall),
            _ => (body, End::Close),
        };
        if *manner == Manner::Chunked {
            // Uneven pieces, so that borders fall everywhere.
            for (index, piece) in sent.chunks(1021).enumerate() {
                let extension = if index % 3 == 0 { ";x=y" } else { "" };
                bytes.extend_from_slice(format!("{:X}{extension}\r\n", piece.len()).as_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\nX-Trailer: 1\r\n\r\n");
        } else {
            bytes.extend_from_slice(sent);
        }
        (Reply { bytes, end }, sent.len() as u64)
    }
}

/// A connection to a server.
#[derive(Clone, Debug)]
pub struct Connection {
    received: Vec<u8>,
    answered: bool,
}

/// A request head longer than this is not waited for to its end.
const MAX_HEAD_BYTES: usize = 64 * 1024;

impl Connection {
    /// Bytes of a request; the reply once its head is whole.
    pub fn receive(&mut self, bytes: &[u8], server: &mut Server) -> Option<Reply> {
        if self.answered {
            return None;
        }
        self.received.extend_from_slice(bytes);
        let end = self.received.windows(4).position(|four| four == b"\r\n\r\n");
        if end.is_none() && self.received.len() < MAX_HEAD_BYTES {
            return None;
        }
        self.answered = true;
        let head = String::from_utf8_lossy(&self.received[..end.unwrap_or(0)]).into_owned();
        Some(if end.is_some() { server.answer(&head) } else { empty(431, "") })
    }
}

fn empty(status: u16, headers: &str) -> Reply {
    let head = format!("HTTP/1.1 {status} -\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
    Reply { bytes: head.into_bytes(), end: End::Close }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &mut Server, head: &str) -> String {
        let mut connection = server.connect().unwrap();
        assert_eq!(connection.receive(head.as_bytes(), server), None, "the head is not whole yet");
        let reply = connection.receive(b"\r\n\r\n", server).unwrap();
        String::from_utf8(reply.bytes).unwrap()
    }

    fn tag(reply: &str) -> String {
        header(reply, "etag").unwrap().to_owned()
    }

    fn server() -> Server {
        let mut server = Server::new();
        server.put("/fw.bin", &b"0123456789"[..]);
        server
    }

    #[test]
    fn a_range_is_served_while_the_file_is_the_same_and_the_whole_file_after() {
        let mut server = server();
        let whole = ask(&mut server, "GET /fw.bin?x=1 HTTP/1.1\r\nHost: h");
        assert!(whole.starts_with("HTTP/1.1 200 ") && whole.ends_with("\r\n\r\n0123456789"));
        let resume = format!("GET /fw.bin HTTP/1.1\r\nRange: bytes=4-\r\nIf-Range: {}", tag(&whole));
        let part = ask(&mut server, &resume);
        assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\n456789"), "{part}");
        assert_eq!(header(&part, "content-range"), Some("bytes 4-9/10"));
        server.put("/fw.bin", &b"abcdefghij"[..]);
        let changed = ask(&mut server, &resume);
        assert!(changed.starts_with("HTTP/1.1 200 ") && changed.ends_with("abcdefghij"));
        assert_ne!(tag(&changed), tag(&whole));
        let beyond = ask(&mut server, "GET /fw.bin HTTP/1.1\r\nRange: bytes=10-");
        assert!(beyond.starts_with("HTTP/1.1 416 "));
    }

    #[test]
    fn bad_manners_last_one_request_each_unless_they_are_usual() {
        let mut server = server();
        server.then(Manner::Status(503));
        server.then(Manner::CutAfter(3));
        server.then(Manner::WrongLength(5));
        server.then(Manner::Redirect(302, "/other".into()));
        let get = "GET /fw.bin HTTP/1.1\r\nRange: bytes=2-";
        assert!(ask(&mut server, get).starts_with("HTTP/1.1 503 "));
        assert!(ask(&mut server, get).ends_with("\r\n\r\n234"));
        assert_eq!(header(&ask(&mut server, get), "content-length"), Some("13"));
        assert_eq!(header(&ask(&mut server, get), "location"), Some("/other"));
        assert!(ask(&mut server, get).starts_with("HTTP/1.1 206 "));
        server.behave(Manner::WithoutRange);
        for _ in 0..3 {
            assert!(ask(&mut server, get).starts_with("HTTP/1.1 200 "));
        }
        assert!(ask(&mut server, "GET /none HTTP/1.1\r\nHost: h").starts_with("HTTP/1.1 404 "));
        assert_eq!(server.requests().len(), 9);
    }

    #[test]
    fn chunks_carry_the_whole_file() {
        let mut server = Server::new();
        let file: Vec<u8> = (0..3000u32).map(|n| b'a' + (n % 26) as u8).collect();
        server.put("/f", file.clone());
        server.behave(Manner::Chunked);
        let reply = ask(&mut server, "GET /f HTTP/1.1\r\nHost: h");
        let (_, mut body) = reply.split_once("\r\n\r\n").unwrap();
        let mut found = String::new();
        while let Some((size, rest)) = body.split_once("\r\n") {
            let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
            if size == 0 {
                break;
            }
            found += &rest[..size];
            body = &rest[size + 2..];
        }
        assert_eq!(found.as_bytes(), file);
    }

    #[test]
    fn a_connection_can_be_refused_once_or_always() {
        let mut server = server();
        server.refuse_next(ErrorCode::CertificateExpired);
        assert_eq!(server.connect().err(), Some(ErrorCode::CertificateExpired));
        assert!(server.connect().is_ok());
        server.refuse(Some(ErrorCode::ConnectFailed));
        assert_eq!(server.connect().err(), Some(ErrorCode::ConnectFailed));
        server.refuse(None);
        assert!(server.connect().is_ok());
    }
}
