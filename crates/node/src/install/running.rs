//! The image in a slot, as far as it can be told from a few reads.

use super::region::{FlashFault, Region};
use crate::PAGE_BYTES;
use embedded_storage::nor_flash::NorFlash;
use heapless::String;
use rootcast_image::{AppDescriptor, ImageHash, ImageHeader, ImageVerifier, SegmentHeader};

/// Bytes of a version text (ESP-IDF esp_app_desc.h, `version[32]`).
pub const MAX_VERSION_BYTES: usize = 32;

/// What a node says about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// ESP-IDF's validation hash.
    pub hash: ImageHash,
    /// Bytes of the image, appended hash included.
    pub image_len: u32,
    /// `version` of the app descriptor.
    pub version: String<MAX_VERSION_BYTES>,
    /// SHA-256 of the ELF file, from the app descriptor.
    pub elf_sha256: [u8; 32],
    /// Anti-rollback version of the app descriptor.
    pub secure_version: u32,
}

const HEADER_BYTES: usize = 24;
const SEGMENT_HEADER_BYTES: u32 = 8;
const DESCRIPTOR_AT: u32 = 0x20;
const HASH_BYTES: u32 = 32;

impl ImageFacts {
    /// Reads them without hashing the image again: the bootloader has just verified what runs. An image
    /// without appended hash is hashed, since its hash stands nowhere.
    ///
    /// Returns `None` where no image stands.
    pub(crate) fn read<F: NorFlash>(flash: &mut F, slot: &Region) -> Result<Option<Self>, FlashFault> {
        let mut header = [0; HEADER_BYTES];
        slot.read(flash, 0, &mut header)?;
        let Some(header) = ImageHeader::parse(&header) else { return Ok(None) };
        let mut descriptor = [0; 256];
        slot.read(flash, DESCRIPTOR_AT, &mut descriptor)?;
        let Some(descriptor) = AppDescriptor::parse(&descriptor) else { return Ok(None) };
        let mut end = HEADER_BYTES as u32;
        for _ in 0..header.segment_count {
            let mut segment = [0; SEGMENT_HEADER_BYTES as usize];
            if end.saturating_add(SEGMENT_HEADER_BYTES) > slot.size {
                return Ok(None);
            }
            slot.read(flash, end, &mut segment)?;
            let length = SegmentHeader::parse(&segment, end).length;
            match end.checked_add(SEGMENT_HEADER_BYTES).and_then(|end| end.checked_add(length)) {
                Some(next) if next < slot.size && length.is_multiple_of(4) => end = next,
                _ => return Ok(None),
            }
        }
        // The checksum is the last byte of a block of 16 (ESP-IDF esp_image_format.c).
        let hash_at = (end + 16) & !15;
        if hash_at.saturating_add(HASH_BYTES) > slot.size {
            return Ok(None);
        }
        let (hash, image_len) = if header.hash_appended() {
            let mut hash = [0; HASH_BYTES as usize];
            slot.read(flash, hash_at, &mut hash)?;
            (ImageHash(hash), hash_at + HASH_BYTES)
        } else {
            match verify_slot(flash, slot, hash_at)? {
                Some(hash) => (hash, hash_at),
                None => return Ok(None),
            }
        };
        Ok(Some(Self {
            hash,
            image_len,
            version: text(descriptor.version.as_str()),
            elf_sha256: descriptor.elf_sha256,
            secure_version: descriptor.secure_version,
        }))
    }
}

/// Reads `length` bytes of a slot and verifies them as an image; `None` when they are none.
pub(crate) fn verify_slot<F: NorFlash>(
    flash: &mut F,
    slot: &Region,
    length: u32,
) -> Result<Option<ImageHash>, FlashFault> {
    let mut verifier = ImageVerifier::new();
    let mut buffer = [0; 512];
    let mut at = 0;
    while at < length {
        let count = (length - at).min(buffer.len() as u32);
        let Some(chunk) = buffer.get_mut(..count as usize) else { return Ok(None) };
        slot.read(flash, at, chunk)?;
        if verifier.push(chunk).is_err() {
            return Ok(None);
        }
        at += count;
    }
    Ok(verifier.finish().ok().map(|image| image.hash))
}

/// Whether the slot holds a whole, undamaged image.
pub(crate) fn holds_sound_image<F: NorFlash>(flash: &mut F, slot: &Region) -> Result<bool, FlashFault> {
    match ImageFacts::read(flash, slot)? {
        Some(facts) => Ok(verify_slot(flash, slot, facts.image_len)?.is_some()),
        None => Ok(false),
    }
}

fn text(source: &str) -> String<MAX_VERSION_BYTES> {
    let mut text = String::new();
    for character in source.chars() {
        if text.push(character).is_err() {
            break;
        }
    }
    text
}

const _: () = assert!(PAGE_BYTES.is_multiple_of(512));
