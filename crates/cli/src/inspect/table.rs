//! Partition tables.

use super::rows::row;
use crate::size::Binary;
use rootcast_image::{Partition, PartitionTable};
use serde::Serialize;
use std::fmt;

/// A partition table.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// The partitions in table order.
    partitions: Vec<Entry>,
    /// Whether the table carries a checksum (it is right, or the table would not be one).
    md5: bool,
    /// How many OTA slots there are.
    ota_slots: u8,
    /// Why nodes could not be updated with it, if so.
    problem: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Entry {
    label: String,
    #[serde(rename = "type")]
    kind: String,
    subtype: String,
    offset: u32,
    size: u32,
    flags: Vec<String>,
}

impl Table {
    /// Describes a table; `flash_size` in bytes, where it is known.
    pub fn of(table: &PartitionTable, flash_size: Option<u32>) -> Self {
        let problem = match table.check(flash_size.unwrap_or(u32::MAX)) {
            Err(error) => Some(error.to_string()),
            Ok(()) if table.ota_count() < 2 => {
                Some(format!("{} OTA slots, an update needs two", table.ota_count()))
            }
            Ok(()) => None,
        };
        Self {
            partitions: table.partitions.iter().map(Entry::of).collect(),
            md5: table.has_md5,
            ota_slots: table.ota_count(),
            problem,
        }
    }

    /// Whether nodes can be updated with it.
    pub fn is_sound(&self) -> bool {
        self.problem.is_none()
    }
}

impl Entry {
    fn of(partition: &Partition) -> Self {
        // The CSV form has the names of types, subtypes and flags.
        let one = PartitionTable { partitions: [*partition].into_iter().collect(), has_md5: false };
        let csv = one.to_csv();
        let line = csv.lines().last().unwrap_or_default();
        // From the right: a label may be any text.
        let mut fields = line.rsplitn(6, ',');
        let flags = fields.next().unwrap_or_default();
        let (subtype, kind) = (fields.nth(2).unwrap_or_default(), fields.next().unwrap_or_default());
        Self {
            label: partition.label.to_string(),
            kind: kind.to_string(),
            subtype: subtype.to_string(),
            offset: partition.offset,
            size: partition.size,
            flags: flags.split(':').filter(|flag| !flag.is_empty()).map(str::to_string).collect(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(problem) = &self.problem {
            row(f, "NOT UPDATABLE", problem)?;
        }
        for entry in &self.partitions {
            let Entry { kind, subtype, offset, size, .. } = entry;
            let end = u64::from(*offset) + u64::from(*size);
            let size = Binary(*size);
            let flags = entry.flags.join(" ");
            let line = format!("{kind:<5} {subtype:<9} {offset:#010x} to {end:#010x}  {size:>10}  {flags}");
            row(f, &entry.label, line.trim_end())?;
        }
        row(f, "checksum", if self.md5 { "MD5 (valid)" } else { "none" })
    }
}
