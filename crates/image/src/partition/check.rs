//! What an updater must be able to rely on, beyond what the bootloader verifies.

use super::{
    APP_ALIGN, OTADATA_BYTES, Partition, PartitionError, PartitionTable, SlotId, TABLE_OFFSET, kind, subtype,
};
use crate::PAGE_BYTES;

impl PartitionTable {
    /// Checks the table as `gen_esp32part.py` would, plus what the bootloader's slot arithmetic needs.
    ///
    /// # Errors
    /// The first [`PartitionError`] in table order; gaps between slots and otadata last.
    pub fn check(&self, flash_size: u32) -> Result<(), PartitionError> {
        for (index, partition) in self.partitions.iter().enumerate() {
            check_place(partition, flash_size)?;
            for earlier in self.partitions.iter().take(index) {
                if overlap(earlier, partition) {
                    return Err(PartitionError::Overlap { first: earlier.label, second: partition.label });
                }
                if is_unique(partition)
                    && (earlier.kind, earlier.subtype) == (partition.kind, partition.subtype)
                {
                    return Err(PartitionError::Duplicate { label: partition.label });
                }
            }
        }
        let count = self.ota_count();
        if let Some(missing) = (0..count).find(|&number| self.slot(SlotId::Ota(number)).is_none()) {
            return Err(PartitionError::SlotGap { count, missing });
        }
        match self.otadata() {
            None if count > 0 => Err(PartitionError::NoOtadata),
            Some(otadata) if otadata.size != OTADATA_BYTES => {
                Err(PartitionError::OtadataSize { size: otadata.size })
            }
            _ => Ok(()),
        }
    }
}

fn check_place(partition: &Partition, flash_size: u32) -> Result<(), PartitionError> {
    let &Partition { label, offset, size, kind, .. } = partition;
    if partition.end().is_none_or(|end| end > flash_size) {
        return Err(PartitionError::BeyondFlash { label, offset, size, flash_size });
    }
    // Types 2 and 3 describe the bootloader and the table themselves.
    let describes_reserved_area = kind == kind::BOOTLOADER || kind == kind::PARTITION_TABLE;
    if offset < TABLE_OFFSET + PAGE_BYTES && !describes_reserved_area {
        return Err(PartitionError::InReservedArea { label, offset });
    }
    let offset_align = if kind == kind::APP { APP_ALIGN } else { PAGE_BYTES };
    for (value, align) in [(offset, offset_align), (size, PAGE_BYTES)] {
        if value % align != 0 {
            return Err(PartitionError::Misaligned { label, value, align });
        }
    }
    Ok(())
}

fn overlap(a: &Partition, b: &Partition) -> bool {
    let (a_end, b_end) = (a.offset.saturating_add(a.size), b.offset.saturating_add(b.size));
    a.offset < b_end && b.offset < a_end
}

/// Slots and otadata exist once each.
fn is_unique(partition: &Partition) -> bool {
    partition.slot().is_some() || (partition.kind, partition.subtype) == (kind::DATA, subtype::OTADATA)
}
