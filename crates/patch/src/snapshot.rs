//! A decoder's state as bytes, so that a power cut costs no more than what came since the last save.
//!
//! Save after a page has been written, wherever it suits: each state is complete. What follows it in the
//! patch begins at [`Decoder::patch_position`].

use crate::coder::INPUT_BYTES;
use crate::decoder::Decoder;
use crate::digest::Sha256;
use crate::header::VERSION;
use crate::map::{LEARNT, MAP_ENTRIES};
use crate::model::{Flag, Number, RECENT, Slot};
use crate::reader::WINDOW;
use crate::space::{Isa, MAX_SEGMENTS, Space};
use crate::walk::{Phase, STEP_OUTPUT};
use crate::{MAX_DECODER_BYTES, PatchError};

/// Goes through every number of the state: writing it somewhere, or taking it from there.
trait Visitor {
    fn byte(&mut self, value: &mut u8);

    fn flag(&mut self, value: &mut bool) {
        let mut byte = u8::from(*value);
        self.byte(&mut byte);
        *value = byte != 0;
    }

    fn half(&mut self, value: &mut u16) {
        let mut bytes = value.to_le_bytes();
        self.bytes(&mut bytes);
        *value = u16::from_le_bytes(bytes);
    }

    fn word(&mut self, value: &mut u32) {
        let mut bytes = value.to_le_bytes();
        self.bytes(&mut bytes);
        *value = u32::from_le_bytes(bytes);
    }

    fn bytes(&mut self, values: &mut [u8]) {
        values.iter_mut().for_each(|v| self.byte(v));
    }

    fn words(&mut self, values: &mut [u32]) {
        values.iter_mut().for_each(|v| self.word(v));
    }

    fn flags(&mut self, values: &mut [Flag]) {
        values.iter_mut().for_each(|v| self.word(&mut v.0));
    }

