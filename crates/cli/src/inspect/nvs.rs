//! NVS partitions: how full, and which keys. Values are never shown: among them are passwords.

use super::rows::row;
use esp_nvs::mem_flash::MemFlash;
use esp_nvs::raw::ItemType;
use esp_nvs::{Key, Nvs};
use rootcast_image::PAGE_BYTES;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// An NVS partition.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Sectors of the partition.
    pages: usize,
    /// Sectors that hold something.
    pages_used: usize,
    /// Entries that hold something.
    entries_used: u32,
    /// Key and type, by namespace.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Why it cannot be read, if so.
    problem: Option<String>,
}

/// Word 0 of a page that is in use, full, being freed, or corrupt (`nvs_page.hpp`, `PageState`).
const PAGE_STATES: [u32; 5] = [0xFFFF_FFFE, 0xFFFF_FFFC, 0xFFFF_FFF8, 0xFFFF_FFF0, 0];
/// Byte 8 of a page: version 1 or 2.
const PAGE_VERSIONS: [u8; 2] = [0xFF, 0xFE];

/// Whether the bytes of a file are most likely an NVS partition: whole sectors, the first of which is a page in use.
pub fn looks_like_it(file: &[u8]) -> bool {
    let whole = !file.is_empty() && file.len().is_multiple_of(PAGE_BYTES as usize);
    whole && is_page(file) && file.len() / PAGE_BYTES as usize <= usize::from(u16::MAX)
}

/// Whether a page with the right header CRC begins there (bytes 4..28, `nvs_page.cpp`).
fn is_page(page: &[u8]) -> bool {
    let Some(header) = page.first_chunk::<32>() else { return false };
    let &[s0, s1, s2, s3, .., c0, c1, c2, c3] = header;
    PAGE_STATES.contains(&u32::from_le_bytes([s0, s1, s2, s3]))
        && PAGE_VERSIONS.contains(&header[8])
        && rootcast_image::crc::crc32_seed_ones(&header[4..28]) == u32::from_le_bytes([c0, c1, c2, c3])
}

impl Summary {
    /// Reads a partition.
    pub fn of(partition: &[u8]) -> Self {
        let whole = partition.len() / PAGE_BYTES as usize * PAGE_BYTES as usize;
        let partition = &partition[..whole];
        let used = partition.chunks(PAGE_BYTES as usize).filter(|page| page.iter().any(|&byte| byte != 0xFF));
        let mut summary =
            Self { pages: whole / PAGE_BYTES as usize, pages_used: used.count(), ..Self::default() };
        if summary.pages_used > 0
            && let Err(error) = summary.read(partition)
        {
            summary.problem = Some(error.to_string());
        }
        summary
    }

    /// Whether it can be read; an erased one can.
    pub fn is_sound(&self) -> bool {
        self.problem.is_none()
    }

    fn read(&mut self, partition: &[u8]) -> Result<(), esp_nvs::error::Error> {
        // Reading cleans up what a power cut left behind, in this copy.
        let mut nvs = Nvs::new(0, partition.len(), MemFlash::from_bytes(partition.to_vec()))?;
        self.entries_used = nvs.statistics()?.entries_overall.written;
        for entry in nvs.typed_entries() {
            let (namespace, key, kind) = entry?;
            self.namespaces.entry(text(&namespace)).or_default().insert(text(&key), type_name(kind));
        }
        Ok(())
    }
}

/// ESP-IDF's name of a type (`nvs_type_t`).
fn type_name(kind: ItemType) -> String {
    match kind {
        ItemType::Sized => "string".to_string(),
        ItemType::Blob | ItemType::BlobData | ItemType::BlobIndex => "blob".to_string(),
        number => format!("{number:?}").to_lowercase(),
    }
}

/// A key without control characters.
fn text(key: &Key) -> String {
    key.as_str().chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(problem) = &self.problem {
            row(f, "UNREADABLE", problem)?;
        }
        match self.pages_used {
            0 => row(f, "pages", format_args!("{}, all erased", self.pages))?,
            used => row(
                f,
                "pages",
                format_args!("{used} of {} in use, {} entries", self.pages, self.entries_used),
            )?,
        }
        for (namespace, keys) in &self.namespaces {
            let keys: Vec<String> = keys.iter().map(|(key, kind)| format!("{key} ({kind})")).collect();
            row(f, namespace, keys.join(", "))?;
        }
        Ok(())
    }
}
