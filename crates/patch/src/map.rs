//! Where old places went: a table of (old position, shift), each entry valid up to the next. It shares its
//! memory with the byte model's cells: most maps are short.

/// Entries at most.
pub(crate) const MAP_ENTRIES: usize = 384;
/// Learnt targets at most (a power of two).
pub(crate) const LEARNT: usize = 64;

/// Bytes of an entry: position and shift.
const ENTRY: usize = 8;
/// Memory that the map takes from the end and the byte model's cells from the start: what [`MAX_DECODER_BYTES`]
/// leaves.
///
/// [`MAX_DECODER_BYTES`]: crate::MAX_DECODER_BYTES
pub(crate) const POOL_BYTES: usize = 8320;

/// The address map, and the cells of the byte model in what it leaves free.
#[derive(Clone)]
pub(crate) struct Pool {
    pub(crate) bytes: [u8; POOL_BYTES],
    pub(crate) count: u16,
}

impl Pool {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; POOL_BYTES], count: 0 }
    }

    /// Memory free of the map.
    pub(crate) fn free(&mut self) -> &mut [u8] {
        let end = POOL_BYTES.saturating_sub(usize::from(self.count) * ENTRY);
        self.bytes.get_mut(..end).unwrap_or_default()
    }

    /// Sets an entry: an old position (ascending) and new position minus old position, wrapping.
    pub(crate) fn set(&mut self, index: usize, from: u32, shift: u32) {
        let at = POOL_BYTES.checked_sub((index + 1) * ENTRY);
        let entry = at.and_then(|at| self.bytes.get_mut(at..)?.first_chunk_mut::<ENTRY>());
        if let Some([a, b, c, d, e, f, g, h]) = entry {
            [*a, *b, *c, *d] = from.to_le_bytes();
            [*e, *f, *g, *h] = shift.to_le_bytes();
        }
    }

    /// Position and shift of an entry (zeros where there is none).
    pub(crate) fn entry(&self, index: usize) -> (u32, u32) {
        let at = POOL_BYTES.checked_sub((index + 1) * ENTRY);
        let Some(&[a, b, c, d, e, f, g, h]) = at.and_then(|at| self.bytes.get(at..)?.first_chunk::<ENTRY>())
        else {
            return (0, 0);
        };
        (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
    }

    fn entries(&self) -> impl Iterator<Item = (u32, u32)> {
        (0..usize::from(self.count)).map(|index| self.entry(index))
    }

    /// Shift of an old position.
    pub(crate) fn shift_at(&self, position: u32) -> u32 {
        let (mut low, mut high) = (0, usize::from(self.count));
        while low < high {
            let middle = low.midpoint(high);
            if self.entry(middle).0 <= position { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1).map_or(0, |last| self.entry(last).1)
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
