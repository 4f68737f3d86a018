//! Where a broker is.

use std::fmt;
use std::str::FromStr;

/// Where a broker is, and who the node is to it. `Display` leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
    /// User and password.
    pub login: Option<(String, String)>,
}

/// Why a text is no broker's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerAddressError {
    /// The scheme is something else. It is not repeated either: a password may hold `://`.
    #[error("a broker's URL begins with mqtt:// or mqtts://")]
    Scheme,
    /// There is no host.
    #[error("a broker's URL names a host, as in mqtt://localhost:1883")]
    NoHost,
    /// The port is none. What stands in its place may be a password whose `@HOST` was left out: it is not repeated.
    #[error("a broker's port is a number from 1 to 65535, as in mqtt://USER:PASSWORD@HOST:1883")]
    Port,
    /// User or password is not percent-encoded UTF-8.
    #[error("user and password in a broker's URL are percent-encoded UTF-8")]
    Login,
}

impl FromStr for BrokerAddress {
    type Err = BrokerAddressError;

    fn from_str(text: &str) -> Result<Self, BrokerAddressError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("mqtt", text));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            _ => return Err(BrokerAddressError::Scheme),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(read_login(login).ok_or(BrokerAddressError::Login)?), place),
            None => (None, authority),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err(BrokerAddressError::NoHost);
        }
        let port = match port {
            None => {
                if tls {
                    8883
                } else {
                    1883
                }
            }
            Some(text) => match text.parse() {
                Ok(port @ 1..) => port,
                _ => return Err(BrokerAddressError::Port),
            },
        };
        Ok(Self { host: host.to_owned(), port, tls, login })
    }
}

fn read_login(login: &str) -> Option<(String, String)> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    Some((percent_decoded(user)?, percent_decoded(password)?))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let user = self.login.as_ref().map(|(user, _)| format!("{user}@")).unwrap_or_default();
        match self.host.contains(':') {
            true => write!(f, "{scheme}://{user}[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{user}{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brokers_url_is_read_in_every_usual_form() {
        let read = |text: &str| text.parse::<BrokerAddress>();
        let plain = |host: &str, port| BrokerAddress { host: host.into(), port, tls: false, login: None };
        assert_eq!(read("mqtt://broker"), Ok(plain("broker", 1883)));
        assert_eq!(read("broker:1884"), Ok(plain("broker", 1884)));
        assert_eq!(read("tcp://10.0.0.1:1884/"), Ok(plain("10.0.0.1", 1884)));
        assert_eq!(read("mqtt://[::1]:1884"), Ok(plain("::1", 1884)));
        let login = Some(("ann".to_owned(), "p@ss:w/rd".to_owned()));
        let secure = BrokerAddress { host: "b".into(), port: 8883, tls: true, login };
        assert_eq!(read("mqtts://ann:p@ss:w%2Frd@b"), Ok(secure.clone()));
        assert_eq!(format!("{secure} {secure:?}"), "mqtts://ann@b:8883 mqtts://ann@b:8883", "no password");
        assert_eq!(read("https://b"), Err(BrokerAddressError::Scheme));
        assert_eq!(read("mqtt://"), Err(BrokerAddressError::NoHost));
        for port in ["", "0", "65536", "x"] {
            assert_eq!(read(&format!("mqtt://b:{port}")), Err(BrokerAddressError::Port));
        }
        for login in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(read(&format!("mqtt://{login}@b")), Err(BrokerAddressError::Login));
        }
    }
}