    fn slots(&mut self, values: &mut [Slot]) {
        values.iter_mut().for_each(|v| self.half(&mut v.0));
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Visitor for Writer<'_> {
    fn byte(&mut self, value: &mut u8) {
        if let Some(slot) = self.out.get_mut(self.at) {
            *slot = *value;
        }
        self.at += 1;
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Visitor for Reader<'_> {
    fn byte(&mut self, value: &mut u8) {
        if let Some(&byte) = self.bytes.get(self.at) {
            *value = byte;
        }
        self.at += 1;
    }
}

/// Counts the bytes of a state; what they are does not matter.
struct Counter(usize);

impl Visitor for Counter {
    fn byte(&mut self, _value: &mut u8) {
        self.0 += 1;
    }
}

/// First bytes of a saved state.
const MAGIC: [u8; 4] = [b'R', b'P', b'S', VERSION];
/// `MAGIC` before the state, half a SHA-256 behind it.
const EXTRA: usize = 4 + 16;
/// A saved state is never longer.
pub const MAX_SNAPSHOT_BYTES: usize = MAX_DECODER_BYTES;

impl Decoder {
    /// Bytes of the patch taken in so far: where to go on after [`Decoder::restore`].
    pub fn patch_position(&self) -> u32 {
        self.taken
    }

    /// Writes the state to `out` ([`MAX_SNAPSHOT_BYTES`] always suffice) and returns its length;
    /// `None` if `out` is too small. A state of a decoder that failed is not worth keeping.
    pub fn save(&mut self, out: &mut [u8]) -> Option<usize> {
        let mut counter = Counter(0);
        self.visit(&mut counter);
        let len = counter.0;
        let (magic, rest) = out.split_first_chunk_mut::<4>()?;
        if rest.len() < len + 16 {
            return None;
        }
        *magic = MAGIC;
        let (state, rest) = rest.split_at_mut(len);
        self.visit(&mut Writer { out: state, at: 0 });
        rest.get_mut(..16)?.copy_from_slice(&check(state));
        Some(len + EXTRA)
    }

    /// The decoder that wrote `bytes` with [`Decoder::save`]; it keeps its own limit, and with it its own slot.
    ///
    /// # Errors
    /// [`PatchError::BadSnapshot`] if it is not whole, or from another version.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), PatchError> {
        let mut counter = Counter(0);
        self.visit(&mut counter);
        let len = counter.0;
        let state = bytes.get(4..4 + len).ok_or(PatchError::BadSnapshot)?;
        if bytes.get(..4) != Some(&MAGIC) || bytes.get(4 + len..4 + len + 16) != Some(&check(state)) {
            return Err(PatchError::BadSnapshot);
        }
        self.visit(&mut Reader { bytes: state, at: 0 });
        if !self.is_sound() {
            self.fail();
            return Err(PatchError::BadSnapshot);
        }
        Ok(())
    }

    /// Whether every index of a state read from outside is within its bounds.
    fn is_sound(&self) -> bool {
        let w = &self.walker;
        let r = &w.reader;
        usize::from(self.input.end) <= INPUT_BYTES
            && self.input.start <= self.input.end
            && usize::from(self.made_to) <= STEP_OUTPUT
            && self.made_from <= self.made_to
            && w.phase <= Phase::Done as u8
            && usize::from(w.pool.count) <= MAP_ENTRIES
            && usize::from(w.old_space.count) <= MAX_SEGMENTS
            && usize::from(w.new_space.count) <= MAX_SEGMENTS
            && usize::from(r.held) <= WINDOW
            && r.usable <= r.held
            && w.position <= w.new_len
            && w.left <= w.new_len - w.position
            && w.new_len == self.new_len
            && self.new_len <= self.limit
            && w.old_space.is_sound()
            && w.new_space.is_sound()
    }

    fn visit(&mut self, v: &mut dyn Visitor) {
        v.bytes(&mut self.base);
        v.bytes(&mut self.header);
        v.byte(&mut self.header_have);
        v.word(&mut self.new_len);
        v.bytes(&mut self.result);
        v.word(&mut self.body_left);
        v.word(&mut self.taken);
        v.byte(&mut self.stage);
        v.bytes(&mut self.made);
        v.byte(&mut self.made_from);
        v.byte(&mut self.made_to);

        let input = &mut self.input;
        v.word(&mut input.range);
        v.word(&mut input.code);
        v.bytes(&mut input.buffer);
        v.half(&mut input.start);
        v.half(&mut input.end);
        v.word(&mut input.overrun);

        let w = &mut self.walker;
        v.byte(&mut w.phase);
        v.half(&mut w.index);
        for flag in [
            &mut w.has_old,
            &mut w.has_new,
            &mut w.same_segments,
            &mut w.reads_back,
            &mut w.computes_tail,
            &mut w.fresh_elf_hash,
            &mut w.copying,
            &mut w.made,
            &mut w.span_clean,
            &mut w.new_code,
        ] {
            v.flag(flag);
        }
        visit_space(v, &mut w.old_space);
        visit_space(v, &mut w.new_space);
        v.bytes(&mut w.pool.bytes);
        v.half(&mut w.pool.count);
        const { assert!(LEARNT > 0) };
        v.words(&mut w.learnt.from);
        v.words(&mut w.learnt.to);

        let r = &mut w.reader;
        v.bytes(&mut r.bytes);
        v.bytes(&mut r.cuts);
        v.word(&mut r.start);
        v.byte(&mut r.held);
        v.byte(&mut r.usable);
        v.byte(&mut r.area);
        v.flag(&mut r.made);
        v.words(&mut r.upper);
        v.word(&mut r.known);
        v.word(&mut r.unwound);

        for word in [
            &mut w.new_len,
            &mut w.position,
            &mut w.left,
            &mut w.old,
            &mut w.from,
            &mut w.command_old,
            &mut w.command_len,
            &mut w.span,
            &mut w.before,
        ] {
            v.word(word);
        }
        v.byte(&mut w.clean_history);
        v.byte(&mut w.miss_history);
        v.words(&mut w.errors);
        v.words(&mut w.new_upper);
        v.byte(&mut w.insn.at);
        v.byte(&mut w.insn.len);
        v.byte(&mut w.insn.first);
        v.byte(&mut w.checksum);
        visit_sha(v, &mut w.sha);
        v.bytes(&mut w.image_hash);

        v.flags(&mut w.clean_flags);
        v.flags(&mut w.hit_flags);
        v.flags(&mut w.other_flags);
        v.flags(&mut w.command_flags);
        visit_number(v, &mut w.number_map_from);
        visit_number(v, &mut w.number_map_shift);
        visit_number(v, &mut w.number_made);
        visit_number(v, &mut w.number_new_len);
        visit_number(v, &mut w.number_copy_len);
        visit_number(v, &mut w.number_copy_old);

        let b = &mut w.bytes;
        v.slots(&mut b.expected);
        v.slots(&mut b.recent_trust);
        for weight in b.weights.iter_mut().chain(&mut b.bit_weights).flatten() {
            let mut half = *weight as u16;
            v.half(&mut half);
            *weight = (half as i16).clamp(-crate::model::MAX_WEIGHT, crate::model::MAX_WEIGHT);
        }
        const { assert!(RECENT > 16) };
        v.bytes(&mut b.recent.bytes);
        b.recent.keys.iter_mut().for_each(|k| v.half(k));
        v.word(&mut b.recent.seen);
        v.word(&mut b.recent.last);
        v.half(&mut b.recent.at);
        v.half(&mut b.recent.length);
    }
}

fn check(state: &[u8]) -> [u8; 16] {
    let mut sha = Sha256::new();
    state.iter().for_each(|&b| sha.push(b));
    let mut half = [0; 16];
    half.copy_from_slice(&sha.finish()[..16]);
    half
}

fn visit_space(v: &mut dyn Visitor, space: &mut Space) {
    v.byte(&mut space.count);
    v.flag(&mut space.hashed);
    let mut isa = space.isa as u8;
    v.byte(&mut isa);
    space.isa = match isa {
        1 => Isa::Xtensa,
        2 => Isa::RiscV,
        _ => Isa::None,
    };
    for s in &mut space.segments {
        v.word(&mut s.position);
        v.word(&mut s.length);
        v.word(&mut s.address);
    }
}

fn visit_sha(v: &mut dyn Visitor, sha: &mut Sha256) {
    v.words(&mut sha.state);
    v.bytes(&mut sha.block);
    v.word(&mut sha.length);
}

fn visit_number(v: &mut dyn Visitor, number: &mut Number) {
    v.slots(&mut number.length);
    v.slots(&mut number.upper);
    v.half(&mut number.sign.0);
}
