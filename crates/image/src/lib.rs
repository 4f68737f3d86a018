//! ESP-IDF's on-flash formats, read and written to the bit, and the boot decision as a pure function.
//!
//! Everything a node must know about its flash, and a host about the firmware it publishes, without I/O, keys or
//! networks. `no_std`, no allocation; nothing here panics on outside input and every size is bounded.
//!
//! Start from [`ImageVerifier`]: push a file's bytes through it and [`finish`](ImageVerifier::finish) hands out an
//! [`AppImage`], which exists only for a complete, verified image.
//!
//! | module | what it knows |
//! |---|---|
//! | [`verify`] | the streaming verifier, [`AppImage`], and what a node demands of an image ([`Target`]) |
//! | [`header`] | the 24-byte image header and the 8-byte segment headers |
//! | [`descriptor`] | the 256-byte app descriptor and the bootloader's |
//! | [`chip`] | chip ids and names, memory maps, bootloader offsets |
//! | [`partition`] | the partition table, its slots, and the layouts Rootcast knows by heart |
//! | [`otadata`] | the two records that choose the slot to boot, and how to switch between slots |
//! | [`boot`] | which slot boots, and what the bootloader writes: ESP-IDF's rules as a pure function |
//! | [`signature`] | the Secure Boot V2 signature sector (verification of signatures lives in `rootcast-trust`) |
//! | [`inspect`] | the facts of any image file, right or wrong, as `esptool image-info` shows them |
//! | [`crc`] | ESP-IDF's two CRC-32 conventions |
//! | [`text`], [`hash`] | fixed-size text fields; the image hash |
//! | `writer` (feature `std`) | makes app images |
//! | `fuzz` (feature `std`) | one function per parser that takes any bytes |
//!
//! Formats are ESP-IDF's (`esp_app_format.h`, `esp_app_desc.h`, `esp_flash_partitions.h`, `rom/secure_boot.h`); each
//! constant names the header it comes from.

#![no_std]
#![warn(missing_docs)]

#[cfg(feature = "std")]
extern crate std;

pub mod boot;
pub mod chip;
pub mod crc;
pub mod descriptor;
mod error;
#[cfg(feature = "std")]
pub mod fuzz;
pub mod hash;
pub mod header;
pub mod inspect;
pub mod otadata;
pub mod partition;
pub mod signature;
pub mod text;
pub mod verify;
#[cfg(feature = "std")]
pub mod writer;

pub use boot::{BootDecision, BootRules};
pub use chip::ChipId;
pub use descriptor::AppDescriptor;
pub use error::ImageError;
pub use hash::ImageHash;
pub use header::{ImageHeader, SegmentHeader};
pub use otadata::{OtaData, OtaEntry, OtaState};
pub use partition::{Partition, PartitionError, PartitionTable, SlotId};
pub use verify::{AppImage, ImageVerifier, Target, check_header};

/// Bytes of a flash sector: the smallest unit that can be erased, and the page in which images travel.
/// Source: ESP-IDF `FLASH_SECTOR_SIZE` (`bootloader_flash.h`), `SPI_FLASH_SEC_SIZE` (`spi_flash_mmap.h`).
pub const PAGE_BYTES: u32 = 4096;

/// Rounds up to the next multiple of [`PAGE_BYTES`]. `None` if that exceeds `u32`.
pub const fn page_align(length: u32) -> Option<u32> {
    match length.checked_add(PAGE_BYTES - 1) {
        Some(sum) => Some(sum & !(PAGE_BYTES - 1)),
        None => None,
    }
}
