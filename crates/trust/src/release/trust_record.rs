//! What a node keeps about trust, in one record: keys, and the newest release it accepted.
//!
//! One record, because keys and sequence numbers change together when a release is accepted: written as one `nvs` blob,
//! power cannot go between them.

use core::fmt;

use heapless::Vec;
use minicbor::encode::write::Cursor;

use super::cbor::{CborFault, Reader};
use super::key::{KeyId, Purposes, ReleaseKey};
use super::key_change::KeyChange;
use super::{Part, ReleaseError};
use crate::KeyDigest;

/// Most release keys in a record, revoked ones included: they are remembered so that they stay revoked.
pub const MAX_RELEASE_KEYS: usize = 8;
/// Most image keys in a record.
pub const MAX_IMAGE_KEYS: usize = 8;
/// The most bytes that a record takes in `nvs`: all keys, each with all that can be said of it.
pub const MAX_TRUST_RECORD_BYTES: usize =
    1 + 2 + MAX_RELEASE_KEYS * RELEASE_KEY_BYTES + 2 + MAX_IMAGE_KEYS * 34 + (1 + 9) + (1 + 34) + (1 + 9);
/// Map head; key; purposes; retired; revoked.
const RELEASE_KEY_BYTES: usize = 1 + (1 + 66) + (1 + 1) + (1 + 9) + (1 + 1);

/// A release key as the record keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: ReleaseKey,
    /// What it may sign.
    pub purposes: Purposes,
    /// The last sequence number that it may sign, once it is retired.
    pub last: Option<u64>,
    /// Nothing it signs is believed.
    pub revoked: bool,
}

impl TrustedKey {
    /// A key that may sign whatever its purposes allow.
    pub fn new(key: ReleaseKey, purposes: Purposes) -> Self {
        Self { key, purposes, last: None, revoked: false }
    }

    /// Whether a release with this sequence number may still be signed by it.
    fn is_active_at(&self, sequence_number: u64) -> bool {
        !self.revoked && self.last.is_none_or(|last| sequence_number <= last)
    }
}

/// Trusted keys and the newest release accepted. A fresh one trusts nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustRecord {
    /// Keys for releases.
    pub release_keys: Vec<TrustedKey, MAX_RELEASE_KEYS>,
    /// Keys for images; as soon as there is one, every image has to be signed by one of them.
    pub image_keys: Vec<KeyDigest, MAX_IMAGE_KEYS>,
    /// The highest sequence number accepted; 0 before the first.
    pub sequence_number: u64,
    /// The manifest that stands for that sequence number. Zeros before the first.
    pub manifest_digest: [u8; 32],
    /// The newest time that a trusted key has signed, in seconds since 1970: it is at least as late as this.
    pub time_floor: u64,
}

/// Why the keys cannot change as a release says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChangeError {
    /// There is no room for another key.
    Full,
    /// The key to add is revoked.
    Revoked {
        /// The key.
        key: KeyId,
    },
    /// The key to retire or revoke is not there.
    Unknown {
        /// The key.
        key: KeyId,
    },
    /// Nobody could sign the next release, or the next change of keys, or the next image.
    LockOut,
}

impl fmt::Display for KeyChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => {
                write!(f, "there is room for {MAX_RELEASE_KEYS} release and {MAX_IMAGE_KEYS} image keys")
            }
            Self::Revoked { key } => write!(f, "the key {key} is revoked and cannot be added again"),
            Self::Unknown { key } => write!(f, "the key {key} is not among the trusted ones"),
            Self::LockOut => f.write_str("no key would be left to sign with"),
        }
    }
}

impl core::error::Error for KeyChangeError {}

impl TrustRecord {
    /// Makes a change; `sequence_number` is that of the release which asks for it. Changes that are made already are
    /// made again without harm.
    pub(crate) fn apply(&mut self, change: &KeyChange) -> Result<(), KeyChangeError> {
        match change {
            KeyChange::Add { key, purposes } => {
                match self.release_keys.iter_mut().find(|it| it.key == *key) {
                    Some(known) if known.revoked => Err(KeyChangeError::Revoked { key: key.id() }),
                    Some(known) => {
                        known.purposes = known.purposes.with(*purposes);
                        Ok(())
                    }
                    None => self
                        .release_keys
                        .push(TrustedKey::new(*key, *purposes))
                        .map_err(|_| KeyChangeError::Full),
                }
            }
            KeyChange::Retire { key, last } => {
                let known = self.find(key)?;
                known.last = Some(known.last.map_or(*last, |earlier| earlier.min(*last)));
                Ok(())
            }
            KeyChange::Revoke { key } => {
                self.find(key)?.revoked = true;
                Ok(())
            }
            KeyChange::AddImageKey { key } if self.image_keys.contains(key) => Ok(()),
            KeyChange::AddImageKey { key } => self.image_keys.push(*key).map_err(|_| KeyChangeError::Full),
            KeyChange::RemoveImageKey { key } => {
                let had_keys = !self.image_keys.is_empty();
                self.image_keys.retain(|it| it != key);
                // Without any image key, unsigned images would do: no release takes that lock off.
                if had_keys && self.image_keys.is_empty() { Err(KeyChangeError::LockOut) } else { Ok(()) }
            }
        }
    }

