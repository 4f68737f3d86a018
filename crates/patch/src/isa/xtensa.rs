//! Xtensa with the density option (ESP32, S2, S3): 3-byte and 2-byte instructions, literal pools in the code.

use super::{Kind, fits, sign_extend};
use crate::space::Space;

/// The reference in a 3-byte instruction `w` at address `at`.
pub(crate) fn wide(w: u32, at: u32) -> (Kind, u32) {
    let next = at.wrapping_add(4);
    let branch8 = (Kind::XtBranch8, next.wrapping_add(sign_extend(w >> 16 & 0xFF, 8)));
    match w & 15 {
        1 => (Kind::XtLiteral, (at.wrapping_add(3) & !3).wrapping_add(0xFFFC_0000 | w >> 8 << 2)),
        5 => (Kind::XtCall, (at & !3).wrapping_add(4).wrapping_add(sign_extend(w >> 6 & 0x3FFFF, 18) << 2)),
        6 => match (w >> 4 & 3, w >> 6 & 3, w >> 12 & 15) {
            (0, _, _) => (Kind::XtJump, next.wrapping_add(sign_extend(w >> 6 & 0x3FFFF, 18))),
            (1, _, _) => (Kind::XtBranch12, next.wrapping_add(sign_extend(w >> 12 & 0xFFF, 12))),
            (2, _, _) | (3, 2 | 3, _) | (3, 1, 0 | 1) => branch8,
            (3, 1, 8..=10) => (Kind::XtLoop, next.wrapping_add(w >> 16 & 0xFF)),
            _ => (Kind::Plain, 0),
        },
        7 => branch8,
        _ => (Kind::Plain, 0),
    }
}

/// The reference in a 2-byte instruction.
pub(crate) fn narrow(w: u32, at: u32) -> (Kind, u32) {
    if w & 0x8F == 0x8C {
        let distance = (w >> 4 & 3) << 4 | w >> 12 & 15;
        (Kind::XtBranchNarrow, at.wrapping_add(4).wrapping_add(distance))
    } else {
        (Kind::Plain, 0)
    }
}

/// The instruction word `w` with its reference changed to `target`; `None` if it cannot reach.
pub(crate) fn rewrite(kind: Kind, w: u32, at: u32, target: u32) -> Option<u32> {
    let distance = target.wrapping_sub(at.wrapping_add(4));
    match kind {
        Kind::XtLiteral => {
            let d = target.wrapping_sub(at.wrapping_add(3) & !3);
            (d & 3 == 0 && d >= 0xFFFC_0000).then_some(w & 0xFF | (d >> 2 & 0xFFFF) << 8)
        }
        Kind::XtCall => {
            let d = target.wrapping_sub((at & !3).wrapping_add(4));
            (d & 3 == 0 && fits(d, 20)).then_some(w & 0x3F | (d >> 2 & 0x3FFFF) << 6)
        }
        Kind::XtJump => fits(distance, 18).then_some(w & 0x3F | (distance & 0x3FFFF) << 6),
        Kind::XtBranch12 => fits(distance, 12).then_some(w & 0xFFF | (distance & 0xFFF) << 12),
        Kind::XtBranch8 => fits(distance, 8).then_some(w & 0xFFFF | (distance & 0xFF) << 16),
        Kind::XtLoop => (distance < 256).then_some(w & 0xFFFF | distance << 16),
        Kind::XtBranchNarrow => {
            (distance < 64).then_some(w & 0x0FCF | (distance >> 4) << 4 | (distance & 15) << 12)
        }
        _ => None,
    }
}

/// How unlikely a 3-byte instruction is, in bits: data read as code looks costly.
pub(crate) fn wide_cost(space: &Space, w: u32, at: u32) -> u16 {
    const BITS: u16 = 24;
    const ODD: u16 = BITS + 14;
    let likely = |ok: bool, gain: u16| if ok { BITS - gain } else { ODD };
    let r = w >> 12 & 15;
    match w & 15 {
        0 => match (w >> 16 & 15, w >> 20) {
            (0, 0) if r == 0 => likely(w >> 4 & 15 >= 8 || w == 0, 9),
            (0, 0) if r == 2 => BITS - 5,
            (0, 0) => BITS + 4,
            (0, 1..=4 | 6 | 8..=15) => BITS - 6,
            (1, op) => likely(op != 5 && op != 11, 3),
            (2, op) => likely(op >= 8 || op <= 3, 2),
            (3, _) => BITS - 3,
            (4 | 5, _) => BITS - 5,
            (8 | 9, _) => BITS,
            (10 | 11, _) => BITS - 1,
            _ => BITS + 10,
        },
        1 => {
            let (_, target) = wide(w, at);
            likely(target >= 0x4007_0000 && space.is_code_target(target), 6)
        }
        2 => match r {
            0 | 1 | 2 | 4 | 5 | 6 | 10 | 12 => BITS - 6,
            9 | 13 => BITS - 4,
            7 | 11 | 14 | 15 => BITS + 2,
            _ => BITS + 12,
        },
        3 if r & 3 == 0 => BITS - 1,
        3 => BITS + 12,
        4 => BITS + 6,
        5 => likely(space.is_code_target(wide(w, at).1), 4),
        6 => match (w >> 4 & 3, w >> 6 & 3) {
            (0, _) => {
                let (_, target) = wide(w, at);
                likely(space.is_code_target(target) && fits(target.wrapping_sub(at), 16), 8)
            }
            (3, 0) => likely(at & 3 == 0 && w >> 8 & 15 == 1, 10), // entry a1, n: at a function's start
            (3, 1) => likely(matches!(r, 0 | 1 | 8..=10), 4),
            _ => BITS - 4,
        },
        7 => BITS - 4,
        _ => BITS + 8,
    }
}

/// How unlikely a 2-byte instruction is, in bits.
pub(crate) fn narrow_cost(w: u32) -> u16 {
    const BITS: u16 = 16;
    if w & 15 != 13 {
        return BITS - 3;
    }
    match (w >> 12 & 15, w >> 4 & 15) {
        (0, _) => BITS - 4,                  // mov.n
        (15, 0 | 1 | 2 | 3 | 6) => BITS - 5, // ret.n, retw.n, break.n, nop.n, ill.n
        _ => BITS + 12,
    }
}
