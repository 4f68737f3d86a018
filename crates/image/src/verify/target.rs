//! What a device demands of an image.

use crate::{AppDescriptor, ChipId, ImageError, ImageHeader};

/// The device an image is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its chip.
    pub chip: ChipId,
    /// The chip's revision, major * 100 + minor.
    pub revision: u16,
    /// Its anti-rollback version; 0 where anti-rollback is not used.
    pub secure_version: u32,
    /// Bytes of the slot the image goes to.
    pub slot_size: u32,
}

/// Checks what the first 24 bytes (and, with the descriptor, 288) of a download tell, in the order of ESP-IDF's
/// `bootloader_common_check_chip_validity`: enough to refuse before anything is erased.
///
/// # Errors
/// [`ImageError::WrongChip`], [`RevisionTooLow`](ImageError::RevisionTooLow),
/// [`RevisionTooHigh`](ImageError::RevisionTooHigh) or [`SecureVersion`](ImageError::SecureVersion).
pub fn check_header(
    header: &ImageHeader,
    descriptor: Option<&AppDescriptor>,
    target: &Target,
) -> Result<(), ImageError> {
    if header.chip != target.chip {
        return Err(ImageError::WrongChip { expected: target.chip, found: header.chip });
    }
    if header.min_revision > target.revision {
        return Err(ImageError::RevisionTooLow { needed: header.min_revision, found: target.revision });
    }
    if let Some(allowed) = header.max_revision_set().filter(|&allowed| allowed < target.revision) {
        return Err(ImageError::RevisionTooHigh { allowed, found: target.revision });
    }
    if let Some(found) = descriptor.map(|d| d.secure_version).filter(|&found| found < target.secure_version) {
        return Err(ImageError::SecureVersion { required: target.secure_version, found });
    }
    Ok(())
}
