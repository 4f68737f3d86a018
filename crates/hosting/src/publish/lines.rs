//! The commands that trigger what was published, ready to paste.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a path may hold as it is (RFC 3986 §3.3).
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The trigger message for a URL.
pub fn trigger_json(url: &str) -> String {
    serde_json::json!({ "type": "ota_trigger", "url": url }).to_string()
}

/// `mosquitto_pub -h host [-p port] -t /switch/cmd/root -q 1 -m '{…}'` for a broker as `mqtt://[user@]host[:port]`.
///
/// A password in the broker's address is not repeated.
pub fn mosquitto_line(broker: &str, topic_prefix: &str, url: &str) -> String {
    let (scheme, rest) = broker.split_once("://").unwrap_or(("mqtt", broker));
    let authority = rest.split('/').next().unwrap_or(rest);
    let (user, address) =
        authority.rsplit_once('@').map_or((None, authority), |(user, address)| (Some(user), address));
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, Some(port))
        }
        _ => (address, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let secure = matches!(scheme, "mqtts" | "ssl" | "tls");
    let mut line = format!("mosquitto_pub -h {}", shell_quote(host));
    match (port, secure) {
        (Some(port), _) => line.push_str(&format!(" -p {port}")),
        (None, true) => line.push_str(" -p 8883"),
        (None, false) => {}
    }
    if secure {
        line.push_str(" --tls-use-os-certs");
    }
    if let Some(user) = user.and_then(|user| user.split(':').next()).filter(|user| !user.is_empty()) {
        line.push_str(&format!(" -u {} -P \"$MQTT_PASSWORD\"", shell_quote(user)));
    }
    let topic = format!("{topic_prefix}/switch/cmd/root");
    line.push_str(&format!(" -t {} -q 1 -m {}", shell_quote(&topic), shell_quote(&trigger_json(url))));
    line
}

/// `rootcast trigger URL --broker …`.
pub fn trigger_line(broker: &str, url: &str) -> String {
    let (scheme, rest) = broker.split_once("://").unwrap_or(("mqtt", broker));
    let broker = match rest.rsplit_once('@') {
        Some((user, address)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{address}")
        }
        None => format!("{scheme}://{rest}"),
    };
    format!("rootcast trigger {} --broker {}", shell_quote(url), shell_quote(&broker))
}

/// Quotes for a POSIX shell where needed.
pub fn shell_quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A base address and a path below it.
pub(crate) fn join_url(base: &str, path: &str) -> String {
    format!("{}/{}", base.trim_end_matches('/'), encode_path(path))
}

pub(crate) fn encode_path(path: &str) -> String {
    utf8_percent_encode(path.trim_start_matches('/'), PATH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_a_shell() {
        let url = "https://h/fw.bin?a=1&b='x'";
        assert_eq!(
            mosquitto_line("mqtt://broker", "", url),
            r#"mosquitto_pub -h broker -t /switch/cmd/root -q 1 -m '{"type":"ota_trigger","url":"https://h/fw.bin?a=1&b='\''x'\''"}'"#
        );
        assert_eq!(
            trigger_line("mqtt://broker", "https://h/fw.bin"),
            "rootcast trigger https://h/fw.bin --broker mqtt://broker"
        );
    }

    #[test]
    fn no_password_gets_into_a_line() {
        let line = mosquitto_line("mqtts://me:secret@b.example:8884", "site", "https://h/x");
        assert!(line.starts_with("mosquitto_pub -h b.example -p 8884 --tls-use-os-certs -u me -P \"$MQTT_PASSWORD\" -t site/switch"), "{line}");
        assert!(!line.contains("secret"));
        assert!(!trigger_line("mqtts://me:secret@b.example", "https://h/x").contains("secret"));
    }
}
