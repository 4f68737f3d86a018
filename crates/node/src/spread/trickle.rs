//! When to advertise: the Trickle algorithm (RFC 6206), which says much when something is new and little when all agree.

use crate::time::Instant;

/// Shortest interval in milliseconds.
const SHORTEST_MS: u64 = 256;
/// Longest interval in milliseconds.
const LONGEST_MS: u64 = 16_384;
/// Hearing so many others say the same makes saying it again needless (RFC 6206: k).
const REDUNDANCY: u8 = 1;

/// One node's Trickle timer for one object.
#[derive(Clone, Debug)]
pub(super) struct Trickle {
    interval_ms: u64,
    ends: Instant,
    speaks: Option<Instant>,
    heard: u8,
}

impl Trickle {
    pub(super) fn new(now: Instant, random: u32) -> Self {
        let mut trickle = Self { interval_ms: SHORTEST_MS, ends: now, speaks: None, heard: 0 };
        trickle.begin(now, random);
        trickle
    }

    fn begin(&mut self, now: Instant, random: u32) {
        let half = self.interval_ms / 2;
        self.ends = now.after(self.interval_ms);
        self.speaks = Some(now.after(half + u64::from(random) % half.max(1)));
        self.heard = 0;
    }

    /// Something is inconsistent: say it soon.
    pub(super) fn reset(&mut self, now: Instant, random: u32) {
        if self.interval_ms > SHORTEST_MS {
            self.interval_ms = SHORTEST_MS;
            self.begin(now, random);
        }
    }

    /// Somebody else said the same.
    pub(super) fn agree(&mut self) {
        self.heard = self.heard.saturating_add(1);
    }

    pub(super) fn deadline(&self) -> Instant {
        self.speaks.unwrap_or(self.ends)
    }

    /// Whether to speak now.
    pub(super) fn poll(&mut self, now: Instant, random: u32) -> bool {
        if self.speaks.is_some_and(|moment| now >= moment) {
            self.speaks = None;
            if self.heard < REDUNDANCY {
                return true;
            }
        }
        if now >= self.ends {
            self.interval_ms = (self.interval_ms * 2).min(LONGEST_MS);
            self.begin(now, random);
        }
        false
    }
}
