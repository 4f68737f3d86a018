//! The walk over the new image: what the patch's bits mean. Decoder and encoder both take it,
//! the one reading bits, the other writing them, so they cannot drift apart.
//!
//! ```text
//!  Flags ──▶ Segments ──▶ MapLength ──▶ Map ──▶ Body ──▶ Done
//!                                               │  ▲
//!                                  command ─────┤  │ copy: tokens of old bytes, moved and corrected
//!                                               └──┘ new: bytes
//! ```

use crate::coder::{Account, Coder};
use crate::digest::Sha256;
use crate::isa::{CLASSES, Kind, riscv, xtensa};
use crate::map::{Learnt, MAP_ENTRIES, Pool};
use crate::model::{ByteContext, ByteModel, Cell, Flag, Number};
use crate::reader::{Reader, Token};
use crate::space::{IMAGE_HEADER_BYTES, Isa, MAX_SEGMENTS, Segment, Space};
use crate::{OldImage, PatchError};

/// New bytes that share one flag "all as predicted".
pub(crate) const SPAN: u32 = 512;
/// The new image is read back only so far behind: by then the reader's whole window has been handed out.
pub(crate) const BACK: u32 = crate::reader::WINDOW as u32 + 2 * STEP_OUTPUT as u32;
/// A step makes at most this many bytes.
pub(crate) const STEP_OUTPUT: usize = 8;
/// Where the ELF file's SHA-256 is (app descriptor at 32, field at 144; `esp_app_desc.h`).
const ELF_HASH: core::ops::Range<u32> = 176..208;
/// Byte classes of new bytes, behind the token classes.
const LAST_BYTE_CLASS: u32 = 8;
const NEW_CODE: u32 = 9;
const NEW_DATA: u32 = 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Flags = 0,
    Segments = 1,
    MapLength = 2,
    Map = 3,
    Body = 4,
    Done = 5,
}

/// One command as the encoder plans it; together they cover the new image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Command {
    pub(crate) new: u32,
    pub(crate) len: u32,
    pub(crate) source: Source,
}

/// Where a command's bytes come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The patch.
    New,
    /// This position of the old image.
    Old(u32),
    /// This position of the new image, [`BACK`] or more before.
    Made(u32),
}

impl Source {
    /// The same, `n` bytes further on.
    pub(crate) fn plus(self, n: u32) -> Self {
        match self {
            Self::New => Self::New,
            Self::Old(p) => Self::Old(p + n),
            Self::Made(p) => Self::Made(p + n),
        }
    }
}

/// What the encoder knows beforehand. The decoder's is empty.
#[derive(Clone, Copy)]
pub(crate) struct Guide<'a> {
    pub(crate) new: &'a [u8],
    pub(crate) commands: &'a [Command],
    /// By span: whether anything in it differs from its prediction.
    pub(crate) dirty: &'a [bool],
    pub(crate) setup: Option<&'a Setup>,
    /// Address map: old position and shift.
    pub(crate) map: &'a [(u32, u32)],
}

impl Guide<'_> {
    pub(crate) const NONE: Guide<'static> =
        Guide { new: &[], commands: &[], dirty: &[], setup: None, map: &[] };

    fn byte(&self, position: u32) -> u8 {
        self.new.get(position as usize).copied().unwrap_or(0)
    }
}

/// What the preamble of a patch says.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) old: Option<Space>,
    pub(crate) new: Option<Space>,
    /// Whether checksum and hash are computed instead of sent.
    pub(crate) computes_tail: bool,
    pub(crate) fresh_elf_hash: bool,
}

/// Everything the walk remembers.
#[derive(Clone)]
pub(crate) struct Walker {
    pub(crate) phase: u8,
    pub(crate) index: u16,
    pub(crate) has_old: bool,
    pub(crate) has_new: bool,
    pub(crate) reads_back: bool,
    pub(crate) same_segments: bool,
    pub(crate) computes_tail: bool,
    pub(crate) fresh_elf_hash: bool,
    pub(crate) old_space: Space,
    pub(crate) new_space: Space,
    pub(crate) pool: Pool,
    pub(crate) learnt: Learnt,
    pub(crate) reader: Reader,

