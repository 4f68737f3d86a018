//! The bytes of a flash chip as copy-on-write sectors.

use super::cut::{self, CutPoint};
use super::record::{Operation, OperationKind};
use crate::random::Random;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a sector, the unit of erasing: ESP-IDF's `SPI_FLASH_SEC_SIZE`.
pub const SECTOR_BYTES: usize = 4096;

/// One sector.
pub type Sector = [u8; SECTOR_BYTES];

pub(super) const SIZE: u32 = SECTOR_BYTES as u32;

static ERASED: Sector = [0xFF; SECTOR_BYTES];

/// The content of a chip. A clone shares every sector until one of the two changes it; erased sectors take no memory.
///
/// Addresses and lengths beyond the end are the caller's mistake and panic: [`VirtualFlash`](super::VirtualFlash)
/// checks before it asks.
#[derive(Clone, Debug)]
pub struct Sectors {
    sectors: Vec<Option<Arc<Sector>>>,
}

impl Sectors {
    /// An erased chip of at least `bytes` bytes, rounded up to whole sectors.
    #[must_use]
    pub fn erased(bytes: u32) -> Self {
        Self { sectors: vec![None; bytes.div_ceil(SIZE) as usize] }
    }

    /// A chip with this content, the last sector filled up with 0xFF.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let sectors = bytes.chunks(SECTOR_BYTES).map(|chunk| {
            let mut sector = ERASED;
            sector[..chunk.len()].copy_from_slice(chunk);
            (sector != ERASED).then(|| Arc::new(sector))
        });
        Self { sectors: sectors.collect() }
    }

    /// Bytes of the chip.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.sectors.len() as u32 * SIZE
    }

    /// Sector number `index`; `None` where it is erased or does not exist.
    #[must_use]
    pub fn sector(&self, index: usize) -> Option<&Arc<Sector>> {
        self.sectors.get(index)?.as_ref()
    }

    /// The sectors that a range of addresses touches.
    #[must_use]
    pub fn slice(&self, range: &Range<u32>) -> &[Option<Arc<Sector>>] {
        &self.sectors[(range.start / SIZE) as usize..range.end.div_ceil(SIZE) as usize]
    }

    /// Copies bytes out.
    pub fn read(&self, address: u32, into: &mut [u8]) {
        for (at, piece) in pieces_mut(address, into) {
            let sector = self.sectors[(at / SIZE) as usize].as_deref().unwrap_or(&ERASED);
            let within = (at % SIZE) as usize;
            piece.copy_from_slice(&sector[within..within + piece.len()]);
        }
    }

    /// The bytes of a range.
    #[must_use]
    pub fn bytes(&self, range: Range<u32>) -> Vec<u8> {
        let mut bytes = vec![0; range.len()];
        self.read(range.start, &mut bytes);
        bytes
    }

    /// Puts bytes there whatever stood there before, as a factory's programmer does. Not an operation of the chip.
    pub fn load(&mut self, address: u32, bytes: &[u8]) {
        for (at, piece) in pieces(address, bytes) {
            let within = (at % SIZE) as usize;
            self.sector_mut(at)[within..within + piece.len()].copy_from_slice(piece);
        }
    }

    /// Erases the sector that holds `address`.
    pub(super) fn erase(&mut self, address: u32) {
        self.sectors[(address / SIZE) as usize] = None;
    }

    /// Clears the bits that are 0 in `bytes`.
    pub(super) fn program(&mut self, address: u32, bytes: &[u8]) {
        for (at, piece) in pieces(address, bytes) {
            let within = (at % SIZE) as usize;
            let room = &mut self.sector_mut(at)[within..within + piece.len()];
            room.iter_mut().zip(piece).for_each(|(old, new)| *old &= new);
        }
    }

    /// The sector that holds `address`, for changing; not shared any more.
    pub(super) fn sector_mut(&mut self, address: u32) -> &mut Sector {
        let sector = self.sectors[(address / SIZE) as usize].get_or_insert_with(|| Arc::new(ERASED));
        Arc::make_mut(sector)
    }

    /// Whether both hold the same bytes in a range of whole sectors; shared sectors are not compared byte by byte.
    #[must_use]
    pub fn equal_in(&self, other: &Self, range: &Range<u32>) -> bool {
        let pairs = self.slice(range).iter().zip(other.slice(range));
        pairs.into_iter().all(|pair| match pair {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (Some(sector), None) | (None, Some(sector)) => **sector == ERASED,
            (None, None) => true,
        })
    }
}

