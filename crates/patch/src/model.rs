//! Adaptive bit models: flags, numbers and bytes.

use crate::coder::Coder;
use crate::math::{STEP, squash, stretch};

/// One adaptive bit with high precision: 22 bits of probability, 10 bits of count.
#[derive(Clone, Copy)]
pub(crate) struct Flag(pub(crate) u32);

/// After this many bits a flag forgets at a constant pace.
const FLAG_LIMIT: u32 = 250;

impl Flag {
    /// A flag that begins with `p1` of 4,194,304 and trusts it like `count` bits seen.
    pub(crate) const fn with(p1: u32, count: u32) -> Self {
        Self(p1 << 10 | count)
    }

    /// Not yet begun.
    pub(crate) const IDLE: Self = Self(0);

    pub(crate) const fn even() -> Self {
        Self::with(1 << 21, 0)
    }

    pub(crate) const fn rare() -> Self {
        Self::with((1 << 22) / 50, 3)
    }

    pub(crate) fn code<C: Coder>(&mut self, c: &mut C, bit: bool) -> bool {
        let (p, n) = (self.0 >> 10, self.0 & 1023);
        let bit = c.code((p >> 6).clamp(1, 65_535), u32::from(bit)) != 0;
        let step = u32::from(STEP[(n & 255) as usize]);
        let p = if bit {
            p + ((((1 << 22) - 1 - p) as u64 * u64::from(step)) >> 16) as u32
        } else {
            p - ((u64::from(p) * u64::from(step)) >> 16) as u32
        };
        self.0 = p << 10 | if n < FLAG_LIMIT { n + 1 } else { n };
        bit
    }
}

/// One adaptive bit in 16 bits: 12 of probability, 4 of count.
#[derive(Clone, Copy)]
pub(crate) struct Slot(pub(crate) u16);

impl Slot {
    /// Not yet begun.
    pub(crate) const IDLE: Self = Self(0);

    pub(crate) const fn new() -> Self {
        Self(2048 << 4)
    }

    /// Probability of a 1, of 4,096.
    pub(crate) fn p(self) -> i32 {
        i32::from(self.0 >> 4)
    }

    /// Learns a bit; `limit` (up to 15) bounds the count and so how slowly it learns.
    pub(crate) fn learn(&mut self, bit: u32, limit: u16) {
        let (p, n) = (i32::from(self.0 >> 4), self.0 & 15);
        let target = if bit != 0 { 4095 } else { 0 };
        let step = i32::from(STEP[usize::from(n) * 2]);
        let p = p + (((target - p) * step) >> 16);
        self.0 = (p as u16) << 4 | if n < limit { n + 1 } else { n.min(limit) };
    }

    pub(crate) fn code<C: Coder>(&mut self, c: &mut C, bit: u32) -> u32 {
        let p = (self.p() as u32) << 4 | 8;
        let bit = c.code(p, bit);
        self.learn(bit, 12);
        bit
    }
}

/// A number of up to 32 bits: its bit length by a tree, then the bits under the first one.
#[derive(Clone)]
pub(crate) struct Number {
    pub(crate) length: [Slot; 32],
    pub(crate) upper: [Slot; 64],
    pub(crate) sign: Slot,
}

impl Number {
    /// Not yet begun.
    pub(crate) const IDLE: Self =
        Self { length: [Slot::IDLE; 32], upper: [Slot::IDLE; 64], sign: Slot::IDLE };

    pub(crate) fn start(&mut self) {
        self.length.fill(Slot::new());
        self.upper.fill(Slot::new());
        self.sign = Slot::new();
    }

    pub(crate) fn code<C: Coder>(&mut self, c: &mut C, value: u32) -> u32 {
        let length = (32 - value.leading_zeros()).min(31);
        let mut node = 1;
        for i in (0..5).rev() {
            let bit = self.length[node].code(c, length >> i & 1);
            node = node << 1 | bit as usize;
        }
        let mut length = node as u32 & 31;
        if length < 2 {
            return length;
        }
        if length == 31 {
            length += c.code(1 << 15, u32::from(value >> 31 != 0));
        }
        let mut result = 1u32;
        for i in (0..length - 1).rev() {
            let bit = value >> i & 1;
            let depth = length - 2 - i;
            let bit = if i < 2 && length > 8 {
                // What is far away is at a multiple of something, or not.
                self.upper[(32 | i << 1 | if i == 0 { result & 1 } else { 0 }) as usize].code(c, bit)
            } else if depth == 0 {
                self.upper[length as usize & 31].code(c, bit)
            } else if depth == 1 && length < 16 {
                self.upper[(32 | length << 1 & 30 | result & 1) as usize].code(c, bit)
            } else {
                c.code(1 << 15, bit)
            };
            result = result << 1 | bit;
        }
        result
    }

