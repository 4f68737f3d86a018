//! `rootcast-flash-image CHIP ELF APP.bin [NVS.bin FLASH.bin]`: the program as an ESP-IDF app image, and, with a provisioned
//! NVS partition, everything that a new board's flash holds in one file: bootloader (espflash's), partition table,
//! NVS, application.
//!
//! The image is made by espflash; this crate puts the parts together and looks at them once more.

use espflash::flasher::{FlashData, FlashFrequency, FlashMode, FlashSettings, FlashSize};
use espflash::image_format::Segment;
use espflash::image_format::idf::IdfBootloaderFormat;
use espflash::target::{Chip, XtalFrequency};
use rootcast_image::partition::TABLE_OFFSET;
use rootcast_image::{ChipId, ImageVerifier, PartitionTable, SlotId, Target};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const FLASH_BYTES: usize = 4 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let paths: Vec<&Path> = arguments.iter().map(Path::new).collect();
    let outcome = match paths[..] {
        [chip, elf, app] => make(chip, elf, app, None),
        [chip, elf, app, nvs, flash] => make(chip, elf, app, Some((nvs, flash))),
        _ => {
            eprintln!("usage: rootcast-flash-image CHIP ELF APP.bin [NVS.bin FLASH.bin]");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rootcast-flash-image: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The chips that the firmware is made for, with the revision that most boards have.
fn chip_named(name: &Path) -> Result<(Chip, ChipId, u16), String> {
    match name.to_str() {
        Some("esp32c3") => Ok((Chip::Esp32c3, ChipId::ESP32C3, 4)),
        Some("esp32c6") => Ok((Chip::Esp32c6, ChipId::ESP32C6, 0)),
        _ => Err(format!("{}: the firmware is for esp32c3 and esp32c6", name.display())),
    }
}

fn make(chip: &Path, elf: &Path, app: &Path, merged: Option<(&Path, &Path)>) -> Result<(), Box<dyn Error>> {
    let (chip, chip_id, revision) = chip_named(chip)?;
    let program = fs::read(elf).map_err(|error| format!("{}: {error}", elf.display()))?;
    let table = PartitionTable::default_4mb();
    let table_bytes = table.to_bytes()?;
    let mut table_file = tempfile::NamedTempFile::new()?;
    table_file.write_all(&table_bytes)?;

    let settings =
        FlashSettings::new(Some(FlashMode::Dio), Some(FlashSize::_4Mb), Some(FlashFrequency::_80Mhz));
    let data = FlashData::new(settings, 0, None, chip, XtalFrequency::_40Mhz);
    let format =
        IdfBootloaderFormat::new(&program, &data, Some(table_file.path()), None, None, Some("ota_0"))?;
    let image: Vec<u8> = format.clone().ota_segments().flat_map(|segment| segment.data().to_vec()).collect();
    check(&image, &table, chip_id, revision)?;
    fs::write(app, &image).map_err(|error| format!("{}: {error}", app.display()))?;

    if let Some((nvs, flash)) = merged {
        let nvs_bytes = fs::read(nvs).map_err(|error| format!("{}: {error}", nvs.display()))?;
        let whole = merge(format.flash_segments(), &table, &table_bytes, &nvs_bytes)
            .map_err(|error| format!("{}: {error}", nvs.display()))?;
        write_secret(flash, &whole).map_err(|error| format!("{}: {error}", flash.display()))?;
    }
    Ok(())
}

/// Readable by its owner alone: the partition `nvs` holds passwords and the mesh's key.
fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(bytes)
}

/// What the node itself would ask of an image, before anybody flashes it.
fn check(image: &[u8], table: &PartitionTable, chip: ChipId, revision: u16) -> Result<(), Box<dyn Error>> {
    let slot = table.slot(SlotId::Ota(0)).ok_or("the table has no ota_0")?;
    let target = Target { chip, revision, secure_version: 0, slot_size: slot.size };
    let mut verifier = ImageVerifier::for_target(target);
    verifier.push(image)?;
    verifier.finish()?;
    Ok(())
}

fn merge<'a>(
    segments: impl Iterator<Item = Segment<'a>>,
    table: &PartitionTable,
    table_bytes: &[u8],
    nvs: &[u8],
) -> Result<Vec<u8>, String> {
    let place = table.nvs().ok_or("the table has no nvs")?;
    if nvs.len() != place.size as usize {
        return Err(format!("has {} bytes; the partition nvs has {}", nvs.len(), place.size));
    }
    let mut whole = vec![0xFF; FLASH_BYTES];
    let mut put = |at: u32, bytes: &[u8]| {
        let room = whole.get_mut(at as usize..).and_then(|rest| rest.get_mut(..bytes.len()));
        room.map(|room| room.copy_from_slice(bytes))
            .ok_or(format!("{} bytes at {at:#x} do not fit", bytes.len()))
    };
    for segment in segments {
        put(segment.addr, segment.data())?;
    }
    put(place.offset, nvs)?;
    // Ours, to the byte, with the checksum that ESP-IDF looks at.
    put(TABLE_OFFSET, table_bytes)?;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_image_has_everything_where_the_table_says_and_nothing_selected() {
        let table = PartitionTable::default_4mb();
        let parts = [Segment::new(0, &[0xE9, 1]), Segment::new(0x1_0000, &[0xE9, 2])];
        let whole = merge(parts.into_iter(), &table, &table.to_bytes().unwrap(), &[7; 20 * 1024]).unwrap();
        assert_eq!(whole.len(), FLASH_BYTES);
        assert_eq!((&whole[..2], &whole[0x1_0000..0x1_0002]), (&[0xE9, 1][..], &[0xE9, 2][..]));
        assert!(PartitionTable::parse(whole[0x8000..][..0xC00].try_into().unwrap()).is_ok());
        assert_eq!(whole[0x9000..0xE000], [7; 20 * 1024]);
        assert!(whole[0xE000..0x1_0000].iter().all(|byte| *byte == 0xFF), "otadata is empty: ota_0 starts");
    }

    #[test]
    fn an_nvs_image_of_another_size_is_refused() {
        let table = PartitionTable::default_4mb();
        assert!(merge(std::iter::empty(), &table, &[], &[0; 16 * 1024]).is_err());
    }
}
