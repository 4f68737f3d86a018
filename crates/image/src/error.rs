//! Why an image is refused.

use crate::{ChipId, ImageHash};
use thiserror::Error;

/// Why bytes are not an app image this device can run. One variant is one cause, with what a person needs to mend it.
///
/// Failures of partition tables are [`PartitionError`](crate::PartitionError), of signature sectors
/// [`SignatureFormatError`](crate::signature::SignatureFormatError).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The first byte is neither 0xE9 nor 0xFF.
    #[error("not an ESP image: it starts with {found:#04x}, an image starts with 0xe9")]
    NotAnImage {
        /// The first byte.
        found: u8,
    },
    /// The file starts with 0xFF (flash padding before a bootloader, or erased flash) or with a bootloader.
    #[error(
        "a merged factory image (or a bootloader, or erased flash), not an application: \
         give the app image, the file that goes to a slot"
    )]
    MergedFactoryImage,
    /// An image of a known chip, laid out as an app, without the descriptor that every app built since ESP-IDF 3.3 has.
    #[error("no app descriptor at offset 32: found {found:#010x}, expected 0xabcd5432")]
    NoAppDescriptor {
        /// The word found where the magic word should be.
        found: u32,
    },
    /// The bytes end before the image does.
    #[error("truncated: {length} bytes, the image needs {needed} or more")]
    Truncated {
        /// Bytes there were.
        length: u32,
        /// The least number of bytes that what was read so far asks for.
        needed: u32,
    },
    /// No segments, or more than 16.
    #[error("{found} segments, an image has 1 to 16")]
    SegmentCount {
        /// The header's count.
        found: u8,
    },
    /// The header's hash flag is neither 0 nor 1.
    #[error("hash flag is {found}, expected 0 or 1")]
    HashFlag {
        /// The flag.
        found: u8,
    },
    /// A segment's length is not a multiple of 4, or not under 16 MiB.
    #[error("segment {index} has a length of {length} bytes, expected a multiple of 4 under 16 MiB")]
    SegmentLength {
        /// Which segment, from 0.
        index: u8,
        /// Its length.
        length: u32,
    },
    /// The first segment cannot hold the app descriptor.
    #[error("the first segment has {length} bytes, the app descriptor needs 256")]
    FirstSegmentTooShort {
        /// Its length.
        length: u32,
    },
    /// A segment that is to be mapped lies where the MMU cannot map it.
    #[error(
        "segment {index} at file offset {data_offset:#x} cannot be mapped to {load_address:#010x}: \
         both must agree modulo {page:#x}"
    )]
    Unmappable {
        /// Which segment, from 0.
        index: u8,
        /// Where its data begins in the file.
        data_offset: u32,
        /// Where it is to be mapped.
        load_address: u32,
        /// The MMU's page size.
        page: u32,
    },
    /// The app descriptor names an MMU page size that no chip has.
    #[error("MMU page size 2^{found} in the app descriptor, expected 2^13 to 2^18")]
    MmuPageSize {
        /// The binary logarithm found.
        found: u8,
    },
    /// The XOR checksum over all segments is wrong.
    #[error("checksum is {stored:#04x}, computed {computed:#04x}: the file is damaged")]
    Checksum {
        /// The byte in the file.
        stored: u8,
        /// The byte computed.
        computed: u8,
    },
    /// The appended SHA-256 is wrong.
    #[error("image hash is {stored}, computed {computed}: the file is damaged")]
    Hash {
        /// The hash in the file.
        stored: ImageHash,
        /// The hash computed.
        computed: ImageHash,
    },
    /// Built for another chip.
    #[error("built for {found}, this is {expected}")]
    WrongChip {
        /// This device's chip.
        expected: ChipId,
        /// The image's chip.
        found: ChipId,
    },
    /// The chip's revision is lower than the image asks for.
    #[error("needs chip revision {}, this is {}", Revision(*needed), Revision(*found))]
    RevisionTooLow {
        /// The image's minimum, major * 100 + minor.
        needed: u16,
        /// This chip's.
        found: u16,
    },
    /// The chip's revision is higher than the image allows.
    #[error("made for chip revisions up to {}, this is {}", Revision(*allowed), Revision(*found))]
    RevisionTooHigh {
        /// The image's maximum, major * 100 + minor.
        allowed: u16,
        /// This chip's.
        found: u16,
    },
    /// The image's anti-rollback version is lower than the device's.
    #[error("secure version {found} is older than this device's {required}")]
    SecureVersion {
        /// The device's version.
        required: u32,
        /// The image's.
        found: u32,
    },
    /// More bytes than the slot holds.
    #[error("needs {needed} bytes or more, the slot holds {slot_size}")]
    TooLarge {
        /// The least number of bytes that what was read so far asks for.
        needed: u32,
        /// Bytes of the slot.
        slot_size: u32,
    },
    /// More bytes were pushed than a `u32` can count.
    #[error("the file is longer than 4 GiB")]
    FileTooLong,
}

/// Shows major * 100 + minor as people write it.
struct Revision(u16);

impl core::fmt::Display for Revision {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "v{}.{}", self.0 / 100, self.0 % 100)
    }
}
