//! Where a broker is, and who we are to it.

use percent_encoding::percent_decode_str;
use std::fmt;
use std::str::FromStr;

/// Port of plain MQTT.
const PORT: u16 = 1883;
/// Port of MQTT over TLS.
const TLS_PORT: u16 = 8883;

/// A broker's address. `Display` leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
    /// User and password.
    pub login: Option<(String, String)>,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("mqtt", text));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            other => return Err(format!("the scheme is mqtt:// or mqtts://, not {other}://")),
        };
        // The password may hold any character but it must be percent-encoded if it is a slash.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(read_login(login)?), place),
            None => (None, authority),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
            None => match place.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if host.is_empty() {
            return Err("there is no host in it: write mqtt://HOST or mqtt://HOST:PORT".to_string());
        }
        let port = match port {
            None if tls => TLS_PORT,
            None => PORT,
            Some(port) => {
                port.parse().ok().filter(|port| *port != 0).ok_or("the port is a number from 1 to 65535")?
            }
        };
        Ok(Self { host: host.to_string(), port, tls, login })
    }
}

fn read_login(login: &str) -> Result<(String, String), String> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decode = |part: &str| {
        let text = percent_decode_str(part).decode_utf8().map_err(|_| "user or password is no UTF-8 text")?;
        Ok::<_, String>(text.into_owned())
    };
    Ok((decode(user)?, decode(password)?))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let user = self.login.as_ref().map(|(user, _)| format!("{user}@")).unwrap_or_default();
        match self.host.contains(':') {
            true => write!(f, "{scheme}://{user}[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{user}{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address, String> {
        text.parse()
    }

    #[test]
    fn addresses_are_read_in_every_usual_form() {
        let plain = |host: &str, port| Address { host: host.into(), port, tls: false, login: None };
        assert_eq!(address("mqtt://broker"), Ok(plain("broker", 1883)));
        assert_eq!(address("broker"), Ok(plain("broker", 1883)));
        assert_eq!(address("10.0.0.1:1884"), Ok(plain("10.0.0.1", 1884)));
        assert_eq!(address("mqtt://[::1]:1884/"), Ok(plain("::1", 1884)));
        assert_eq!(address("mqtt://[::1]"), Ok(plain("::1", 1883)));
        let login = Some(("ann".to_string(), "p@ss:w/rd".to_string()));
        assert_eq!(
            address("mqtts://ann:p@ss:w%2Frd@broker.example"),
            Ok(Address { host: "broker.example".into(), port: 8883, tls: true, login })
        );
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, reason) in [
            ("", "no host"),
            ("mqtt://", "no host"),
            ("mqtt://:1883", "no host"),
            ("https://broker", "not https://"),
            ("broker:port", "number from 1"),
            ("broker:0", "number from 1"),
            ("mqtt://%ff@broker", "UTF-8"),
        ] {
            assert!(address(text).is_err_and(|error| error.contains(reason)), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let address = address("mqtt://ann:secret@broker").unwrap();
        assert_eq!(format!("{address} {address:?}"), "mqtt://ann@broker:1883 mqtt://ann@broker:1883");
    }
}
