//! The board's program as an ESP-IDF app image.

use rootcast_image::ChipId;
use rootcast_image::descriptor::DESCRIPTOR_BYTES;
use rootcast_image::writer::AppImageBuilder;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The programs of the board.
pub struct Programs {
    /// The boot stub's ELF file, which QEMU loads.
    pub boot: PathBuf,
    segments: Vec<Segment>,
    entry: u32,
}

impl Programs {
    /// Finds the built programs: in `ROOTCAST_FIRMWARE_DIR`, or where `build-chip.sh` puts them by default.
    ///
    /// # Errors
    /// Says how to build them.
    pub fn find() -> io::Result<Self> {
        let folder = std::env::var_os("ROOTCAST_FIRMWARE_DIR").map_or_else(
            || {
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("../../target/firmware-virt/riscv32imc-unknown-none-elf/release")
            },
            PathBuf::from,
        );
        let app = fs::read(folder.join("virt-app")).map_err(|error| {
            let hint = "build it: firmware/build-chip.sh rootcast-virt ../target/firmware-virt";
            io::Error::new(error.kind(), format!("{}: {error}; {hint}", folder.display()))
        })?;
        let (entry, segments) =
            load_segments(&app).ok_or_else(|| io::Error::other("virt-app is no 32-bit ELF file"))?;
        Ok(Self { boot: folder.join("virt-boot"), segments, entry })
    }

    /// The application as an image of this version. Versions that end in `-crash` or `-hang` do so.
    pub fn image(&self, version: &str) -> Vec<u8> {
        let mut builder =
            AppImageBuilder::new(ChipId::VIRT).project("rootcast-virt").version(version).entry(self.entry);
        for (index, (address, data)) in self.segments.iter().enumerate() {
            // The writer puts the descriptor in front of the first segment: the linker script leaves room there.
            let address = if index == 0 { address - DESCRIPTOR_BYTES as u32 } else { *address };
            builder = builder.segment(address, data);
        }
        builder.build().expect("an image of a few segments is possible")
    }
}

/// Where a segment goes, and its bytes.
type Segment = (u32, Vec<u8>);

/// Entry and loadable segments of a little-endian ELF32 file (System V ABI, chapter 5).
fn load_segments(elf: &[u8]) -> Option<(u32, Vec<Segment>)> {
    let word = |at: usize| Some(u32::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u16::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    if elf.get(..6)? != b"\x7fELF\x01\x01" {
        return None;
    }
    let (entry, table, size, count) = (word(24)?, word(28)? as usize, half(42)?, half(44)?);
    let mut segments = Vec::new();
    for index in 0..usize::from(count) {
        let at = table + index * usize::from(size);
        let (kind, offset, address, length) = (word(at)?, word(at + 4)?, word(at + 12)?, word(at + 16)?);
        if kind == 1 && length > 0 {
            segments.push((address, elf.get(offset as usize..)?.get(..length as usize)?.to_vec()));
        }
    }
    segments.sort_by_key(|(address, _)| *address);
    Some((entry, segments))
}
