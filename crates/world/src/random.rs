//! Chance that repeats: a small seeded generator, the same on every machine and in every version.

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, any seed is good, equal seeds give equal worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator that repeats whatever another one with this seed gave.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator for one part of a world, independent of how much the other parts draw.
    #[must_use]
    pub fn fork(&self, part: u64) -> Self {
        let mut random = Self::new(self.state ^ part.wrapping_mul(0xA24B_AED4_963E_E407));
        random.next_u64();
        random
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number from 0 to `below` - 1; 0 if `below` is 0.
    pub fn below(&mut self, below: u64) -> u64 {
        // The upper half of a 128-bit product: no modulo, and a bias far below what a simulation can notice.
        ((u128::from(self.next_u64()) * u128::from(below)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True with the given probability (0 never, 1 always).
    pub fn chance(&mut self, probability: f64) -> bool {
        ((self.next_u64() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        // The reference implementation's first outputs for seed 0.
        let mut random = Random::new(0);
        assert_eq!(random.next_u64(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.next_u64(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut random = Random::new(7);
        for _ in 0..10_000 {
            assert!(random.below(10) < 10);
            assert!((3..=5).contains(&random.between(3, 5)));
            assert!(!random.chance(0.0));
            assert!(random.chance(1.0));
        }
        assert_eq!(random.below(0), 0);
        assert_eq!(random.between(9, 9), 9);
    }

    #[test]
    fn forks_differ_from_each_other_and_do_not_disturb_their_origin() {
        let random = Random::new(1);
        assert_ne!(random.fork(1).next_u64(), random.fork(2).next_u64());
        assert_eq!(random.fork(1), random.fork(1));
    }
}
