//! The streaming verifier: bytes in, a verified [`AppImage`] out.
//!
//! ```text
//!            24 bytes       8 bytes        256 bytes (first segment only)
//!  Header ──────────▶ Segment ──────▶ Descriptor ──▶ Data ──┐
//!                        ▲  ▲                          │    │ last segment's data done
//!                        │  └────── next segment ──────┘    ▼
//!                        │                               Footer (padding, checksum)
//!                        │                                  │ hash flag 1        │ hash flag 0
//!                        │                                  ▼                    ▼
//!                     any step ──▶ Failed               AppendedHash ──────▶ Complete (more bytes are legal)
//! ```
//!
//! The checks are `esp_image_verify`'s (`esp_image_format.c`), each made at the earliest byte that allows it. Stricter
//! than the bootloader in four points: there must be an app descriptor, the hash flag must be 0 or 1, an image has at
//! least one segment, and the MMU page size must exist. Every byte is hashed once.

mod target;

pub use target::{Target, check_header};

use crate::descriptor::{AppDescriptor, BOOTLOADER_DESCRIPTOR_MAGIC, DESCRIPTOR_BYTES, DESCRIPTOR_MAGIC};
use crate::header::{
    APPENDED_HASH_BYTES, CHECKSUM_ALIGN, CHECKSUM_SEED, HEADER_BYTES, IMAGE_MAGIC, ImageHeader,
    MAX_SEGMENT_BYTES, MAX_SEGMENTS, MIN_FIRST_SEGMENT_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::{ImageError, ImageHash, PAGE_BYTES};
use heapless::Vec;
use sha2::{Digest, Sha256};

/// A complete, verified app image. Only [`ImageVerifier::finish`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppImage {
    /// The image header.
    pub header: ImageHeader,
    /// What the image says about itself.
    pub descriptor: AppDescriptor,
    /// The segments in file order.
    pub segments: Vec<SegmentHeader, MAX_SEGMENTS>,
    /// Bytes of the image, appended hash included; the file may be longer.
    pub image_len: u32,
    /// What the image is called by: SHA-256 up to the appended hash, computed where none is appended.
    pub hash: ImageHash,
    /// Whether the file carries the hash. If not, only an eight-bit checksum and a signature protect it.
    pub hash_appended: bool,
    /// All bytes that were pushed.
    pub file_len: u32,
    /// SHA-256 over all bytes that were pushed, as `sha256sum` prints it.
    pub file_sha256: [u8; 32],
    /// Where a Secure Boot V2 signature sector would begin: `image_len` rounded up to [`PAGE_BYTES`].
    pub signed_len: u32,
    /// SHA-256 over the first `signed_len` bytes, which a signature signs; `None` if the file ends before.
    pub signed_digest: Option<[u8; 32]>,
}

/// Where the verifier stands. Each state names what the next bytes are.
#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Segment,
    Descriptor,
    Data { left: u32 },
    Footer { left: u32 },
    AppendedHash,
    Complete,
    Failed(ImageError),
}

/// Verifies an app image as its bytes arrive, in pieces of any size, in under a kilobyte of memory.
///
/// After an error the verifier stays failed and repeats the error.
#[derive(Clone)]
pub struct ImageVerifier {
    target: Option<Target>,
    state: State,
    hash: Sha256,
    /// Bytes accepted so far.
    position: u32,
    /// Collects a header, a descriptor or the appended hash when it arrives in pieces.
    scratch: [u8; DESCRIPTOR_BYTES],
    filled: usize,
    header: Option<ImageHeader>,
    descriptor: Option<AppDescriptor>,
    segments: Vec<SegmentHeader, MAX_SEGMENTS>,
    checksum: u8,
    image_len: u32,
    image_hash: Option<ImageHash>,
    signed_len: u32,
    signed_digest: Option<[u8; 32]>,
}

impl Default for ImageVerifier {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageVerifier {
    /// A verifier of any chip's images, of any size.
    pub fn new() -> Self {
        Self {
            target: None,
            state: State::Header,
            hash: Sha256::new(),
            position: 0,
            scratch: [0; DESCRIPTOR_BYTES],
            filled: 0,
            header: None,
            descriptor: None,
            segments: Vec::new(),
            checksum: CHECKSUM_SEED,
            image_len: 0,
            image_hash: None,
            signed_len: u32::MAX,
            signed_digest: None,
        }
    }

