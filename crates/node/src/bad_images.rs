//! Images that failed their trial here. They are not installed again unless an operator says so.

use crate::install::ImageFacts;
use crate::platform::{Platform, SettingKey, SettingLost};
use rootcast_image::ImageHash;

/// How many are remembered; the oldest makes room.
pub const MAX_BAD_IMAGES: usize = 8;

/// Bytes kept of the ELF file's SHA-256: enough to recognise the image by its first page.
const ELF_PREFIX_BYTES: usize = 16;
const ENTRY_BYTES: usize = 32 + ELF_PREFIX_BYTES;

/// The list, newest last, as it stands in NVS: image hash and a prefix of `app_elf_sha256` per image.
#[derive(Clone, Debug)]
pub(crate) struct BadImages {
    bytes: [u8; MAX_BAD_IMAGES * ENTRY_BYTES],
    length: usize,
}

impl BadImages {
    pub(crate) fn load(platform: &mut impl Platform) -> Self {
        let mut bytes = [0; MAX_BAD_IMAGES * ENTRY_BYTES];
        let length = platform.load(SettingKey::BadImages, &mut bytes).unwrap_or(0).min(bytes.len());
        Self { bytes, length: length - length % ENTRY_BYTES }
    }

    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.get(..self.length).unwrap_or(&[]).chunks_exact(ENTRY_BYTES)
    }

    pub(crate) fn holds_hash(&self, hash: &ImageHash) -> bool {
        self.entries().any(|entry| entry.starts_with(&hash.0))
    }

    /// Recognises an image by its descriptor. An image without an ELF hash cannot be recognised so.
    pub(crate) fn holds_elf(&self, elf_sha256: &[u8; 32]) -> bool {
        let prefix = &elf_sha256[..ELF_PREFIX_BYTES];
        prefix.iter().any(|byte| *byte != 0) && self.entries().any(|entry| entry.ends_with(prefix))
    }

    pub(crate) fn remember(
        &mut self,
        image: &ImageFacts,
        platform: &mut impl Platform,
    ) -> Result<(), SettingLost> {
        if self.holds_hash(&image.hash) {
            return Ok(());
        }
        if self.length == self.bytes.len() {
            self.bytes.copy_within(ENTRY_BYTES.., 0);
            self.length -= ENTRY_BYTES;
        }
        if let Some(entry) = self.bytes.get_mut(self.length..self.length + ENTRY_BYTES) {
            entry[..32].copy_from_slice(&image.hash.0);
            entry[32..].copy_from_slice(&image.elf_sha256[..ELF_PREFIX_BYTES]);
            self.length += ENTRY_BYTES;
        }
        platform.store(SettingKey::BadImages, self.bytes.get(..self.length).unwrap_or(&[]))
    }
}
