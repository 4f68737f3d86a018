//! Layouts that Rootcast knows by heart: for new flash images and for tests, never to find a partition on a device.

use super::{Partition, PartitionTable, kind, subtype};

const SLOT_BYTES: u32 = 0x16_0000;

/// Rootcast's layout for 4 MB of flash.
const DEFAULT_4MB: [Partition; 4] = [
    Partition::new("nvs", kind::DATA, subtype::NVS, 0x9000, 0x5000),
    Partition::new("otadata", kind::DATA, subtype::OTADATA, 0xE000, 0x2000),
    Partition::new("ota_0", kind::APP, subtype::OTA_0, 0x1_0000, SLOT_BYTES),
    Partition::new("ota_1", kind::APP, subtype::OTA_0 + 1, 0x17_0000, SLOT_BYTES),
];

/// The original firmware's layout (domator, `uc/buttonsMeshIDF/partitions.csv`).
const ORIGINAL_4MB: [Partition; 5] = [
    Partition::new("nvs", kind::DATA, subtype::NVS, 0x9000, 0x4000),
    Partition::new("otadata", kind::DATA, subtype::OTADATA, 0xD000, 0x2000),
    Partition::new("phy_init", kind::DATA, subtype::PHY, 0xF000, 0x1000),
    Partition::new("ota_0", kind::APP, subtype::OTA_0, 0x1_0000, SLOT_BYTES),
    Partition::new("ota_1", kind::APP, subtype::OTA_0 + 1, 0x17_0000, SLOT_BYTES),
];

impl PartitionTable {
    /// Rootcast's table for 4 MB of flash: `nvs` 20 KiB, `otadata`, two slots of 1408 KiB.
    pub fn default_4mb() -> Self {
        Self::of(&DEFAULT_4MB)
    }

    /// The original firmware's table: `nvs` 16 KiB, `otadata`, `phy_init`, the same two slots.
    pub fn original_4mb() -> Self {
        Self::of(&ORIGINAL_4MB)
    }

    fn of(partitions: &[Partition]) -> Self {
        Self { partitions: partitions.iter().copied().collect(), has_md5: true }
    }
}
