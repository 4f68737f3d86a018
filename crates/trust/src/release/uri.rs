//! URIs in a release: what may stand there. Joining them with the release's own URL is the work of whoever fetches.

/// The longest URI in a release, in bytes. Releases are long-lived: a pre-signed URL, which is longer, would expire.
pub const MAX_URI_BYTES: usize = 512;

/// Whether this is a plain http or https URL, or a reference relative to the release's own URL.
///
/// Refused: other schemes, fragments (SUIT's integrated payloads, which do not fit in a node), spaces, controls and
/// other characters that RFC 3986 does not allow.
pub(crate) fn is_usable(uri: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, 0x21..=0x7E) && !br##""<>\^`{|}#"##.contains(&byte);
    if uri.is_empty() || uri.len() > MAX_URI_BYTES || !uri.bytes().all(allowed) {
        return false;
    }
    match scheme(uri) {
        Some(scheme) => {
            let rest = uri.get(scheme.len() + 1..).unwrap_or_default();
            let host = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
            (is(scheme, "https") || is(scheme, "http")) && host.is_some_and(|host| !host.is_empty())
        }
        None => true,
    }
}

/// Whether following the reference from a release at this URL would leave https for http.
pub(crate) fn leaves_https(release_url: &str, uri: &str) -> bool {
    scheme(release_url).is_some_and(|from| is(from, "https")) && scheme(uri).is_some_and(|to| is(to, "http"))
}

/// What stands before the first colon, if that comes before any slash or question mark (RFC 3986 §4.2).
fn scheme(uri: &str) -> Option<&str> {
    let end = uri.find([':', '/', '?'])?;
    if uri.as_bytes().get(end) == Some(&b':') { uri.get(..end) } else { None }
}

fn is(scheme: &str, name: &str) -> bool {
    scheme.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn plain_urls_and_relative_references_are_usable() {
        for uri in [
            "https://firmware.example/app.bin",
            "http://192.0.2.1:8080/a/b.bin?x=1",
            "HTTPS://firmware.example/",
            "app-esp32c3.bin",
            "./app.bin",
            "../v2/app.bin",
            "/absolute/path.bin",
            "//other.example/app.bin",
            "a/b:c.bin",
            "?version=2",
        ] {
            assert!(is_usable(uri), "{uri}");
        }
    }

    #[test]
    fn other_schemes_fragments_and_unclean_text_are_not() {
        for uri in [
            "",
            "ftp://firmware.example/app.bin",
            "file:///etc/passwd",
            "coaps://firmware.example/x",
            "javascript:alert(1)",
            "data:,x",
            "c:app.bin",
            ":app.bin",
            "https:app.bin",
            "https:///app.bin",
            "http://",
            "#payload",
            "app.bin#x",
            "my app.bin",
            "app\n.bin",
            "app\r\nHost: evil",
            "größe.bin",
            "a\\b",
            "\"app\"",
            &"a".repeat(MAX_URI_BYTES + 1).to_string(),
        ] {
            assert!(!is_usable(uri), "{uri}");
        }
    }

    #[test]
    fn leaving_https_is_noticed() {
        assert!(leaves_https("https://a.example/r.suit", "http://a.example/app.bin"));
        assert!(leaves_https("HTTPS://a.example/r.suit", "HTTP://a.example/app.bin"));
        for (from, to) in [
            ("https://a.example/r.suit", "https://b.example/app.bin"),
            ("https://a.example/r.suit", "app.bin"),
            ("http://a.example/r.suit", "http://a.example/app.bin"),
            ("http://a.example/r.suit", "https://a.example/app.bin"),
        ] {
            assert!(!leaves_https(from, to), "{from} {to}");
        }
    }
}
