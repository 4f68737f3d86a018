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
//! least one segment, and the MMU page size must exist. Not checked, because a [`Target`] does not know it: the revision
//! of the eFuse block. Every byte is hashed once.
//!
//! The hash flag is part of what is hashed, but a file whose flag was cleared has no hash to compare: its checksum
//! alone protects it, as on any ESP-IDF device, and its [`AppImage::hash`] differs. Whoever knows which image to expect
//! compares that, or the signature.

mod rules;
mod steps;
mod target;

pub use target::{Target, check_header};

use crate::descriptor::{AppDescriptor, DESCRIPTOR_BYTES};
use crate::header::{CHECKSUM_SEED, ImageHeader, MAX_SEGMENTS, SegmentHeader};
use crate::{ImageError, ImageHash};
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
    /// Where a Secure Boot V2 signature sector would begin: `image_len` rounded up to [`PAGE_BYTES`](crate::PAGE_BYTES).
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
}

/// XOR of all bytes, eight at a time.
pub(crate) fn fold(bytes: &[u8]) -> u8 {
    let (words, tail) = bytes.as_chunks::<8>();
    let wide = words.iter().fold(0u64, |sum, word| sum ^ u64::from_ne_bytes(*word));
    wide.to_ne_bytes().iter().chain(tail).fold(0, |sum, byte| sum ^ byte)
}
