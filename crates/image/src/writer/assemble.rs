//! The last step: header, segments, checksum and hash become a file.

use crate::ImageHeader;
use crate::header::{CHECKSUM_ALIGN, CHECKSUM_SEED, MAX_SEGMENT_BYTES, MAX_SEGMENTS};
use crate::verify::fold;
use sha2::{Digest, Sha256};
use std::string::String;
use std::vec::Vec;
use thiserror::Error;

/// Why an image cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriterError {
    /// A text is longer than its field.
    #[error("{field} \"{text}\" has {} bytes, there is room for {most}", text.len())]
    TextTooLong {
        /// Which field.
        field: &'static str,
        /// The text.
        text: String,
        /// Bytes of the field.
        most: usize,
    },
    /// The size asked for cannot hold what the image must hold.
    #[error("an image of {size} bytes is too small, the least is {least}")]
    TooSmall {
        /// The size asked for.
        size: usize,
        /// The least that is possible.
        least: usize,
    },
    /// More segments than an image can have, padding included.
    #[error("{count} segments with padding, an image has at most 16")]
    TooManySegments {
        /// How many there would be.
        count: usize,
    },
    /// A segment is 16 MiB or longer.
    #[error("a segment of {length} bytes, the most is under 16 MiB")]
    SegmentTooLong {
        /// Its bytes.
        length: usize,
    },
}

/// Puts header, segments, checksum and, by the header's flag, the hash together. Nothing is padded but each segment's
/// length, with zeros, to a multiple of 4; the header's segment count is set.
///
/// # Errors
/// [`WriterError::TooManySegments`], [`WriterError::SegmentTooLong`].
pub fn assemble(header: &ImageHeader, segments: &[(u32, Vec<u8>)]) -> Result<Vec<u8>, WriterError> {
    if segments.len() > MAX_SEGMENTS {
        return Err(WriterError::TooManySegments { count: segments.len() });
    }
    let header = ImageHeader { segment_count: segments.len() as u8, ..*header };
    let mut file = header.to_bytes().to_vec();
    let mut checksum = CHECKSUM_SEED;
    for (load_address, data) in segments {
        let length = data.len().next_multiple_of(4);
        if length >= MAX_SEGMENT_BYTES as usize {
            return Err(WriterError::SegmentTooLong { length });
        }
        file.extend_from_slice(&load_address.to_le_bytes());
        file.extend_from_slice(&(length as u32).to_le_bytes());
        file.extend_from_slice(data);
        file.resize(file.len() + length - data.len(), 0);
        checksum ^= fold(data);
    }
    file.resize((file.len() + 1).next_multiple_of(CHECKSUM_ALIGN as usize) - 1, 0);
    file.push(checksum);
    if header.hash_appended() {
        let hash = Sha256::digest(&file);
        file.extend_from_slice(&hash);
    }
    Ok(file)
}
