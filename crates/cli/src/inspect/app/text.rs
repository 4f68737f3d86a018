//! App images as people read them.

use super::Image;
use crate::inspect::rows::row;
use std::fmt;

/// A name, or what stands for one that nobody gave.
fn or_unknown(name: Option<&'static str>) -> &'static str {
    name.unwrap_or("unknown")
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.problem, self.app.is_some() || self.bootloader.is_none()) {
            (Some(problem), true) => row(f, "REFUSED", problem)?,
            (Some(_), false) => row(f, "not an app", "this is a bootloader: it cannot be sent to nodes")?,
            (None, _) => {}
        }
        if let Some(app) = &self.app {
            row(f, "project", &app.project_name)?;
            row(f, "version", &app.version)?;
            row(f, "built", format_args!("{} with ESP-IDF {}", app.compile_time, app.idf_version))?;
        }
        if let Some(bootloader) = &self.bootloader {
            row(f, "bootloader", format_args!("version {}", bootloader.version))?;
            row(
                f,
                "built",
                format_args!("{} with ESP-IDF {}", bootloader.compile_time, bootloader.idf_version),
            )?;
        }
        row(f, "image size", format_args!("{} bytes", self.image_size))?;
        self.fmt_checks(f)?;
        let (min, max) = (self.min_revision, self.max_revision);
        row(
            f,
            "chip revisions",
            format_args!("v{min} to v{max} (legacy minimum {})", self.min_revision_legacy),
        )?;
        let (mode, frequency) = (or_unknown(self.flash_mode), or_unknown(self.flash_frequency));
        row(f, "flash", format_args!("{mode}, {frequency}, {}", or_unknown(self.flash_size)))?;
        row(f, "entry", format_args!("{:#010x}", self.entry))?;
        if let Some(app) = &self.app {
            let (min, max) = (app.min_efuse_block_revision, app.max_efuse_block_revision);
            row(f, "eFuse revisions", format_args!("v{min} to v{max}"))?;
            row(f, "secure version", app.secure_version)?;
            row(f, "ELF SHA-256", &app.elf_sha256)?;
        }
        for segment in &self.segments {
            let (index, length, address) = (segment.index, segment.length, segment.load_address);
            row(
                f,
                &format!("segment {index}"),
                format_args!(
                    "{length:#9x} bytes to {address:#010x}, file offset {:#010x}  {}",
                    segment.file_offset,
                    segment.memory.join(", ")
                ),
            )?;
        }
        match &self.signature {
            Some(signature) => signature.fmt(f),
            None => row(f, "signature", "none"),
        }
    }
}

impl Image {
    fn fmt_checks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checksum = &self.checksum;
        match (checksum.stored, checksum.valid) {
            (Some(stored), true) => row(f, "checksum", format_args!("{stored:#04x} (valid)"))?,
            (Some(stored), false) => row(
                f,
                "checksum",
                format_args!("{stored:#04x} (INVALID: computed {:#04x})", checksum.computed),
            )?,
            (None, _) => row(f, "checksum", format_args!("missing (computed {:#04x})", checksum.computed))?,
        }
        match (&self.hash.stored, self.hash.valid) {
            (Some(stored), Some(true)) => row(f, "image hash", format_args!("{stored} (valid)")),
            (Some(stored), _) => {
                row(f, "image hash", format_args!("{stored} (INVALID)"))?;
                row(f, "computed", &self.hash.computed)
            }
            (None, None) => row(f, "image hash", format_args!("{} (not appended)", self.hash.computed)),
            (None, _) => row(f, "image hash", format_args!("missing (computed {})", self.hash.computed)),
        }
    }

    /// One line: what it is and whether it is sound.
    pub fn summary(&self) -> String {
        let what = match (&self.app, &self.bootloader) {
            (Some(app), _) => format!("{} {}", app.project_name, app.version),
            (None, Some(bootloader)) => format!("bootloader, ESP-IDF {}", bootloader.idf_version),
            (None, None) => "no description".to_string(),
        };
        format!("{} image, {} bytes: {what}", self.chip, self.image_size)
    }

    /// Whether checksum and hash are right.
    pub fn is_whole(&self) -> bool {
        self.checksum.valid && self.hash.valid != Some(false)
    }

    /// The image hash.
    pub fn hash(&self) -> &str {
        &self.hash.computed
    }
}
