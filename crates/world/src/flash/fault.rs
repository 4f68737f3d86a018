//! Worn sectors and read errors, injected by tests.

use super::sectors::{SIZE, Sectors};
use std::ops::Range;

/// Something that is wrong with a chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A bit that keeps its value whatever is done: a worn cell.
    StuckBit {
        /// The byte.
        address: u32,
        /// Which bit of it, 0 to 7.
        bit: u8,
        /// What it always reads as.
        value: bool,
    },
    /// Reads that touch the range fail, after `skip` that succeed and for `times` reads.
    ReadError {
        /// Addresses concerned.
        range: Range<u32>,
        /// Reads that still succeed.
        skip: u32,
        /// Reads that fail then; `u32::MAX` for all.
        times: u32,
    },
    /// Programming that touches the range reports an error and changes nothing.
    ProgramError {
        /// Addresses concerned.
        range: Range<u32>,
    },
    /// Erasing that touches the range reports an error and changes nothing.
    EraseError {
        /// Addresses concerned.
        range: Range<u32>,
    },
}

fn touches(range: &Range<u32>, address: u32, length: u32) -> bool {
    address < range.end && address.saturating_add(length) > range.start
}

/// The faults of one chip.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn fails_read(&mut self, address: u32, length: u32) -> bool {
        for fault in &mut self.0 {
            if let Fault::ReadError { range, skip, times } = fault
                && touches(range, address, length)
            {
                if *skip > 0 {
                    *skip -= 1;
                } else if *times > 0 {
                    *times = if *times == u32::MAX { u32::MAX } else { *times - 1 };
                    return true;
                }
            }
        }
        false
    }

    pub(super) fn fails_program(&self, address: u32, length: u32) -> bool {
        self.0
            .iter()
            .any(|fault| matches!(fault, Fault::ProgramError { range } if touches(range, address, length)))
    }

    pub(super) fn fails_erase(&self, address: u32) -> bool {
        self.0
            .iter()
            .any(|fault| matches!(fault, Fault::EraseError { range } if touches(range, address, SIZE)))
    }

    /// Puts stuck bits of the range back to what they are stuck at.
    pub(super) fn stick(&self, sectors: &mut Sectors, address: u32, length: u32) {
        for fault in &self.0 {
            if let Fault::StuckBit { address: at, bit, value } = *fault
                && touches(&(at..at.saturating_add(1)), address, length)
                && at < sectors.size()
            {
                let byte = &mut sectors.sector_mut(at)[(at % SIZE) as usize];
                let mask = 1u8.checked_shl(bit.into()).unwrap_or(0);
                *byte = if value { *byte | mask } else { *byte & !mask };
            }
        }
    }
}
