//! ESP-IDF's second-stage bootloader on a virtual chip.
//!
//! What it decides is `rootcast_image::boot`'s; what this module adds is the chip: images are verified as they stand
//! there, and otadata is written by the same erases and programs that power can cut.

use crate::flash::{FlashError, Guard, SECTOR_BYTES, Sector, VirtualFlash};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use rootcast_image::boot::{BootDecision, BootRules, Slots, decide};
use rootcast_image::descriptor::{DESCRIPTOR_BYTES, DESCRIPTOR_OFFSET};
use rootcast_image::otadata::OTA_ENTRY_BYTES;
use rootcast_image::partition::{TABLE_BYTES, TABLE_OFFSET};
use rootcast_image::{
    AppDescriptor, AppImage, ChipId, ImageVerifier, OtaData, OtaEntry, Partition, PartitionError,
    PartitionTable, SlotId, Target,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// A bootloader as it was built, for a chip as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootloader {
    /// Rollback and anti-rollback. Rollback is off in most bootloaders in the field.
    pub rules: BootRules,
    /// The chip.
    pub chip: ChipId,
    /// The chip's revision, major × 100 + minor.
    pub chip_revision: u16,
}

/// What the bootloader started.
#[derive(Clone, Debug)]
pub struct Booted {
    /// The slot that runs.
    pub slot: SlotId,
    /// A flash address that the running code executes from.
    pub code_address: u32,
    /// The image that runs.
    pub image: Arc<AppImage>,
    /// The partition table.
    pub table: Arc<PartitionTable>,
    /// What was decided and written.
    pub decision: BootDecision,
}

/// Why nothing runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootFailure {
    /// The chip failed, or power went.
    #[error("the flash failed in the bootloader: {0}")]
    Flash(#[from] FlashError),
    /// No valid partition table at 0x8000.
    #[error("no partition table: {0}")]
    PartitionTable(#[from] PartitionError),
    /// No slot holds an image that verifies: the device is bricked.
    #[error("no bootable app partition")]
    NothingBoots,
}

impl Bootloader {
    /// A bootloader with rollback on or off.
    #[must_use]
    pub const fn new(chip: ChipId, rollback: bool) -> Self {
        Self { rules: BootRules::rollback(rollback), chip, chip_revision: 0 }
    }

    /// One start: decides, writes otadata where the rules say so, and names what runs. The guard of the chip is left
    /// as the application needs it: otadata, NVS and the slot for updates may be written.
    ///
    /// # Errors
    /// [`BootFailure`]; [`BootFailure::NothingBoots`] is a brick.
    pub fn start(&self, flash: &mut VirtualFlash, images: &mut ImageCache) -> Result<Booted, BootFailure> {
        let table = images.table(flash)?;
        flash.set_guard(Guard::bootloader(&table));
        let otadata = read_otadata(flash, &table)?;
        let mut slots = SlotsOnFlash { flash, table: &table, images, loader: self, last: None };
        let decision = decide(&table, &otadata, &mut slots, self.rules);
        let booted = slots.last.take();
        for write in &decision.writes {
            write_record(flash, &table, write.index, &write.entry)?;
        }
        let (Some(slot), Some((verified, image))) = (decision.slot, booted) else {
            return Err(BootFailure::NothingBoots);
        };
        debug_assert_eq!(slot, verified, "the slot that boots is the last one that verified");
        let code_address = table.slot(slot).map_or(0, |partition| partition.offset + DESCRIPTOR_OFFSET);
        flash.set_guard(Guard::node(&table, slot));
        Ok(Booted { slot, code_address, image, table, decision })
    }
}

/// Reads both records as the bootloader does; a chip without otadata has none.
fn read_otadata(flash: &mut VirtualFlash, table: &PartitionTable) -> Result<OtaData, FlashError> {
    let Some(partition) = table.otadata().filter(|partition| partition.size >= 2 * SECTOR_BYTES as u32)
    else {
        return Ok(OtaData::ERASED);
    };
    let mut records = [[0; OTA_ENTRY_BYTES]; 2];
    for (record, at) in records.iter_mut().zip((partition.offset..).step_by(SECTOR_BYTES)) {
        flash.read(at, record)?;
    }
    Ok(OtaData::parse(&records[0], &records[1]))
}

/// `rewrite_ota_seq` (`esp_ota_ops.c`) and `write_otadata` (`bootloader_utility.c`): erase, then program 32 bytes.
fn write_record(
    flash: &mut VirtualFlash,
    table: &PartitionTable,
    index: usize,
    entry: &OtaEntry,
) -> Result<(), FlashError> {
    let Some(partition) = table.otadata() else { return Ok(()) };
    let at = partition.offset + (index * SECTOR_BYTES) as u32;
    flash.erase(at, at + SECTOR_BYTES as u32)?;
    if *entry == OtaEntry::ERASED { Ok(()) } else { flash.write(at, &entry.to_bytes()) }
}

/// What the bootloader finds when it looks.
struct SlotsOnFlash<'a> {
    flash: &'a mut VirtualFlash,
    table: &'a PartitionTable,
    images: &'a mut ImageCache,
    loader: &'a Bootloader,
    last: Option<(SlotId, Arc<AppImage>)>,
}

