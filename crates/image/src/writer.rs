//! Makes app images: for demonstrations, tests and tools that have segments but no image.
//!
//! [`AppImageBuilder`] lays segments out as esptool does, so that the bootloader can map them, and fills in checksum
//! and hash. The same inputs give the same bytes.

mod assemble;
mod filler;
mod layout;

pub use assemble::{WriterError, assemble};

use crate::descriptor::{DESCRIPTOR_BYTES, PREFIX_BYTES};
use crate::header::{HEADER_BYTES, SEGMENT_HEADER_BYTES, WP_PIN_DISABLED};
use crate::text::Text;
use crate::{AppDescriptor, ChipId, ImageHeader};
use sha2::{Digest, Sha256};
use std::string::{String, ToString};
use std::vec::Vec;

/// Where [`AppImageBuilder::payload`] lies in the file: right after the app descriptor.
pub const PAYLOAD_OFFSET: usize = PREFIX_BYTES;
/// The smallest size that can be asked for: header, one segment with descriptor and a little data, checksum, hash.
pub const MIN_IMAGE_BYTES: usize = 512;

/// Makes an app image. Everything has a default: `AppImageBuilder::new(chip).build()` is a valid image.
///
/// ```
/// use rootcast_image::{ChipId, ImageVerifier, writer::AppImageBuilder};
///
/// let file = AppImageBuilder::new(ChipId::ESP32C3).project("lamp").version("1.2.0").size(300_000).build()?;
/// assert_eq!(file.len(), 300_000);
///
/// let mut verifier = ImageVerifier::new();
/// verifier.push(&file)?;
/// assert_eq!(verifier.finish()?.descriptor.version, "1.2.0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AppImageBuilder {
    header: ImageHeader,
    descriptor: AppDescriptor,
    /// Texts as given, with where they go: checked by `build`.
    texts: [(&'static str, String); 5],
    elf_sha256: Option<[u8; 32]>,
    segments: Vec<(u32, Vec<u8>)>,
    payload: Vec<u8>,
    size: usize,
    seed: u64,
}

/// Indexes of [`AppImageBuilder::texts`].
const PROJECT: usize = 0;
const VERSION: usize = 1;
const TIME: usize = 2;
const DATE: usize = 3;
const IDF_VERSION: usize = 4;

impl AppImageBuilder {
    /// An image for `chip`: 16 KiB, flash DIO, 4 MB, the chip's highest frequency, any chip revision, hash appended.
    pub fn new(chip: ChipId) -> Self {
        Self {
            header: ImageHeader {
                segment_count: 0,
                flash_mode: 2,
                flash_frequency: chip
                    .facts()
                    .and_then(|facts| facts.flash_frequencies.first())
                    .map_or(0xF, |(value, _)| *value),
                flash_size: 2,
                entry: layout::Addresses::of(chip).iram,
                wp_pin: WP_PIN_DISABLED,
                pin_drive: [0; 3],
                chip,
                min_revision_legacy: 0,
                min_revision: 0,
                max_revision: u16::MAX,
                reserved: [0; 4],
                hash_flag: 1,
            },
            descriptor: AppDescriptor {
                secure_version: 0,
                version: Text::EMPTY,
                project_name: Text::EMPTY,
                time: Text::EMPTY,
                date: Text::EMPTY,
                idf_version: Text::EMPTY,
                elf_sha256: [0; 32],
                min_efuse_block_revision: 0,
                max_efuse_block_revision: u16::MAX,
                mmu_page_size_log2: 16,
                flash_mode: 0,
                reserved_head: [0; 8],
                reserved_tail: [0; 74],
            },
            texts: [
                ("project name", "rootcast-demo".to_string()),
                ("version", "0.1.0".to_string()),
                ("time", "12:00:00".to_string()),
                ("date", "Jan  1 2026".to_string()),
                ("ESP-IDF version", "v5.5".to_string()),
            ],
            elf_sha256: None,
            segments: Vec::new(),
            payload: Vec::new(),
            size: 16 * 1024,
            seed: 0,
        }
    }

    /// The project's name, up to 32 bytes.
    pub fn project(self, name: &str) -> Self {
        self.text(PROJECT, name)
    }

    /// The application's version, up to 32 bytes.
    pub fn version(self, version: &str) -> Self {
        self.text(VERSION, version)
    }

    /// Date and time of the build, up to 16 bytes each, as `__DATE__` and `__TIME__` give them.
    pub fn built(self, date: &str, time: &str) -> Self {
        self.text(DATE, date).text(TIME, time)
    }

    /// ESP-IDF's version, up to 32 bytes.
    pub fn idf_version(self, version: &str) -> Self {
        self.text(IDF_VERSION, version)
    }

    fn text(mut self, field: usize, text: &str) -> Self {
        self.texts[field].1 = text.to_string();
        self
    }

    /// SHA-256 of the ELF file. Without it, a hash of the texts and the data stands in.
    pub fn elf_sha256(mut self, sha256: [u8; 32]) -> Self {
        self.elf_sha256 = Some(sha256);
        self
    }

    /// The anti-rollback version.
    pub fn secure_version(mut self, version: u32) -> Self {
        self.descriptor.secure_version = version;
        self
    }

    /// Chip revisions the image runs on, major * 100 + minor; a maximum of 0 or 65535 is none.
    pub fn revisions(mut self, min: u16, max: u16) -> Self {
        (self.header.min_revision, self.header.max_revision) = (min, max);
        self
    }

    /// Flash mode (2 is DIO), frequency nibble and size nibble (2 is 4 MB), as the header carries them.
    pub fn flash(mut self, mode: u8, frequency: u8, size: u8) -> Self {
        (self.header.flash_mode, self.header.flash_frequency, self.header.flash_size) =
            (mode, frequency, size);
        self
    }

    /// Address of the first instruction.
    pub fn entry(mut self, address: u32) -> Self {
        self.header.entry = address;
        self
    }

    /// Whether the SHA-256 is appended. It is by default.
    pub fn hash_appended(mut self, appended: bool) -> Self {
        self.header.hash_flag = u8::from(appended);
        self
    }

    /// Bytes to carry, at [`PAYLOAD_OFFSET`] in the file.
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    /// Bytes of the image, appended hash included, rounded down to 16. From 192 KiB on the image has the five segments
    /// of a real one, below only data and code in RAM, so that it can be small.
    pub fn size(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    /// The seed of the data that fills the image: other seeds, other data.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// A segment of one's own; the first is given the descriptor and the payload in front, and none is made up:
    /// [`size`](Self::size) and [`seed`](Self::seed) are not looked at. Segments that are mapped get a padding segment
    /// in front where needed.
    pub fn segment(mut self, load_address: u32, data: &[u8]) -> Self {
        self.segments.push((load_address, data.to_vec()));
        self
    }

    /// The image.
    ///
    /// # Errors
    /// [`WriterError`]: a text too long, a size too small, too many or too long segments.
    pub fn build(&self) -> Result<Vec<u8>, WriterError> {
        let mut segments = if self.segments.is_empty() {
            layout::demo_segments(
                self.header.chip,
                self.size,
                self.payload.len(),
                self.seed,
                self.header.hash_flag == 1,
            )?
        } else {
            self.segments.clone()
        };
        let descriptor = self.finished_descriptor(&segments)?;
        if let Some((_, first)) = segments.first_mut() {
            let head = [&descriptor.to_bytes()[..], &self.payload].concat();
            if self.segments.is_empty() {
                // Demo data leaves room for them.
                first[..head.len()].copy_from_slice(&head);
            } else {
                first.splice(..0, head);
            }
        }
        let segments = layout::pad_for_mapping(self.header.chip, segments);
        assemble(&self.header, &segments)
    }

    fn finished_descriptor(&self, segments: &[(u32, Vec<u8>)]) -> Result<AppDescriptor, WriterError> {
        Ok(AppDescriptor {
            project_name: self.checked(PROJECT)?,
            version: self.checked(VERSION)?,
            time: self.checked(TIME)?,
            date: self.checked(DATE)?,
            idf_version: self.checked(IDF_VERSION)?,
            elf_sha256: self.elf_sha256.unwrap_or_else(|| {
                let mut hash = Sha256::new();
                self.texts.iter().for_each(|(_, text)| hash.update(text.as_bytes()));
                hash.update(&self.payload);
                segments.iter().for_each(|(_, data)| hash.update(data));
                hash.finalize().into()
            }),
            flash_mode: self.header.flash_mode,
            ..self.descriptor
        })
    }

    fn checked<const N: usize>(&self, field: usize) -> Result<Text<N>, WriterError> {
        let (field, text) = &self.texts[field];
        Text::new(text).ok_or_else(|| WriterError::TextTooLong { field, text: text.clone(), most: N })
    }
}

/// Bytes before the first segment's data.
const FIRST_DATA: usize = HEADER_BYTES + SEGMENT_HEADER_BYTES;
/// Bytes of the first segment that the descriptor takes.
const DESCRIPTOR: usize = DESCRIPTOR_BYTES;
