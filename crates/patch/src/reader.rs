//! Reads the old image as tokens: instructions, words and bytes.
//!
//! Xtensa code has literal pools among instructions of two lengths, so where one instruction begins is
//! not evident. The reader weighs all ways to cut a window of old bytes (what is unlikely as an
//! instruction costs bits, [`xtensa::wide_cost`]) and takes the cheapest, from the window's end backwards.

use crate::isa::{Kind, riscv, xtensa};
use crate::space::{Isa, Space};
use crate::{OldImage, PatchError};

/// Old bytes held at a time.
pub(crate) const WINDOW: usize = 128;
/// Bytes at the end of a window whose cutting still depends on what follows.
const UNSURE: usize = 40;
/// Longest look ahead from one token: a `lui` and what uses it.
const AHEAD: u32 = 32;
/// What an unwind table says of a function is at least so many bytes away from it, in another segment.
const FAR: u32 = 1 << 20;

/// A piece of the old image with the reference found in it.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) len: u8,
    /// Address referred to, where `kind` has one.
    pub(crate) target: u32,
    pub(crate) bytes: [u8; 8],
}

impl Token {
    pub(crate) fn word(&self) -> u32 {
        let [a, b, c, d, ..] = self.bytes;
        let w = u32::from_le_bytes([a, b, c, d]);
        if self.len < 4 { w & ((1 << (8 * u32::from(self.len))) - 1) } else { w }
    }
}

/// What lies at a window's start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    Data = 0,
    Xtensa = 1,
    RiscV = 2,
}

/// The window and what is known of RISC-V registers.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) bytes: [u8; WINDOW],
    /// Length of the Xtensa token at each byte (1: a stray byte), less one, in two bits.
    pub(crate) cuts: [u8; WINDOW / 4],
    pub(crate) start: u32,
    /// Bytes held.
    pub(crate) held: u8,
    /// Bytes that may be asked for.
    pub(crate) usable: u8,
    pub(crate) area: u8,
    /// Whether the bytes are of the new image, read back.
    pub(crate) made: bool,
    /// Upper halves loaded by `lui`, by register; `known` has a bit for each.
    pub(crate) upper: [u32; 32],
    pub(crate) known: u32,
    /// Address of the last word that said where an unwound function is; its lowest bit: the function has an
    /// exception table.
    pub(crate) unwound: u32,
}

