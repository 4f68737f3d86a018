//! The partition table: what lies where on the flash.
//!
//! The table on the flash decides, never a constant. [`PartitionTable::parse`] accepts what ESP-IDF's
//! `esp_partition_table_verify` (`flash_partitions.c`) accepts; [`PartitionTable::check`] adds what an updater must be
//! able to rely on: nothing overlaps, everything fits the flash, slots are aligned and numbered without gaps.

mod check;
#[cfg(feature = "std")]
mod csv;
mod known;
mod table;

#[cfg(feature = "std")]
pub use csv::{CsvCause, CsvError};
pub use table::PartitionTable;

use crate::descriptor::Fields;
use crate::text::Text;
use core::fmt;
use thiserror::Error;

/// Where the table lies in the flash unless the bootloader was built otherwise (`CONFIG_PARTITION_TABLE_OFFSET`).
pub const TABLE_OFFSET: u32 = 0x8000;
/// Bytes of a table (`ESP_PARTITION_TABLE_MAX_LEN`, `esp_flash_partitions.h`); the rest of its sector may hold a
/// signature.
pub const TABLE_BYTES: usize = 0xC00;
/// Bytes of an entry (`esp_partition_info_t`).
pub const ENTRY_BYTES: usize = 32;
/// Most partitions a table can hold: 96 entries, one of them the terminator.
pub const MAX_PARTITIONS: usize = TABLE_BYTES / ENTRY_BYTES - 1;
/// First bytes of a partition entry (`ESP_PARTITION_MAGIC` 0x50AA).
pub const ENTRY_MAGIC: [u8; 2] = [0xAA, 0x50];
/// First bytes of the checksum entry (`ESP_PARTITION_MAGIC_MD5` 0xEBEB).
pub const MD5_MAGIC: [u8; 2] = [0xEB, 0xEB];
/// App partitions begin at multiples of this: the MMU's page (`gen_esp32part.py`, `APP` alignment).
pub const APP_ALIGN: u32 = 0x1_0000;
/// otadata is exactly two sectors (`gen_esp32part.py`, `bootloader_utility.c`).
pub const OTADATA_BYTES: u32 = 2 * crate::PAGE_BYTES;
/// Most OTA slots (`MAX_OTA_SLOTS`, `bootloader_config.h`).
pub const MAX_OTA_SLOTS: u8 = 16;

/// Partition types (`PART_TYPE_*`, `esp_flash_partitions.h`).
pub mod kind {
    /// An application.
    pub const APP: u8 = 0x00;
    /// Data.
    pub const DATA: u8 = 0x01;
    /// A second-stage bootloader.
    pub const BOOTLOADER: u8 = 0x02;
    /// A partition table.
    pub const PARTITION_TABLE: u8 = 0x03;
}

/// Partition subtypes (`PART_SUBTYPE_*`, `esp_flash_partitions.h`); of type app or data as stated.
pub mod subtype {
    /// App: the factory app.
    pub const FACTORY: u8 = 0x00;
    /// App: ota_0; ota_15 is 0x1F.
    pub const OTA_0: u8 = 0x10;
    /// App: the test app.
    pub const TEST: u8 = 0x20;
    /// Data: otadata.
    pub const OTADATA: u8 = 0x00;
    /// Data: RF calibration.
    pub const PHY: u8 = 0x01;
    /// Data: NVS.
    pub const NVS: u8 = 0x02;
}

/// A place an application can boot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SlotId {
    /// The factory app.
    Factory,
    /// ota_0 to ota_15.
    Ota(u8),
    /// The test app: the bootloader's last resort.
    Test,
}

impl SlotId {
    /// The subtype of the slot's partition.
    pub const fn subtype(self) -> u8 {
        match self {
            Self::Factory => subtype::FACTORY,
            Self::Ota(number) => subtype::OTA_0 | (number & 0x0F),
            Self::Test => subtype::TEST,
        }
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factory => f.write_str("factory"),
            Self::Ota(number) => write!(f, "ota_{number}"),
            Self::Test => f.write_str("test"),
        }
    }
}

/// One partition, 32 bytes in the table. Source: `esp_partition_info_t` (`esp_flash_partitions.h`).
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 2 | magic AA 50 |
/// | 2 | 1 | [`kind`](Self::kind) |
/// | 3 | 1 | [`subtype`](Self::subtype) |
/// | 4 | 4 | [`offset`](Self::offset) |
/// | 8 | 4 | [`size`](Self::size) |
/// | 12 | 16 | [`label`](Self::label) |
/// | 28 | 4 | [`flags`](Self::flags) |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The type: see [`kind`].
    pub kind: u8,
    /// The subtype: see [`subtype`].
    pub subtype: u8,
    /// Where it begins in the flash, in bytes.
    pub offset: u32,
    /// Its bytes.
    pub size: u32,
    /// Its name.
    pub label: Text<16>,
    /// Bit 0 encrypted, bit 1 read-only.
    pub flags: u32,
}

