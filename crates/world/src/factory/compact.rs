//! Chips of under 100 KiB, for worlds of which there are a million.

use rootcast_image::partition::{TABLE_OFFSET, kind, subtype};
use rootcast_image::{PAGE_BYTES, Partition, PartitionTable};

/// A table whose slots need not begin where a real chip's MMU could map them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactTable {
    /// Bytes of a slot, a multiple of 4,096.
    pub slot_bytes: u32,
    /// OTA slots, 2 or more for updates.
    pub slots: u8,
    /// Whether there is a factory app.
    pub factory: bool,
}

impl CompactTable {
    /// The table, and the bytes of the chip.
    ///
    /// | partition | bytes |
    /// |---|---|
    /// | `nvs` | 12 KiB, the least that can be written to |
    /// | `otadata` | 8 KiB |
    /// | `factory`, if any | one slot |
    /// | `ota_0`, … | one slot each |
    #[must_use]
    pub fn build(&self) -> (PartitionTable, u32) {
        let mut table = PartitionTable { has_md5: true, ..PartitionTable::default() };
        let mut at = TABLE_OFFSET + PAGE_BYTES;
        let mut add = |label: &str, kind, subtype, size| {
            // A table has room for 95; there are at most 19.
            let _ = table.partitions.push(Partition::new(label, kind, subtype, at, size));
            at += size;
        };
        add("nvs", kind::DATA, subtype::NVS, 3 * PAGE_BYTES);
        add("otadata", kind::DATA, subtype::OTADATA, 2 * PAGE_BYTES);
        if self.factory {
            add("factory", kind::APP, subtype::FACTORY, self.slot_bytes);
        }
        for slot in 0..self.slots.min(16) {
            add(&format!("ota_{slot}"), kind::APP, subtype::OTA_0 + slot, self.slot_bytes);
        }
        (table, at)
    }
}
