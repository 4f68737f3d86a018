//! Readers of arguments that several commands take.

use crate::error::Error;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use rootcast_image::ChipId;
use rootcast_trust::KeyDigest;
use rootcast_wire::Mode;
use rootcast_world::body::sockets::BrokerAddress;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

/// A key digest: 64 hexadecimal digits.
pub fn key_digest(text: &str) -> Result<KeyDigest, String> {
    KeyDigest::from_hex(text.trim()).ok_or_else(|| {
        let digits = text.trim().len();
        format!(
            "a key digest has 64 hexadecimal digits, this has {digits} characters; rootcast keygen prints it"
        )
    })
}

/// A time: `90s`, `20m`, `2h`, or seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .unwrap_or((text, 1_000));
    let number: Option<u64> = digits.parse().ok().filter(|_| digits.bytes().all(|c| c.is_ascii_digit()));
    let time = number.and_then(|number| number.checked_mul(unit)).filter(|time| *time > 0);
    time.map(Duration::from_millis).ok_or_else(|| format!("\"{text}\" is not a time: write 90s, 20m or 2h"))
}

/// Bytes a second: `50kB/s`, `4Mbit/s`, or a number.
pub fn rate(text: &str) -> Result<u64, String> {
    rootcast_rollout::bandwidth::parse_rate(text)
        .ok_or_else(|| format!("\"{text}\" is no rate: write 50kB/s, 2MB/s or 4Mbit/s"))
}

/// A chip as people call it.
pub fn chip(text: &str) -> Result<ChipId, String> {
    ChipId::from_name(text).ok_or_else(|| format!("\"{text}\" is no chip; write c3, esp32s3, ESP32-C6…"))
}

/// Where the platform keeps a program's data.
pub fn data_folder() -> Result<PathBuf, Error> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let found = if cfg!(windows) {
        set("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        set("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))
    };
    found
        .map(|folder| folder.join("rootcast"))
        .ok_or_else(|| Error::Usage("there is no data folder here: give one with --data".to_string()))
}

/// Reads a broker's URL. It may carry a password: an error does not repeat it, as clap's own would.
#[derive(Clone, Copy)]
pub struct Broker;

impl TypedValueParser for Broker {
    type Value = BrokerAddress;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<BrokerAddress, clap::Error> {
        let reason = match value.to_str().map(str::parse) {
            Some(Ok(address)) => return Ok(address),
            Some(Err(error)) => format!("{error}"),
            None => "a broker's URL is UTF-8".to_string(),
        };
        let name = argument.map_or("--broker".to_string(), ToString::to_string);
        Err(clap::Error::raw(ErrorKind::ValueValidation, format!("{name}: {reason}\n")).with_cmd(command))
    }
}

/// How an image travels.
pub fn mode(text: &str) -> Result<Mode, String> {
    Mode::from_name(text).ok_or_else(|| "the mode is direct or spread".to_string())
}

/// A share from 0 to 0.9: of frames that get lost.
pub fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share
        .filter(|share| (0.0..=0.9).contains(share))
        .ok_or_else(|| "a share is a number from 0 to 0.9".to_string())
}

/// The runtime of commands that talk to a network.
pub fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    // Fails only if somebody installed one before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)
}

/// Ctrl-C, or on Unix what service managers send.
pub async fn stopped() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, seconds) in [("90s", 90), ("90", 90), ("20m", 1200), ("2h", 7200)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "s", "0s", "-1s", "+1s", "1.5h", "99999999999999999h", "1d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
