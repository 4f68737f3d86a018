//! The operations of a chip in their order.

use super::sectors::{SECTOR_BYTES, Snapshot};
use std::fmt;
use std::sync::Arc;

/// One thing that the chip was told to do and that takes time, so that power can go while it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// First byte that it concerns.
    pub address: u32,
    /// What is done.
    pub kind: OperationKind,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// One sector is set to 0xFF.
    Erase,
    /// The bits that are 0 here are cleared.
    Program(Arc<[u8]>),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperationKind::Erase => write!(f, "erase at {:#x}", self.address),
            OperationKind::Program(bytes) => {
                write!(f, "program {} bytes at {:#x}", bytes.len(), self.address)
            }
        }
    }
}

impl Operation {
    /// Bytes that it concerns.
    #[must_use]
    pub fn length(&self) -> usize {
        match &self.kind {
            OperationKind::Erase => SECTOR_BYTES,
            OperationKind::Program(bytes) => bytes.len(),
        }
    }

    /// Whether a sector is erased.
    #[must_use]
    pub const fn is_erase(&self) -> bool {
        matches!(self.kind, OperationKind::Erase)
    }
}

/// How much of what a chip does is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// Only the number of operations.
    #[default]
    Count,
    /// Every operation.
    Operations,
    /// Every operation, and the chip's content before it: all that is needed to cut it later.
    Snapshots,
}

/// An operation that was done.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The operation.
    pub operation: Operation,
    /// The chip's content before it, with [`Recording::Snapshots`].
    pub before: Option<Snapshot>,
}
