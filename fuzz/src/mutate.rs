//! Mutations from a fixed random seed: the same ones on every machine and every day.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose bytes with.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, or 0 when there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.bits() % bound as u64) as usize }
    }

    /// Mostly near the start, where headers and lengths are.
    fn position(&mut self, length: usize) -> usize {
        let bound = if self.below(2) == 0 { length.min(64) } else { length };
        self.below(bound)
    }
}

/// Numbers on which parsers slip.
const INTERESTING: [u32; 14] = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFF0,
    0xFFFF_FFFE,
    0xFFFF_FFFF,
];

/// One to eight changes to one of the seeds. `longest` bounds what comes out.
pub fn mutate(seeds: &[Vec<u8>], random: &mut Random, longest: usize) -> Vec<u8> {
    let mut bytes = seeds.get(random.below(seeds.len())).cloned().unwrap_or_default();
    for _ in 0..1 + random.below(8) {
        change(&mut bytes, seeds, random);
    }
    bytes.truncate(longest);
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.position(bytes.len());
    match random.below(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.bits() as u8;
            }
        }
        2 => {
            let width = 1 << random.below(3);
            let number = INTERESTING[random.below(INTERESTING.len())].to_le_bytes();
            bytes.iter_mut().skip(at).zip(&number[..width]).for_each(|(to, from)| *to = *from);
        }
        3 => bytes.truncate(at),
        4 => bytes.insert(at.min(bytes.len()), random.bits() as u8),
        5 => drop(bytes.drain(at..(at + 1 + random.below(16)).min(bytes.len()))),
        6 => {
            let piece = bytes[at..(at + random.below(64)).min(bytes.len())].to_vec();
            let to = random.position(bytes.len());
            bytes.splice(to..to, piece);
        }
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.position(other.len());
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_are_the_same_every_time_and_stay_within_bounds() {
        let seeds = vec![vec![7; 300], Vec::new(), b"{\"type\":\"ota\"}".to_vec()];
        let all = |seed| {
            let mut random = Random(seed);
            (0..2_000).map(|_| mutate(&seeds, &mut random, 200)).collect::<Vec<_>>()
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        assert!(all(3).iter().all(|bytes| bytes.len() <= 200));
    }
}