    pub(crate) fn code_signed<C: Coder>(&mut self, c: &mut C, value: i32) -> i32 {
        let magnitude = self.code(c, value.unsigned_abs());
        if magnitude == 0 {
            return 0;
        }
        let negative = self.sign.code(c, u32::from(value < 0)) != 0;
        if negative { (magnitude as i32).wrapping_neg() } else { magnitude as i32 }
    }
}

/// Contexts mixed for each bit of a byte.
pub(crate) const INPUTS: usize = 7;
/// Bytes remembered for matches, and places in their hash table (powers of two).
pub(crate) const RECENT: usize = 512;
pub(crate) const RECENT_KEYS: usize = 256;
/// Inputs that come from hashed contexts; the others are the expected byte and the repeated one.
const HASHED: usize = INPUTS - 2;
/// Of the cells of all byte contexts, so many are those of new bytes by their place in word or instruction; the
/// others are shared by hash.
const OWN: usize = 2048;
/// A mixing weight's bound, in 1/4,096: with it, no sum of weighted logits overflows.
pub(crate) const MAX_WEIGHT: i16 = 25_000;
/// Sets of mixing weights by kind of byte; and by bit.
pub(crate) const WEIGHT_SETS: usize = 45;
pub(crate) const BIT_SETS: usize = 8;
/// What every weight begins with: 0.3.
const FIRST_WEIGHT: i16 = 1_250;
/// Kinds of bytes: the classes of tokens, new bytes in code, new bytes elsewhere.
pub(crate) const BYTE_CLASSES: u32 = 11;
/// Estimators of how far an expected byte can be trusted.
pub(crate) const TRUSTS: usize = 176;

/// What is known of a byte before it is coded.
pub(crate) struct ByteContext {
    /// The byte of the old image that would be here, if one is known.
    pub(crate) expected: Option<u8>,
    /// Below [`BYTE_CLASSES`].
    pub(crate) class: u32,
    /// Place of the byte in its instruction, token or word, below 8.
    pub(crate) place: u32,
    /// The bytes before this one in the new image, last one lowest.
    pub(crate) before: u32,
    /// First byte of the instruction; for that byte itself, the one of the instruction before.
    pub(crate) first: u32,
}

/// Codes a byte by mixing the predictions of several contexts.
#[derive(Clone)]
pub(crate) struct ByteModel {
    pub(crate) expected: [Slot; TRUSTS],
    pub(crate) weights: [[i16; INPUTS]; WEIGHT_SETS],
    pub(crate) bit_weights: [[i16; INPUTS]; BIT_SETS],
    pub(crate) recent: Recent,
    pub(crate) recent_trust: [Slot; 64],
}

impl ByteModel {
    /// Not yet begun.
    pub(crate) const IDLE: Self = Self {
        expected: [Slot::IDLE; TRUSTS],
        weights: [[0; INPUTS]; WEIGHT_SETS],
        bit_weights: [[0; INPUTS]; BIT_SETS],
        recent: Recent::new(),
        recent_trust: [Slot::IDLE; 64],
    };

    pub(crate) fn start(&mut self) {
        self.expected.fill(Slot::with_p(3000));
        self.weights.fill([FIRST_WEIGHT; INPUTS]);
        self.bit_weights.fill([FIRST_WEIGHT; INPUTS]);
        self.recent = Recent::new();
        self.recent_trust.fill(Slot::with_p(3000));
    }

