//! URLs as a node needs them: `http` and `https`, split into what a connection and a request want.

use core::fmt;
use heapless::String;
use rootcast_wire::trigger::MAX_URL_BYTES;

/// Why a URL cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Longer than [`MAX_URL_BYTES`].
    TooLong,
    /// Something other than `http` or `https`.
    Scheme,
    /// No host, a bad port, a user name, or a character that may not stand in a URL.
    Malformed,
}

/// An absolute `http` or `https` URL without fragment (RFC 3986).
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String<MAX_URL_BYTES>,
    https: bool,
    host: (u16, u16),
    port: u16,
    path: u16,
}

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`UrlError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        if text
            .bytes()
            .any(|byte| !(0x21..0x7F).contains(&byte) || matches!(byte, b'"' | b'<' | b'>' | b'\\'))
        {
            return Err(UrlError::Malformed);
        }
        let text = text.split('#').next().unwrap_or("");
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Malformed)?;
        let https = if scheme.eq_ignore_ascii_case("https") {
            true
        } else if scheme.eq_ignore_ascii_case("http") {
            false
        } else {
            return Err(UrlError::Scheme);
        };
        let authority_len = rest.find(['/', '?']).unwrap_or(rest.len());
        let authority = &rest[..authority_len];
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => port.parse::<u16>().ok().filter(|port| *port != 0).ok_or(UrlError::Malformed)?,
            None if https => 443,
            None => 80,
        };
        let host_start = scheme.len() + 3 + usize::from(authority.starts_with('['));
        let owned = String::try_from(text).map_err(|_| UrlError::TooLong)?;
        Ok(Self {
            text: owned,
            https,
            host: (host_start as u16, (host_start + host.len()) as u16),
            port,
            path: (scheme.len() + 3 + authority_len) as u16,
        })
    }

    /// Where a `Location` header leads from here (RFC 3986 §5.2, without dot segments).
    ///
    /// # Errors
    /// [`UrlError`] when the result is no usable URL.
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        let end_of_scheme = location.find(':').unwrap_or(usize::MAX);
        let first_delimiter = location.find(['/', '?', '#']).unwrap_or(usize::MAX);
        if end_of_scheme < first_delimiter {
            return Self::parse(location);
        }
        let scheme = if self.https { "https:" } else { "http:" };
        let authority = self.text.get(..usize::from(self.path)).unwrap_or("");
        let path = self.text.get(usize::from(self.path)..).unwrap_or("");
        let path = path.split('?').next().unwrap_or("");
        let base = if location.starts_with("//") {
            scheme
        } else if location.starts_with('/') {
            authority
        } else {
            let kept = if location.starts_with('?') {
                path
            } else {
                path.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or("")
            };
            return Self::concatenated(&[authority, kept, if kept.is_empty() { "/" } else { "" }, location]);
        };
        Self::concatenated(&[base, location])
    }

    fn concatenated(parts: &[&str]) -> Result<Self, UrlError> {
        let mut text: String<MAX_URL_BYTES> = String::new();
        for part in parts {
            text.push_str(part).map_err(|_| UrlError::TooLong)?;
        }
        Self::parse(&text)
    }

    /// Whether the connection is to be TLS.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// Host name or address; an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text.get(usize::from(self.host.0)..usize::from(self.host.1)).unwrap_or("")
    }

    /// TCP port, the scheme's own when the URL names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query as they stand, without the leading `/` when the URL has none.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        self.text.get(usize::from(self.path)..).unwrap_or("")
    }

    /// The whole URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port as the `Host` header wants them (RFC 9110 §7.2).
    #[must_use]
    pub fn authority(&self) -> &str {
        let start = usize::from(self.host.0)
            - usize::from(self.text.as_bytes().get(usize::from(self.host.0) - 1) == Some(&b'['));
        self.text.get(start..usize::from(self.path)).unwrap_or("")
    }
}

impl fmt::Debug for Url {
    /// Without the query, which may hold a signature that opens a private store.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.split('?').next().unwrap_or(""))
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    if authority.contains('@') {
        return Err(UrlError::Malformed);
    }
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(UrlError::Malformed)?;
        let port =
            if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(UrlError::Malformed)?) };
        if host.parse::<core::net::Ipv6Addr>().is_err() {
            return Err(UrlError::Malformed);
        }
        return Ok((host, port));
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(legal) {
        return Err(UrlError::Malformed);
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_falls_into_scheme_host_port_and_path() {
        let url = Url::parse("https://firmware.example:8443/c3/fw.bin?sig=a%2Fb#top").unwrap();
        assert!(url.is_https());
        assert_eq!((url.host(), url.port()), ("firmware.example", 8443));
        assert_eq!(url.path_and_query(), "/c3/fw.bin?sig=a%2Fb");
        assert_eq!(url.authority(), "firmware.example:8443");
        let bare = Url::parse("http://h").unwrap();
        assert_eq!((bare.host(), bare.port(), bare.path_and_query()), ("h", 80, ""));
        let six = Url::parse("https://[::1]:9/x").unwrap();
        assert_eq!((six.host(), six.port(), six.authority()), ("::1", 9, "[::1]:9"));
    }

    #[test]
    fn what_is_no_web_address_is_refused_by_its_own_reason() {
        for (text, error) in [
            ("ftp://h/x", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("fw.bin", UrlError::Malformed),
            ("https://", UrlError::Malformed),
            ("https:///fw.bin", UrlError::Malformed),
            ("https://h:0/", UrlError::Malformed),
            ("https://h:70000/", UrlError::Malformed),
            ("https://user:secret@h/", UrlError::Malformed),
            ("https://h/a b", UrlError::Malformed),
            ("https://h/\r\nX: y", UrlError::Malformed),
            ("https://[::1/x", UrlError::Malformed),
            ("https://[nonsense]/x", UrlError::Malformed),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text}");
        }
        let mut long = std::string::String::from("https://h/");
        long.extend(core::iter::repeat_n('a', MAX_URL_BYTES - long.len()));
        assert!(Url::parse(&long).is_ok());
        long.push('a');
        assert_eq!(Url::parse(&long), Err(UrlError::TooLong));
    }

    #[test]
    fn redirects_resolve_against_where_they_came_from() {
        let base = Url::parse("https://h:8443/a/b.bin?x=1").unwrap();
        for (location, expected) in [
            ("https://cdn.example/z", "https://cdn.example/z"),
            ("//cdn.example/z", "https://cdn.example/z"),
            ("/z", "https://h:8443/z"),
            ("z.bin", "https://h:8443/a/z.bin"),
            ("?y=2", "https://h:8443/a/b.bin?y=2"),
        ] {
            assert_eq!(base.join(location).unwrap().as_str(), expected, "{location}");
        }
        assert_eq!(Url::parse("https://h").unwrap().join("z").unwrap().as_str(), "https://h/z");
        assert_eq!(base.join("ftp://h/x"), Err(UrlError::Scheme));
    }
}
