//! Where segments go: load addresses per chip, the five segments of a real application, padding for the MMU.

use super::{DESCRIPTOR, FIRST_DATA, MIN_IMAGE_BYTES, WriterError, filler};
use crate::ChipId;
use crate::header::{APPENDED_HASH_BYTES, CHECKSUM_ALIGN, SEGMENT_HEADER_BYTES};
use std::vec;
use std::vec::Vec;

/// The MMU's page on every chip by default (`CONFIG_MMU_PAGE_SIZE`).
const MMU_PAGE: usize = 64 * 1024;
/// From this size on an image has mapped code; below, the padding up to the next page would dwarf it.
const MAPPED_FROM: usize = 3 * MMU_PAGE;
/// The ESP32's bootloader does not map the last page of a segment that reaches less than 0x24 bytes into it (worked
/// around in esptool's `bin_image.py`), so segments do not end there.
const PAGE_TAIL: usize = 0x24;
/// What is moved from one segment to the next to stay clear of it.
const CLEARANCE: usize = 0x40;

/// Where an application's parts are loaded.
pub(super) struct Addresses {
    pub drom: u32,
    pub irom: u32,
    pub dram: u32,
    pub iram: u32,
    /// Code and read-only data share one MMU: data comes behind the code.
    shared_mmu: bool,
}

impl Addresses {
    /// As ESP-IDF's linker scripts place them (`memory.ld.in`); an unknown chip is treated as an ESP32-C3.
    pub fn of(chip: ChipId) -> Self {
        let at = |drom, irom, dram, iram, shared_mmu| Self { drom, irom, dram, iram, shared_mmu };
        match chip {
            ChipId::ESP32 => at(0x3F40_0020, 0x400D_0020, 0x3FFB_0000, 0x4008_0000, false),
            ChipId::ESP32S2 => at(0x3F00_0020, 0x4008_0020, 0x3FFC_0000, 0x4002_4000, false),
            ChipId::ESP32S3 => at(0x3C00_0020, 0x4200_0020, 0x3FC9_7000, 0x4037_4000, true),
            ChipId::ESP32C2 => at(0x3C00_0020, 0x4200_0020, 0x3FCB_0000, 0x4038_0000, true),
            ChipId::ESP32C6 | ChipId::ESP32H2 | ChipId::ESP32C61 => {
                at(0x4280_0020, 0x4200_0020, 0x4081_8000, 0x4080_0000, true)
            }
            ChipId::ESP32C5 | ChipId::ESP32H21 => {
                at(0x4200_0020, 0x4200_0020, 0x4081_8000, 0x4080_0000, true)
            }
            ChipId::ESP32H4 => at(0x4200_0020, 0x4200_0020, 0x4082_8000, 0x4081_0000, true),
            ChipId::ESP32P4 => at(0x4000_0020, 0x4000_0020, 0x4FF1_8000, 0x4FF0_0000, true),
            ChipId::ESP32S31 => at(0x4000_0020, 0x4000_0020, 0x2F01_8000, 0x2F00_0000, true),
            ChipId::ESP32E22 => at(0x3C00_0020, 0x3C00_0020, 0x3101_8000, 0x3100_0000, true),
            ChipId::VIRT => at(0x2000_0020, 0x2000_0020, 0x8001_8000, 0x8000_0000, true),
            _ => at(0x3C00_0020, 0x4200_0020, 0x3FC9_0000, 0x4038_0000, true),
        }
    }
}

