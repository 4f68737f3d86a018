//! The lines that flash a board, for esptool and for espflash.

use crate::release::folder::chip_name;
use rootcast_hosting::publish::shell_quote;
use rootcast_image::ChipId;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Lines to copy into a shell. What stands in capital letters is for the reader to fill in.
#[derive(Debug, Serialize)]
pub struct Lines {
    /// A new board: everything.
    new_board: [String; 2],
    /// The same by espflash, in place of the second line.
    new_board_espflash: String,
    /// A board that has its firmware: the configuration alone.
    configuration: String,
    /// The same by espflash.
    configuration_espflash: String,
}

impl Lines {
    /// Lines for an NVS partition that belongs at this offset.
    pub fn new(chip: ChipId, table: &Path, offset: u32, nvs: &Path) -> Self {
        let (name, nvs) = (chip_name(chip), shell_quote(&nvs.display().to_string()));
        let table = shell_quote(&table.display().to_string());
        Self {
            new_board: [
                format!(
                    "rootcast flash --table {table} --app APP.bin --bootloader BOOTLOADER.bin --nvs {nvs} -o factory.bin"
                ),
                format!("esptool --chip {name} write-flash 0x0 factory.bin"),
            ],
            new_board_espflash: format!("espflash write-bin --chip {name} 0x0 factory.bin"),
            configuration: format!("esptool --chip {name} write-flash {offset:#x} {nvs}"),
            configuration_espflash: format!("espflash write-bin --chip {name} {offset:#x} {nvs}"),
        }
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "to flash a new board, with the app and the bootloader of its build:")?;
        for line in &self.new_board {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "  (or by espflash: {})", self.new_board_espflash)?;
        writeln!(f, "to give a board that has its firmware another configuration:")?;
        writeln!(f, "  {}", self.configuration)?;
        writeln!(f, "  (or by espflash: {})", self.configuration_espflash)
    }
}
