//! Whole flash images: partition table, otadata with the boot decision, every slot, NVS.

use super::app::Image;
use super::nvs;
use super::otadata::{self, Records};
use super::rows::row;
use super::table::Table;
use crate::size::Binary;
use rootcast_image::boot::{self, BootDecision, BootRules};
use rootcast_image::partition::TABLE_OFFSET;
use rootcast_image::{ImageVerifier, OtaData, Partition, PartitionError, PartitionTable, SlotId};
use rootcast_trust::KeyDigest;
use serde::Serialize;
use std::fmt;

/// A flash image.
#[derive(Clone, Debug, Serialize)]
pub struct Flash {
    size: usize,
    bootloader: Option<Bootloader>,
    partition_table: Table,
    otadata: Option<Records>,
    boot: Vec<Boot>,
    slots: Vec<Slot>,
    nvs: Option<nvs::Summary>,
}

#[derive(Clone, Debug, Serialize)]
struct Bootloader {
    offset: u32,
    image: Image,
}

/// What a bootloader would do.
#[derive(Clone, Debug, Serialize)]
struct Boot {
    /// Whether the bootloader was built with `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`.
    rollback: bool,
    /// The slot that runs; `None` if nothing boots.
    slot: Option<String>,
    /// The slot that otadata asks for.
    selected: Option<String>,
    /// Whether another slot runs than otadata asks for.
    fell_back: bool,
    /// What the bootloader writes to otadata before.
    writes: Vec<Write>,
}

#[derive(Clone, Debug, Serialize)]
struct Write {
    record: usize,
    sequence: u32,
    state: String,
}

#[derive(Clone, Debug, Serialize)]
struct Slot {
    slot: String,
    label: String,
    offset: u32,
    size: u32,
    /// Nothing was ever written there.
    erased: bool,
    image: Option<Image>,
    /// Why there is no image.
    problem: Option<String>,
}

/// The table of a flash image, if there is one where it should be.
pub fn table(file: &[u8]) -> Result<PartitionTable, PartitionError> {
    PartitionTable::parse(file.get(TABLE_OFFSET as usize..).unwrap_or_default())
}

impl Flash {
    /// Describes a flash image whose table was found.
    pub fn of(file: &[u8], table: &PartitionTable, trusted: &[KeyDigest]) -> Self {
        let records = table.otadata().and_then(|it| otadata::parse(bytes_of(file, it)));
        let decisions = [false, true].map(|rollback| {
            let mut is_valid = |slot| table.slot(slot).is_some_and(|it| verifies(bytes_of(file, it)));
            let otadata = records.unwrap_or(OtaData::ERASED);
            Boot::of(rollback, &boot::decide(table, &otadata, &mut is_valid, BootRules::rollback(rollback)))
        });
        Self {
            size: file.len(),
            bootloader: bootloader(file),
            partition_table: Table::of(table, u32::try_from(file.len()).ok()),
            otadata: records.map(|records| Records::of(&records, Some(table.ota_count()))),
            boot: decisions.into(),
            slots: table
                .partitions
                .iter()
                .filter_map(|it| Slot::of(it, bytes_of(file, it), trusted))
                .collect(),
            nvs: table.nvs().map(|it| nvs::Summary::of(bytes_of(file, it))),
        }
    }

    /// Whether it can run on a board.
    pub fn has_bootloader(&self) -> bool {
        self.bootloader.is_some()
    }

    /// What keeps a node with this flash from running or from being updated.
    pub fn flaw(&self) -> Option<&'static str> {
        let is_whole = |slot: &Slot| slot.image.as_ref().is_some_and(|image| image.problem.is_none());
        if self.boot.iter().any(|boot| boot.slot.is_none()) {
            Some("nothing in it boots")
        } else if self.slots.iter().any(|slot| !slot.erased && !is_whole(slot)) {
            Some("a slot holds something that is no whole image")
        } else if !self.partition_table.is_sound() {
            Some("nodes cannot be updated with its partition table")
        } else {
            None
        }
    }
}

