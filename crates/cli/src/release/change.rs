//! Changes of the trusted keys, as they are given on the command line and as they are shown.

use super::key::{KeyArgument, key_id};
use crate::arguments;
use crate::error::Error;
use clap::Args;
use rootcast_trust::KeyDigest;
use rootcast_trust::release::KeyChange;

/// Changes of the trusted keys that a release brings.
#[derive(Args, Clone, Debug, Default)]
pub struct ChangeArguments {
    /// Have nodes trust this release key (PEM) too; =releases, =keys or =all says what it may sign
    #[arg(long, value_name = "KEY[=PURPOSE]")]
    add_key: Vec<KeyArgument>,

    /// Have nodes believe nothing that this release key signs after this release, or after the sequence number N
    #[arg(long, value_name = "KEY[@N]")]
    retire_key: Vec<String>,

    /// Have nodes believe nothing that this release key ever signed, for good: for a key that was stolen
    #[arg(long, value_name = "KEY")]
    revoke_key: Vec<String>,

    /// Have nodes trust images signed by this key too
    #[arg(long, value_name = "DIGEST", value_parser = arguments::key_digest)]
    add_image_key: Vec<KeyDigest>,

    /// Have nodes trust images signed by this key no more
    #[arg(long, value_name = "DIGEST", value_parser = arguments::key_digest)]
    remove_image_key: Vec<KeyDigest>,
}

impl ChangeArguments {
    /// The changes, new keys first. A key is given by a file or by its key id.
    pub fn read(&self, sequence_number: u64) -> Result<Vec<KeyChange>, Error> {
        let mut changes = Vec::new();
        for argument in &self.add_key {
            let key = argument.read()?;
            changes.push(KeyChange::Add { key: key.key, purposes: key.purposes });
        }
        changes.extend(self.add_image_key.iter().map(|key| KeyChange::AddImageKey { key: *key }));
        for text in &self.retire_key {
            let at = text.rsplit_once('@').and_then(|(key, last)| Some((key, last.parse().ok()?)));
            let (key, last) = at.unwrap_or((text, sequence_number));
            changes.push(KeyChange::Retire { key: key_id(key)?, last });
        }
        for key in &self.revoke_key {
            changes.push(KeyChange::Revoke { key: key_id(key)? });
        }
        changes.extend(self.remove_image_key.iter().map(|key| KeyChange::RemoveImageKey { key: *key }));
        Ok(changes)
    }
}

/// A change, for people.
pub fn describe(change: &KeyChange) -> String {
    match change {
        KeyChange::Add { key, purposes } => format!("trust {} for {purposes}", key.id()),
        KeyChange::Retire { key, last } => format!("retire {key} after sequence number {last}"),
        KeyChange::Revoke { key } => format!("revoke {key}"),
        KeyChange::AddImageKey { key } => format!("trust images signed by {key}"),
        KeyChange::RemoveImageKey { key } => format!("trust images signed by {key} no more"),
    }
}
