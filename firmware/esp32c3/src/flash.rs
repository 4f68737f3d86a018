//! The flash chip, and where in it the running code stands.
//!
//! The chip is driven by the ROM's functions, as `esp-storage` does it (whose release for this generation of esp-hal is
//! not out yet). While they run the cache is off: they and what calls them stand in RAM, and no interrupt comes between.
//! An erase takes about 40 ms, in which the radio's hardware goes on and its software waits.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use esp_hal::ram;
use esp_rom_sys::rom::spiflash::{
    esp_rom_spiflash_erase_sector, esp_rom_spiflash_read, esp_rom_spiflash_unlock, esp_rom_spiflash_write,
};

const SECTOR_BYTES: u32 = 4096;
/// Bytes that go through RAM at a time: source and target must not be in flash, and aligned.
const PIECE_BYTES: usize = 256;

/// The flash chip.
pub struct Flash {
    capacity: u32,
    unlocked: bool,
}

impl Flash {
    /// The one chip. Its size is what the bootloader's image header says, as ESP-IDF does it.
    pub fn new(_: esp_hal::peripherals::FLASH<'static>) -> Self {
        let mut flash = Self { capacity: SECTOR_BYTES, unlocked: false };
        let mut head = [0; 4];
        let size = match flash.read(0, &mut head) {
            Ok(()) if head[0] == 0xE9 => u32::from(head[3] >> 4),
            _ => 2,
        };
        flash.capacity = 1 << (20 + size.min(7));
        flash
    }

    fn check(&self, offset: u32, length: usize, align: u32) -> Result<(), NorFlashErrorKind> {
        let length = u32::try_from(length).map_err(|_| NorFlashErrorKind::OutOfBounds)?;
        if !offset.is_multiple_of(align) || !length.is_multiple_of(align) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        match offset.checked_add(length) {
            Some(end) if end <= self.capacity => Ok(()),
            _ => Err(NorFlashErrorKind::OutOfBounds),
        }
    }

    fn unlock(&mut self) -> Result<(), NorFlashErrorKind> {
        if !self.unlocked {
            done(rom_unlock())?;
            self.unlocked = true;
        }
        Ok(())
    }
}

fn done(code: i32) -> Result<(), NorFlashErrorKind> {
    if code == 0 { Ok(()) } else { Err(NorFlashErrorKind::Other) }
}

// SAFETY of the four: the ROM's functions want aligned RAM and no interrupt, which is what they are given; ranges were
// checked against the chip's size.

#[ram]
fn rom_unlock() -> i32 {
    critical_section::with(|_| unsafe { esp_rom_spiflash_unlock() })
}

#[ram]
fn rom_read(offset: u32, words: &mut [u32], bytes: u32) -> i32 {
    critical_section::with(|_| unsafe { esp_rom_spiflash_read(offset, words.as_mut_ptr(), bytes) })
}

#[ram]
fn rom_write(offset: u32, words: &[u32], bytes: u32) -> i32 {
    critical_section::with(|_| unsafe { esp_rom_spiflash_write(offset, words.as_ptr(), bytes) })
}

#[ram]
fn rom_erase(sector: u32) -> i32 {
    critical_section::with(|_| unsafe { esp_rom_spiflash_erase_sector(sector) })
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.check(offset, bytes.len(), 4)?;
        let mut words = [0; PIECE_BYTES / 4];
        for (at, piece) in (offset..).step_by(PIECE_BYTES).zip(bytes.chunks_mut(PIECE_BYTES)) {
            done(rom_read(at, &mut words, piece.len() as u32))?;
            for (to, word) in piece.chunks_exact_mut(4).zip(&words) {
                to.copy_from_slice(&word.to_le_bytes());
            }
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.capacity as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR_BYTES as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.check(from, to.saturating_sub(from) as usize, SECTOR_BYTES)?;
        self.unlock()?;
        (from / SECTOR_BYTES..to / SECTOR_BYTES).try_for_each(|sector| done(rom_erase(sector)))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.check(offset, bytes.len(), 4)?;
        self.unlock()?;
        let mut words = [0; PIECE_BYTES / 4];
        for (at, piece) in (offset..).step_by(PIECE_BYTES).zip(bytes.chunks(PIECE_BYTES)) {
            for (word, from) in words.iter_mut().zip(piece.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*from);
            }
            done(rom_write(at, &words, piece.len() as u32))?;
        }
        Ok(())
    }
}

/// Bytes of a page of flash that the cache maps.
const PAGE_BYTES: u32 = 0x1_0000;

/// The flash address of this very function: what runs, whatever otadata says. `u32::MAX` if the cache does not map it:
/// no slot has this address, and updates are then refused.
#[inline(never)]
pub fn code_address() -> u32 {
    let here = code_address as *const () as u32;
    mapped_page(here).map_or(u32::MAX, |page| page * PAGE_BYTES + here % PAGE_BYTES)
}

/// The page of flash that the cache maps at an address, by its table of 128 words (ESP-IDF `DR_REG_MMU_TABLE`).
#[cfg(feature = "esp32c3")]
fn mapped_page(address: u32) -> Option<u32> {
    const TABLE: *const u32 = 0x600C_5000 as *const u32;
    /// Set in an entry that maps nothing (`MMU_INVALID`).
    const INVALID: u32 = 1 << 8;
    /// Address bits below the 8 MiB that instructions and data share (`SOC_MMU_VADDR_MASK`).
    const WINDOW: u32 = 0x7F_FFFF;
    let index = (address & WINDOW) / PAGE_BYTES;
    // SAFETY: reading the table of the cache that this instruction was fetched through; `index` is below 128.
    let entry = unsafe { TABLE.add(index as usize).read_volatile() };
    (entry & INVALID == 0).then_some(entry & 0xFF)
}

/// The page of flash that the cache maps at an address. Its table is behind two registers (ESP-IDF
/// `SPI_MEM_MMU_ITEM_INDEX_REG` and `SPI_MEM_MMU_ITEM_CONTENT_REG` of SPI0).
#[cfg(feature = "esp32c6")]
fn mapped_page(address: u32) -> Option<u32> {
    const INDEX: *mut u32 = 0x6000_2380 as *mut u32;
    const CONTENT: *const u32 = 0x6000_237C as *const u32;
    /// Set in an entry that maps something (`SOC_MMU_VALID`).
    const VALID: u32 = 1 << 9;
    /// Address bits below the 16 MiB that instructions and data share (`SOC_MMU_VADDR_MASK`).
    const WINDOW: u32 = 0xFF_FFFF;
    let index = (address & WINDOW) / PAGE_BYTES;
    // SAFETY: choosing an entry to read changes no mapping; nothing comes between the two, as it would choose another.
    let entry = critical_section::with(|_| unsafe {
        INDEX.write_volatile(index);
        CONTENT.read_volatile()
    });
    (entry & VALID != 0).then_some(entry & 0xFF)
}

/// The chip's revision, major × 100 + minor.
pub fn chip_revision() -> u16 {
    let revision = esp_hal::efuse::chip_revision();
    u16::from(revision.major) * 100 + u16::from(revision.minor)
}
