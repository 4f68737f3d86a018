//! What each state of the verifier does with the next bytes.

use super::{ImageVerifier, State, check_header, fold};
use crate::descriptor::{AppDescriptor, DESCRIPTOR_BYTES, DESCRIPTOR_MAGIC};
use crate::header::{
    APPENDED_HASH_BYTES, CHECKSUM_ALIGN, HEADER_BYTES, IMAGE_MAGIC, ImageHeader, MAX_SEGMENT_BYTES,
    MAX_SEGMENTS, MIN_FIRST_SEGMENT_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::{ImageError, ImageHash, PAGE_BYTES};
use sha2::Digest as _;

impl ImageVerifier {
    /// Collects `N` bytes in the scratch; the array once they are all there, plus how many there are.
    fn collect<const N: usize>(&mut self, rest: &mut &[u8]) -> (usize, Option<[u8; N]>) {
        let take = rest.len().min(N.saturating_sub(self.filled));
        let (now, later) = rest.split_at(take);
        if let Some(room) = self.scratch.get_mut(self.filled..self.filled + take) {
            room.copy_from_slice(now);
        }
        self.absorb(now);
        *rest = later;
        self.filled += take;
        let filled = self.filled;
        if filled < N {
            return (filled, None);
        }
        self.filled = 0;
        (filled, self.scratch.first_chunk::<N>().copied())
    }

    fn absorb(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.position += bytes.len() as u32;
    }

    pub(super) fn take_header(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
        let (filled, bytes) = self.collect::<HEADER_BYTES>(rest);
        match self.scratch[0] {
            IMAGE_MAGIC => {}
            0xFF => return Err(ImageError::MergedFactoryImage),
            found => return Err(ImageError::NotAnImage { found }),
        }
        if filled > 1 && !(1..=MAX_SEGMENTS as u8).contains(&self.scratch[1]) {
            return Err(ImageError::SegmentCount { found: self.scratch[1] });
        }
        let Some(header) = bytes.as_ref().and_then(ImageHeader::parse) else { return Ok(()) };
        if header.hash_flag > 1 {
            return Err(ImageError::HashFlag { found: header.hash_flag });
        }
        if let Some(target) = &self.target {
            check_header(&header, None, target)?;
        }
        self.header = Some(header);
        self.state = State::Segment;
        Ok(())
    }

    pub(super) fn take_segment(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
        let Some(bytes) = self.collect::<SEGMENT_HEADER_BYTES>(rest).1 else { return Ok(()) };
        let segment = SegmentHeader::parse(&bytes, self.position);
        let first = self.segments.is_empty();
        let index = self.segments.len() as u8;
        let length = segment.length;
        if !length.is_multiple_of(4) || length >= MAX_SEGMENT_BYTES {
            return Err(ImageError::SegmentLength { index, length });
        }
        // There is room: the header's count is at most the capacity.
        let _ = self.segments.push(segment);
        self.check_room(self.needed())?;
        if first {
            self.state = State::Descriptor;
        } else {
            self.check_mapping(index)?;
            self.begin_data(length);
        }
        Ok(())
    }

    pub(super) fn take_descriptor(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
        let (filled, bytes) = self.collect::<DESCRIPTOR_BYTES>(rest);
        let first = self.segments.first().copied().unwrap_or(SegmentHeader::parse(&[0; 8], 0));
        if filled >= 4 {
            let [a, b, c, d, ..] = self.scratch;
            let found = u32::from_le_bytes([a, b, c, d]);
            if found != DESCRIPTOR_MAGIC {
                return Err(self.without_descriptor(found, first.load_address));
            }
        }
        if first.length < MIN_FIRST_SEGMENT_BYTES && filled >= 4 {
            return Err(ImageError::FirstSegmentTooShort { length: first.length });
        }
        let Some(bytes) = bytes else { return Ok(()) };
        let Some(descriptor) = AppDescriptor::parse(&bytes) else { return Ok(()) };
        self.checksum ^= fold(&bytes);
        if descriptor.mmu_page_bytes().is_none() {
            return Err(ImageError::MmuPageSize { found: descriptor.mmu_page_size_log2 });
        }
        if let (Some(header), Some(target)) = (&self.header, &self.target) {
            check_header(header, Some(&descriptor), target)?;
        }
        self.descriptor = Some(descriptor);
        self.check_mapping(0)?;
        self.begin_data(first.length - MIN_FIRST_SEGMENT_BYTES);
        Ok(())
    }

    pub(super) fn take_data(&mut self, rest: &mut &[u8], left: u32) -> Result<(), ImageError> {
        let now = split_off(rest, left);
        self.absorb(now);
        self.checksum ^= fold(now);
        self.begin_data(left - now.len() as u32);
        Ok(())
    }

    /// Goes on with `left` bytes of the segment, or to whatever follows it.
    fn begin_data(&mut self, left: u32) {
        let count = self.header.map_or(0, |header| usize::from(header.segment_count));
        self.state = if left > 0 {
            State::Data { left }
        } else if self.segments.len() < count {
            State::Segment
        } else {
            self.image_len = self.needed();
            self.signed_len = self.image_len.next_multiple_of(PAGE_BYTES);
            State::Footer { left: (self.position + 1).next_multiple_of(CHECKSUM_ALIGN) - self.position }
        };
    }

    pub(super) fn take_footer(&mut self, rest: &mut &[u8], left: u32) -> Result<(), ImageError> {
        let now = split_off(rest, left);
        self.absorb(now);
        let left = left - now.len() as u32;
        if left > 0 {
            self.state = State::Footer { left };
            return Ok(());
        }
        let (stored, computed) = (now.last().copied().unwrap_or(0), self.checksum);
        if stored != computed {
            return Err(ImageError::Checksum { stored, computed });
        }
        self.image_hash = Some(ImageHash(self.hash.clone().finalize().into()));
        let appended = self.header.is_some_and(|header| header.hash_appended());
        self.state = if appended { State::AppendedHash } else { State::Complete };
        self.note_signed_digest();
        Ok(())
    }

    pub(super) fn take_appended_hash(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
        let Some(bytes) = self.collect::<{ APPENDED_HASH_BYTES as usize }>(rest).1 else { return Ok(()) };
        let stored = ImageHash(bytes);
        if let Some(computed) = self.image_hash.filter(|computed| *computed != stored) {
            return Err(ImageError::Hash { stored, computed });
        }
        self.state = State::Complete;
        self.note_signed_digest();
        Ok(())
    }

    pub(super) fn take_trailing(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
        let to_boundary = match self.signed_len.saturating_sub(self.position) {
            0 => u32::MAX - self.position,
            left => left,
        };
        if to_boundary == 0 {
            return Err(ImageError::FileTooLong);
        }
        let now = split_off(rest, to_boundary);
        self.check_room(self.position + now.len() as u32)?;
        self.absorb(now);
        self.note_signed_digest();
        Ok(())
    }

    /// Keeps the digest that a signature signs, exactly when the signed bytes have been hashed.
    fn note_signed_digest(&mut self) {
        if self.position == self.signed_len && matches!(self.state, State::Complete) {
            self.signed_digest = Some(self.hash.clone().finalize().into());
        }
    }
}

/// Takes up to `most` bytes off the front.
fn split_off<'a>(rest: &mut &'a [u8], most: u32) -> &'a [u8] {
    let (now, later) = rest.split_at(rest.len().min(most as usize));
    *rest = later;
    now
}