impl Partition {
    /// A partition without flags. A label longer than 16 bytes is cut.
    pub const fn new(label: &str, kind: u8, subtype: u8, offset: u32, size: u32) -> Self {
        let mut bytes = [0; 16];
        let from = label.as_bytes();
        let mut at = 0;
        while at < from.len() && at < bytes.len() {
            bytes[at] = from[at];
            at += 1;
        }
        Self { kind, subtype, offset, size, label: Text(bytes), flags: 0 }
    }

    /// The first byte after it; `None` if that exceeds `u32`.
    pub const fn end(&self) -> Option<u32> {
        self.offset.checked_add(self.size)
    }

    /// Whether the flash address lies in it.
    pub const fn contains(&self, address: u32) -> bool {
        address >= self.offset && address - self.offset < self.size
    }

    /// Which slot it is, if an application can boot from it.
    pub const fn slot(&self) -> Option<SlotId> {
        match (self.kind, self.subtype) {
            (kind::APP, subtype::FACTORY) => Some(SlotId::Factory),
            (kind::APP, subtype @ 0x10..=0x1F) => Some(SlotId::Ota(subtype & 0x0F)),
            (kind::APP, subtype::TEST) => Some(SlotId::Test),
            _ => None,
        }
    }

    /// Reads an entry; `None` if its magic is not a partition's.
    pub fn parse(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.take::<2>() != ENTRY_MAGIC {
            return None;
        }
        let [kind, subtype] = fields.take();
        Some(Self {
            kind,
            subtype,
            offset: u32::from_le_bytes(fields.take()),
            size: u32::from_le_bytes(fields.take()),
            label: Text(fields.take()),
            flags: u32::from_le_bytes(fields.take()),
        })
    }

    /// The 32 bytes.
    pub fn to_bytes(&self) -> [u8; ENTRY_BYTES] {
        let parts: [&[u8]; 6] = [
            &ENTRY_MAGIC,
            &[self.kind, self.subtype],
            &self.offset.to_le_bytes(),
            &self.size.to_le_bytes(),
            &self.label.0,
            &self.flags.to_le_bytes(),
        ];
        let mut bytes = [0; ENTRY_BYTES];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }
}

/// Why bytes are not a partition table, or a table is not fit to update from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// The very first entry is erased: there is no table.
    #[error("no partition table: the flash is erased there")]
    Empty,
    /// An entry begins with neither magic, nor is it the terminator.
    #[error("partition table entry {index} starts with {found:02x?}, expected aa 50")]
    EntryMagic {
        /// Which entry, from 0.
        index: u8,
        /// Its first two bytes.
        found: [u8; 2],
    },
    /// 96 entries, or the bytes' end, without a terminator.
    #[error("partition table has no terminating entry")]
    Unterminated,
    /// The MD5 in the checksum entry is not that of the entries before it.
    #[error("partition table checksum (MD5) is wrong")]
    Md5,
    /// More than one checksum entry.
    #[error("partition table has two checksum entries")]
    SecondMd5,
    /// Partitions after the checksum entry, which it does not protect.
    #[error("partition table entry {index} follows the checksum entry")]
    EntryAfterMd5 {
        /// Which entry, from 0.
        index: u8,
    },
    /// Too many partitions to write.
    #[error("a partition table holds at most {most} partitions")]
    TooMany {
        /// How many fit.
        most: u8,
    },
    /// A partition reaches beyond the flash.
    #[error("partition \"{label}\" at {offset:#x} with {size:#x} bytes exceeds the flash of {flash_size:#x}")]
    BeyondFlash {
        /// Its label.
        label: Text<16>,
        /// Where it begins.
        offset: u32,
        /// Its bytes.
        size: u32,
        /// The flash's bytes.
        flash_size: u32,
    },
    /// Two partitions share bytes.
    #[error("partitions \"{first}\" and \"{second}\" overlap")]
    Overlap {
        /// The one.
        first: Text<16>,
        /// The other.
        second: Text<16>,
    },
    /// A partition begins in the bootloader or the table itself.
    #[error("partition \"{label}\" at {offset:#x} lies in the bootloader or the partition table")]
    InReservedArea {
        /// Its label.
        label: Text<16>,
        /// Where it begins.
        offset: u32,
    },
    /// An offset or a size is not a multiple of what the flash or the MMU needs.
    #[error("partition \"{label}\": {value:#x} is not a multiple of {align:#x}")]
    Misaligned {
        /// Its label.
        label: Text<16>,
        /// The offset or size.
        value: u32,
        /// What it must be a multiple of.
        align: u32,
    },
    /// Two partitions claim to be the same slot, or there are two otadata partitions.
    #[error("partition \"{label}\" has the type of another")]
    Duplicate {
        /// The second one's label.
        label: Text<16>,
    },
    /// OTA slots are not numbered from ota_0 without gaps: the bootloader's arithmetic would pick the wrong one.
    #[error("{count} OTA slots, but ota_{missing} is missing")]
    SlotGap {
        /// How many there are.
        count: u8,
        /// The lowest number missing.
        missing: u8,
    },
    /// OTA slots without otadata: nothing could choose between them.
    #[error("OTA slots but no otadata partition")]
    NoOtadata,
    /// otadata is not two sectors.
    #[error("otadata has {size:#x} bytes, expected 0x2000")]
    OtadataSize {
        /// Its bytes.
        size: u32,
    },
}
