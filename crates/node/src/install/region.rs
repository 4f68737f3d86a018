//! Flash with borders: each part of the update can reach its own region and nothing else.

use crate::PAGE_BYTES;
use embedded_storage::nor_flash::NorFlash;
use rootcast_image::Partition;

/// What failed on the flash chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashFault {
    /// Reading failed.
    Read,
    /// Programming failed.
    Write,
    /// Erasing failed.
    Erase,
    /// What was written does not read back.
    ReadBack,
    /// An address outside the region: a mistake in the core, stopped before it does harm.
    OutOfRegion,
}

/// A partition's place. Every access is checked against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte, from the start of the flash.
    pub offset: u32,
    /// Size in bytes, a multiple of 4,096.
    pub size: u32,
}

impl Region {
    /// The place of a partition.
    #[must_use]
    pub const fn of(partition: &Partition) -> Self {
        Self { offset: partition.offset, size: partition.size }
    }

    /// Sectors of 4,096 bytes in it.
    #[must_use]
    pub const fn pages(&self) -> u32 {
        self.size / PAGE_BYTES as u32
    }

    fn absolute(&self, offset: u32, length: usize) -> Result<u32, FlashFault> {
        let length = u32::try_from(length).map_err(|_| FlashFault::OutOfRegion)?;
        let end = offset.checked_add(length).ok_or(FlashFault::OutOfRegion)?;
        if end > self.size {
            return Err(FlashFault::OutOfRegion);
        }
        self.offset.checked_add(offset).ok_or(FlashFault::OutOfRegion)
    }

    /// Reads `into.len()` bytes from `offset` within the region.
    pub(crate) fn read<F: NorFlash>(
        &self,
        flash: &mut F,
        offset: u32,
        into: &mut [u8],
    ) -> Result<(), FlashFault> {
        let address = self.absolute(offset, into.len())?;
        flash.read(address, into).map_err(|_| FlashFault::Read)
    }

    /// Reads any bytes from anywhere within the region, by words of four as flash drivers want it.
    pub(crate) fn read_any<F: NorFlash>(
        &self,
        flash: &mut F,
        offset: u32,
        into: &mut [u8],
    ) -> Result<(), FlashFault> {
        let mut words = [0; 64];
        let mut at = offset;
        let mut rest = into;
        while !rest.is_empty() {
            let skipped = (at % 4) as usize;
            let count = rest.len().min(words.len() - skipped);
            let padded = (skipped + count).next_multiple_of(4);
            let buffer = words.get_mut(..padded).ok_or(FlashFault::OutOfRegion)?;
            self.read(flash, at - skipped as u32, buffer)?;
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(buffer.get(skipped..skipped + count).ok_or(FlashFault::OutOfRegion)?);
            rest = later;
            at += count as u32;
        }
        Ok(())
    }

    /// Programs `bytes` (a multiple of four) at `offset` (a multiple of four) within the region.
    pub(crate) fn write<F: NorFlash>(
        &self,
        flash: &mut F,
        offset: u32,
        bytes: &[u8],
    ) -> Result<(), FlashFault> {
        let address = self.absolute(offset, bytes.len())?;
        flash.write(address, bytes).map_err(|_| FlashFault::Write)
    }

    /// Programs and reads back.
    pub(crate) fn write_checked<F: NorFlash>(
        &self,
        flash: &mut F,
        offset: u32,
        bytes: &[u8],
    ) -> Result<(), FlashFault> {
        self.write(flash, offset, bytes)?;
        if self.holds(flash, offset, bytes)? { Ok(()) } else { Err(FlashFault::ReadBack) }
    }

    /// Whether exactly `bytes` stand at `offset`.
    pub(crate) fn holds<F: NorFlash>(
        &self,
        flash: &mut F,
        offset: u32,
        bytes: &[u8],
    ) -> Result<bool, FlashFault> {
        let mut buffer = [0; 256];
        let mut at = offset;
        for expected in bytes.chunks(buffer.len()) {
            let Some(found) = buffer.get_mut(..expected.len()) else { return Ok(false) };
            self.read(flash, at, found)?;
            if found != expected {
                return Ok(false);
            }
            at += expected.len() as u32;
        }
        Ok(true)
    }

    /// Erases the sector number `page` of the region.
    pub(crate) fn erase_page<F: NorFlash>(&self, flash: &mut F, page: u32) -> Result<(), FlashFault> {
        let offset = page.checked_mul(PAGE_BYTES as u32).ok_or(FlashFault::OutOfRegion)?;
        let address = self.absolute(offset, PAGE_BYTES)?;
        flash.erase(address, address + PAGE_BYTES as u32).map_err(|_| FlashFault::Erase)
    }
}
