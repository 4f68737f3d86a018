//! Instructions as the patch sees them: how long they are, and which address they refer to.

pub(crate) mod riscv;
pub(crate) mod xtensa;

/// What a token of old bytes is. A token with a target is rewritten when its target or itself moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Bytes without a reference that we know: data.
    Data,
    /// An instruction without a reference that we know.
    Plain,
    /// A 32-bit address.
    Pointer,
    /// A 32-bit address at an odd place, as in unwind tables.
    OddPointer,
    /// RISC-V unwind tables: the distance from the word itself to a function or to its exception table.
    RelativePointer,
    /// RISC-V unwind tables: the distance from the word back to the common entry.
    BackPointer,
    /// Xtensa `l32r`.
    XtLiteral,
    /// Xtensa `call0/4/8/12`.
    XtCall,
    /// Xtensa `j`.
    XtJump,
    /// Xtensa branches with a 12-bit or 8-bit offset, loops, and the narrow `beqz.n`, `bnez.n`.
    XtBranch12,
    XtBranch8,
    XtLoop,
    XtBranchNarrow,
    /// RISC-V `jal` and conditional branches.
    RvJal,
    RvBranch,
    /// RISC-V `c.j`, `c.jal` and `c.beqz`, `c.bnez`.
    RvJumpCompressed,
    RvBranchCompressed,
    /// RISC-V `auipc` with the instruction after it (8 bytes): I-type or S-type.
    RvPairI,
    RvPairS,
    /// RISC-V `lui` whose lower half follows, and that lower half: I-type or S-type.
    RvUpper,
    RvLowerI,
    RvLowerS,
}

impl Kind {
    /// The class that chooses models, below [`CLASSES`].
    pub(crate) fn class(self) -> usize {
        match self {
            Self::Data => 0,
            Self::Plain => 1,
            Self::Pointer => 2,
            Self::XtLiteral | Self::RvLowerI | Self::RvLowerS => 3,
            Self::XtCall | Self::RvJal | Self::RvPairI | Self::RvPairS => 4,
            Self::XtJump | Self::RvJumpCompressed => 5,
            Self::RvUpper => 7,
            Self::OddPointer | Self::RelativePointer => 8,
            Self::BackPointer => 9,
            _ => 6,
        }
    }
}

/// Classes of tokens.
pub(crate) const CLASSES: usize = 10;

pub(crate) fn sign_extend(value: u32, bits: u32) -> u32 {
    (((value << (32 - bits)) as i32) >> (32 - bits)) as u32
}

/// Whether a signed distance fits `bits`.
pub(crate) fn fits(distance: u32, bits: u32) -> bool {
    sign_extend(distance, bits) == distance
}
