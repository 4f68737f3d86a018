//! The table of chips: memory maps, flash frequencies, bootloader offsets, flash-mapped ranges.
//!
//! Facts as esptool 5.6 states them in its chip definitions (`esptool/targets/*.py`: `MEMORY_MAP`, `FLASH_FREQUENCY`,
//! `BOOTLOADER_FLASH_OFFSET`, `IROM_MAP_*`, `DROM_MAP_*`), in its order: the order in which it names the types of a
//! segment. A test compares this table with an installed esptool.

use super::ChipId;

/// A range of addresses and what esptool calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First address.
    pub start: u32,
    /// First address after the range.
    pub end: u32,
    /// esptool's name of the memory type: `DROM`, `IRAM`, `RTC_DATA`, …
    pub name: &'static str,
}

impl MemoryRange {
    /// Whether the address lies in the range.
    pub const fn contains(&self, address: u32) -> bool {
        self.start <= address && address < self.end
    }
}

/// What images depend on, per chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipFacts {
    /// The id in the image header.
    pub id: ChipId,
    /// Espressif's spelling.
    pub name: &'static str,
    /// Where the second-stage bootloader lies in the flash, in bytes.
    pub bootloader_offset: u32,
    /// Address ranges whose segments the bootloader maps through the flash cache instead of copying them to RAM.
    pub mapped: &'static [(u32, u32)],
    /// Values of the header's frequency nibble and their names.
    pub flash_frequencies: &'static [(u8, &'static str)],
    /// Names of address ranges; they overlap.
    pub memory: &'static [MemoryRange],
}

impl ChipFacts {
    /// Whether a segment loaded at `address` is mapped through the flash cache.
    pub fn is_mapped(&self, address: u32) -> bool {
        self.mapped.iter().any(|&(start, end)| start <= address && address < end)
    }

    /// esptool's names for the memory at `address`, in its order.
    pub fn memory_types(&self, address: u32) -> impl Iterator<Item = &'static str> + Clone {
        self.memory.iter().filter(move |range| range.contains(address)).map(|range| range.name)
    }
}

const fn range(start: u32, end: u32, name: &'static str) -> MemoryRange {
    MemoryRange { start, end, name }
}

