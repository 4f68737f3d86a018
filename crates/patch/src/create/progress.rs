//! How far making a patch is, told from several threads.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts units of work; a unit is a byte of the new image that was looked at once.
pub(super) struct Progress<'a> {
    done: AtomicU64,
    whole: u64,
    tell: &'a (dyn Fn(f32) + Sync),
}

impl<'a> Progress<'a> {
    pub(super) fn new(whole: u64, tell: &'a (dyn Fn(f32) + Sync)) -> Self {
        Self { done: AtomicU64::new(0), whole: whole.max(1), tell }
    }

    pub(super) fn add(&self, units: u64) {
        let done = self.done.fetch_add(units, Ordering::Relaxed).saturating_add(units);
        (self.tell)((done as f32 / self.whole as f32).min(1.0));
    }
}