    /// Codes a byte; `cells` (more than [`OWN`], [`Cell::FIRST`] at first) are the same from byte to byte.
    pub(crate) fn code<C: Coder>(
        &mut self,
        c: &mut C,
        cells: &mut [u8],
        context: &ByteContext,
        byte: u8,
    ) -> u8 {
        let shared = cells.len().saturating_sub(OWN);
        let class = context.class % BYTE_CLASSES;
        let place = context.place & 7;
        let before = context.before;
        let expected = u32::from(context.expected.unwrap_or(0));
        let known = u32::from(context.expected.is_some());
        let kind = class << 3 | place;
        // New code and changed instructions share what is known of instructions.
        let group = match class {
            0 | 10 => 0,
            1 | 9 => 1,
            c => c,
        } << 3
            | place;
        let repeat = self.recent.expected();
        let mut repeats = repeat.is_some();
        let (repeated, length) = repeat.map_or((0, 0), |(byte, length)| (u32::from(byte), length.min(15)));
        // What helps beside the byte before: in code the instruction's first byte, elsewhere two bytes before.
        let second = if group >> 3 == 0 { before & 0xFFFF } else { context.first };
        let bases = [
            hash(1, group),
            hash(2, kind << 9 | known << 8 | expected),
            hash(3, (before & 0xFF) << 8 | group),
            hash(4, second << 8 | group),
            hash(9, repeat.map_or(0, |(byte, length)| u32::from(byte) << 5 | length.min(15) << 1 | 1)),
        ];
        // New bytes of code have weights for each place in the instruction.
        let family = if class == 9 { 11 + (place & 3) } else { class };
        let mut node = 1u32;
        let mut agrees = known != 0;
        for i in (0..8).rev() {
            let mut index = [0usize; HASHED];
            let mut logits = [0i32; INPUTS];
            for k in 0..HASHED {
                let hash = (bases[k].wrapping_add(node.wrapping_mul(0x9E35_79B1)) >> 16) as usize;
                index[k] = if k == 0 && group < 16 {
                    ((group >> 3 << 2 | place & 3) << 8 | node) as usize % OWN
                } else {
                    OWN + ((hash * shared) >> 16)
                };
                logits[k] = cells.get(index[k]).map_or(0, |cell| Cell(*cell).logit());
            }
            let expected_bit = expected >> i & 1;
            let trust = ((class << 2 | place & 3) << 2 | (7 - i).min(3)) as usize % TRUSTS;
            if agrees {
                let logit = stretch(self.expected[trust].p());
                logits[HASHED] = if expected_bit != 0 { logit } else { -logit };
            }
            let repeat_bit = repeated >> i & 1;
            let repeat_trust = (length << 2 | (7 - i).min(3)) as usize & 63;
            if repeats {
                let logit = stretch(self.recent_trust[repeat_trust].p());
                logits[HASHED + 1] = if repeat_bit != 0 { logit } else { -logit };
            }
            let set = (family * 3 + if agrees { 1 } else { known * 2 }) as usize % WEIGHT_SETS;
            // Two mixers, one chosen by kind and one by bit, agree half-way; each learns from its own error.
            let weights = &mut self.weights[set];
            let bit_weights = &mut self.bit_weights[7 - i as usize];
            let (one, two) = (mix(weights, &logits), mix(bit_weights, &logits));
            let p = squash((one + two) >> 9);
            let bit = c.code((p as u32) << 4 | 8, u32::from(byte) >> i & 1);
            adjust(weights, &logits, ((bit as i32) << 12) - squash(one >> 8));
            adjust(bit_weights, &logits, ((bit as i32) << 12) - squash(two >> 8));
            for &at in &index {
                if let Some(cell) = cells.get_mut(at) {
                    *cell = Cell(*cell).after(bit);
                }
            }
            if agrees {
                self.expected[trust].learn(u32::from(bit == expected_bit), 14);
                agrees = bit == expected_bit;
            }
            if repeats {
                self.recent_trust[repeat_trust].learn(u32::from(bit == repeat_bit), 14);
                repeats = bit == repeat_bit;
            }
            node = node << 1 | bit;
        }
        self.recent.push(node as u8);
        node as u8
    }
}

/// The weighted sum of logits, in 1/65,536.
fn mix(weights: &[i16; INPUTS], logits: &[i32; INPUTS]) -> i32 {
    weights.iter().zip(logits).map(|(weight, logit)| (i32::from(*weight) * logit) >> 4).sum()
}

/// Moves weights against an error given in 1/4,096.
fn adjust(weights: &mut [i16; INPUTS], logits: &[i32; INPUTS], error: i32) {
    for (weight, logit) in weights.iter_mut().zip(logits) {
        let moved = i32::from(*weight) + ((logit * error + 0x4000) >> 15);
        *weight = moved.clamp(-i32::from(MAX_WEIGHT), i32::from(MAX_WEIGHT)) as i16;
    }
}

impl Slot {
    pub(crate) const fn with_p(p: u16) -> Self {
        Self(p << 4)
    }
}