/// Every chip, newest facts last checked with esptool 5.6.
pub(super) static CHIPS: &[ChipFacts] = &[
    ChipFacts {
        id: ChipId::ESP32,
        name: "ESP32",
        bootloader_offset: 0x1000,
        mapped: &[(0x3F40_0000, 0x3F80_0000), (0x400D_0000, 0x4040_0000)],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m"), (0x1, "26m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x3F40_0000, 0x3F80_0000, "DROM"),
            range(0x3F80_0000, 0x3FC0_0000, "EXTRAM_DATA"),
            range(0x3FF8_0000, 0x3FF8_2000, "RTC_DRAM"),
            range(0x3FF9_0000, 0x4000_0000, "BYTE_ACCESSIBLE"),
            range(0x3FFA_E000, 0x4000_0000, "DRAM"),
            range(0x3FFE_0000, 0x3FFF_FFFC, "DIRAM_DRAM"),
            range(0x4000_0000, 0x4007_0000, "IROM"),
            range(0x4007_0000, 0x4007_8000, "CACHE_PRO"),
            range(0x4007_8000, 0x4008_0000, "CACHE_APP"),
            range(0x4008_0000, 0x400A_0000, "IRAM"),
            range(0x400A_0000, 0x400B_FFFC, "DIRAM_IRAM"),
            range(0x400C_0000, 0x400C_2000, "RTC_IRAM"),
            range(0x400D_0000, 0x4040_0000, "IROM"),
            range(0x5000_0000, 0x5000_2000, "RTC_DATA"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32S2,
        name: "ESP32-S2",
        bootloader_offset: 0x1000,
        mapped: &[(0x3F00_0000, 0x3F3F_0000), (0x4008_0000, 0x40B8_0000)],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m"), (0x1, "26m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x3F00_0000, 0x3FF8_0000, "DROM"),
            range(0x3F50_0000, 0x3FF8_0000, "EXTRAM_DATA"),
            range(0x3FF9_E000, 0x3FFA_0000, "RTC_DRAM"),
            range(0x3FF9_E000, 0x4000_0000, "BYTE_ACCESSIBLE"),
            range(0x3FF9_E000, 0x4007_2000, "MEM_INTERNAL"),
            range(0x3FFB_0000, 0x4000_0000, "DRAM"),
            range(0x4000_0000, 0x4001_A100, "IROM_MASK"),
            range(0x4002_0000, 0x4007_0000, "IRAM"),
            range(0x4007_0000, 0x4007_2000, "RTC_IRAM"),
            range(0x4008_0000, 0x4080_0000, "IROM"),
            range(0x5000_0000, 0x5000_2000, "RTC_DATA"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32S3,
        name: "ESP32-S3",
        bootloader_offset: 0x0,
        mapped: &[(0x3C00_0000, 0x3E00_0000), (0x4200_0000, 0x4400_0000)],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m"), (0x1, "26m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x3C00_0000, 0x3D00_0000, "DROM"),
            range(0x3D00_0000, 0x3E00_0000, "EXTRAM_DATA"),
            range(0x600F_E000, 0x6010_0000, "RTC_DRAM"),
            range(0x3FC8_8000, 0x3FD0_0000, "BYTE_ACCESSIBLE"),
            range(0x3FC8_8000, 0x403E_2000, "MEM_INTERNAL"),
            range(0x3FC8_8000, 0x3FD0_0000, "DRAM"),
            range(0x4000_0000, 0x4001_A100, "IROM_MASK"),
            range(0x4037_0000, 0x403E_0000, "IRAM"),
            range(0x600F_E000, 0x6010_0000, "RTC_IRAM"),
            range(0x4200_0000, 0x4280_0000, "IROM"),
            range(0x5000_0000, 0x5000_2000, "RTC_DATA"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32C3,
        name: "ESP32-C3",
        bootloader_offset: 0x0,
        mapped: &[(0x3C00_0000, 0x3C80_0000), (0x4200_0000, 0x4280_0000)],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m"), (0x1, "26m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x3C00_0000, 0x3C80_0000, "DROM"),
            range(0x3FC8_0000, 0x3FCE_0000, "DRAM"),
            range(0x3FC8_8000, 0x3FD0_0000, "BYTE_ACCESSIBLE"),
            range(0x3FF0_0000, 0x3FF2_0000, "DROM_MASK"),
            range(0x4000_0000, 0x4006_0000, "IROM_MASK"),
            range(0x4200_0000, 0x4280_0000, "IROM"),
            range(0x4037_C000, 0x403E_0000, "IRAM"),
            range(0x5000_0000, 0x5000_2000, "RTC_IRAM"),
            range(0x5000_0000, 0x5000_2000, "RTC_DRAM"),
            range(0x600F_E000, 0x6010_0000, "MEM_INTERNAL2"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32C2,
        name: "ESP32-C2",
        bootloader_offset: 0x0,
        mapped: &[(0x3C00_0000, 0x3C40_0000), (0x4200_0000, 0x4240_0000)],
        flash_frequencies: &[(0xf, "60m"), (0x0, "30m"), (0x1, "20m"), (0x2, "15m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x3C00_0000, 0x3C40_0000, "DROM"),
            range(0x3FCA_0000, 0x3FCE_0000, "DRAM"),
            range(0x3FC8_8000, 0x3FD0_0000, "BYTE_ACCESSIBLE"),
            range(0x3FF0_0000, 0x3FF5_0000, "DROM_MASK"),
            range(0x4000_0000, 0x4009_0000, "IROM_MASK"),
            range(0x4200_0000, 0x4240_0000, "IROM"),
            range(0x4037_C000, 0x403C_0000, "IRAM"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32C6,
        name: "ESP32-C6",
        bootloader_offset: 0x0,
        mapped: &[(0x4280_0000, 0x4300_0000), (0x4200_0000, 0x4280_0000)],
        flash_frequencies: &[(0x0, "80m"), (0x0, "40m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x4200_0000, 0x4300_0000, "DROM"),
            range(0x4080_0000, 0x4088_0000, "DRAM"),
            range(0x4080_0000, 0x4088_0000, "BYTE_ACCESSIBLE"),
            range(0x4004_AC00, 0x4005_0000, "DROM_MASK"),
            range(0x4000_0000, 0x4004_AC00, "IROM_MASK"),
            range(0x4200_0000, 0x4300_0000, "IROM"),
            range(0x4080_0000, 0x4088_0000, "IRAM"),
            range(0x5000_0000, 0x5000_4000, "RTC_IRAM"),
            range(0x5000_0000, 0x5000_4000, "RTC_DRAM"),
            range(0x600F_E000, 0x6010_0000, "MEM_INTERNAL2"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32C61,
        name: "ESP32-C61",
        bootloader_offset: 0x0,
        mapped: &[(0x4280_0000, 0x4300_0000), (0x4200_0000, 0x4280_0000)],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x4200_0000, 0x4400_0000, "DROM"),
            range(0x4080_0000, 0x4086_0000, "DRAM"),
            range(0x4080_0000, 0x4086_0000, "BYTE_ACCESSIBLE"),
            range(0x4004_AC00, 0x4005_0000, "DROM_MASK"),
            range(0x4000_0000, 0x4004_AC00, "IROM_MASK"),
            range(0x4200_0000, 0x4400_0000, "IROM"),
            range(0x4080_0000, 0x4086_0000, "IRAM"),
            range(0x5000_0000, 0x5000_4000, "RTC_IRAM"),
            range(0x5000_0000, 0x5000_4000, "RTC_DRAM"),
            range(0x600F_E000, 0x6010_0000, "MEM_INTERNAL2"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32C5,
        name: "ESP32-C5",
        bootloader_offset: 0x2000,
        mapped: &[(0x4200_0000, 0x4400_0000)],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x4200_0000, 0x4400_0000, "DROM"),
            range(0x4080_0000, 0x4086_0000, "DRAM"),
            range(0x4080_0000, 0x4086_0000, "BYTE_ACCESSIBLE"),
            range(0x4003_A000, 0x4004_0000, "DROM_MASK"),
            range(0x4000_0000, 0x4003_A000, "IROM_MASK"),
            range(0x4200_0000, 0x4400_0000, "IROM"),
            range(0x4080_0000, 0x4086_0000, "IRAM"),
            range(0x5000_0000, 0x5000_4000, "RTC_IRAM"),
            range(0x5000_0000, 0x5000_4000, "RTC_DRAM"),
            range(0x600F_E000, 0x6010_0000, "MEM_INTERNAL2"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32E22,
        name: "ESP32-E22",
        bootloader_offset: 0x0,
        mapped: &[(0x3C00_0000, 0x4000_0000)],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m"), (0x1, "26m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x3C00_0000, 0x4000_0000, "DROM"),
            range(0x3100_0000, 0x3120_0000, "DRAM"),
            range(0x3100_0000, 0x3120_0000, "BYTE_ACCESSIBLE"),
            range(0x3000_0000, 0x3012_0000, "DROM_MASK"),
            range(0x3000_0000, 0x3012_0000, "IROM_MASK"),
            range(0x3C00_0000, 0x4000_0000, "IROM"),
            range(0x30FE_0000, 0x3120_0000, "IRAM"),
            range(0xC000_0000, 0xC000_8000, "RTC_IRAM"),
            range(0xC000_0000, 0xC000_8000, "RTC_DRAM"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32H2,
        name: "ESP32-H2",
        bootloader_offset: 0x0,
        mapped: &[(0x4280_0000, 0x4300_0000), (0x4200_0000, 0x4280_0000)],
        flash_frequencies: &[(0xf, "48m"), (0x0, "24m"), (0x1, "16m"), (0x2, "12m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x4200_0000, 0x4300_0000, "DROM"),
            range(0x4080_0000, 0x4088_0000, "DRAM"),
            range(0x4080_0000, 0x4088_0000, "BYTE_ACCESSIBLE"),
            range(0x4004_AC00, 0x4005_0000, "DROM_MASK"),
            range(0x4000_0000, 0x4004_AC00, "IROM_MASK"),
            range(0x4200_0000, 0x4300_0000, "IROM"),
            range(0x4080_0000, 0x4088_0000, "IRAM"),
            range(0x5000_0000, 0x5000_4000, "RTC_IRAM"),
            range(0x5000_0000, 0x5000_4000, "RTC_DRAM"),
            range(0x600F_E000, 0x6010_0000, "MEM_INTERNAL2"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32H21,
        name: "ESP32-H21",
        bootloader_offset: 0x0,
        mapped: &[(0x4200_0000, 0x4300_0000)],
        flash_frequencies: &[(0xf, "48m"), (0x0, "24m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x4200_0000, 0x4300_0000, "DROM"),
            range(0x4080_0000, 0x4085_0000, "DRAM"),
            range(0x4080_0000, 0x4085_0000, "BYTE_ACCESSIBLE"),
            range(0x4000_0000, 0x4002_0000, "DROM_MASK"),
            range(0x4000_0000, 0x4002_0000, "IROM_MASK"),
            range(0x4200_0000, 0x4300_0000, "IROM"),
            range(0x4080_0000, 0x4085_0000, "IRAM"),
            range(0x5000_0000, 0x5000_1000, "RTC_IRAM"),
            range(0x5000_0000, 0x5000_1000, "RTC_DRAM"),
            range(0x4080_0000, 0x4085_0000, "MEM_INTERNAL"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32P4,
        name: "ESP32-P4",
        bootloader_offset: 0x2000,
        mapped: &[(0x4000_0000, 0x4C00_0000)],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m"), (0x1, "26m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x4000_0000, 0x4C00_0000, "DROM"),
            range(0x4FF0_0000, 0x4FFA_0000, "DRAM"),
            range(0x4FF0_0000, 0x4FFA_0000, "BYTE_ACCESSIBLE"),
            range(0x4FC0_0000, 0x4FC2_0000, "DROM_MASK"),
            range(0x4FC0_0000, 0x4FC2_0000, "IROM_MASK"),
            range(0x4000_0000, 0x4C00_0000, "IROM"),
            range(0x4FF0_0000, 0x4FFA_0000, "IRAM"),
            range(0x5010_8000, 0x5011_0000, "RTC_IRAM"),
            range(0x5010_8000, 0x5011_0000, "RTC_DRAM"),
            range(0x600F_E000, 0x6010_0000, "MEM_INTERNAL2"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32H4,
        name: "ESP32-H4",
        bootloader_offset: 0x2000,
        mapped: &[(0x4200_0000, 0x4400_0000)],
        flash_frequencies: &[(0xf, "48m"), (0x0, "24m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x4200_0000, 0x4400_0000, "DROM"),
            range(0x4081_0000, 0x4086_0000, "DRAM"),
            range(0x4081_0000, 0x4086_0000, "BYTE_ACCESSIBLE"),
            range(0x4000_0000, 0x4002_0000, "DROM_MASK"),
            range(0x4000_0000, 0x4002_0000, "IROM_MASK"),
            range(0x4200_0000, 0x4400_0000, "IROM"),
            range(0x4081_0000, 0x4086_0000, "IRAM"),
            range(0x4081_0000, 0x4086_0000, "MEM_INTERNAL"),
        ],
    },
    ChipFacts {
        id: ChipId::ESP32S31,
        name: "ESP32-S31",
        bootloader_offset: 0x2000,
        mapped: &[(0x4000_0000, 0x5400_0000)],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m"), (0x2, "20m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x4000_0000, 0x5400_0000, "DROM"),
            range(0x2F00_0000, 0x2F08_0000, "DRAM"),
            range(0x2F00_0000, 0x2F08_0000, "BYTE_ACCESSIBLE"),
            range(0x2F80_0000, 0x2F85_0000, "DROM_MASK"),
            range(0x2F80_0000, 0x2F85_0000, "IROM_MASK"),
            range(0x4000_0000, 0x5400_0000, "IROM"),
            range(0x2F00_0000, 0x2F08_0000, "IRAM"),
            range(0x2E00_0000, 0x2E00_8000, "RTC_IRAM"),
            range(0x2E00_0000, 0x2E00_8000, "RTC_DRAM"),
        ],
    },
    // Rootcast's emulated board: QEMU `virt` has no flash cache and 256 MiB of address space for its flash banks.
    ChipFacts {
        id: ChipId::VIRT,
        name: "virt",
        bootloader_offset: 0,
        mapped: &[],
        flash_frequencies: &[(0xf, "80m"), (0x0, "40m")],
        memory: &[
            range(0x0000_0000, 0x0001_0000, "PADDING"),
            range(0x2000_0000, 0x2400_0000, "DROM"),
            range(0x2000_0000, 0x2400_0000, "IROM"),
            range(0x8000_0000, 0xA000_0000, "DRAM"),
            range(0x8000_0000, 0xA000_0000, "IRAM"),
        ],
    },
];
