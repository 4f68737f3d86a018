//! What a firmware server answers: URLs in redirects, response heads, bodies.

use rootcast_node::fetch::{BodyReader, BodyStep, ResponseHead, Url};

use crate::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target { name: "url", run: url, seeds: urls, repair: None },
    Target { name: "http_response", run: response, seeds: responses, repair: None },
];

/// [`Url`]: what was read reads the same, its parts can be asked for, and joining keeps these promises.
pub fn url(input: &[u8]) {
    let Ok(text) = core::str::from_utf8(input) else { return };
    let (base, location) = text.split_once(' ').unwrap_or((text, ""));
    let Ok(url) = Url::parse(base) else { return };
    assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url));
    assert!(url.port() != 0 && !url.host().is_empty());
    assert!(url.authority().contains(url.host()));
    assert!(url.as_str().ends_with(url.path_and_query()));
    if let Ok(joined) = url.join(location) {
        assert_eq!(Url::parse(joined.as_str()).as_ref(), Ok(&joined), "{location} from {base}");
    }
}

/// [`ResponseHead`] and [`BodyReader`]: a verdict on a head stands when more bytes come, and the body is the
/// same however the connection cuts it.
pub fn response(input: &[u8]) {
    let Ok(Some(head)) = ResponseHead::parse(input) else { return };
    assert!(head.length <= input.len());
    for cut in [head.length.saturating_sub(1), head.length / 2] {
        assert!(ResponseHead::parse(&input[..cut]).is_ok(), "a valid head's beginning is no error");
    }
    let body = &input[head.length..];
    let whole = read(BodyReader::new(head.framing), body, body.len());
    for piece in [1, 2, 7] {
        assert_eq!(read(BodyReader::new(head.framing), body, piece), whole, "in pieces of {piece} bytes");
    }
}

#[derive(Debug, PartialEq)]
struct Read {
    data: Vec<u8>,
    /// `Some(true)` complete, `Some(false)` malformed, `None` still waiting.
    end: Option<bool>,
}

fn read(mut reader: BodyReader, body: &[u8], piece: usize) -> Read {
    let mut read = Read { data: Vec::new(), end: None };
    for mut piece in body.chunks(piece.max(1)) {
        while !piece.is_empty() {
            match reader.step(piece) {
                BodyStep::Skip(count) => {
                    assert!(count > 0, "progress");
                    piece = &piece[count..];
                }
                BodyStep::Data(count) => {
                    assert!(count > 0, "progress");
                    read.data.extend(&piece[..count]);
                    piece = &piece[count..];
                }
                BodyStep::End => {
                    read.end = Some(true);
                    return read;
                }
                BodyStep::Malformed => {
                    read.end = Some(false);
                    return read;
                }
            }
        }
    }
    if reader.step(&[]) == BodyStep::End {
        read.end = Some(true);
    }
    read
}

fn urls() -> Vec<Vec<u8>> {
    [
        "https://server/fw.bin /other.bin?v=2",
        "http://[::1]:8080/a/b.bin c.bin",
        "https://bucket.example:8443/fw.bin?X-Amz-Signature=00 //elsewhere/x",
        "http://h?q https://h2",
        "https://192.168.1.7/a#fragment ../b",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

fn responses() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"abc\"\r\n\r\nhello",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nworld",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: https://elsewhere/fw.bin\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 503 Busy\r\nRetry-After: 30\r\n\r\nlater",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}