fn hash(which: u32, value: u32) -> u32 {
    let x = (value.wrapping_mul(0x2545_F491) ^ which.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
    x ^ x >> 15
}

/// The bytes coded last, and where they seem to repeat.
#[derive(Clone)]
pub(crate) struct Recent {
    pub(crate) bytes: [u8; RECENT],
    pub(crate) keys: [u16; RECENT_KEYS],
    /// Bytes seen, and the last three of them.
    pub(crate) seen: u32,
    pub(crate) last: u32,
    /// Where the repetition goes on, and how long it is.
    pub(crate) at: u16,
    pub(crate) length: u16,
}

impl Recent {
    const fn new() -> Self {
        Self { bytes: [0; RECENT], keys: [0; RECENT_KEYS], seen: 0, last: 0, at: 0, length: 0 }
    }

    fn expected(&self) -> Option<(u8, u32)> {
        (self.length > 0).then(|| (self.bytes[usize::from(self.at) % RECENT], u32::from(self.length)))
    }

    fn push(&mut self, byte: u8) {
        let here = self.seen as usize % RECENT;
        if self.length > 0 && self.bytes[usize::from(self.at) % RECENT] == byte {
            self.length = (self.length + 1).min(1000);
            self.at = self.at.wrapping_add(1);
        } else {
            self.length = 0;
        }
        self.bytes[here] = byte;
        self.seen = self.seen.wrapping_add(1);
        self.last = self.last << 8 | u32::from(byte);
        let key = ((self.last & 0xFF_FFFF).wrapping_mul(0x9E37_79B1) >> 20) as usize % RECENT_KEYS;
        if self.length == 0 && self.seen > 3 {
            let at = usize::from(self.keys[key]);
            let length = (1..=16)
                .take_while(|&i| {
                    self.bytes[(at + RECENT - i) % RECENT] == self.bytes[(here + 1 + RECENT - i) % RECENT]
                })
                .count();
            if length >= 3 {
                self.at = at as u16;
                self.length = length as u16;
            }
        }
        self.keys[key] = ((here + 1) % RECENT) as u16;
    }
}

/// One adaptive bit in a byte: a logit in steps of [`CELL_STEP`], and how often it has been seen.
#[derive(Clone, Copy)]
pub(crate) struct Cell(pub(crate) u8);

/// Logits told apart, and the distance between two (in 1/256).
const CELL_LEVELS: i32 = 83;
const CELL_STEP: i32 = 40;
/// A cell moves by one of so many of the way to the bit seen: first, second, and every later time.
const CELL_PACE: [i32; 3] = [2, 4, 8];

impl Cell {
    /// One that has seen nothing.
    pub(crate) const FIRST: u8 = (CELL_LEVELS / 2) as u8;

    fn logit(self) -> i32 {
        (i32::from(self.0) % CELL_LEVELS - CELL_LEVELS / 2) * CELL_STEP
    }

    /// The cell after a bit.
    fn after(self, bit: u32) -> u8 {
        CELL_NEXT[bit as usize & 1][usize::from(self.0)]
    }
}

static CELL_NEXT: [[u8; 256]; 2] = cell_table();

const fn cell_table() -> [[u8; 256]; 2] {
    let mut table = [[0; 256]; 2];
    let mut state = 0;
    while state < 256 {
        let seen = if state / CELL_LEVELS > 2 { 2 } else { state / CELL_LEVELS };
        let level = state % CELL_LEVELS;
        let p = squash((level - CELL_LEVELS / 2) * CELL_STEP);
        let more = if seen < 2 { seen + 1 } else { 2 };
        let mut bit = 0;
        while bit < 2 {
            let target = if bit == 1 { 4095 } else { 0 };
            let wanted = p + (target - p) / CELL_PACE[seen as usize];
            // The level nearest to the probability wanted, but at least one step on.
            let mut next = level;
            if bit == 1 {
                if next < CELL_LEVELS - 1 {
                    next += 1;
                }
                while next < CELL_LEVELS - 1
                    && squash((next - CELL_LEVELS / 2) * CELL_STEP + CELL_STEP / 2) < wanted
                {
                    next += 1;
                }
            } else {
                if next > 0 {
                    next -= 1;
                }
                while next > 0 && squash((next - CELL_LEVELS / 2) * CELL_STEP - CELL_STEP / 2) > wanted {
                    next -= 1;
                }
            }
            table[bit as usize][state as usize] = (more * CELL_LEVELS + next) as u8;
            bit += 1;
        }
        state += 1;
    }
    table
}