    pub(crate) new_len: u32,
    pub(crate) position: u32,
    // The command under way.
    pub(crate) copying: bool,
    pub(crate) left: u32,
    pub(crate) old: u32,
    /// Reading position of a copy, and whether it is one of the new image.
    pub(crate) from: u32,
    pub(crate) made: bool,
    pub(crate) command_old: u32,
    pub(crate) command_len: u32,
    // Recent past.
    pub(crate) span: u32,
    pub(crate) span_clean: bool,
    pub(crate) clean_history: u8,
    pub(crate) miss_history: u8,
    pub(crate) before: u32,
    pub(crate) insn: Instruction,
    pub(crate) new_code: bool,
    pub(crate) errors: [u32; CLASSES],
    pub(crate) new_upper: [u32; 32],
    // Results.
    pub(crate) checksum: u8,
    pub(crate) sha: Sha256,
    pub(crate) image_hash: [u8; 32],

    // Models.
    pub(crate) clean_flags: [Flag; 8],
    pub(crate) hit_flags: [Flag; CLASSES * 24],
    pub(crate) other_flags: [Flag; CLASSES * 4],
    pub(crate) command_flags: [Flag; 8],
    pub(crate) number_map_from: Number,
    pub(crate) number_made: Number,
    pub(crate) number_map_shift: Number,
    pub(crate) number_new_len: Number,
    pub(crate) number_copy_len: Number,
    pub(crate) number_copy_old: Number,
    pub(crate) bytes: ByteModel,
}

impl Walker {
    /// Nothing but zeros; see [`Walker::start`].
    pub(crate) const IDLE: Self = Self {
        phase: Phase::Flags as u8,
        index: 0,
        has_old: false,
        has_new: false,
        reads_back: false,
        same_segments: false,
        computes_tail: false,
        fresh_elf_hash: false,
        old_space: Space::NONE,
        new_space: Space::NONE,
        pool: Pool::new(),
        learnt: Learnt::new(),
        reader: Reader::new(),
        new_len: 0,
        position: 0,
        copying: false,
        left: 0,
        old: 0,
        from: 0,
        made: false,
        command_old: 0,
        command_len: 0,
        span: 0,
        span_clean: false,
        clean_history: 0,
        miss_history: 0,
        before: 0,
        insn: Instruction::new(),
        new_code: false,
        errors: [0; CLASSES],
        new_upper: [0; 32],
        checksum: 0,
        sha: Sha256::IDLE,
        image_hash: [0; 32],
        clean_flags: [Flag::IDLE; 8],
        hit_flags: [Flag::IDLE; CLASSES * 24],
        other_flags: [Flag::IDLE; CLASSES * 4],
        command_flags: [Flag::IDLE; 8],
        number_map_from: Number::IDLE,
        number_made: Number::IDLE,
        number_map_shift: Number::IDLE,
        number_new_len: Number::IDLE,
        number_copy_len: Number::IDLE,
        number_copy_old: Number::IDLE,
        bytes: ByteModel::IDLE,
    };

