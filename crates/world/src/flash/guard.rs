//! Where a node may write, and what it did wrong.

use rootcast_image::{Partition, PartitionTable, SlotId};
use std::fmt;
use std::ops::Range;

/// The borders for one start of a node. Breaking them is recorded, and then happens, as on a real chip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    allowed: Option<Vec<Range<u32>>>,
    running: Option<Range<u32>>,
}

impl Guard {
    /// Everything may be written: a factory.
    #[must_use]
    pub const fn open() -> Self {
        Self { allowed: None, running: None }
    }

    /// Only otadata may be written: the second-stage bootloader.
    #[must_use]
    pub fn bootloader(table: &PartitionTable) -> Self {
        Self { allowed: Some(table.otadata().map(range_of).into_iter().collect()), running: None }
    }

    /// Otadata, NVS and the slot that an update goes to may be written: a node that runs from `running`.
    #[must_use]
    pub fn node(table: &PartitionTable, running: SlotId) -> Self {
        let staging = table.next_update_slot(running).map(|(_, partition)| partition);
        let allowed = [table.otadata(), table.nvs(), staging].into_iter().flatten().map(range_of).collect();
        Self { allowed: Some(allowed), running: table.slot(running).map(range_of) }
    }

    /// The rule that a write or erase of `length` bytes at `address` breaks, if any.
    pub(super) fn broken_by(&self, address: u32, length: u32) -> Option<Rule> {
        let end = address.saturating_add(length);
        if self.running.as_ref().is_some_and(|running| address < running.end && end > running.start) {
            return Some(Rule::RunningSlot);
        }
        let inside = |range: &Range<u32>| address >= range.start && end <= range.end;
        match &self.allowed {
            Some(allowed) if !allowed.iter().any(inside) => Some(Rule::OutsideOwnPartitions),
            _ => None,
        }
    }
}

pub(crate) fn range_of(partition: &Partition) -> Range<u32> {
    partition.offset..partition.offset.saturating_add(partition.size)
}

/// What the chip was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Programming.
    Program,
    /// Erasing.
    Erase,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Program => "program",
            Self::Erase => "erase",
        })
    }
}

/// The rules of the chip and of the updater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Addresses and lengths are multiples of the chip's units.
    Alignment,
    /// Nothing lies beyond the chip's end.
    Range,
    /// Programming clears bits; a bit that is 0 stays 0 until its sector is erased.
    SetsBits,
    /// The slot that runs is never written.
    RunningSlot,
    /// Nothing but otadata, the slot for updates and NVS is written.
    OutsideOwnPartitions,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alignment => "is not aligned to the chip's units",
            Self::Range => "reaches beyond the chip",
            Self::SetsBits => "asks for 1 where a bit is 0 and its sector is not erased",
            Self::RunningSlot => "touches the running slot",
            Self::OutsideOwnPartitions => "lies outside otadata, the slot for updates and NVS",
        })
    }
}

/// A rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// By what.
    pub access: Access,
    /// First byte concerned.
    pub address: u32,
    /// Bytes concerned.
    pub length: u32,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes at {:#x} {}", self.access, self.length, self.address, self.rule)
    }
}
