//! What a release may change about the trusted keys.

use super::cbor::{CborFault, Reader};
use super::key::{KeyId, Purposes, ReleaseKey};
use super::{MAX_KEY_CHANGES, Part, ReleaseError};
use crate::KeyDigest;

/// One change of the trusted keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Trust this key for releases, or for more than before.
    Add {
        /// The key.
        key: ReleaseKey,
        /// What it may sign.
        purposes: Purposes,
    },
    /// The key signs nothing above this sequence number any more.
    Retire {
        /// The key.
        key: KeyId,
        /// The last sequence number that it may sign.
        last: u64,
    },
    /// Nothing that the key signed or will sign is believed any more, and it cannot be added again.
    Revoke {
        /// The key.
        key: KeyId,
    },
    /// Trust images signed by this key.
    AddImageKey {
        /// The key.
        key: KeyDigest,
    },
    /// Trust images signed by this key no more.
    RemoveImageKey {
        /// The key.
        key: KeyDigest,
    },
}

pub(crate) const ADD: u64 = 1;
pub(crate) const RETIRE: u64 = 2;
pub(crate) const REVOKE: u64 = 3;
pub(crate) const ADD_IMAGE_KEY: u64 = 4;
pub(crate) const REMOVE_IMAGE_KEY: u64 = 5;

/// The changes of a release, read as they are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyChanges<'a> {
    reader: Reader<'a>,
    count: u64,
}

impl<'a> KeyChanges<'a> {
    pub(crate) const fn none() -> Self {
        Self { reader: Reader::new(&[], Part::KeyChanges), count: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// `[1* change]`
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ReleaseError> {
        let mut reader = Reader::new(bytes, Part::KeyChanges);
        let count = reader.array()?;
        match count {
            0 => return Err(reader.fault(CborFault::WrongCount { found: 0 })),
            found if found > MAX_KEY_CHANGES as u64 => return Err(ReleaseError::TooManyKeyChanges { found }),
            _ => {}
        }
        let changes = Self { reader, count };
        for _ in 0..count {
            read_change(&mut reader)?;
        }
        reader.end()?;
        Ok(changes)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = KeyChange> + use<'a> {
        let mut reader = self.reader;
        // Each was read once already, in `parse`.
        (0..self.count).map_while(move |_| read_change(&mut reader).ok())
    }
}

fn read_change(reader: &mut Reader<'_>) -> Result<KeyChange, ReleaseError> {
    let items = reader.array()?;
    let kind = reader.uint()?;
    let expected = if matches!(kind, ADD | RETIRE) { 3 } else { 2 };
    if items != expected {
        return Err(reader.fault(CborFault::WrongCount { found: items }));
    }
    Ok(match kind {
        ADD => {
            let key = ReleaseKey(*reader.array_of()?);
            if key.verifying_key().is_none() {
                return Err(reader.fault(CborFault::WrongValue));
            }
            KeyChange::Add {
                key,
                purposes: Purposes::from_bits(reader.uint()?)
                    .ok_or_else(|| reader.fault(CborFault::WrongValue))?,
            }
        }
        RETIRE => KeyChange::Retire { key: KeyId(*reader.array_of()?), last: reader.uint()? },
        REVOKE => KeyChange::Revoke { key: KeyId(*reader.array_of()?) },
        ADD_IMAGE_KEY => KeyChange::AddImageKey { key: KeyDigest(*reader.array_of()?) },
        REMOVE_IMAGE_KEY => KeyChange::RemoveImageKey { key: KeyDigest(*reader.array_of()?) },
        _ => return Err(reader.fault(CborFault::WrongValue)),
    })
}
