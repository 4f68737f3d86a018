//! `rootcast flash`

use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::output::Output;
use crate::size;
use clap::Args;
use rootcast_image::inspect::inspect;
use rootcast_image::partition::TABLE_OFFSET;
use rootcast_image::{AppImage, ChipId, ImageError, ImageVerifier, PAGE_BYTES, PartitionTable, SlotId};
use rootcast_world::factory::{Factory, FactoryError};
use serde::Serialize;
use std::fmt;
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
        let app = files::read(&self.app)?;
        let image = verify(&app).map_err(|error| Error::Image { path: self.app.clone(), error })?;
        let nvs = self.nvs.as_deref().map(files::read).transpose()?;
        let (bootloader, bootloader_offset) = match &self.bootloader {
            Some(path) => {
                let (bootloader, offset) = read_bootloader(path, image.header.chip)?;
                (Some(bootloader), Some(offset))
            }
            None => (None, None),
        };
        let factory = Factory {
            flash_bytes: self.size,
            table: &table,
            app: &app,
            nvs: nvs.as_deref(),
            bootloader: bootloader.as_deref(),
        };
        let flash = factory.build()?;
        let flash = flash.bytes(0..self.size);
        let slot = if table.factory().is_some() { SlotId::Factory } else { SlotId::Ota(0) };
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

pub fn read_table(name: &Path) -> Result<PartitionTable, Error> {
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

fn verify(app: &[u8]) -> Result<AppImage, ImageError> {
    let mut verifier = ImageVerifier::new();
    verifier.push(app)?;
    verifier.finish()
}

/// Reads a bootloader for this chip; says where it goes.
fn read_bootloader(path: &Path, chip: ChipId) -> Result<(Vec<u8>, u32), Error> {
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
    let facts = chip.facts().ok_or(FactoryError::UnknownChip)?;
    Ok((bootloader, facts.bootloader_offset))
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
