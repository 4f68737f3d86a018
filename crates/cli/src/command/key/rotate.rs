//! `rootcast key rotate`

use crate::command::release::create::{note_lock_out, signing_time};
use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::output::Output;
use crate::release::change::{ChangeArguments, describe};
use crate::release::folder::newest;
use crate::release::key::{KeyArgument, read_signer};
use crate::release::moment::rfc3339;
use clap::Args;
use rootcast_trust::release::{DEFAULT_VENDOR_DOMAIN, KeyChange, VendorId};
use rootcast_trust::sign::{ReleaseSpec, create_release};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Make a release that changes the keys nodes trust, and brings no image
///
/// Signed by a key that nodes trust for changes of keys (--key). The new key (--new) is trusted from then on, and the
/// one that signs is retired: releases after this one need another key. Trigger the release's URL as any other.
///
/// A node that was off keeps to its old key. Until all nodes have the new one, sign releases with both keys
/// (release create --key OLD --key NEW --add-key NEW.pub.pem): whoever knows either of them follows.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast keygen new-keys --release
  rootcast key rotate --key keys/release-key.pem --new new-keys/release-key.pub.pem -o rotation/release.suit
  rootcast key rotate --key safe/release-key.pem --revoke-key stolen.pub.pem -o rotation/release.suit")]
pub struct Rotate {
    /// A private key that nodes trust for changes of keys (PEM); give up to three
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<PathBuf>,

    /// The key in place of those that sign (PEM): it is trusted, they are retired with this release
    #[arg(long, value_name = "KEY[=PURPOSE]")]
    new: Option<KeyArgument>,

    /// Retire no key on behalf of --new
    #[arg(long, requires = "new")]
    keep_old: bool,

    #[command(flatten)]
    changes: ChangeArguments,

    /// Its place in the order of releases; without it, the time in seconds since 1970, and above the release at OUT
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,

    /// Whose firmware it is: the domain that nodes were provisioned with
    #[arg(long, value_name = "DOMAIN", default_value = DEFAULT_VENDOR_DOMAIN)]
    vendor: String,

    /// The release
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

#[derive(Serialize)]
struct Rotated {
    release: PathBuf,
    sequence_number: u64,
    signed_at: String,
    key_changes: Vec<String>,
    notes: Vec<String>,
}

impl Rotate {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let keys = self.key.iter().map(|path| read_signer(path)).collect::<Result<Vec<_>, _>>()?;
        let signed_at = signing_time()?;
        let newest = newest(&self.output);
        let sequence_number =
            self.sequence.unwrap_or_else(|| signed_at.max(newest.map_or(0, |newest| newest + 1)));
        let mut key_changes = Vec::new();
        if let Some(new) = &self.new {
            let new = new.read()?;
            key_changes.push(KeyChange::Add { key: new.key, purposes: new.purposes });
            let signers = keys.iter().filter_map(|key| Some(key.release_key()?.id()));
            let old = signers.filter(|id| !self.keep_old && *id != new.key.id());
            key_changes.extend(old.map(|key| KeyChange::Retire { key, last: sequence_number }));
        }
        key_changes.extend(self.changes.read(sequence_number)?);
        if key_changes.is_empty() {
            return Err(Error::Usage(
                "nothing changes: give --new, or what to add, retire or revoke".to_string(),
            ));
        }
        let spec = ReleaseSpec {
            vendor: VendorId::of_domain(&self.vendor),
            sequence_number,
            version: String::new(),
            description: None,
            signed_at: Some(signed_at),
            not_after: None,
            replaces_up_to: None,
            variants: Vec::new(),
            key_changes,
        };
        let release = create_release(&spec, &keys).map_err(|error| Error::CreateRelease { error })?;
        if let Some(folder) = self.output.parent() {
            files::make_folder(folder)?;
        }
        files::write(&self.output, &release, Existing::Replace, Readers::Default)?;
        output.show(&Rotated {
            release: self.output,
            sequence_number,
            signed_at: rfc3339(signed_at),
            key_changes: spec.key_changes.iter().map(describe).collect(),
            notes: note_lock_out(&release, &keys).into_iter().collect(),
        })
    }
}

impl fmt::Display for Rotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "release {} with sequence number {}", self.release.display(), self.sequence_number)?;
        for change in &self.key_changes {
            writeln!(f, "  {change}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(
            f,
            "next: host it, trigger its URL, and keep signing with the old key too until every node took it"
        )
    }
}
