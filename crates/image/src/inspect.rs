//! The facts of an image file, right or wrong, as `esptool image-info` shows them.
//!
//! Where [`ImageVerifier`](crate::ImageVerifier) refuses, [`inspect`] goes on as long as the structure can be followed:
//! it says that a checksum is wrong, and what it should be. Bootloaders and merged images can be looked at too.

use crate::descriptor::{
    AppDescriptor, BOOTLOADER_DESCRIPTOR_BYTES, BootloaderDescriptor, DESCRIPTOR_BYTES, DESCRIPTOR_OFFSET,
};
use crate::header::{
    APPENDED_HASH_BYTES, CHECKSUM_ALIGN, CHECKSUM_SEED, HEADER_BYTES, MAX_SEGMENT_BYTES, MAX_SEGMENTS,
    SEGMENT_HEADER_BYTES,
};
use crate::signature::SignatureSector;
use crate::verify::fold;
use crate::{ImageError, ImageHash, ImageHeader, SegmentHeader, page_align};
use heapless::Vec;
use sha2::{Digest, Sha256};

/// A value in the file beside the value computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked<T> {
    /// What the file says; `None` if it ends before.
    pub stored: Option<T>,
    /// What it should say.
    pub computed: T,
}

impl<T: PartialEq> Checked<T> {
    /// Whether the file is right.
    pub fn is_valid(&self) -> bool {
        self.stored.as_ref() == Some(&self.computed)
    }
}

/// The facts of an image file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Bytes of the file.
    pub file_len: usize,
    /// The image header; it names flash mode, size and frequency.
    pub header: ImageHeader,
    /// The segments in file order; see [`memory_types`](Self::memory_types).
    pub segments: Vec<SegmentHeader, MAX_SEGMENTS>,
    /// The XOR checksum.
    pub checksum: Checked<u8>,
    /// The image hash; nothing is stored where the header says so.
    pub hash: Checked<ImageHash>,
    /// Bytes of the image, appended hash included, by its headers: the file may be longer or end within the hash.
    pub image_len: u32,
    /// What an app says about itself.
    pub descriptor: Option<AppDescriptor>,
    /// What a bootloader says about itself.
    pub bootloader: Option<BootloaderDescriptor>,
    /// Where a signature sector begins in the file, if there is one.
    pub signature_offset: Option<u32>,
}

impl Inspection {
    /// esptool's names for the memory a segment goes to: `DROM`, `BYTE_ACCESSIBLE, DRAM`, …; none for an unknown chip.
    pub fn memory_types(
        &self,
        segment: &SegmentHeader,
    ) -> impl Iterator<Item = &'static str> + Clone + use<> {
        let address = segment.load_address;
        self.header.chip.facts().into_iter().flat_map(move |chip| chip.memory_types(address))
    }

    /// The signature sector, if there is one; `file` is what was inspected.
    pub fn signature_sector<'a>(&self, file: &'a [u8]) -> Option<SignatureSector<'a>> {
        SignatureSector::parse(file.get(self.signature_offset? as usize..)?).ok()
    }
}

/// Reads the facts of an image.
///
/// # Errors
/// Only where the structure cannot be followed: [`ImageError::NotAnImage`],
/// [`MergedFactoryImage`](ImageError::MergedFactoryImage) (leading 0xFF), [`SegmentCount`](ImageError::SegmentCount),
/// [`HashFlag`](ImageError::HashFlag), [`SegmentLength`](ImageError::SegmentLength), and
/// [`Truncated`](ImageError::Truncated) before the checksum.
pub fn inspect(file: &[u8]) -> Result<Inspection, ImageError> {
    let truncated =
        |needed: usize| ImageError::Truncated { length: file.len() as u32, needed: needed as u32 };
    let Some(header) = file.first_chunk::<HEADER_BYTES>() else {
        return Err(match file.first() {
            None | Some(&crate::header::IMAGE_MAGIC) => truncated(HEADER_BYTES),
            Some(&found) => not_an_image(found),
        });
    };
    let header = ImageHeader::parse(header).ok_or(not_an_image(header[0]))?;
    if !(1..=MAX_SEGMENTS as u8).contains(&header.segment_count) {
        return Err(ImageError::SegmentCount { found: header.segment_count });
    }
    if header.hash_flag > 1 {
        return Err(ImageError::HashFlag { found: header.hash_flag });
    }
    let mut segments = Vec::new();
    let mut checksum = CHECKSUM_SEED;
    let mut at = HEADER_BYTES;
    for index in 0..header.segment_count {
        let data_at = at + SEGMENT_HEADER_BYTES;
        let bytes = file.get(at..).and_then(|rest| rest.first_chunk()).ok_or(truncated(data_at))?;
        let segment = SegmentHeader::parse(bytes, data_at as u32);
        if segment.length >= MAX_SEGMENT_BYTES {
            return Err(ImageError::SegmentLength { index, length: segment.length });
        }
        at = data_at + segment.length as usize;
        checksum ^= fold(file.get(data_at..at).ok_or(truncated(at))?);
        // There is room: the count is at most the capacity.
        let _ = segments.push(segment);
    }
    let content_len = (at + 1).next_multiple_of(CHECKSUM_ALIGN as usize);
    let content = file.get(..content_len).ok_or(truncated(content_len))?;
    let appended =
        file.get(content_len..).and_then(|rest| rest.first_chunk::<{ APPENDED_HASH_BYTES as usize }>());
    let image_len = content_len as u32 + if header.hash_appended() { APPENDED_HASH_BYTES } else { 0 };
    let signature_offset = page_align(image_len).filter(|&offset| {
        file.get(offset as usize..).is_some_and(|rest| SignatureSector::parse(rest).is_ok())
    });
    let mut inspection = Inspection {
        file_len: file.len(),
        header,
        segments,
        checksum: Checked { stored: content.last().copied(), computed: checksum },
        hash: Checked {
            stored: appended.filter(|_| header.hash_appended()).copied().map(ImageHash),
            computed: ImageHash(Sha256::digest(content).into()),
        },
        image_len,
        descriptor: None,
        bootloader: None,
        signature_offset,
    };
    inspection.descriptor = descriptor(&inspection, file);
    if inspection.descriptor.is_none() {
        let bytes = file.get(DESCRIPTOR_OFFSET as usize..).and_then(|rest| rest.first_chunk());
        inspection.bootloader =
            bytes.and_then(|bytes: &[u8; BOOTLOADER_DESCRIPTOR_BYTES]| BootloaderDescriptor::parse(bytes));
    }
    Ok(inspection)
}

/// The app descriptor: at the start of the first segment, where ESP-IDF's bootloader and a node read it; where there is
/// none, of the first segment that is read-only data, as esptool looks for it.
fn descriptor(inspection: &Inspection, file: &[u8]) -> Option<AppDescriptor> {
    let is_rodata = |segment: &&SegmentHeader| inspection.memory_types(segment).any(|name| name == "DROM");
    let read = |segment: &SegmentHeader| {
        let (start, length) = (segment.data_offset as usize, segment.length as usize);
        let data = file.get(start..start + length)?;
        data.first_chunk::<DESCRIPTOR_BYTES>().and_then(AppDescriptor::parse)
    };
    let first = inspection.segments.first().and_then(read);
    first.or_else(|| inspection.segments.iter().find(is_rodata).and_then(read))
}

fn not_an_image(found: u8) -> ImageError {
    if found == 0xFF { ImageError::MergedFactoryImage } else { ImageError::NotAnImage { found } }
}