/// The part of the file that belongs to a partition; shorter where the file ends.
fn bytes_of<'a>(file: &'a [u8], partition: &Partition) -> &'a [u8] {
    let start = (partition.offset as usize).min(file.len());
    let end = start.saturating_add(partition.size as usize).min(file.len());
    &file[start..end]
}

/// Whether the bootloader would start what lies there.
fn verifies(slot: &[u8]) -> bool {
    let mut verifier = ImageVerifier::new();
    verifier.push(slot).is_ok() && verifier.finish().is_ok()
}

/// The bootloader, at one of the offsets that chips have it.
fn bootloader(file: &[u8]) -> Option<Bootloader> {
    [0, 0x1000, 0x2000].into_iter().find_map(|offset| {
        let area = file.get(offset as usize..TABLE_OFFSET as usize)?;
        let image = Image::read(area, &[]).ok()?;
        image.app.is_none().then_some(Bootloader { offset, image })
    })
}

impl Boot {
    fn of(rollback: bool, decision: &BootDecision) -> Self {
        let name = |slot: Option<SlotId>| slot.map(|slot| slot.to_string());
        Self {
            rollback,
            slot: name(decision.slot),
            selected: name(decision.selected),
            fell_back: decision.fell_back,
            writes: decision
                .writes
                .iter()
                .map(|write| Write {
                    record: write.index,
                    sequence: write.entry.sequence,
                    state: otadata::state_name(write.entry.state),
                })
                .collect(),
        }
    }
}

impl Slot {
    fn of(partition: &Partition, bytes: &[u8], trusted: &[KeyDigest]) -> Option<Self> {
        let slot = partition.slot()?;
        let erased = bytes.iter().all(|&byte| byte == 0xFF);
        let (image, problem) = match Image::read(bytes, trusted) {
            Ok(image) => (Some(image), None),
            Err(_) if erased => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        Some(Self {
            slot: slot.to_string(),
            label: partition.label.to_string(),
            offset: partition.offset,
            size: partition.size,
            erased,
            image,
            problem,
        })
    }
}

impl fmt::Display for Flash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bootloader {
            Some(it) => row(f, "bootloader", format_args!("at {:#x}: {}", it.offset, it.image.summary()))?,
            None => row(f, "bootloader", "none (virtual nodes need none)")?,
        }
        for boot in &self.boot {
            let name = if boot.rollback { "with rollback" } else { "boots" };
            row(f, name, boot)?;
        }
        writeln!(f, "partition table at {TABLE_OFFSET:#x}")?;
        self.partition_table.fmt(f)?;
        if let Some(records) = &self.otadata {
            writeln!(f, "otadata")?;
            records.fmt(f)?;
        }
        for slot in &self.slots {
            slot.fmt(f)?;
        }
        if let Some(nvs) = &self.nvs {
            writeln!(f, "nvs")?;
            nvs.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.slot, &self.selected) {
            (None, _) => write!(f, "NOTHING: no slot holds a whole image")?,
            (Some(slot), Some(selected)) if self.fell_back => {
                write!(f, "{slot}, because {selected}, which otadata asks for, holds no whole image")?
            }
            (Some(slot), _) => write!(f, "{slot}")?,
        }
        for write in &self.writes {
            write!(f, ", after record {} becomes sequence {} {}", write.record, write.sequence, write.state)?;
        }
        Ok(())
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} at {:#x}, {}", self.slot, self.offset, Binary(self.size))?;
        let Some(image) = &self.image else {
            let problem = self.problem.as_deref().unwrap_or("erased");
            return row(f, if self.erased { "image" } else { "NO IMAGE" }, problem);
        };
        row(f, "image", image.summary())?;
        if let Some(problem) = &image.problem {
            row(f, "REFUSED", problem)?;
        }
        row(f, "image hash", image.hash())?;
        match &image.signature {
            Some(signature) => signature.fmt(f),
            None => row(f, "signature", "none"),
        }
    }
}
