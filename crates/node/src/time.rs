//! Time as the core sees it: a number that only ever grows, handed in by the body.

/// A moment, in milliseconds since some start that the body chooses (power-on, usually).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The moment `milliseconds` later; stays at the end of time instead of wrapping.
    #[must_use]
    pub const fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this moment, 0 when `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The earlier of two optional deadlines.
pub(crate) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Waiting that doubles after each failure, between a first and a longest delay, with jitter so
/// that a mesh full of nodes does not come back to a server in one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay after the first failure, in milliseconds.
    pub first_ms: u32,
    /// Longest delay, in milliseconds.
    pub longest_ms: u32,
    /// How often something is tried before it counts as failed, 1 or more.
    pub attempts: u8,
}

impl Backoff {
    /// Delay in milliseconds before try number `failures + 1`: between half of and the whole
    /// doubled delay, as `random` decides.
    #[must_use]
    pub fn delay_ms(&self, failures: u8, random: u32) -> u64 {
        let doublings = u32::from(failures.saturating_sub(1)).min(20);
        let full = (u64::from(self.first_ms) << doublings).min(u64::from(self.longest_ms)).max(1);
        let half = full / 2;
        half + u64::from(random) % (full - half + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_never_leave_their_half() {
        let backoff = Backoff { first_ms: 1000, longest_ms: 60_000, attempts: 8 };
        for failures in 1..=40u8 {
            let full = (1000u64 << (failures - 1).min(20)).min(60_000);
            for random in [0, 1, 77, u32::MAX] {
                let delay = backoff.delay_ms(failures, random);
                assert!(delay >= full / 2 && delay <= full, "failure {failures}: {delay} of {full}");
            }
        }
    }
}