    /// Begins anew, in place: a whole walker is too much for a node's stack.
    pub(crate) fn start(&mut self, new_len: u32) {
        *self = Self::IDLE;
        self.new_len = new_len;
        self.span = u32::MAX;
        self.checksum = 0xEF;
        self.sha.start();
        self.clean_flags.fill(Flag::even());
        self.hit_flags.fill(Flag::rare());
        self.other_flags.fill(Flag::even());
        self.command_flags.fill(Flag::even());
        for number in [
            &mut self.number_map_from,
            &mut self.number_made,
            &mut self.number_map_shift,
            &mut self.number_new_len,
            &mut self.number_copy_len,
            &mut self.number_copy_old,
        ] {
            number.start();
        }
        self.bytes.start();
    }

    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Done as u8
    }

    /// One step: a part of the preamble, a command, or up to [`STEP_OUTPUT`] bytes in `out`; returns how many.
    pub(crate) fn step<C: Coder, O: OldImage>(
        &mut self,
        c: &mut C,
        old: &mut O,
        guide: &Guide<'_>,
        out: &mut [u8; STEP_OUTPUT],
    ) -> Result<usize, PatchError> {
        match self.phase {
            p if p == Phase::Flags as u8 => self.flags(c, old, guide)?,
            p if p == Phase::Segments as u8 => self.segment(c, guide)?,
            p if p == Phase::MapLength as u8 => self.map_length(c, guide)?,
            p if p == Phase::Map as u8 => self.map_entry(c, guide)?,
            p if p == Phase::Body as u8 => return self.body(c, old, guide, out),
            _ => {}
        }
        Ok(0)
    }

    fn flags<C: Coder, O: OldImage>(
        &mut self,
        c: &mut C,
        old: &mut O,
        guide: &Guide<'_>,
    ) -> Result<(), PatchError> {
        c.account(Account::Preamble);
        let mut flag = |value: bool| c.code(1 << 15, u32::from(value)) != 0;
        let setup = guide.setup;
        let new = setup.and_then(|s| s.new.as_ref());
        self.has_old = flag(setup.is_some_and(|s| s.old.is_some()));
        self.has_new = flag(new.is_some());
        if self.has_new {
            self.computes_tail = flag(setup.is_some_and(|s| s.computes_tail));
            self.fresh_elf_hash = flag(setup.is_some_and(|s| s.fresh_elf_hash));
            self.new_space.hashed = flag(new.is_some_and(|s| s.hashed));
            let same = setup.is_some_and(|s| match (&s.old, &s.new) {
                (Some(old), Some(new)) => {
                    old.segments == new.segments && old.count == new.count && old.isa == new.isa
                }
                _ => false,
            });
            self.same_segments = flag(same);
            let count = new.map_or(1, |s| u32::from(s.count)) - 1;
            if !self.same_segments {
                let mut value = 0;
                for i in (0..4).rev() {
                    value |= c.code(1 << 15, count >> i & 1) << i;
                }
                self.new_space.count = value as u8 + 1;
                let riscv = c.code(1 << 15, u32::from(new.is_some_and(|s| s.isa == Isa::RiscV))) != 0;
                self.new_space.isa = if riscv { Isa::RiscV } else { Isa::Xtensa };
            }
        }
        if self.has_old {
            let space = Space::parse(|position, buffer| {
                old.read(position, buffer).map_err(|_| PatchError::OldImage { position })
            })?;
            self.old_space = space.ok_or(PatchError::OldImage { position: 0 })?;
        }
        if self.same_segments {
            self.new_space = Space { hashed: self.new_space.hashed, ..self.old_space.clone() };
            self.check_new_space()?;
        }
        self.phase =
            if self.has_new && !self.same_segments { Phase::Segments } else { Phase::MapLength } as u8;
        Ok(())
    }

    fn segment<C: Coder>(&mut self, c: &mut C, guide: &Guide<'_>) -> Result<(), PatchError> {
        c.account(Account::Preamble);
        let i = usize::from(self.index).min(MAX_SEGMENTS - 1);
        let was = self.old_space.segments.get(i).copied().unwrap_or(Segment::NONE);
        let is = guide.setup.and_then(|s| s.new.as_ref()).and_then(|s| s.segments.get(i)).copied();
        let is = is.unwrap_or(Segment::NONE);
        // Borrowed models: the map comes later and learns afresh soon enough.
        let address = self.number_copy_old.code_signed(c, is.address.wrapping_sub(was.address) as i32);
        let length = self.number_copy_len.code_signed(c, is.length.wrapping_sub(was.length) as i32 >> 2);
        let previous = if i == 0 { IMAGE_HEADER_BYTES } else { self.new_space.data_end_of(i - 1) };
        let length = was.length.wrapping_add((length as u32) << 2);
        let position = previous.wrapping_add(crate::space::SEGMENT_HEADER_BYTES);
        if length > self.new_len || position > self.new_len || position + length > self.new_len {
            return Err(PatchError::Corrupt("a segment is longer than the image"));
        }
        if let Some(segment) = self.new_space.segments.get_mut(i) {
            *segment = Segment { position, length, address: was.address.wrapping_add(address as u32) };
        }
        self.index += 1;
        if self.index >= u16::from(self.new_space.count) {
            self.phase = Phase::MapLength as u8;
            self.check_new_space()?;
        }
        Ok(())
    }

    fn check_new_space(&self) -> Result<(), PatchError> {
        let end = if self.computes_tail { self.new_space.image_len() } else { self.new_space.data_end() };
        if end > self.new_len {
            return Err(PatchError::Corrupt("the image's end lies behind its length"));
        }
        Ok(())
    }

    fn map_length<C: Coder>(&mut self, c: &mut C, guide: &Guide<'_>) -> Result<(), PatchError> {
        c.account(Account::Map);
        let count = self.number_new_len.code(c, guide.map.len() as u32);
        if count as usize > MAP_ENTRIES {
            return Err(PatchError::Corrupt("more map entries than a decoder holds"));
        }
        self.index = 0;
        self.pool.count = count as u16;
        if count == 0 {
            self.begin_body();
        } else {
            self.phase = Phase::Map as u8;
        }
        Ok(())
    }

    fn map_entry<C: Coder>(&mut self, c: &mut C, guide: &Guide<'_>) -> Result<(), PatchError> {
        c.account(Account::Map);
        let i = usize::from(self.index);
        let (last_from, last_shift) = i.checked_sub(1).map_or((0, 0), |last| self.pool.entry(last));
        let (from, shift) = guide.map.get(i).copied().unwrap_or((0, 0));
        let step = self.number_map_from.code(c, from.wrapping_sub(last_from));
        let change = self.number_map_shift.code_signed(c, shift.wrapping_sub(last_shift) as i32);
        let from = last_from.checked_add(step).ok_or(PatchError::Corrupt("a map entry lies nowhere"))?;
        self.pool.set(i, from, last_shift.wrapping_add(change as u32));
        self.index += 1;
        if self.index >= self.pool.count {
            self.begin_body();
        }
        Ok(())
    }

    /// The map is complete: what it leaves free is the byte model's.
    fn begin_body(&mut self) {
        self.pool.free().fill(Cell::FIRST);
        self.phase = Phase::Body as u8;
    }

    fn body<C: Coder, O: OldImage>(
        &mut self,
        c: &mut C,
        old: &mut O,
        guide: &Guide<'_>,
        out: &mut [u8; STEP_OUTPUT],
    ) -> Result<usize, PatchError> {
        if self.position >= self.new_len {
            self.phase = Phase::Done as u8;
            return Ok(0);
        }
        if let Some(byte) = self.known_byte() {
            out[0] = byte;
            self.emit(&out[..1], false);
            return Ok(1);
        }
        if self.left == 0 {
            self.command(c, guide)?;
            return Ok(0);
        }
        if self.fresh_elf_hash && ELF_HASH.contains(&self.position) {
            c.account(Account::Literals);
            let byte = guide.byte(self.position);
            let mut value = 0;
            for i in (0..8).rev() {
                value = value << 1 | c.code(1 << 15, u32::from(byte) >> i & 1) as u8;
            }
            out[0] = value;
            self.emit(&out[..1], true);
            return Ok(1);
        }
        if self.copying { self.copy(c, old, guide, out) } else { self.new_byte(c, old, guide, out) }
    }

    /// Bytes that follow from what is already known: segment headers, padding, checksum, hash.
    fn known_byte(&self) -> Option<u8> {
        if !self.has_new {
            return None;
        }
        let p = self.position;
        if p < self.new_space.data_end() {
            return self.new_space.header_byte(p);
        }
        if !self.computes_tail || p >= self.new_space.image_len() {
            return None;
        }
        let checksum = self.new_space.checksum_position();
        if p < checksum {
            return Some(0);
        }
        if p == checksum {
            return Some(self.checksum);
        }
        self.image_hash.get((p - checksum - 1) as usize).copied()
    }

    /// How many bytes from here on are not known beforehand.
    fn run(&self) -> u32 {
        let mut end = self.new_len;
        if self.has_new {
            end = end.min(self.new_space.next_header(self.position));
            if self.computes_tail && self.position < self.new_space.data_end() {
                end = end.min(self.new_space.data_end());
            }
            if self.fresh_elf_hash && self.position < ELF_HASH.start {
                end = end.min(ELF_HASH.start);
            }
        }
        end - self.position
    }

    /// Counts `bytes` as written; `data`: not those of segment headers, and so in the image's checksum.
    fn emit(&mut self, bytes: &[u8], data: bool) {
        let data_end = self.new_space.data_end();
        for &byte in bytes {
            self.sha.push(byte);
            if data && (IMAGE_HEADER_BYTES..data_end).contains(&self.position) {
                self.checksum ^= byte;
            }
            self.position += 1;
            self.before = self.before << 8 | u32::from(byte);
            if self.new_code {
                self.insn.push(byte, self.new_space.isa);
            }
            self.left = self.left.saturating_sub(1);
            self.old = self.old.wrapping_add(1);
            self.from = self.from.wrapping_add(1);
            if self.computes_tail && self.position == (data_end | 15) + 1 {
                self.image_hash = self.sha.clone().finish();
            }
        }
    }

    fn command<C: Coder>(&mut self, c: &mut C, guide: &Guide<'_>) -> Result<(), PatchError> {
        c.account(Account::Commands);
        let plan = if C::ENCODING {
            let i = guide.commands.partition_point(|k| k.new <= self.position);
            let k = guide.commands.get(i.wrapping_sub(1)).copied();
            let k = k.unwrap_or(Command { new: 0, len: self.new_len, source: Source::New });
            let skip = self.position - k.new;
            Command { new: self.position, len: k.len - skip, source: k.source.plus(skip) }
        } else {
            Command { new: 0, len: 0, source: Source::New }
        };
        let was_copying = usize::from(self.copying);
        self.copying = self.command_flags[was_copying].code(c, plan.source != Source::New);
        let next = self.pool.next_start(self.position).min(self.new_len);
        let gap = next - self.position;
        if self.copying {
            let mapped = self.position.wrapping_sub(self.pool.shift_to(self.position));
            let by_map = self.command_flags[2].code(c, plan.source == Source::Old(mapped));
            self.made = !by_map
                && self.reads_back
                && self.command_flags[3].code(c, matches!(plan.source, Source::Made(_)));
            if self.made {
                let from = if let Source::Made(from) = plan.source { from } else { 0 };
                let reach = self.position.saturating_sub(BACK);
                let back = self.number_made.code(c, reach.wrapping_sub(from));
                self.from =
                    reach.checked_sub(back).ok_or(PatchError::Corrupt("a copy from before the image"))?;
            } else {
                let from = if by_map {
                    mapped
                } else {
                    let from = if let Source::Old(from) = plan.source { from } else { 0 };
                    let distance = from.wrapping_sub(self.old);
                    self.old.wrapping_add(self.number_copy_old.code_signed(c, distance as i32) as u32)
                };
                self.old = from;
                self.from = from;
                self.command_old = from;
            }
            self.reader.begin(self.made);
        }
        let whole = self.command_flags[4 + usize::from(self.copying)].code(c, plan.len == gap);
        let len = if whole {
            gap
        } else if self.copying {
            self.number_copy_len.code(c, plan.len.wrapping_sub(1)).wrapping_add(1)
        } else {
            self.number_new_len.code(c, plan.len.wrapping_sub(1)).wrapping_add(1)
        };
        if len == 0 || len > self.new_len - self.position {
            return Err(PatchError::Corrupt("a command runs past the image's end"));
        }
        if self.copying && self.from.checked_add(len).is_none() {
            return Err(PatchError::Corrupt("a copy runs past every image's end"));
        }
        self.left = len;
        self.command_len = len;
        Ok(())
    }

    fn new_byte<C: Coder, O: OldImage>(
        &mut self,
        c: &mut C,
        old: &mut O,
        guide: &Guide<'_>,
        out: &mut [u8; STEP_OUTPUT],
    ) -> Result<usize, PatchError> {
        c.account(Account::Literals);
        let expected = if self.has_old && self.old < self.old_space.image_len() {
            let mut byte = [0];
            let position = self.old;
            old.read(position, &mut byte).map_err(|_| PatchError::OldImage { position })?;
            Some(byte[0])
        } else {
            None
        };
        self.new_code = self.has_new && self.new_space.is_code(self.position);
        let (class, place) =
            if self.new_code { (NEW_CODE, u32::from(self.insn.at)) } else { (NEW_DATA, self.position & 3) };
        let context =
            ByteContext { expected, class, place, before: self.before, first: u32::from(self.insn.first) };
        out[0] = self.bytes.code(c, self.pool.free(), &context, guide.byte(self.position));
        self.emit(&out[..1], true);
        Ok(1)
    }

    /// Where an address of the old image is now, as far as the commands tell.
    fn moved(&self, target: u32) -> u32 {
        if self.made {
            return target;
        }
        let Some(position) = self.old_space.position_of(target) else { return target };
        let here = self.position.wrapping_sub(self.old);
        let shift = if position.wrapping_sub(self.command_old) <= self.command_len {
            here
        } else {
            self.pool.shift_at(position)
        };
        self.old_space.moved_address(target, position, position.wrapping_add(shift), &self.new_space)
    }

    fn copy<C: Coder, O: OldImage>(
        &mut self,
        c: &mut C,
        old: &mut O,
        guide: &Guide<'_>,
        out: &mut [u8; STEP_OUTPUT],
    ) -> Result<usize, PatchError> {
        let limit = self.left.min(self.run());
        let space = if self.made { &self.new_space } else { &self.old_space };
        let token = self.reader.token(old, space, self.from, limit)?;
        let len = usize::from(token.len);
        let class = token.kind.class();
        let address = self.new_space.address_of(self.position);

        let span = self.position / SPAN;
        if span != self.span {
            self.span = span;
            c.account(Account::Hits);
            let dirty = guide.dirty.get(span as usize).copied().unwrap_or(true);
            let flag = &mut self.clean_flags[usize::from(self.clean_history & 7)];
            self.span_clean = !flag.code(c, dirty);
            self.clean_history = self.clean_history << 1 | u8::from(!self.span_clean);
        }

        let mut wanted = [0u8; STEP_OUTPUT];
        if C::ENCODING {
            for (i, w) in wanted.iter_mut().enumerate().take(len) {
                *w = guide.byte(self.position + i as u32);
            }
        }

        // Candidates, most likely first.
        let mut candidates = [[0u8; STEP_OUTPUT]; 4];
        let mut count = 0;
        let mut add = |bytes: [u8; STEP_OUTPUT]| {
            if !candidates[..count].contains(&bytes) && count < 4 {
                candidates[count] = bytes;
                count += 1;
            }
        };
        let has_target = !matches!(token.kind, Kind::Data | Kind::Plain);
        let mut base = 0;
        let mut state = if self.made { 1 + usize::from(has_target) } else { 0 };
        if has_target {
            base = self.moved(token.target);
            if let Some(learnt) = self.learnt.get(token.target).filter(|_| !self.made) {
                state = 1 + usize::from(learnt != base);
                if let Some(bytes) = self.rewrite(&token, address, learnt) {
                    add(bytes);
                }
            }
            if let Some(bytes) = self.rewrite(&token, address, base) {
                add(bytes);
            }
            let error = self.errors[class];
            if error != 0
                && !self.made
                && let Some(bytes) = self.rewrite(&token, address, base.wrapping_add(error))
            {
                add(bytes);
            }
        }
        let mut plain = token.bytes;
        plain[len..].fill(0);
        add(plain);
        let candidates = &candidates[..count];

        let mut choice = 0;
        if !self.span_clean {
            c.account(Account::Hits);
            let history = usize::from(self.miss_history & 7);
            let mut found = false;
            for (i, candidate) in candidates.iter().enumerate() {
                let differs = *candidate != wanted;
                let flag = if i == 0 {
                    &mut self.hit_flags[(class * 8 + history) * 3 + state]
                } else {
                    &mut self.other_flags[class * 4 + i]
                };
                if !flag.code(c, differs) {
                    choice = i;
                    found = true;
                    break;
                }
            }
            if !found {
                choice = candidates.len();
            }
            self.miss_history = self.miss_history << 1 | u8::from(choice != 0);
        }
        if choice != 0 {
            c.note_miss(span);
        }
        let bytes = match candidates.get(choice) {
            Some(bytes) => *bytes,
            None => {
                c.account(match class {
                    0 => Account::Words,
                    1 => Account::Code,
                    _ => Account::References,
                });
                let expected = candidates.first().copied().unwrap_or(plain);
                let mut bytes = [0u8; STEP_OUTPUT];
                let (mut before, mut first) = (self.before, u32::from(self.insn.first));
                for i in 0..len {
                    let context = ByteContext {
                        expected: Some(expected[i]),
                        class: (class as u32).min(LAST_BYTE_CLASS),
                        place: i as u32,
                        before,
                        first,
                    };
                    bytes[i] = self.bytes.code(c, self.pool.free(), &context, wanted[i]);
                    before = before << 8 | u32::from(bytes[i]);
                    first = u32::from(bytes[0]);
                }
                bytes
            }
        };

        if has_target
            && !self.made
            && let Some(went) = self.target_in(token.kind, len, &bytes, address)
        {
            c.note_reference(token.target, went);
            if went != base {
                self.learnt.put(token.target, went);
                self.errors[class] = went.wrapping_sub(base);
            } else if state == 2 {
                self.learnt.put(token.target, went);
            }
        }
        if self.new_space.isa == Isa::RiscV && len == 4 {
            let word = word_of(&bytes);
            if riscv::is_lui(word)
                && let Some(upper) = self.new_upper.get_mut(riscv::rd(word) as usize)
            {
                *upper = word & 0xFFFF_F000;
            }
        }
        *out = bytes;
        self.new_code = false;
        self.emit(&bytes[..len], true);
        self.insn = Instruction { first: bytes[0], ..Instruction::new() };
        Ok(len)
    }

    /// The token's bytes at a new address with another target; `None` if it cannot reach.
    fn rewrite(&self, token: &Token, at: u32, target: u32) -> Option<[u8; STEP_OUTPUT]> {
        let w = token.word();
        let mut bytes = [0; STEP_OUTPUT];
        let first = match token.kind {
            Kind::Pointer | Kind::OddPointer => target,
            Kind::RelativePointer => target.wrapping_sub(at),
            Kind::BackPointer => at.wrapping_sub(target),
            Kind::RvPairI | Kind::RvPairS => {
                let d = target.wrapping_sub(at);
                let upper = d.wrapping_add(0x800) & 0xFFFF_F000;
                let [.., a, b, c, e] = token.bytes;
                let second = riscv::with_lower(
                    token.kind,
                    u32::from_le_bytes([a, b, c, e]),
                    d.wrapping_sub(upper) & 0xFFF,
                );
                bytes[4..].copy_from_slice(&second.to_le_bytes());
                w & 0xFFF | upper
            }
            Kind::RvUpper => w & 0xFFF | target.wrapping_add(0x800) & 0xFFFF_F000,
            Kind::RvLowerI | Kind::RvLowerS => {
                let d = target.wrapping_sub(*self.new_upper.get(riscv::rs1(w) as usize)?);
                if !crate::isa::fits(d, 12) {
                    return None;
                }
                riscv::with_lower(token.kind, w, d & 0xFFF)
            }
            Kind::RvJal | Kind::RvBranch | Kind::RvJumpCompressed | Kind::RvBranchCompressed => {
                riscv::rewrite(token.kind, w, at, target)?
            }
            _ => xtensa::rewrite(token.kind, w, at, target)?,
        };
        bytes[..4].copy_from_slice(&first.to_le_bytes());
        Some(bytes)
    }

    /// What the new bytes refer to, if they are of the same kind as the old ones.
    fn target_in(&self, kind: Kind, len: usize, bytes: &[u8; STEP_OUTPUT], at: u32) -> Option<u32> {
        let w = word_of(bytes);
        let (found, target) = match (kind, len) {
            (Kind::Pointer | Kind::OddPointer, _) => return Some(w),
            (Kind::RelativePointer, _) => return Some(at.wrapping_add(w)),
            (Kind::BackPointer, _) => return Some(at.wrapping_sub(w)),
            (Kind::RvUpper, _) => return None,
            (Kind::RvLowerI | Kind::RvLowerS, _) => {
                let base = *self.new_upper.get(riscv::rs1(w) as usize)?;
                return (riscv::lower_kind(w) == Some(kind))
                    .then(|| base.wrapping_add(riscv::lower_offset(kind, w)));
            }
            (Kind::RvPairI | Kind::RvPairS, _) => {
                let [.., a, b, c, d] = *bytes;
                let second = u32::from_le_bytes([a, b, c, d]);
                return riscv::is_auipc(w).then(|| {
                    at.wrapping_add(w & 0xFFFF_F000).wrapping_add(riscv::lower_offset(kind, second))
                });
            }
            (Kind::RvJal | Kind::RvBranch | Kind::RvJumpCompressed | Kind::RvBranchCompressed, _) => {
                riscv::reference(w, at)
            }
            (_, 2) => xtensa::narrow(w, at),
            _ => xtensa::wide(w, at),
        };
        (found == kind).then_some(target)
    }
}

/// The instruction that the bytes of new code are in.
#[derive(Clone)]
pub(crate) struct Instruction {
    /// Bytes of it so far.
    pub(crate) at: u8,
    pub(crate) len: u8,
    /// First byte of it, or of the last one.
    pub(crate) first: u8,
}

impl Instruction {
    const fn new() -> Self {
        Self { at: 0, len: 0, first: 0 }
    }

    fn push(&mut self, byte: u8, isa: Isa) {
        if self.at == 0 {
            self.first = byte;
            self.len = match isa {
                Isa::RiscV if byte & 3 == 3 => 4,
                Isa::Xtensa if byte & 15 < 8 || byte & 15 >= 14 => 3,
                _ => 2,
            };
        }
        self.at += 1;
        if self.at >= self.len {
            self.at = 0;
        }
    }
}

fn word_of(bytes: &[u8; STEP_OUTPUT]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