/// Segments of an application whose image has `size` bytes (rounded down to 16). The first one begins with room for
/// descriptor and payload.
pub(super) fn demo_segments(
    chip: ChipId,
    size: usize,
    payload: usize,
    seed: u64,
    hash_appended: bool,
) -> Result<Vec<(u32, Vec<u8>)>, WriterError> {
    let head = (DESCRIPTOR + payload).next_multiple_of(16);
    let least = (FIRST_DATA + head + 3 * 64).max(MIN_IMAGE_BYTES);
    if size < least {
        return Err(WriterError::TooSmall { size, least });
    }
    let hash = if hash_appended { APPENDED_HASH_BYTES as usize } else { 0 };
    // Data ends four bytes before a multiple of 16, so that padding and checksum end on it.
    let data_end = size / CHECKSUM_ALIGN as usize * CHECKSUM_ALIGN as usize - hash - 4;
    let addresses = Addresses::of(chip);
    let words = |bytes: usize| bytes / 4 * 4;
    let part = |address, bytes, fill: fn(usize, u64) -> Vec<u8>, salt: u64| {
        (address, fill(bytes, seed.wrapping_mul(31).wrapping_add(salt)))
    };
    let (dram, iram) = (words(size / 50).clamp(16, 24 * 1024), words(size / 16).clamp(16, 96 * 1024));

    if size < MAPPED_FROM || head > MMU_PAGE {
        let drom = data_end - FIRST_DATA - 2 * SEGMENT_HEADER_BYTES - dram - iram;
        return Ok(vec![
            part(addresses.drom, drom, filler::read_only_data, 1),
            part(addresses.dram, dram, filler::read_only_data, 2),
            part(addresses.iram, iram, filler::code, 3),
        ]);
    }
    // The mapped code begins at 0x20 in a page: everything before it fills `pages` pages.
    let pages = (size * 7 / 25 / MMU_PAGE).max(1);
    let mut iram_first = words(iram / 4);
    let mut drom = pages * MMU_PAGE - 3 * SEGMENT_HEADER_BYTES - dram - iram_first;
    if (FIRST_DATA + drom) % MMU_PAGE < PAGE_TAIL {
        (drom, iram_first) = (drom - CLEARANCE, iram_first + CLEARANCE);
    }
    let irom_at = pages * MMU_PAGE + FIRST_DATA;
    let mut iram_rest = iram - words(iram / 4);
    let mut irom = data_end - irom_at - SEGMENT_HEADER_BYTES - iram_rest;
    if (irom_at + irom) % MMU_PAGE < PAGE_TAIL {
        (irom, iram_rest) = (irom - CLEARANCE, iram_rest + CLEARANCE);
    }
    let behind_code = if addresses.shared_mmu { (irom + 0x20).next_multiple_of(MMU_PAGE) as u32 } else { 0 };
    Ok(vec![
        part(addresses.drom + behind_code, drom, filler::read_only_data, 1),
        part(addresses.dram, dram, filler::read_only_data, 2),
        part(addresses.iram, iram_first, filler::code, 3),
        part(addresses.irom, irom, filler::code, 4),
        part(addresses.iram + iram_first as u32, iram_rest, filler::code, 5),
    ])
}

/// Puts a padding segment (load address 0) before each mapped segment whose data would not lie where the MMU can map
/// it from.
pub(super) fn pad_for_mapping(chip: ChipId, segments: Vec<(u32, Vec<u8>)>) -> Vec<(u32, Vec<u8>)> {
    let mut padded = Vec::new();
    let mut at = FIRST_DATA - SEGMENT_HEADER_BYTES;
    for (address, data) in segments {
        let mapped = chip.facts().is_some_and(|facts| facts.is_mapped(address));
        let (is, should) = ((at + SEGMENT_HEADER_BYTES) % MMU_PAGE, address as usize % MMU_PAGE);
        // The first segment holds the descriptor at a fixed place: nothing can go before it.
        if mapped && is != should && !padded.is_empty() {
            let gap = (should + 2 * MMU_PAGE - is - SEGMENT_HEADER_BYTES) % MMU_PAGE;
            padded.push((0, vec![0; gap]));
            at += SEGMENT_HEADER_BYTES + gap;
        }
        at += SEGMENT_HEADER_BYTES + data.len().next_multiple_of(4);
        padded.push((address, data));
    }
    padded
}