    /// A verifier that also refuses, at the earliest byte, what `target` cannot run or hold.
    pub fn for_target(target: Target) -> Self {
        Self { target: Some(target), ..Self::new() }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The first thing that is wrong with the image; every later call repeats it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let step = match self.state {
                State::Failed(error) => return Err(error),
                State::Header => self.take_header(&mut rest),
                State::Segment => self.take_segment(&mut rest),
                State::Descriptor => self.take_descriptor(&mut rest),
                State::Data { left } => self.take_data(&mut rest, left),
                State::Footer { left } => self.take_footer(&mut rest, left),
                State::AppendedHash => self.take_appended_hash(&mut rest),
                State::Complete => self.take_trailing(&mut rest),
            };
            if let Err(error) = step {
                self.state = State::Failed(error);
                return Err(error);
            }
        }
        match self.state {
            State::Failed(error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The error that [`push`](Self::push) gave, or [`ImageError::Truncated`].
    pub fn finish(self) -> Result<AppImage, ImageError> {
        let needed = self.needed();
        match (self.state, self.header, self.descriptor, self.image_hash) {
            (State::Failed(error), ..) => Err(error),
            (State::Complete, Some(header), Some(descriptor), Some(hash)) => Ok(AppImage {
                header,
                descriptor,
                segments: self.segments,
                image_len: self.image_len,
                hash,
                hash_appended: header.hash_appended(),
                file_len: self.position,
                file_sha256: self.hash.finalize().into(),
                signed_len: self.signed_len,
                signed_digest: self.signed_digest,
            }),
            _ => Err(ImageError::Truncated { length: self.position, needed }),
        }
    }

    /// The image header, once 24 bytes are there.
    pub fn header(&self) -> Option<&ImageHeader> {
        self.header.as_ref()
    }

    /// The app descriptor, once 288 bytes are there.
    pub fn descriptor(&self) -> Option<&AppDescriptor> {
        self.descriptor.as_ref()
    }

    /// The segments whose headers have arrived.
    pub fn segments(&self) -> &[SegmentHeader] {
        &self.segments
    }

    /// Bytes accepted so far.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// The image's length, appended hash included, once the last segment header has arrived.
    pub fn image_len(&self) -> Option<u32> {
        let header = self.header?;
        (self.segments.len() == usize::from(header.segment_count)).then(|| self.needed())
    }

    /// Whether the whole image has arrived and is right; bytes after it are legal.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// The image hash, once the whole image has arrived and is right.
    pub fn image_hash(&self) -> Option<ImageHash> {
        self.image_hash.filter(|_| self.is_complete())
    }

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

    fn take_header(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
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

    fn take_segment(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
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

    fn take_descriptor(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
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

    fn take_data(&mut self, rest: &mut &[u8], left: u32) -> Result<(), ImageError> {
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

    fn take_footer(&mut self, rest: &mut &[u8], left: u32) -> Result<(), ImageError> {
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

    fn take_appended_hash(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
        let Some(bytes) = self.collect::<{ APPENDED_HASH_BYTES as usize }>(rest).1 else { return Ok(()) };
        let stored = ImageHash(bytes);
        if let Some(computed) = self.image_hash.filter(|computed| *computed != stored) {
            return Err(ImageError::Hash { stored, computed });
        }
        self.state = State::Complete;
        self.note_signed_digest();
        Ok(())
    }

    fn take_trailing(&mut self, rest: &mut &[u8]) -> Result<(), ImageError> {
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

    /// The least number of bytes the whole image has, by the headers read so far. Fits: 16 segments under 16 MiB.
    fn needed(&self) -> u32 {
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

    fn check_room(&self, needed: u32) -> Result<(), ImageError> {
        match self.target {
            Some(Target { slot_size, .. }) if needed > slot_size => {
                Err(ImageError::TooLarge { needed, slot_size })
            }
            _ => Ok(()),
        }
    }

    /// A mapped segment's file offset and load address agree modulo the MMU's page.
    fn check_mapping(&self, index: u8) -> Result<(), ImageError> {
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
    fn without_descriptor(&self, found: u32, load_address: u32) -> ImageError {
        let bootloader = match self.header.and_then(|header| header.chip.facts()) {
            Some(chip) if !chip.mapped.is_empty() => !chip.is_mapped(load_address),
            _ => found as u8 == BOOTLOADER_DESCRIPTOR_MAGIC,
        };
        if bootloader { ImageError::MergedFactoryImage } else { ImageError::NoAppDescriptor { found } }
    }
}

/// Takes up to `most` bytes off the front.
fn split_off<'a>(rest: &mut &'a [u8], most: u32) -> &'a [u8] {
    let (now, later) = rest.split_at(rest.len().min(most as usize));
    *rest = later;
    now
}

/// XOR of all bytes, eight at a time.
pub(crate) fn fold(bytes: &[u8]) -> u8 {
    let (words, tail) = bytes.as_chunks::<8>();
    let wide = words.iter().fold(0u64, |sum, word| sum ^ u64::from_ne_bytes(*word));
    wide.to_ne_bytes().iter().chain(tail).fold(0, |sum, byte| sum ^ byte)
}
