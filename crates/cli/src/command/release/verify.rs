//! `rootcast release verify`

use crate::error::Error;
use crate::files;
use crate::output::Output;
use crate::release::check::{Checked, check};
use crate::release::key::KeyArgument;
use crate::release::moment::{Moment, now};
use clap::Args;
use rootcast_trust::release::TrustRecord;
use std::path::PathBuf;

/// Verify a release as a node does, and the files beside it
///
/// The signature is verified against the keys given, then each image, page list and patch that the release names
/// relative to itself: size, SHA-256, chip, image hash. Files behind absolute URLs are not fetched; rootcast check
/// does that.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast release verify public/release.suit --release-key keys/release-key.pub.pem
  rootcast release verify public/release.suit --release-key keys/release-key.pub.pem --at 2027-01-31 --json

Exit status 1 if nodes would refuse the release, or a file beside it is missing or another one.")]
pub struct Verify {
    /// The release
    release: PathBuf,

    /// A key that nodes trust for releases (PEM); =releases, =keys or =all says what it may sign
    #[arg(long, value_name = "KEY[=PURPOSE]", required = true)]
    release_key: Vec<KeyArgument>,

    /// The moment to verify for, instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,

    /// Look at the release alone, not at the files beside it
    #[arg(long)]
    no_files: bool,
}

impl Verify {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let mut trust = TrustRecord::default();
        for key in &self.release_key {
            let room = trust.release_keys.capacity();
            let added = trust.release_keys.push(key.read()?);
            added.map_err(|_| Error::Usage(format!("a node trusts at most {room} release keys")))?;
        }
        let bytes = files::read(&self.release)?;
        let at = self.at.map_or_else(now, |moment| moment.resolve(now()));
        let folder = (!self.no_files).then(|| self.release.parent().unwrap_or(std::path::Path::new("")));
        let path = files::name(&self.release);
        let checked: Checked = check(&path, &bytes, &trust, at, folder)?;
        output.show(&checked)?;
        match checked.failures() {
            0 => Ok(()),
            failures => Err(Error::ReleaseFlawed { path, failures }),
        }
    }
}
