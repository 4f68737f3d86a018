//! Which chip an image is for: ids, names, and the facts about each chip that images depend on.

mod maps;

pub use maps::{ChipFacts, MemoryRange};

use core::fmt;

/// The chip an image was built for, as the image header carries it.
/// Source: ESP-IDF `esp_chip_id_t` (`esp_app_format.h`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChipId(pub u16);

impl ChipId {
    /// ESP32 (Xtensa, two cores).
    pub const ESP32: Self = Self(0x0000);
    /// ESP32-S2 (Xtensa).
    pub const ESP32S2: Self = Self(0x0002);
    /// ESP32-C3 (RISC-V): the chip of Rootcast's demo mesh.
    pub const ESP32C3: Self = Self(0x0005);
    /// ESP32-S3 (Xtensa, two cores).
    pub const ESP32S3: Self = Self(0x0009);
    /// ESP32-C2 (RISC-V), also sold as ESP8684.
    pub const ESP32C2: Self = Self(0x000C);
    /// ESP32-C6 (RISC-V).
    pub const ESP32C6: Self = Self(0x000D);
    /// ESP32-H2 (RISC-V, no Wi-Fi).
    pub const ESP32H2: Self = Self(0x0010);
    /// ESP32-P4 (RISC-V, no radio).
    pub const ESP32P4: Self = Self(0x0012);
    /// ESP32-C61 (RISC-V).
    pub const ESP32C61: Self = Self(0x0014);
    /// ESP32-C5 (RISC-V).
    pub const ESP32C5: Self = Self(0x0017);
    /// ESP32-H21 (RISC-V, no Wi-Fi).
    pub const ESP32H21: Self = Self(0x0019);
    /// ESP32-H4 (RISC-V, no Wi-Fi).
    pub const ESP32H4: Self = Self(0x001C);
    /// ESP32-E22.
    pub const ESP32E22: Self = Self(0x001F);
    /// ESP32-S31 (RISC-V).
    pub const ESP32S31: Self = Self(0x0020);
    /// Rootcast's emulated `virt` board (QEMU riscv32): an id that Espressif does not use.
    pub const VIRT: Self = Self(0xFFFE);

    /// The chip that people call `c3`, `esp32c3`, `ESP32-C3` or `esp32_c3`.
    pub fn from_name(name: &str) -> Option<Self> {
        maps::CHIPS.iter().find(|chip| same_name(name, chip.name)).map(|chip| chip.id)
    }

    /// The chip's name as Espressif writes it (`ESP32-C3`), `None` for an id nobody has assigned.
    pub fn name(self) -> Option<&'static str> {
        self.facts().map(|chip| chip.name)
    }

    /// What is known about the chip; `None` for an id nobody has assigned.
    pub fn facts(self) -> Option<&'static ChipFacts> {
        maps::CHIPS.iter().find(|chip| chip.id == self)
    }

    /// Every chip known here, in the order of esptool's table.
    pub fn all() -> impl Iterator<Item = &'static ChipFacts> {
        maps::CHIPS.iter()
    }
}

/// Compares names without case, hyphens, underscores and spaces, the family prefix `esp32` being optional.
fn same_name(given: &str, name: &str) -> bool {
    fn letters(text: &str) -> impl Iterator<Item = u8> + Clone {
        text.bytes().filter(|byte| !matches!(byte, b'-' | b'_' | b' ')).map(|byte| byte.to_ascii_lowercase())
    }
    let short = name.strip_prefix("ESP32-").unwrap_or(name);
    letters(given).eq(letters(name)) || letters(given).eq(letters(short))
}

impl fmt::Display for ChipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "unknown chip {:#06x}", self.0),
        }
    }
}

impl fmt::Debug for ChipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChipId({:#06x} {})", self.0, self.name().unwrap_or("unknown"))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn people_may_spell_a_chip_as_they_like() {
        for name in ["c3", "C3", "esp32c3", "ESP32-C3", "esp32_c3", "Esp32 C3"] {
            assert_eq!(ChipId::from_name(name), Some(ChipId::ESP32C3), "{name}");
        }
        assert_eq!(ChipId::from_name("esp32"), Some(ChipId::ESP32));
        assert_eq!(ChipId::from_name("c61"), Some(ChipId::ESP32C61));
        assert_eq!(ChipId::from_name("virt"), Some(ChipId::VIRT));
        for name in ["", "32", "c", "c33", "esp8266", "esp32c", "x-c3"] {
            assert_eq!(ChipId::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn every_chip_is_found_by_its_own_name_and_ids_are_distinct() {
        let mut ids = std::collections::BTreeSet::new();
        for chip in ChipId::all() {
            assert_eq!(ChipId::from_name(chip.name), Some(chip.id));
            assert_eq!(chip.id.to_string(), chip.name);
            assert!(ids.insert(chip.id));
        }
        assert_eq!(ChipId(0x1234).to_string(), "unknown chip 0x1234");
    }
}
