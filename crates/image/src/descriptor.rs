//! What an image says about itself: the app descriptor, and the bootloader's.

use crate::text::Text;

/// Where the app descriptor lies in an image: after the image header and the first segment header.
pub const DESCRIPTOR_OFFSET: u32 = 32;
/// Bytes of [`AppDescriptor`] (`esp_app_desc_t`).
pub const DESCRIPTOR_BYTES: usize = 256;
/// First word of an app descriptor (`ESP_APP_DESC_MAGIC_WORD`, `esp_app_desc.h`).
pub const DESCRIPTOR_MAGIC: u32 = 0xABCD_5432;
/// Bytes of [`BootloaderDescriptor`] (`esp_bootloader_desc_t`).
pub const BOOTLOADER_DESCRIPTOR_BYTES: usize = 80;
/// First byte of a bootloader descriptor (`ESP_BOOTLOADER_DESC_MAGIC_BYTE`, `esp_bootloader_desc.h`).
pub const BOOTLOADER_DESCRIPTOR_MAGIC: u8 = 0x50;
/// The first bytes of a download that are enough to decide chip, revision, project, version and secure version.
pub const PREFIX_BYTES: usize = DESCRIPTOR_OFFSET as usize + DESCRIPTOR_BYTES;

/// The app descriptor, 256 bytes at file offset 32. Source: ESP-IDF `esp_app_desc_t` (`esp_app_desc.h`).
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | magic 0xABCD5432 |
/// | 4 | 4 | [`secure_version`](Self::secure_version) |
/// | 8 | 8 | reserved |
/// | 16 | 32 | [`version`](Self::version) |
/// | 48 | 32 | [`project_name`](Self::project_name) |
/// | 80 | 16 | [`time`](Self::time) |
/// | 96 | 16 | [`date`](Self::date) |
/// | 112 | 32 | [`idf_version`](Self::idf_version) |
/// | 144 | 32 | [`elf_sha256`](Self::elf_sha256) |
/// | 176 | 2 | [`min_efuse_block_revision`](Self::min_efuse_block_revision) |
/// | 178 | 2 | [`max_efuse_block_revision`](Self::max_efuse_block_revision) |
/// | 180 | 1 | [`mmu_page_size_log2`](Self::mmu_page_size_log2) |
/// | 181 | 1 | [`flash_mode`](Self::flash_mode) |
/// | 182 | 74 | reserved |
///
/// Images of the Arduino core carry the *core's* project name and version here, not the application's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppDescriptor {
    /// Anti-rollback version: a device whose fuses say more refuses the image.
    pub secure_version: u32,
    /// The application's version.
    pub version: Text<32>,
    /// The project's name.
    pub project_name: Text<32>,
    /// Time of the build, as the compiler's `__TIME__`.
    pub time: Text<16>,
    /// Date of the build, as the compiler's `__DATE__`.
    pub date: Text<16>,
    /// Version of ESP-IDF.
    pub idf_version: Text<32>,
    /// SHA-256 of the ELF file the image was made from; its first bytes are the `firmware` id of old reports.
    pub elf_sha256: [u8; 32],
    /// Minimal revision of the eFuse block, major * 100 + minor.
    pub min_efuse_block_revision: u16,
    /// Maximal revision of the eFuse block, major * 100 + minor.
    pub max_efuse_block_revision: u16,
    /// Binary logarithm of the MMU's page size; 0 in images of older ESP-IDF, meaning 64 KiB.
    pub mmu_page_size_log2: u8,
    /// Flash mode the application runs with; 0 where unknown.
    pub flash_mode: u8,
    /// Reserved bytes (8..16), kept as read.
    pub reserved_head: [u8; 8],
    /// Reserved bytes (182..256), kept as read.
    pub reserved_tail: [u8; 74],
}

impl AppDescriptor {
    /// Reads the fields; `None` if the magic word is wrong.
    pub fn parse(bytes: &[u8; DESCRIPTOR_BYTES]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if u32::from_le_bytes(fields.take()) != DESCRIPTOR_MAGIC {
            return None;
        }
        let secure_version = u32::from_le_bytes(fields.take());
        let reserved_head = fields.take();
        Some(Self {
            secure_version,
            version: Text(fields.take()),
            project_name: Text(fields.take()),
            time: Text(fields.take()),
            date: Text(fields.take()),
            idf_version: Text(fields.take()),
            elf_sha256: fields.take(),
            min_efuse_block_revision: u16::from_le_bytes(fields.take()),
            max_efuse_block_revision: u16::from_le_bytes(fields.take()),
            mmu_page_size_log2: u8::from_le_bytes(fields.take()),
            flash_mode: u8::from_le_bytes(fields.take()),
            reserved_head,
            reserved_tail: fields.take(),
        })
    }

    /// The 256 bytes.
    pub fn to_bytes(&self) -> [u8; DESCRIPTOR_BYTES] {
        let parts: [&[u8]; 14] = [
            &DESCRIPTOR_MAGIC.to_le_bytes(),
            &self.secure_version.to_le_bytes(),
            &self.reserved_head,
            &self.version.0,
            &self.project_name.0,
            &self.time.0,
            &self.date.0,
            &self.idf_version.0,
            &self.elf_sha256,
            &self.min_efuse_block_revision.to_le_bytes(),
            &self.max_efuse_block_revision.to_le_bytes(),
            &[self.mmu_page_size_log2],
            &[self.flash_mode],
            &self.reserved_tail,
        ];
        let mut bytes = [0; DESCRIPTOR_BYTES];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// The MMU's page size in bytes that the image was laid out for; `None` for a size no chip has.
    pub fn mmu_page_bytes(&self) -> Option<u32> {
        match self.mmu_page_size_log2 {
            0 => Some(64 * 1024),
            log2 @ 13..=18 => Some(1 << log2),
            _ => None,
        }
    }
}

/// What a second-stage bootloader says about itself, 80 bytes at file offset 32, since ESP-IDF 5.2.
/// Source: ESP-IDF `esp_bootloader_desc_t` (`esp_bootloader_desc.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootloaderDescriptor {
    /// Anti-rollback version of the bootloader.
    pub secure_version: u8,
    /// The bootloader's version.
    pub version: u32,
    /// Version of ESP-IDF.
    pub idf_version: Text<32>,
    /// Date and time of the build.
    pub date_time: Text<24>,
}

impl BootloaderDescriptor {
    /// Reads the fields; `None` if the magic byte is wrong.
    pub fn parse(bytes: &[u8; BOOTLOADER_DESCRIPTOR_BYTES]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let [magic, _, _, secure_version] = fields.take();
        (magic == BOOTLOADER_DESCRIPTOR_MAGIC).then(|| Self {
            secure_version,
            version: u32::from_le_bytes(fields.take()),
            idf_version: Text(fields.take()),
            date_time: Text(fields.take()),
        })
    }
}

/// Takes fixed-size fields off the front of a struct's bytes; zeros once they are used up.
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}
