//! Release keys: what signs releases, and what nodes trust them by.

use crate::error::Error;
use crate::files;
use rootcast_trust::release::{KeyId, Purposes, ReleaseKey, TrustedKey};
use rootcast_trust::sign::{SignError, SigningKey, release_key_from_pem};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `FILE` or `FILE=releases|keys|all`: a release key, public or private, and what it may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyArgument {
    /// The PEM file.
    pub path: PathBuf,
    /// What it may sign.
    pub purposes: Purposes,
}

impl FromStr for KeyArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, purposes) = match text.rsplit_once('=') {
            Some((path, "releases")) => (path, Purposes::RELEASES),
            Some((path, "keys")) => (path, Purposes::KEYS),
            Some((path, "all")) => (path, Purposes::ALL),
            Some((_, other)) if !Path::new(text).exists() => {
                return Err(format!("a key signs releases, keys or all, not \"{other}\""));
            }
            _ => (text, Purposes::ALL),
        };
        Ok(Self { path: PathBuf::from(path), purposes })
    }
}

impl KeyArgument {
    /// Reads the key.
    pub fn read(&self) -> Result<TrustedKey, Error> {
        Ok(TrustedKey::new(read_public(&self.path)?, self.purposes))
    }
}

/// Reads the public half of a release key.
pub fn read_public(path: &Path) -> Result<ReleaseKey, Error> {
    let pem = files::read(path)?;
    release_key_from_pem(&String::from_utf8_lossy(&pem))
        .map_err(|error| Error::Sign { path: path.to_path_buf(), error })
}

/// Reads a private key that can sign releases.
pub fn read_signer(path: &Path) -> Result<SigningKey, Error> {
    let failed = |error| Error::Sign { path: path.to_path_buf(), error };
    let pem = files::read(path)?;
    let key = SigningKey::from_pem(&String::from_utf8_lossy(&pem)).map_err(failed)?;
    match key.release_key() {
        Some(_) => Ok(key),
        None => Err(failed(SignError::NotAReleaseKey)),
    }
}

/// Reads a key id: its 64 hexadecimal digits, or a file with the key.
pub fn key_id(text: &str) -> Result<KeyId, Error> {
    match rootcast_wire::text::from_hex(text.trim()) {
        Some(id) => Ok(KeyId(id)),
        None => Ok(read_public(Path::new(text))?.id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_given_with_and_without_its_purpose() {
        let key = |text: &str| {
            text.parse::<KeyArgument>().map(|key| (key.path.display().to_string(), key.purposes))
        };
        assert_eq!(key("k.pem"), Ok(("k.pem".to_string(), Purposes::ALL)));
        assert_eq!(key("k.pem=releases"), Ok(("k.pem".to_string(), Purposes::RELEASES)));
        assert_eq!(key("k.pem=keys"), Ok(("k.pem".to_string(), Purposes::KEYS)));
        assert!(key("k.pem=everything").unwrap_err().contains("everything"));
    }
}