impl PartialEq for Sectors {
    fn eq(&self, other: &Self) -> bool {
        self.size() == other.size() && self.equal_in(other, &(0..self.size()))
    }
}

/// Cuts a range of addresses at sector borders.
pub(super) fn pieces(address: u32, mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut at = address;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let (piece, rest) = bytes.split_at(bytes.len().min((SIZE - at % SIZE) as usize));
        let start = at;
        at += piece.len() as u32;
        bytes = rest;
        Some((start, piece))
    })
}

pub(super) fn pieces_mut(address: u32, mut bytes: &mut [u8]) -> impl Iterator<Item = (u32, &mut [u8])> {
    let mut at = address;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let count = bytes.len().min((SIZE - at % SIZE) as usize);
        let (piece, rest) = std::mem::take(&mut bytes).split_at_mut(count);
        let start = at;
        at += piece.len() as u32;
        bytes = rest;
        Some((start, piece))
    })
}

/// What a chip holds while it is without power: its bits, and which of them are neither 0 nor 1.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) sectors: Sectors,
    /// Per sector number: bits that read as they please until erased or programmed to 0.
    pub(super) unstable: BTreeMap<u32, Arc<Sector>>,
}

impl Snapshot {
    /// A chip on which every bit is certain.
    #[must_use]
    pub const fn new(sectors: Sectors) -> Self {
        Self { sectors, unstable: BTreeMap::new() }
    }

    /// The bits; uncertain ones as they happen to be stored.
    #[must_use]
    pub const fn sectors(&self) -> &Sectors {
        &self.sectors
    }

    /// The bits, for preparing a scene; see [`Sectors::load`].
    pub const fn sectors_mut(&mut self) -> &mut Sectors {
        &mut self.sectors
    }

    /// Whether a range holds bits that read as they please.
    #[must_use]
    pub fn is_unstable_in(&self, range: &Range<u32>) -> bool {
        !self.unstable.is_empty()
            && self.unstable.range(range.start / SIZE..range.end.div_ceil(SIZE)).next().is_some()
    }

    /// Does an operation to its end.
    pub fn complete(&mut self, operation: &Operation) {
        match &operation.kind {
            OperationKind::Erase => {
                self.sectors.erase(operation.address);
                self.settle_sector(operation.address);
            }
            OperationKind::Program(bytes) => {
                self.sectors.program(operation.address, bytes);
                self.settle_zeros(operation.address, bytes);
            }
        }
    }

    /// Does an operation as far as power lasts. With `unstable`, bits that were about to change are left uncertain, as
    /// the seed decides.
    pub fn cut(&mut self, operation: &Operation, point: &CutPoint, unstable: Option<u64>) {
        cut::cut(self, operation, point, unstable);
    }

    /// An erased sector holds nothing uncertain.
    pub(super) fn settle_sector(&mut self, address: u32) {
        self.unstable.remove(&(address / SIZE));
    }

    /// A bit programmed to 0 is certainly 0.
    pub(super) fn settle_zeros(&mut self, address: u32, bytes: &[u8]) {
        if self.unstable.is_empty() {
            return;
        }
        for (at, piece) in pieces(address, bytes) {
            if let Some(mask) = self.unstable.get_mut(&(at / SIZE)) {
                let within = (at % SIZE) as usize;
                let mask = Arc::make_mut(mask);
                mask[within..within + piece.len()]
                    .iter_mut()
                    .zip(piece)
                    .for_each(|(bits, byte)| *bits &= byte);
                if mask.iter().all(|bits| *bits == 0) {
                    self.unstable.remove(&(at / SIZE));
                }
            }
        }
    }

    /// Makes bits of the byte at `address` uncertain.
    pub(super) fn unsettle(&mut self, address: u32, bits: u8) {
        if bits != 0 {
            let mask = self.unstable.entry(address / SIZE).or_insert_with(|| Arc::new([0; SECTOR_BYTES]));
            Arc::make_mut(mask)[(address % SIZE) as usize] |= bits;
        }
    }

    /// Reads as the chip would: uncertain bits come out as `noise` has it.
    pub(super) fn read(&self, address: u32, into: &mut [u8], noise: &mut Random) {
        self.sectors.read(address, into);
        if self.unstable.is_empty() {
            return;
        }
        for (at, piece) in pieces_mut(address, into) {
            let Some(mask) = self.unstable.get(&(at / SIZE)) else { continue };
            let within = (at % SIZE) as usize;
            for (byte, bits) in piece.iter_mut().zip(&mask[within..]) {
                if *bits != 0 {
                    *byte = (*byte & !bits) | (noise.next_u32() as u8 & bits);
                }
            }
        }
    }
}
