//! Binary range coding: one trait, so that the decoder and the encoder run the very same model code.

#[cfg(feature = "create")]
use std::vec::Vec;

/// A source (decoding) or sink (encoding) of modelled bits.
pub(crate) trait Coder {
    /// Whether the caller knows the bits and the coder writes them.
    const ENCODING: bool;

    /// Codes one bit whose probability of being 1 is `p1` of 65,536 (1..=65,535).
    /// The encoder takes `bit`; the decoder ignores it. Both return the bit.
    fn code(&mut self, p1: u32, bit: u32) -> u32;

    /// Adds the cost of what follows to this account (encoder only).
    fn account(&mut self, _to: Account) {}

    /// Something in this span was not as predicted (encoder only).
    fn note_miss(&mut self, _span: u32) {}

    /// A reference to the old address went to the new one (encoder only).
    fn note_reference(&mut self, _old: u32, _new: u32) {}
}

/// Where the bits of a patch go; the order is that of [`Account::NAMES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Account {
    Preamble,
    Map,
    Commands,
    Hits,
    Words,
    Code,
    References,
    Literals,
}

#[cfg(feature = "create")]
impl Account {
    pub(crate) const NAMES: [&str; 8] = [
        "segment table and flags",
        "address map",
        "copy commands",
        "hit flags",
        "changed data",
        "changed instructions",
        "changed references",
        "new bytes",
    ];
}

/// Bytes of input the decoder holds back: no step between two checks reads more.
pub(crate) const INPUT_BYTES: usize = 256;
/// A step is begun only with this much input at hand, or with all that is left.
pub(crate) const STEP_INPUT: usize = 160;

/// The decoding side: a 32-bit range decoder over a small input buffer.
#[derive(Clone)]
pub(crate) struct RangeDecoder {
    pub(crate) range: u32,
    pub(crate) code: u32,
    pub(crate) buffer: [u8; INPUT_BYTES],
    pub(crate) start: u16,
    pub(crate) end: u16,
    /// Bytes read past the end of the input: they count as zeros (the encoder drops trailing zeros).
    pub(crate) overrun: u32,
}

impl RangeDecoder {
    pub(crate) const IDLE: Self =
        Self { range: 0, code: 0, buffer: [0; INPUT_BYTES], start: 0, end: 0, overrun: 0 };

    pub(crate) fn start(&mut self) {
        *self = Self::IDLE;
        self.range = u32::MAX;
    }

    pub(crate) fn buffered(&self) -> usize {
        usize::from(self.end.saturating_sub(self.start))
    }

    /// Takes as much of `input` as fits, returns how much.
    pub(crate) fn fill(&mut self, input: &[u8]) -> usize {
        if self.start > 0 {
            self.buffer.copy_within(usize::from(self.start)..usize::from(self.end), 0);
            self.end -= self.start;
            self.start = 0;
        }
        let end = usize::from(self.end);
        let n = input.len().min(INPUT_BYTES - end);
        self.buffer[end..end + n].copy_from_slice(&input[..n]);
        self.end += n as u16;
        n
    }

    pub(crate) fn begin(&mut self) {
        for _ in 0..4 {
            self.code = self.code << 8 | u32::from(self.next_byte());
        }
    }

    fn next_byte(&mut self) -> u8 {
        if self.start < self.end {
            let byte = self.buffer[usize::from(self.start)];
            self.start += 1;
            byte
        } else {
            self.overrun = self.overrun.saturating_add(1);
            0
        }
    }
}

impl Coder for RangeDecoder {
    const ENCODING: bool = false;

    fn code(&mut self, p1: u32, _bit: u32) -> u32 {
        let bound = (self.range >> 16) * p1;
        let bit = if self.code < bound {
            self.range = bound;
            1
        } else {
            self.code -= bound;
            self.range -= bound;
            0
        };
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(self.next_byte());
        }
        bit
    }
}

/// The encoding side, with an account of where the bits went.
#[cfg(feature = "create")]
pub(crate) struct RangeEncoder {
    low: u64,
    range: u32,
    cache: u8,
    pending: u64,
    started: bool,
    out: Vec<u8>,
    /// Cost in 1/65,536 bit by [`Account`].
    pub(crate) spent: [u64; 8],
    to: usize,
}

#[cfg(feature = "create")]
impl RangeEncoder {
    pub(crate) fn new() -> Self {
        Self {
            low: 0,
            range: u32::MAX,
            cache: 0,
            pending: 0,
            started: false,
            out: Vec::new(),
            spent: [0; 8],
            to: 0,
        }
    }

    fn shift_low(&mut self) {
        let carry = (self.low >> 32) as u8;
        if self.low < 0xFF00_0000 || carry != 0 {
            if self.started {
                self.out.push(self.cache.wrapping_add(carry));
            }
            self.started = true;
            for _ in 0..self.pending {
                self.out.push(0xFFu8.wrapping_add(carry));
            }
            self.pending = 0;
            self.cache = (self.low >> 24) as u8;
        } else {
            self.pending += 1;
        }
        self.low = (self.low & 0x00FF_FFFF) << 8;
    }

    /// Ends the stream with as few bytes as the decoder (which reads zeros after the end) needs.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        // The number with the most trailing zeros in [low, low + range).
        let top = self.low + u64::from(self.range) - 1;
        let mut keep = 0u64;
        for bits in (0..=32).rev() {
            let mask = !((1u64 << bits) - 1);
            if top & mask >= self.low {
                keep = top & mask;
                break;
            }
        }
        self.low = keep;
        for _ in 0..5 {
            self.shift_low();
        }
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }
}

#[cfg(feature = "create")]
impl Coder for RangeEncoder {
    const ENCODING: bool = true;

    fn code(&mut self, p1: u32, bit: u32) -> u32 {
        let bound = (self.range >> 16) * p1;
        let p = if bit != 0 { p1 } else { 65_536 - p1 };
        self.spent[self.to] += (-(f64::from(p) / 65_536.0).log2() * 65_536.0) as u64;
        // 1 takes the lower part, as in the decoder.
        if bit != 0 {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.shift_low();
        }
        bit
    }

    fn account(&mut self, to: Account) {
        self.to = to as usize;
    }
}
