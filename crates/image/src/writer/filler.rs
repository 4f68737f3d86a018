//! Data that looks like firmware to a compressor: seeded, reproducible. 1.3 MB of it shrink to 70 % with DEFLATE
//! (read-only data to 58 %, code to 74 %); real images of that size shrink to 60 % (30 to 40 %, and 62 to 81 %).

use std::vec::Vec;

/// SplitMix64: small, seedable, good enough to fill images.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number below `end`, small ones more often: as instructions and words are distributed.
    fn skewed(&mut self, end: u64) -> u64 {
        self.below(end).min(self.below(end)).min(self.below(end))
    }
}

/// Like machine code: halfwords from a skewed vocabulary, some with an operand, and phrases that come again.
pub(super) fn code(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    // One vocabulary for all code of all images, as one compiler makes it.
    let mut vocabulary = Random(0x1517);
    let opcodes: Vec<u16> = (0..1024).map(|_| vocabulary.next() as u16).collect();
    let mut out = Vec::with_capacity(bytes + 32);
    while out.len() < bytes {
        match random.below(16) {
            0 => out.extend_from_slice(&(random.next() as u16).to_le_bytes()),
            1 => out.extend_from_slice(&(random.skewed(256) as u16).to_le_bytes()),
            2 | 3 => {
                let length = 4 + 2 * random.skewed(10) as usize;
                let back = length + 2 * random.skewed(4096) as usize;
                if let Some(start) = out.len().checked_sub(back) {
                    out.extend_from_within(start..start + length);
                }
            }
            _ => {
                let opcode = opcodes.get(random.skewed(1024) as usize).copied().unwrap_or(0);
                out.extend_from_slice(&opcode.to_le_bytes());
            }
        }
    }
    out.truncate(bytes);
    out
}

/// Words that messages are made of.
const WORDS: [&str; 24] = [
    "error", "failed", "to", "connect", "mesh", "node", "wifi", "timeout", "state", "%s", "%d", "invalid",
    "packet", "init", "not", "found", "relay", "switch", "root", "ota", "buffer", "length", "retry", "peer",
];

/// Like read-only data: messages, tables of addresses, numbers, gaps.
pub(super) fn read_only_data(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = Vec::with_capacity(bytes + 64);
    while out.len() < bytes {
        match random.below(8) {
            0..=2 => {
                for _ in 0..2 + random.below(6) {
                    out.extend_from_slice(WORDS[random.skewed(WORDS.len() as u64) as usize].as_bytes());
                    out.push(b' ');
                }
                out.push(0);
            }
            3 | 4 => {
                let mut address = 0x4200_0000 + (random.below(1 << 20) as u32) * 2;
                for _ in 0..random.below(12) {
                    out.extend_from_slice(&address.to_le_bytes());
                    address = address.wrapping_add(random.skewed(4096) as u32 * 2);
                }
            }
            5 | 6 => (0..random.below(8)).for_each(|_| out.extend_from_slice(&random.next().to_le_bytes())),
            _ => out.resize(out.len() + random.below(48) as usize, 0),
        }
    }
    out.truncate(bytes);
    out
}
