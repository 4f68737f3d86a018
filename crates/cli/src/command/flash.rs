//! `rootcast flash`

use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::output::Output;
use crate::size;
use clap::Args;
use rootcast_image::inspect::inspect;
use rootcast_image::partition::TABLE_OFFSET;
use rootcast_image::{
    AppImage, ChipId, ImageError, ImageVerifier, PAGE_BYTES, Partition, PartitionTable, SlotId,
};
use serde::Serialize;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Make a factory flash image: partition table, app, configuration
///
/// The app goes to the factory slot if the table has one, else to ota_0; otadata stays erased, so that slot boots. With
/// a bootloader the image runs on a board (esptool write-flash 0x0 FLASH.bin); virtual nodes need none.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast flash --app build/app.bin -o node.flash
  rootcast flash --table partitions.csv --app build/app.bin --nvs nvs.bin \\
      --bootloader build/bootloader/bootloader.bin -o factory.bin")]
pub struct Flash {
    /// Partition table: a CSV or binary file, or `default` or `original` for a 4 MB flash with two slots of 1408 KiB
    #[arg(long, value_name = "TABLE", default_value = "default")]
    table: PathBuf,

    /// The app image
    #[arg(long, value_name = "APP.bin")]
    app: PathBuf,

    /// Content of the nvs partition
    #[arg(long, value_name = "NVS.bin")]
    nvs: Option<PathBuf>,

    /// Second-stage bootloader, for boards
    #[arg(long, value_name = "BIN")]
    bootloader: Option<PathBuf>,

    /// Size of the flash
    #[arg(long, default_value = "4MB", value_parser = size::parse)]
    size: u32,

    /// The flash image
    #[arg(short, long, value_name = "FLASH.bin")]
    output: PathBuf,
}

/// The largest flash there is, in bytes.
const MAX_FLASH_BYTES: u32 = 128 << 20;

#[derive(Serialize)]
struct Made {
    file: PathBuf,
    size: u32,
    chip: String,
    slot: String,
    image_hash: String,
    bootloader_offset: Option<u32>,
}

impl Flash {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let least = TABLE_OFFSET + PAGE_BYTES;
        if !self.size.is_multiple_of(PAGE_BYTES) || !(least..=MAX_FLASH_BYTES).contains(&self.size) {
            let text = format!("a flash has a multiple of 4096 bytes, 36 KiB to 128 MiB, not {}", self.size);
            return Err(Error::Usage(text));
        }
        let table = read_table(&self.table)?;
        let table_failed = |error| Error::Table { path: self.table.clone(), error };
        table.check(self.size).map_err(table_failed)?;
        let mut flash = vec![0xFF; self.size as usize];
        let table_bytes = table.to_bytes().map_err(table_failed)?;
        put(&mut flash, TABLE_OFFSET, PAGE_BYTES, "the partition table's sector", &self.table, &table_bytes)?;

        let (slot, partition) = first_slot(&table).ok_or(Error::NoPartition { what: "slot for an app" })?;
        let app = files::read(&self.app)?;
        let image = verify(&app).map_err(|error| Error::Image { path: self.app.clone(), error })?;
        put(&mut flash, partition.offset, partition.size, &format!("the slot {slot}"), &self.app, &app)?;

        if let Some(path) = &self.nvs {
            let partition = table.nvs().ok_or(Error::NoPartition { what: "nvs partition" })?;
            let nvs = files::read(path)?;
            put(&mut flash, partition.offset, partition.size, "the nvs partition", path, &nvs)?;
        }
        let bootloader_offset = match &self.bootloader {
            Some(path) => Some(put_bootloader(&mut flash, path, image.header.chip)?),
            None => None,
        };
        files::write(&self.output, &flash, Existing::Replace, Readers::Default)?;
        output.show(&Made {
            file: self.output,
            size: self.size,
            chip: image.header.chip.to_string(),
            slot: slot.to_string(),
            image_hash: image.hash.to_string(),
            bootloader_offset,
        })
    }
}

fn read_table(name: &Path) -> Result<PartitionTable, Error> {
    match name.to_str() {
        Some("default") => return Ok(PartitionTable::default_4mb()),
        Some("original") => return Ok(PartitionTable::original_4mb()),
        _ => {}
    }
    let bytes = files::read(name)?;
    let path = name.to_path_buf();
    match std::str::from_utf8(&bytes) {
        Ok(text) => PartitionTable::from_csv(text).map_err(|error| Error::Csv { path, error }),
        Err(_) => PartitionTable::parse(&bytes).map_err(|error| Error::Table { path, error }),
    }
}

/// Where a new node's app goes, as the bootloader starts it with erased otadata.
fn first_slot(table: &PartitionTable) -> Option<(SlotId, &Partition)> {
    [SlotId::Factory, SlotId::Ota(0)].into_iter().find_map(|slot| Some((slot, table.slot(slot)?)))
}

fn verify(app: &[u8]) -> Result<AppImage, ImageError> {
    let mut verifier = ImageVerifier::new();
    verifier.push(app)?;
    verifier.finish()
}

/// Puts a bootloader where its chip expects it; returns the offset.
fn put_bootloader(flash: &mut [u8], path: &Path, chip: ChipId) -> Result<u32, Error> {
    let failed = |error| Error::Image { path: path.to_path_buf(), error };
    let bootloader = files::read(path)?;
    let found = inspect(&bootloader).map_err(failed)?;
    if found.header.chip != chip {
        return Err(failed(ImageError::WrongChip { expected: chip, found: found.header.chip }));
    }
    if found.descriptor.is_some() {
        let (found, advice) = ("an app image, not a bootloader", "Give build/bootloader/bootloader.bin.");
        return Err(Error::Unknown { path: path.to_path_buf(), found, advice });
    }
    if let (Some(stored), computed) = (found.checksum.stored, found.checksum.computed)
        && stored != computed
    {
        return Err(failed(ImageError::Checksum { stored, computed }));
    }
    let Some(facts) = chip.facts() else {
        return Err(Error::Usage(format!("where a bootloader for {chip} goes is not known")));
    };
    let offset = facts.bootloader_offset;
    put(flash, offset, TABLE_OFFSET - offset, "the bootloader's area", path, &bootloader)?;
    Ok(offset)
}

/// Puts bytes into the flash, if they fit in the `room` at `offset`.
fn put(
    flash: &mut [u8],
    offset: u32,
    room: u32,
    place: &str,
    path: &Path,
    bytes: &[u8],
) -> Result<(), Error> {
    let no_room =
        || Error::NoRoom { path: path.to_path_buf(), length: bytes.len(), place: place.to_string(), room };
    let start = offset as usize;
    let range: Range<usize> = start..start + bytes.len();
    if bytes.len() > room as usize {
        return Err(no_room());
    }
    flash.get_mut(range).ok_or_else(no_room)?.copy_from_slice(bytes);
    Ok(())
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "made {}: {} of flash for {}", self.file.display(), size::Binary(self.size), self.chip)?;
        writeln!(f, "  boots         {}", self.slot)?;
        writeln!(f, "  image hash    {}", self.image_hash)?;
        match self.bootloader_offset {
            Some(offset) => writeln!(f, "  bootloader    at {offset:#x}"),
            None => writeln!(f, "  bootloader    none: for virtual nodes only"),
        }
    }
}
