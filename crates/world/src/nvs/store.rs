//! The node core's blobs, in the namespace `rootcast` of the chip's NVS partition.

use super::NAMESPACE;
use crate::flash::VirtualFlash;
use esp_nvs::error::Error;
use esp_nvs::{Key, MAX_KEY_LENGTH, Nvs};
use std::ops::Range;

/// Why a value could not be read or stored.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// The partition table has no NVS partition.
    #[error("the partition table has no nvs partition")]
    NoPartition,
    /// A key of more than 15 bytes, or none.
    #[error("an NVS key has 1 to 15 bytes of ASCII, this one is \"{0}\"")]
    Key(String),
    /// NVS says no.
    #[error("nvs: {0}")]
    Nvs(#[from] Error),
}

/// The NVS partition as the node core uses it. Nothing of it is kept in memory between two calls: what was not on the
/// chip when power went is lost, as on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    range: Option<Range<u32>>,
}

impl Store {
    /// The store in this partition; `None` where the table has none.
    #[must_use]
    pub const fn new(range: Option<Range<u32>>) -> Self {
        Self { range }
    }

    /// Reads a blob; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(&self, flash: &mut VirtualFlash, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.open(flash)?.get::<Vec<u8>>(&namespace(), &nvs_key(key)?) {
            Ok(value) => Ok(Some(value)),
            Err(Error::KeyNotFound | Error::NamespaceNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores a blob in place of the one that was there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn store(&self, flash: &mut VirtualFlash, key: &str, value: &[u8]) -> Result<(), StoreError> {
        Ok(self.open(flash)?.set(&namespace(), &nvs_key(key)?, value)?)
    }

    fn open<'a>(&self, flash: &'a mut VirtualFlash) -> Result<Nvs<&'a mut VirtualFlash>, StoreError> {
        let range = self.range.as_ref().ok_or(StoreError::NoPartition)?;
        Ok(Nvs::new(range.start as usize, range.len(), flash)?)
    }
}

pub(super) const fn namespace() -> Key {
    Key::from_str(NAMESPACE)
}

pub(super) fn nvs_key(name: &str) -> Result<Key, StoreError> {
    if name.is_empty() || name.len() > MAX_KEY_LENGTH || !name.is_ascii() {
        return Err(StoreError::Key(name.to_owned()));
    }
    Ok(Key::from_str(name))
}
