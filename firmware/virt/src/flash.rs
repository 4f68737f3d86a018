//! The flash chip: the first 4 MiB of the machine's second CFI NOR bank, which QEMU keeps in a file.
//!
//! **Sectors.** The bank erases 256 KiB at a time, an ESP's flash 4 KiB. Emulating small sectors by rewriting large
//! ones would put 63 innocent sectors at stake in every erase, which no chip does. QEMU, however, lets a program command
//! set bits as well as clear them. So an erase of 4 KiB is done as four writes of ones, 1,024 bytes each, and power that
//! goes in the middle leaves the sector erased in part and its neighbours as they were: as on a chip.
//!
//! **NOR's rule**, which QEMU does not enforce, is enforced here: a write that would have to set a bit is refused.
//!
//! Writes go through the chip's write buffer, 256 words at a time; each reaches the file before the next begins.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// Bytes of the chip.
pub const FLASH_BYTES: u32 = 4 << 20;
const BANK: usize = 0x2200_0000;
const SECTOR: u32 = 4096;
/// Bytes of the write buffer that are used at a time.
const BUFFER: u32 = 1024;

// Commands of the Intel extended command set, as QEMU's pflash_cfi01 takes them.
const READ_ARRAY: u32 = 0xFF;
const WRITE_TO_BUFFER: u32 = 0xE8;
const CONFIRM: u32 = 0xD0;
const CLEAR_STATUS: u32 = 0x50;
const READ_STATUS: u32 = 0x70;
/// Program or erase failed, voltage low, block locked.
const FAILED: u32 = 0x3A;

/// The flash chip.
pub struct Flash(());

impl Flash {
    /// The one chip.
    ///
    /// # Safety
    /// To be called once: two drivers would disturb each other's commands.
    pub const unsafe fn new() -> Self {
        Self(())
    }

    fn word(offset: u32) -> *mut u32 {
        (BANK + (offset & !3) as usize) as *mut u32
    }

    fn inside(offset: u32, length: usize) -> Result<(), NorFlashErrorKind> {
        let end = u32::try_from(length).ok().and_then(|length| offset.checked_add(length));
        if end.is_some_and(|end| end <= FLASH_BYTES) { Ok(()) } else { Err(NorFlashErrorKind::OutOfBounds) }
    }

    /// Programs up to [`BUFFER`] bytes that lie in one buffer's range, whatever stood there.
    fn program(
        &mut self,
        offset: u32,
        words: &mut dyn Iterator<Item = u32>,
        count: u32,
    ) -> Result<(), NorFlashErrorKind> {
        let at = Self::word(offset);
        // SAFETY: the addresses were checked to lie in the bank; the sequence is that of the command set.
        let status = unsafe {
            at.write_volatile(CLEAR_STATUS);
            at.write_volatile(WRITE_TO_BUFFER);
            at.write_volatile(count - 1);
            for (index, word) in words.enumerate() {
                at.add(index).write_volatile(word);
            }
            at.write_volatile(CONFIRM);
            at.write_volatile(READ_STATUS);
            let status = at.read_volatile();
            at.write_volatile(READ_ARRAY);
            status
        };
        if status & FAILED == 0 { Ok(()) } else { Err(NorFlashErrorKind::Other) }
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        Self::inside(offset, bytes.len())?;
        if !offset.is_multiple_of(4) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        for (index, piece) in bytes.chunks_mut(4).enumerate() {
            // SAFETY: inside the bank, which is in array mode between two commands.
            let word = unsafe { Self::word(offset).add(index).read_volatile() }.to_le_bytes();
            piece.copy_from_slice(word.get(..piece.len()).unwrap_or(&[]));
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        FLASH_BYTES as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        if !from.is_multiple_of(SECTOR) || !to.is_multiple_of(SECTOR) || to < from {
            return Err(NorFlashErrorKind::NotAligned);
        }
        Self::inside(from, (to - from) as usize)?;
        for offset in (from..to).step_by(BUFFER as usize) {
            self.program(offset, &mut core::iter::repeat_n(u32::MAX, BUFFER as usize / 4), BUFFER / 4)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        Self::inside(offset, bytes.len())?;
        let (words, rest) = bytes.as_chunks::<4>();
        if !offset.is_multiple_of(4) || !rest.is_empty() {
            return Err(NorFlashErrorKind::NotAligned);
        }
        let word = |at: &[u8; 4]| u32::from_le_bytes(*at);
        for (index, new) in words.iter().enumerate() {
            // SAFETY: as in `read`.
            let old = unsafe { Self::word(offset).add(index).read_volatile() };
            if word(new) & !old != 0 {
                log::error!("flash: write at {:#x} would have to set bits", offset + index as u32 * 4);
                return Err(NorFlashErrorKind::Other);
            }
        }
        let mut at = offset;
        let mut left = words;
        while !left.is_empty() {
            // Up to the end of the buffer's range.
            let room = ((BUFFER - at % BUFFER) / 4) as usize;
            let (now, later) = left.split_at(room.min(left.len()));
            self.program(at, &mut now.iter().map(word), now.len() as u32)?;
            at += now.len() as u32 * 4;
            left = later;
        }
        Ok(())
    }
}