    /// Whether a release after this sequence number, and a change of keys, could still be signed.
    pub(crate) fn has_signers_after(&self, sequence_number: u64) -> bool {
        [Purposes::RELEASES, Purposes::KEYS].iter().all(|purpose| {
            self.release_keys.iter().any(|key| {
                key.purposes.include(*purpose) && key.is_active_at(sequence_number.saturating_add(1))
            })
        })
    }

    /// The time that is certain: what the clock says, if there is one, and never before the newest time signed.
    pub fn time_at_least(&self, clock: Option<u64>) -> u64 {
        clock.unwrap_or(0).max(self.time_floor)
    }

    /// Whether a time offered from outside (by the root, from SNTP) may be taken: not before the newest time signed.
    pub fn may_be_now(&self, offered: u64) -> bool {
        offered >= self.time_floor
    }

    fn find(&mut self, id: &KeyId) -> Result<&mut TrustedKey, KeyChangeError> {
        self.release_keys
            .iter_mut()
            .find(|known| known.key.id() == *id)
            .ok_or(KeyChangeError::Unknown { key: *id })
    }

    /// Writes the record for `nvs`; the bytes used.
    pub fn encode<'b>(&self, buffer: &'b mut [u8; MAX_TRUST_RECORD_BYTES]) -> &'b [u8] {
        let mut encoder = minicbor::Encoder::new(Cursor::new(&mut buffer[..]));
        // The buffer holds the largest record there is; should that ever not be so, the record is empty and reads as
        // broken, instead of lacking a key unnoticed.
        let length = match self.write(&mut encoder) {
            Ok(()) => encoder.writer().position(),
            Err(_) => 0,
        };
        buffer.get(..length).unwrap_or_default()
    }

    fn write<W: minicbor::encode::Write>(
        &self,
        out: &mut minicbor::Encoder<W>,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        out.map(5)?.u8(1)?.array(self.release_keys.len() as u64)?;
        for key in &self.release_keys {
            out.map(2 + u64::from(key.last.is_some()) + u64::from(key.revoked))?;
            out.u8(1)?.bytes(&key.key.0)?.u8(2)?.u8(key.purposes.bits())?;
            if let Some(last) = key.last {
                out.u8(3)?.u64(last)?;
            }
            if key.revoked {
                out.u8(4)?.bool(true)?;
            }
        }
        out.u8(2)?.array(self.image_keys.len() as u64)?;
        for key in &self.image_keys {
            out.bytes(&key.0)?;
        }
        out.u8(3)?.u64(self.sequence_number)?;
        out.u8(4)?.bytes(&self.manifest_digest)?;
        out.u8(5)?.u64(self.time_floor)?;
        Ok(())
    }

    /// Reads a record from `nvs`.
    ///
    /// # Errors
    /// Any departure from what [`TrustRecord::encode`] writes: a node then knows nobody to trust, and says so.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReleaseError> {
        let mut reader = Reader::new(bytes, Part::TrustRecord);
        let mut record = Self::default();
        let mut keys = reader.map()?;
        let mut seen = 0;
        while let Some(member) = keys.next(&mut reader)? {
            match member {
                1 => {
                    for _ in 0..reader.array()? {
                        let key = read_key(&mut reader)?;
                        record.release_keys.push(key).map_err(|_| reader.fault(CborFault::WrongValue))?;
                    }
                }
                2 => {
                    for _ in 0..reader.array()? {
                        let key = KeyDigest(*reader.array_of()?);
                        record.image_keys.push(key).map_err(|_| reader.fault(CborFault::WrongValue))?;
                    }
                }
                3 => record.sequence_number = reader.uint()?,
                4 => record.manifest_digest = *reader.array_of()?,
                5 => record.time_floor = reader.uint()?,
                _ => return Err(reader.fault(CborFault::WrongValue)),
            }
            seen += 1;
        }
        reader.end()?;
        if seen == 5 { Ok(record) } else { Err(reader.fault(CborFault::WrongCount { found: seen })) }
    }
}

fn read_key(reader: &mut Reader<'_>) -> Result<TrustedKey, ReleaseError> {
    let (mut key, mut purposes, mut last, mut revoked) = (None, None, None, false);
    let mut keys = reader.map()?;
    while let Some(member) = keys.next(reader)? {
        match member {
            1 => key = Some(ReleaseKey(*reader.array_of()?)),
            2 => {
                purposes = Some(
                    Purposes::from_bits(reader.uint()?).ok_or_else(|| reader.fault(CborFault::WrongValue))?,
                )
            }
            3 => last = Some(reader.uint()?),
            // true, the only value written.
            4 if reader.item()? == [0xF5] => revoked = true,
            _ => return Err(reader.fault(CborFault::WrongValue)),
        }
    }
    Ok(TrustedKey {
        key: key.ok_or_else(|| reader.fault(CborFault::WrongValue))?,
        purposes: purposes.ok_or_else(|| reader.fault(CborFault::WrongValue))?,
        last,
        revoked,
    })
}
