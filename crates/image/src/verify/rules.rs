//! What holds across the image's parts: its length, room in the slot, mapping, and what lacks a descriptor.

use super::{ImageVerifier, Target};
use crate::ImageError;
use crate::descriptor::BOOTLOADER_DESCRIPTOR_MAGIC;
use crate::header::{
    APPENDED_HASH_BYTES, CHECKSUM_ALIGN, HEADER_BYTES, MIN_FIRST_SEGMENT_BYTES, SEGMENT_HEADER_BYTES,
    SegmentHeader,
};

impl ImageVerifier {
    /// The least number of bytes the whole image has, by the headers read so far. Fits: 16 segments under 16 MiB.
    pub(super) fn needed(&self) -> u32 {
        let headers =
            HEADER_BYTES + SEGMENT_HEADER_BYTES * self.header.map_or(1, |h| usize::from(h.segment_count));
        let data: u32 = match self.segments.is_empty() {
            true => MIN_FIRST_SEGMENT_BYTES,
            false => self.segments.iter().map(|segment| segment.length).sum(),
        };
        let content = (headers as u32 + data + 1).next_multiple_of(CHECKSUM_ALIGN);
        content
            + if self.header.is_some_and(|header| header.hash_appended()) { APPENDED_HASH_BYTES } else { 0 }
    }

    pub(super) fn check_room(&self, needed: u32) -> Result<(), ImageError> {
        match self.target {
            Some(Target { slot_size, .. }) if needed > slot_size => {
                Err(ImageError::TooLarge { needed, slot_size })
            }
            _ => Ok(()),
        }
    }

    /// A mapped segment's file offset and load address agree modulo the MMU's page.
    pub(super) fn check_mapping(&self, index: u8) -> Result<(), ImageError> {
        let (Some(header), Some(descriptor)) = (&self.header, &self.descriptor) else { return Ok(()) };
        let (Some(chip), Some(page)) = (header.chip.facts(), descriptor.mmu_page_bytes()) else {
            return Ok(());
        };
        let Some(segment) = self.segments.get(usize::from(index)) else { return Ok(()) };
        let &SegmentHeader { load_address, data_offset, .. } = segment;
        if chip.is_mapped(load_address) && load_address % page != data_offset % page {
            return Err(ImageError::Unmappable { index, data_offset, load_address, page });
        }
        Ok(())
    }

    /// No app descriptor: a bootloader runs from RAM, so its first segment is not mapped; an app's is.
    pub(super) fn without_descriptor(&self, found: u32, load_address: u32) -> ImageError {
        let bootloader = match self.header.and_then(|header| header.chip.facts()) {
            Some(chip) if !chip.mapped.is_empty() => !chip.is_mapped(load_address),
            _ => found as u8 == BOOTLOADER_DESCRIPTOR_MAGIC,
        };
        if bootloader { ImageError::MergedFactoryImage } else { ImageError::NoAppDescriptor { found } }
    }
}