impl Reader {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; WINDOW],
            cuts: [0; WINDOW / 4],
            start: 0,
            held: 0,
            usable: 0,
            area: 0,
            made: false,
            upper: [0; 32],
            known: 0,
            unwound: 0,
        }
    }

    /// A copy command begins: what registers hold is unknown.
    pub(crate) fn begin(&mut self, made: bool) {
        self.known = 0;
        if self.made != made {
            self.made = made;
            self.usable = 0;
        }
    }

    /// The token at `position` of the old image, at most `limit` (1 or more) bytes long.
    pub(crate) fn token<O: OldImage>(
        &mut self,
        old: &mut O,
        space: &Space,
        position: u32,
        limit: u32,
    ) -> Result<Token, PatchError> {
        let mut token = self.whole_token(old, space, position, limit)?;
        if u32::from(token.len) > limit {
            token.len = limit as u8;
            token.kind = Kind::Data;
            token.target = 0;
        }
        Ok(token)
    }

    fn whole_token<O: OldImage>(
        &mut self,
        old: &mut O,
        space: &Space,
        position: u32,
        limit: u32,
    ) -> Result<Token, PatchError> {
        let mut token = Token { kind: Kind::Data, len: 1, target: 0, bytes: [0; 8] };
        let Some(segment) = space.segment_at(position).copied() else {
            token.len = (4 - (position & 3)).min(limit) as u8;
            let bytes = token.bytes.get_mut(..usize::from(token.len)).unwrap_or_default();
            read(old, self.made, position, bytes)?;
            return Ok(token);
        };
        let offset = position.wrapping_sub(self.start);
        if offset >= u32::from(self.usable) {
            let left = segment.position + segment.length - position;
            self.refill(old, space, position, left)?;
        }
        let at = (position - self.start) as usize;
        let address = segment.address.wrapping_add(position - segment.position);
        let held = self.bytes.get(at..usize::from(self.held)).unwrap_or(&[]);
        for (to, from) in token.bytes.iter_mut().zip(held) {
            *to = *from;
        }
        let held = held.len();
        let word = u32::from_le_bytes([token.bytes[0], token.bytes[1], token.bytes[2], token.bytes[3]]);
        if self.area == Area::Xtensa as u8 {
            let cut = (self.cuts.get(at / 4).copied().unwrap_or(0) >> (at % 4 * 2) & 3) + 1;
            token.len = cut;
            (token.kind, token.target) = match cut {
                2 => xtensa::narrow(word & 0xFFFF, address),
                3 => xtensa::wide(word & 0xFF_FFFF, address),
                4 => pointer(space, word),
                _ => (Kind::Data, 0),
            };
        } else if self.area == Area::RiscV as u8 {
            self.riscv_token(&mut token, at, held, address);
        } else if space.isa == Isa::RiscV && self.unwind_token(&mut token, space, held, address) {
            return Ok(token);
        } else if address & 3 == 0 && held >= 8 {
            (token.kind, token.target) = pointer(space, word);
            token.len = 4;
            let next_is_pointer = pointer(space, token.word_of(4)).0 == Kind::Pointer;
            if token.kind == Kind::Data && !next_is_pointer {
                // An address at an odd place: give it a token of its own.
                let odd = (1..4).find(|&i| pointer(space, token.word_of(i)).0 == Kind::Pointer);
                token.len = odd.unwrap_or(4) as u8;
            }
        } else if held >= 4 && pointer(space, word).0 == Kind::Pointer {
            token.len = 4;
            token.kind = if address & 3 == 0 { Kind::Pointer } else { Kind::OddPointer };
            token.target = word;
        } else {
            token.len = (4 - (address & 3)).min(held as u32) as u8;
        }
        Ok(token)
    }

    fn refill<O: OldImage>(
        &mut self,
        old: &mut O,
        space: &Space,
        position: u32,
        left: u32,
    ) -> Result<(), PatchError> {
        let held = (left as usize).min(WINDOW);
        self.usable = 0;
        let bytes = self.bytes.get_mut(..held).unwrap_or_default();
        read(old, self.made, position, bytes)?;
        self.start = position;
        self.held = held as u8;
        self.area = match space.isa {
            Isa::Xtensa if space.is_code(position) => Area::Xtensa as u8,
            Isa::RiscV if space.is_code(position) => Area::RiscV as u8,
            _ => Area::Data as u8,
        };
        if self.area == Area::Xtensa as u8 {
            self.cut_xtensa(space);
        }
        self.usable = if (left as usize) <= WINDOW { held } else { held - UNSURE } as u8;
        Ok(())
    }

    /// Finds the cheapest cutting of the window.
    fn cut_xtensa(&mut self, space: &Space) {
        let held = usize::from(self.held);
        let base = space.address_of(self.start);
        // Cost from each byte to the window's end; tokens that cross the end are not weighed.
        let mut ring = [0u16; 4];
        for i in (0..held).rev() {
            let address = base.wrapping_add(i as u32);
            let get = |k: usize| u32::from(self.bytes.get(i + k).copied().unwrap_or(0));
            let after = |k: usize| ring[(i + k) & 3];
            let left = held - i;
            let first = get(0);
            let (mut cost, mut cut) = (after(1) + if first == 0 { 7 } else { 12 }, 1u8);
            let is_narrow = (8..14).contains(&(first & 15));
            if is_narrow && left >= 2 {
                let c = after(2) + xtensa::narrow_cost(first | get(1) << 8);
                if c < cost {
                    (cost, cut) = (c, 2);
                }
            }
            if !is_narrow && left >= 3 {
                let c = after(3) + xtensa::wide_cost(space, first | get(1) << 8 | get(2) << 16, address);
                if c < cost {
                    (cost, cut) = (c, 3);
                }
            }
            if address & 3 == 0 && left >= 4 {
                let word = first | get(1) << 8 | get(2) << 16 | get(3) << 24;
                let likely = match word >> 16 {
                    _ if pointer(space, word).0 == Kind::Pointer => 20,
                    0 | 0xFFFF => 25,
                    _ if word & 0xFFFF == 0 => 25,
                    _ => 33,
                };
                // The fourth place behind has left the ring only now.
                let c = ring[i & 3] + likely;
                if c < cost {
                    (cost, cut) = (c, 4);
                }
            }
            ring[i & 3] = cost;
            if let Some(four) = self.cuts.get_mut(i / 4) {
                let place = i % 4 * 2;
                *four = *four & !(3 << place) | (cut - 1) << place;
            }
        }
    }

    /// A word of RISC-V's `.eh_frame`, where distances stand instead of addresses (DWARF's `pcrel`): an entry is
    /// its length, the distance back to the common entry, the function, its length, and the length of what
    /// follows, which is 4 if it begins with the exception table's place.
    fn unwind_token(&mut self, token: &mut Token, space: &Space, held: usize, address: u32) -> bool {
        let behind = address.wrapping_sub(self.unwound & !3);
        if behind == 8 && token.bytes[0] == 4 {
            token.len = 1;
            self.unwound |= 1;
            return true;
        }
        if held < 8 {
            return false;
        }
        let word = token.word_of(0);
        let target = address.wrapping_add(word);
        if behind == 9 && self.unwound & 1 != 0 {
            token.len = 4;
            if space.position_of(target).is_some() {
                (token.kind, token.target) = (Kind::RelativePointer, target);
            }
            return true;
        }
        if address & 3 != 0 {
            return false;
        }
        // Functions lie in another segment, far away.
        let is_function = |target: u32, from: u32| {
            let far = (target.wrapping_sub(from) as i32).unsigned_abs() >= FAR;
            far && space.position_of(target).is_some_and(|position| space.is_code(position))
        };
        let next = address.wrapping_add(4);
        if is_function(target, address) {
            self.unwound = address;
            (token.kind, token.target) = (Kind::RelativePointer, target);
        } else if word & 3 == 0 && word < FAR && is_function(next.wrapping_add(token.word_of(4)), next) {
            (token.kind, token.target) = (Kind::BackPointer, address.wrapping_sub(word));
        } else {
            return false;
        }
        token.len = 4;
        true
    }

    fn riscv_token(&mut self, token: &mut Token, at: usize, held: usize, address: u32) {
        let word = token.word_of(0);
        if address & 1 != 0 || held < 2 {
            return;
        }
        if word & 3 != 3 {
            token.len = 2;
            (token.kind, token.target) = riscv::reference(word & 0xFFFF, address);
            self.after_riscv(word & 0xFFFF);
            return;
        }
        if held < 4 {
            token.len = 2;
            return;
        }
        token.len = 4;
        (token.kind, token.target) = riscv::reference(word, address);
        let register = riscv::rd(word);
        if riscv::is_auipc(word) && held >= 8 {
            let second = token.word_of(4);
            if let Some(kind) = riscv::lower_kind(second).filter(|_| riscv::rs1(second) == register) {
                token.kind = if kind == Kind::RvLowerS { Kind::RvPairS } else { Kind::RvPairI };
                token.len = 8;
                token.target = address
                    .wrapping_add(word & 0xFFFF_F000)
                    .wrapping_add(riscv::lower_offset(token.kind, second));
                self.after_riscv(second);
                return;
            }
        }
        if riscv::is_lui(word) {
            self.after_riscv(word);
            if let Some(offset) = self.lower_ahead(at + 4, register) {
                token.kind = Kind::RvUpper;
                token.target = (word & 0xFFFF_F000).wrapping_add(offset);
            }
            if let Some(slot) = self.upper.get_mut(register as usize) {
                *slot = word & 0xFFFF_F000;
                self.known |= 1 << register;
            }
            return;
        }
        if let Some(kind) = riscv::lower_kind(word) {
            let base = riscv::rs1(word);
            if self.known >> base & 1 != 0 {
                token.kind = kind;
                token.target = self
                    .upper
                    .get(base as usize)
                    .copied()
                    .unwrap_or(0)
                    .wrapping_add(riscv::lower_offset(kind, word));
            }
        }
        self.after_riscv(word);
    }

    fn after_riscv(&mut self, word: u32) {
        self.known &= !(1 << riscv::written(word));
        if riscv::ends_block(word) {
            self.known = 0;
        }
    }

    /// The offset that the first user of `register` adds to it.
    fn lower_ahead(&self, mut at: usize, register: u32) -> Option<u32> {
        let end = (at + AHEAD as usize).min(usize::from(self.held));
        while at + 4 <= end {
            let b = self.bytes.get(at..at + 4)?;
            let word = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            if word & 3 == 3 {
                if let Some(kind) = riscv::lower_kind(word).filter(|_| riscv::rs1(word) == register) {
                    return Some(riscv::lower_offset(kind, word));
                }
                at += 4;
            } else {
                at += 2;
            }
            let word = if word & 3 == 3 { word } else { word & 0xFFFF };
            if riscv::written(word) == register || riscv::ends_block(word) {
                return None;
            }
        }
        None
    }
}

impl Token {
    fn word_of(&self, at: usize) -> u32 {
        match self.bytes.get(at..at + 4) {
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        }
    }
}

/// Reads from the old image, or from what was made of the new one.
pub(crate) fn read<O: OldImage>(
    old: &mut O,
    made: bool,
    position: u32,
    bytes: &mut [u8],
) -> Result<(), PatchError> {
    let done = if made { old.read_back(position, bytes) } else { old.read(position, bytes) };
    done.map_err(|_| PatchError::OldImage { position })
}

fn pointer(space: &Space, word: u32) -> (Kind, u32) {
    if space.position_of(word).is_some() { (Kind::Pointer, word) } else { (Kind::Data, 0) }
}
