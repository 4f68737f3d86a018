//! Everything in an NVS partition.

use super::NAMESPACE;
use crate::flash::{Sectors, VirtualFlash};
use esp_nvs::{ItemType, Key, Nvs, error::Error};
use std::collections::BTreeMap;
use std::ops::Range;

/// A value in NVS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is ESP-IDF's type of that name")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    Text(String),
    Blob(Vec<u8>),
    /// An entry whose value does not read back.
    Unreadable,
}

/// All entries of a partition by namespace and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(pub BTreeMap<(String, String), Value>);

impl Contents {
    /// Reads the partition in `range`, from a copy: nothing on the chip changes.
    ///
    /// # Errors
    /// [`Error`] when there is no NVS partition that can be read.
    pub fn read(sectors: &Sectors, range: &Range<u32>) -> Result<Self, Error> {
        let copy = VirtualFlash::with(sectors.clone());
        let mut nvs = Nvs::new(range.start as usize, range.len(), copy)?;
        let entries: Vec<_> = nvs.typed_entries().collect::<Result<_, _>>()?;
        let mut contents = BTreeMap::new();
        for (namespace, key, kind) in entries {
            let value = read(&mut nvs, &namespace, &key, kind).unwrap_or(Value::Unreadable);
            contents.insert((namespace.to_string(), key.to_string()), value);
        }
        Ok(Self(contents))
    }

    /// The entry, if there is one.
    #[must_use]
    pub fn get(&self, namespace: &str, key: &str) -> Option<&Value> {
        self.0.get(&(namespace.to_owned(), key.to_owned()))
    }

    /// All but these entries of the updater's own namespace.
    #[must_use]
    pub fn without(mut self, keys: &[&str]) -> Self {
        self.0.retain(|(namespace, key), _| namespace != NAMESPACE || !keys.contains(&key.as_str()));
        self
    }

    /// What does not belong to the updater: this must be the same after an update as before.
    #[must_use]
    pub fn of_others(&self) -> Self {
        let others = self.0.iter().filter(|((namespace, _), _)| namespace != NAMESPACE);
        Self(others.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

fn read(nvs: &mut Nvs<VirtualFlash>, namespace: &Key, key: &Key, kind: ItemType) -> Result<Value, Error> {
    Ok(match kind {
        ItemType::U8 => Value::U8(nvs.get(namespace, key)?),
        ItemType::I8 => Value::I8(nvs.get(namespace, key)?),
        ItemType::U16 => Value::U16(nvs.get(namespace, key)?),
        ItemType::I16 => Value::I16(nvs.get(namespace, key)?),
        ItemType::U32 => Value::U32(nvs.get(namespace, key)?),
        ItemType::I32 => Value::I32(nvs.get(namespace, key)?),
        ItemType::U64 => Value::U64(nvs.get(namespace, key)?),
        ItemType::I64 => Value::I64(nvs.get(namespace, key)?),
        ItemType::Sized => Value::Text(nvs.get(namespace, key)?),
        ItemType::Blob | ItemType::BlobData | ItemType::BlobIndex | ItemType::Any => {
            Value::Blob(nvs.get(namespace, key)?)
        }
    })
}
