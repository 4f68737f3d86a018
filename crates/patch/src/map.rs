//! Where old places went: a table of (old position, shift), each entry valid up to the next.

/// Entries at most.
pub(crate) const MAP_ENTRIES: usize = 384;
/// Learnt targets at most (a power of two).
pub(crate) const LEARNT: usize = 64;

#[derive(Clone)]
pub(crate) struct AddressMap {
    /// Old positions, ascending.
    pub(crate) from: [u32; MAP_ENTRIES],
    /// New position minus old position, wrapping.
    pub(crate) shift: [u32; MAP_ENTRIES],
    pub(crate) count: u16,
}

impl AddressMap {
    pub(crate) const fn new() -> Self {
        Self { from: [0; MAP_ENTRIES], shift: [0; MAP_ENTRIES], count: 0 }
    }

    fn entries(&self) -> impl Iterator<Item = (u32, u32)> {
        self.from.iter().copied().zip(self.shift.iter().copied()).take(usize::from(self.count))
    }

    /// Shift of an old position.
    pub(crate) fn shift_at(&self, position: u32) -> u32 {
        let from = self.from.get(..usize::from(self.count)).unwrap_or(&[]);
        match from.partition_point(|&f| f <= position) {
            0 => 0,
            n => self.shift.get(n - 1).copied().unwrap_or(0),
        }
    }

    /// Shift of the entry that begins last at or before a new position.
    pub(crate) fn shift_to(&self, new: u32) -> u32 {
        let mut best = (0, 0);
        for (from, shift) in self.entries() {
            let start = from.wrapping_add(shift);
            if start <= new && start >= best.0 {
                best = (start, shift);
            }
        }
        best.1
    }

    /// The first new position after `new` where an entry begins.
    pub(crate) fn next_start(&self, new: u32) -> u32 {
        self.entries().map(|(f, s)| f.wrapping_add(s)).filter(|&s| s > new).min().unwrap_or(u32::MAX)
    }
}

/// Targets that the map had wrong, and where they really went: a small hashed table.
#[derive(Clone)]
pub(crate) struct Learnt {
    pub(crate) from: [u32; LEARNT],
    pub(crate) to: [u32; LEARNT],
}

impl Learnt {
    pub(crate) const fn new() -> Self {
        Self { from: [0; LEARNT], to: [0; LEARNT] }
    }

    fn slot(target: u32) -> usize {
        (target.wrapping_mul(0x9E37_79B1) >> 20) as usize & (LEARNT - 1)
    }

    pub(crate) fn get(&self, target: u32) -> Option<u32> {
        let slot = Self::slot(target);
        (self.from.get(slot) == Some(&target)).then(|| self.to.get(slot).copied())?
    }

    pub(crate) fn put(&mut self, target: u32, went: u32) {
        let slot = Self::slot(target);
        if let (Some(from), Some(to)) = (self.from.get_mut(slot), self.to.get_mut(slot)) {
            *from = target;
            *to = went;
        }
    }
}