impl Slots for SlotsOnFlash<'_> {
    fn is_valid(&mut self, slot: SlotId) -> bool {
        let Some(partition) = self.table.slot(slot) else { return false };
        let target = Target {
            chip: self.loader.chip,
            revision: self.loader.chip_revision,
            secure_version: 0,
            slot_size: partition.size,
        };
        let image = self.images.verify(self.flash, partition, target);
        let valid = image.is_some();
        if let Some(image) = image {
            self.last = Some((slot, image));
        }
        valid
    }

    fn secure_version(&mut self, slot: SlotId) -> Option<u32> {
        let partition = self.table.slot(slot)?;
        let mut bytes = [0; DESCRIPTOR_BYTES];
        self.flash.read(partition.offset + DESCRIPTOR_OFFSET, &mut bytes).ok()?;
        AppDescriptor::parse(&bytes).map(|descriptor| descriptor.secure_version)
    }
}

/// Remembers which sectors hold which verified image, so that a slot that has not changed is not hashed at every start.
///
/// Sectors are told apart by identity: copy-on-write makes a changed one another one. What is remembered is kept alive
/// here, so that no other sector can take its place in memory.
#[derive(Debug, Default)]
pub struct ImageCache {
    /// By the address of the first sector.
    verdicts: HashMap<usize, Vec<Remembered>>,
    count: usize,
    tables: Vec<(Arc<Sector>, Arc<PartitionTable>)>,
}

#[derive(Debug)]
struct Remembered {
    target: Target,
    /// The sectors that decided.
    sectors: Vec<Option<Arc<Sector>>>,
    verdict: Option<Arc<AppImage>>,
}

/// Verdicts kept at most; then all are forgotten and learnt anew.
const MAX_REMEMBERED: usize = 512;

impl ImageCache {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The partition table on the chip.
    ///
    /// # Errors
    /// [`BootFailure::Flash`] and [`BootFailure::PartitionTable`].
    pub fn table(&mut self, flash: &mut VirtualFlash) -> Result<Arc<PartitionTable>, BootFailure> {
        let range = TABLE_OFFSET..TABLE_OFFSET + TABLE_BYTES as u32;
        let sector = flash.sectors().sector(TABLE_OFFSET as usize / SECTOR_BYTES).cloned();
        let steady = flash.is_steady_in(&range) && flash.is_powered();
        if let Some(sector) = sector.as_ref().filter(|_| steady)
            && let Some((_, table)) = self.tables.iter().find(|(known, _)| Arc::ptr_eq(known, sector))
        {
            return Ok(Arc::clone(table));
        }
        let mut bytes = [0; TABLE_BYTES];
        flash.read(TABLE_OFFSET, &mut bytes)?;
        let table = Arc::new(PartitionTable::parse(&bytes)?);
        if let Some(sector) = sector.filter(|_| steady) {
            if self.tables.len() >= MAX_REMEMBERED {
                self.tables.clear();
            }
            self.tables.push((sector, Arc::clone(&table)));
        }
        Ok(table)
    }

    /// The image at the start of a partition, if a whole one verifies there and fits `target`.
    pub fn verify(
        &mut self,
        flash: &mut VirtualFlash,
        partition: &Partition,
        target: Target,
    ) -> Option<Arc<AppImage>> {
        let range = partition.offset..partition.offset.checked_add(partition.size)?;
        if range.end > flash.sectors().size() || !flash.is_powered() {
            return None;
        }
        if !flash.is_steady_in(&range) {
            return verify(flash, range, target).0;
        }
        // An erased first sector cannot hold an image.
        let key = Arc::as_ptr(flash.sectors().slice(&range).first()?.as_ref()?).addr();
        let same = |remembered: &Remembered| {
            let found = flash.sectors().slice(&range).iter();
            remembered.target == target
                && remembered.sectors.iter().zip(found).all(|pair| is_same(pair.0, pair.1))
        };
        if let Some(known) = self.verdicts.get(&key).and_then(|known| known.iter().find(|known| same(known)))
        {
            return known.verdict.clone();
        }
        let (verdict, sectors) = verify(flash, range.clone(), target);
        if self.count >= MAX_REMEMBERED {
            self.verdicts.clear();
            self.count = 0;
        }
        self.count += 1;
        let sectors = flash.sectors().slice(&range).iter().take(sectors).cloned().collect();
        self.verdicts.entry(key).or_default().push(Remembered { target, sectors, verdict: verdict.clone() });
        verdict
    }
}

fn is_same(a: &Option<Arc<Sector>>, b: &Option<Arc<Sector>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// Verifies what stands there, and says how many sectors were looked at.
fn verify(flash: &mut VirtualFlash, range: Range<u32>, target: Target) -> (Option<Arc<AppImage>>, usize) {
    let mut verifier = ImageVerifier::for_target(target);
    let mut sector = [0; SECTOR_BYTES];
    for (index, address) in range.step_by(SECTOR_BYTES).enumerate() {
        if flash.read(address, &mut sector).is_err() || verifier.push(&sector).is_err() {
            return (None, index + 1);
        }
        if verifier.is_complete() {
            return (verifier.finish().ok().map(Arc::new), index + 1);
        }
    }
    (None, usize::MAX)
}
