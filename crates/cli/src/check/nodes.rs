//! What the nodes are like that will fetch a URL.

use crate::error::Error;
use crate::{arguments, files, size};
use clap::Args;
use rootcast_hosting::check::{CheckOptions, TrustStore};
use rootcast_image::ChipId;
use rootcast_trust::KeyDigest;
use rootcast_trust::release::ReleaseKey;
use std::path::PathBuf;

/// Arguments that `check` and `trigger` share.
#[derive(Args)]
pub struct Nodes {
    /// CA certificates (PEM) that the nodes trust; without it, the public ones
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,

    /// The digest of a key that images must be signed with; without it, signatures are not checked
    #[arg(long, value_name = "DIGEST", value_parser = arguments::key_digest)]
    pub trust: Vec<KeyDigest>,

    /// The key (PEM) that releases must be signed with; without it, their signatures are not checked
    #[arg(long, value_name = "FILE")]
    pub release_key: Vec<PathBuf>,

    /// The nodes' chip: c3, esp32s3, ESP32-C6, …
    #[arg(long, value_parser = arguments::chip)]
    pub chip: Option<ChipId>,

    /// The size of the nodes' slots
    #[arg(long, value_name = "SIZE", default_value = "1408K", value_parser = size::parse)]
    pub slot_size: u32,
}

impl Nodes {
    /// What to check for.
    pub fn options(&self) -> Result<CheckOptions, Error> {
        let mut certificates = Vec::new();
        for path in &self.ca {
            certificates.extend(files::read_certificates(path)?);
        }
        let trust =
            if certificates.is_empty() { TrustStore::Mozilla } else { TrustStore::Only(certificates) };
        let release_keys = self.release_key.iter().map(|path| release_key(path)).collect::<Result<_, _>>()?;
        Ok(CheckOptions {
            trust,
            trusted_keys: self.trust.clone(),
            release_keys,
            chip: self.chip,
            slot_size: self.slot_size,
            ..CheckOptions::default()
        })
    }
}

/// A P-256 key, public or private, as `rootcast keygen` writes it.
fn release_key(path: &std::path::Path) -> Result<ReleaseKey, Error> {
    let text = files::read(path)?;
    rootcast_hosting::check::read_release_key(&text).ok_or_else(|| Error::Unknown {
        path: path.to_path_buf(),
        found: "no P-256 public key in PEM form",
        advice: "Give the public key of the release key: -----BEGIN PUBLIC KEY-----.",
    })
}
