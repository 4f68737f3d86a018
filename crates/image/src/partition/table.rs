//! Reading, writing and asking a partition table.

use super::{
    ENTRY_BYTES, ENTRY_MAGIC, MAX_PARTITIONS, MD5_MAGIC, Partition, PartitionError, SlotId, TABLE_BYTES,
    kind, subtype,
};
use heapless::Vec;
use md5::{Digest, Md5};

/// A partition table. About 4 KiB in memory: keep one, hand out references.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PartitionTable {
    /// The partitions in table order.
    pub partitions: Vec<Partition, MAX_PARTITIONS>,
    /// Whether a checksum entry follows them; tables made before ESP-IDF 3.1 lack it.
    pub has_md5: bool,
}

impl PartitionTable {
    /// Reads the table at the beginning of `bytes`; what follows the first [`TABLE_BYTES`] is not looked at.
    ///
    /// # Errors
    /// What `esp_partition_table_verify` refuses, except sizes beyond the flash (see [`check`](Self::check)), and
    /// partitions behind the checksum entry.
    pub fn parse(bytes: &[u8]) -> Result<Self, PartitionError> {
        let (entries, _) = bytes.get(..TABLE_BYTES).unwrap_or(bytes).as_chunks::<ENTRY_BYTES>();
        let mut table = Self::default();
        let mut md5 = Md5::new();
        for (index, entry) in (0u8..).zip(entries) {
            let &[first, second, type_, subtype, ..] = entry;
            match [first, second] {
                ENTRY_MAGIC if table.has_md5 => return Err(PartitionError::EntryAfterMd5 { index }),
                ENTRY_MAGIC => {
                    let partition = Partition::parse(entry).ok_or(PartitionError::Unterminated)?;
                    // The 96th entry must be the terminator, so a 96th partition ends as unterminated.
                    table.partitions.push(partition).map_err(|_| PartitionError::Unterminated)?;
                    md5.update(entry);
                }
                MD5_MAGIC if table.has_md5 => return Err(PartitionError::SecondMd5),
                MD5_MAGIC => {
                    if entry.last_chunk::<16>() != Some(&<[u8; 16]>::from(md5.clone().finalize())) {
                        return Err(PartitionError::Md5);
                    }
                    table.has_md5 = true;
                }
                [0xFF, 0xFF] if type_ == 0xFF && subtype == 0xFF => {
                    return if index == 0 { Err(PartitionError::Empty) } else { Ok(table) };
                }
                found => return Err(PartitionError::EntryMagic { index, found }),
            }
        }
        Err(PartitionError::Unterminated)
    }

    /// Writes the table as `gen_esp32part.py` does: entries, checksum entry if [`has_md5`](Self::has_md5), 0xFF.
    ///
    /// # Errors
    /// [`PartitionError::TooMany`] if no room is left for the terminator.
    pub fn write(&self, out: &mut [u8; TABLE_BYTES]) -> Result<(), PartitionError> {
        let most = MAX_PARTITIONS - usize::from(self.has_md5);
        if self.partitions.len() > most {
            return Err(PartitionError::TooMany { most: most as u8 });
        }
        out.fill(0xFF);
        let (entries, _) = out.as_chunks_mut::<ENTRY_BYTES>();
        let mut md5 = Md5::new();
        for (entry, partition) in entries.iter_mut().zip(&self.partitions) {
            *entry = partition.to_bytes();
            md5.update(*entry);
        }
        if let (true, Some(entry)) = (self.has_md5, entries.get_mut(self.partitions.len())) {
            entry[..2].copy_from_slice(&MD5_MAGIC);
            entry[16..].copy_from_slice(&md5.finalize());
        }
        Ok(())
    }

    /// The table's bytes, as [`write`](Self::write) makes them.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn to_bytes(&self) -> Result<[u8; TABLE_BYTES], PartitionError> {
        let mut bytes = [0xFF; TABLE_BYTES];
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// The partition of that type and subtype: the first, as `esp_partition_find_first` does.
    pub fn by_type(&self, kind: u8, subtype: u8) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.kind == kind && partition.subtype == subtype)
    }

    /// The partition with that label.
    pub fn find(&self, label: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.label == label)
    }

    /// The slot's partition.
    pub fn slot(&self, slot: SlotId) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.slot() == Some(slot))
    }

    /// The OTA slots in table order.
    pub fn ota_slots(&self) -> impl Iterator<Item = (SlotId, &Partition)> {
        self.partitions.iter().filter_map(|partition| match partition.slot() {
            Some(slot @ SlotId::Ota(_)) => Some((slot, partition)),
            _ => None,
        })
    }

    /// How many OTA slots there are: the bootloader's `app_count`.
    pub fn ota_count(&self) -> u8 {
        self.ota_slots().count() as u8
    }

    /// The factory app's partition.
    pub fn factory(&self) -> Option<&Partition> {
        self.slot(SlotId::Factory)
    }

    /// The partition of the two records that choose a slot.
    pub fn otadata(&self) -> Option<&Partition> {
        self.by_type(kind::DATA, subtype::OTADATA)
    }

    /// The NVS partition; the one labelled `nvs` where there are several, as `nvs_flash_init` picks it.
    pub fn nvs(&self) -> Option<&Partition> {
        let is_nvs =
            |partition: &&Partition| partition.kind == kind::DATA && partition.subtype == subtype::NVS;
        self.partitions
            .iter()
            .filter(is_nvs)
            .find(|partition| partition.label == "nvs")
            .or_else(|| self.by_type(kind::DATA, subtype::NVS))
    }

    /// The slot that holds the flash address: from where code executes, which slot runs. Never ask otadata for that.
    pub fn slot_at(&self, address: u32) -> Option<SlotId> {
        self.partitions.iter().filter(|partition| partition.contains(address)).find_map(Partition::slot)
    }

    /// The slot to write an update to while `running` runs: the next OTA slot by number, wrapping to the lowest, as
    /// `esp_ota_get_next_update_partition`. `None` if there is none but the running one.
    pub fn next_update_slot(&self, running: SlotId) -> Option<(SlotId, &Partition)> {
        // Numbers after the running one first, then from the lowest: a key that orders exactly so.
        let distance = |slot: SlotId| match (running, slot) {
            (SlotId::Ota(from), SlotId::Ota(to)) => to.wrapping_sub(from).wrapping_sub(1) & 0x0F,
            (_, SlotId::Ota(to)) => to,
            _ => u8::MAX,
        };
        self.ota_slots().filter(|(slot, _)| *slot != running).min_by_key(|(slot, _)| distance(*slot))
    }
}
