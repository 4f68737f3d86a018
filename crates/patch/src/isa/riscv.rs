//! RISC-V RV32IMC (ESP32-C and -H, and the emulated board).

use super::{Kind, fits, sign_extend};

/// `auipc`/`lui` destination and the like.
pub(crate) fn rd(w: u32) -> u32 {
    w >> 7 & 31
}

pub(crate) fn rs1(w: u32) -> u32 {
    w >> 15 & 31
}

pub(crate) fn is_lui(w: u32) -> bool {
    w & 0x7F == 0x37
}

pub(crate) fn is_auipc(w: u32) -> bool {
    w & 0x7F == 0x17
}

/// Whether the instruction adds a 12-bit offset to `rs1`, and which layout the offset has.
pub(crate) fn lower_kind(w: u32) -> Option<Kind> {
    match (w & 0x7F, w >> 12 & 7) {
        (0x13, 0) | (0x03 | 0x07, _) | (0x67, 0) => Some(Kind::RvLowerI), // addi, loads, jalr
        (0x23 | 0x27, _) => Some(Kind::RvLowerS),
        _ => None,
    }
}

/// The register an instruction writes (0: none we care for).
pub(crate) fn written(w: u32) -> u32 {
    if w & 3 == 3 {
        return if matches!(w & 0x7F, 0x63 | 0x23 | 0x27) { 0 } else { rd(w) };
    }
    match (w & 3, w >> 13 & 7) {
        (0, 0 | 2) => 8 + (w >> 2 & 7),             // c.addi4spn, c.lw
        (1, 0 | 2 | 3) | (2, 0 | 2) => w >> 7 & 31, // c.addi, c.li, c.lui, c.slli, c.lwsp
        (1, 4) => 8 + (w >> 7 & 7),
        (2, 4) if w >> 2 & 31 != 0 => w >> 7 & 31, // c.mv, c.add
        _ => 0,
    }
}

/// Control goes elsewhere and does not come back: nothing known of registers holds behind it.
pub(crate) fn ends_block(w: u32) -> bool {
    if w & 3 == 3 {
        return (w & 0x7F == 0x6F || w & 0x7F == 0x67) && rd(w) == 0;
    }
    match (w & 3, w >> 13 & 7) {
        (1, 5) => true,
        (2, 4) => w >> 2 & 31 == 0 && w >> 12 & 1 == 0 && w >> 7 & 31 != 0,
        _ => false,
    }
}

pub(crate) fn lower_offset(kind: Kind, w: u32) -> u32 {
    let offset = match kind {
        Kind::RvLowerS | Kind::RvPairS => w >> 25 << 5 | w >> 7 & 31,
        _ => w >> 20,
    };
    sign_extend(offset, 12)
}

pub(crate) fn with_lower(kind: Kind, w: u32, offset: u32) -> u32 {
    match kind {
        Kind::RvLowerS | Kind::RvPairS => w & 0x01FF_F07F | (offset & 0x1F) << 7 | (offset >> 5 & 0x7F) << 25,
        _ => w & 0x000F_FFFF | offset << 20,
    }
}

/// The reference in one instruction on its own (pairs are put together by the walker).
pub(crate) fn reference(w: u32, at: u32) -> (Kind, u32) {
    if w & 3 == 3 {
        return match w & 0x7F {
            0x6F => {
                let d = w >> 31 << 20 | (w >> 12 & 0xFF) << 12 | (w >> 20 & 1) << 11 | (w >> 21 & 0x3FF) << 1;
                (Kind::RvJal, at.wrapping_add(sign_extend(d, 21)))
            }
            0x63 => {
                let d = w >> 31 << 12 | (w >> 7 & 1) << 11 | (w >> 25 & 0x3F) << 5 | (w >> 8 & 15) << 1;
                (Kind::RvBranch, at.wrapping_add(sign_extend(d, 13)))
            }
            _ => (Kind::Plain, 0),
        };
    }
    match (w & 3, w >> 13 & 7) {
        (1, 1 | 5) => {
            let d = (w >> 12 & 1) << 11
                | (w >> 11 & 1) << 4
                | (w >> 9 & 3) << 8
                | (w >> 8 & 1) << 10
                | (w >> 7 & 1) << 6
                | (w >> 6 & 1) << 7
                | (w >> 3 & 7) << 1
                | (w >> 2 & 1) << 5;
            (Kind::RvJumpCompressed, at.wrapping_add(sign_extend(d, 12)))
        }
        (1, 6 | 7) => {
            let d = (w >> 12 & 1) << 8
                | (w >> 10 & 3) << 3
                | (w >> 5 & 3) << 6
                | (w >> 3 & 3) << 1
                | (w >> 2 & 1) << 5;
            (Kind::RvBranchCompressed, at.wrapping_add(sign_extend(d, 9)))
        }
        _ => (Kind::Plain, 0),
    }
}

/// The instruction with its reference changed to `target`; `None` if it cannot reach.
pub(crate) fn rewrite(kind: Kind, w: u32, at: u32, target: u32) -> Option<u32> {
    let d = target.wrapping_sub(at);
    if d & 1 != 0 {
        return None;
    }
    match kind {
        Kind::RvJal => fits(d, 21).then_some(
            w & 0xFFF
                | (d >> 20 & 1) << 31
                | (d >> 1 & 0x3FF) << 21
                | (d >> 11 & 1) << 20
                | (d >> 12 & 0xFF) << 12,
        ),
        Kind::RvBranch => fits(d, 13).then_some(
            w & 0x01FF_F07F
                | (d >> 12 & 1) << 31
                | (d >> 5 & 0x3F) << 25
                | (d >> 1 & 15) << 8
                | (d >> 11 & 1) << 7,
        ),
        Kind::RvJumpCompressed => fits(d, 12).then_some(
            w & 0xE003
                | (d >> 11 & 1) << 12
                | (d >> 4 & 1) << 11
                | (d >> 8 & 3) << 9
                | (d >> 10 & 1) << 8
                | (d >> 6 & 1) << 7
                | (d >> 7 & 1) << 6
                | (d >> 1 & 7) << 3
                | (d >> 5 & 1) << 2,
        ),
        Kind::RvBranchCompressed => fits(d, 9).then_some(
            w & 0xE383
                | (d >> 8 & 1) << 12
                | (d >> 3 & 3) << 10
                | (d >> 6 & 3) << 5
                | (d >> 1 & 3) << 3
                | (d >> 5 & 1) << 2,
        ),
        _ => None,
    }
}
