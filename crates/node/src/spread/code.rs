//! A block of pages as packets, and repair packets that help everyone who misses *any* packet of the block.
//!
//! A block is two pages of 4,096 bytes (the object's last one may be a single page). It is cut into rows of
//! [`PACKET_BYTES`], the last one padded with zeros: [`PACKETS`] rows for two pages, half as many for one. Packets
//! 0 to 35 are the rows themselves; packets 36 to 255 are sums of all rows over GF(256), weighted by a Cauchy matrix,
//! so that *any* n different packets give a block of n rows back (a Reed-Solomon code: maximum distance separable).
//! A sender therefore need not know who misses what, only how many packets the worst-off listener is short of.
//!
//! Two pages, not one: the more packets share their repairs, the less the unluckiest of many listeners costs. With 50
//! listeners and one packet in ten lost, a page alone takes 1.31 times its packets until the last listener has enough,
//! two pages together 1.23 times, four 1.19 times; four would need twice the buffer.

use crate::PAGE_BYTES;

/// Bytes of a packet's payload: what is left of an ESP-NOW v1 frame, and a near divisor of a page.
pub const PACKET_BYTES: usize = 228;

/// Pages that are coded together.
pub const PAGES_PER_BLOCK: usize = 2;

/// Bytes of a whole block.
pub const BLOCK_BYTES: usize = PAGES_PER_BLOCK * PAGE_BYTES;

/// Packets that a whole block needs.
pub const PACKETS: usize = BLOCK_BYTES.div_ceil(PACKET_BYTES);

/// A block with the padding of its last row.
pub const ROWS_BYTES: usize = PACKETS * PACKET_BYTES;

/// One packet's payload.
pub type Packet = [u8; PACKET_BYTES];

const _: () = assert!(PACKETS == 36);

/// Packets that a block of so many pages needs.
pub const fn packets_of(pages: usize) -> usize {
    (pages * PAGE_BYTES).div_ceil(PACKET_BYTES)
}

/// Logarithms and powers of the generator 2 modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11D).
struct Tables {
    exp: [u8; 512],
    log: [u8; 256],
}

const TABLES: Tables = {
    let mut tables = Tables { exp: [0; 512], log: [0; 256] };
    let mut value: u16 = 1;
    let mut power = 0;
    while power < 255 {
        tables.exp[power] = value as u8;
        tables.exp[power + 255] = value as u8;
        tables.log[value as usize] = power as u8;
        value <<= 1;
        if value & 0x100 != 0 {
            value ^= 0x11D;
        }
        power += 1;
    }
    tables
};

static EXP: [u8; 512] = TABLES.exp;
static LOG: [u8; 256] = TABLES.log;

fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        0
    } else {
        EXP[usize::from(LOG[usize::from(a)]) + usize::from(LOG[usize::from(b)])]
    }
}

fn invert(a: u8) -> u8 {
    EXP[255 - usize::from(LOG[usize::from(a)])]
}

/// `to += factor × from`, byte by byte.
fn add_scaled(to: &mut [u8], from: &[u8], factor: u8) {
    if factor == 0 {
        return;
    }
    let shift = usize::from(LOG[usize::from(factor)]);
    for (to, from) in to.iter_mut().zip(from) {
        if *from != 0 {
            *to ^= EXP[shift + usize::from(LOG[usize::from(*from)])];
        }
    }
}

/// Weight of row `column` in packet `index` (36 or more): an entry of a Cauchy matrix, never zero.
fn weight(index: u8, column: usize) -> u8 {
    invert(index ^ column as u8)
}

/// Makes packet `index` of a block of `rows` rows, which `row` hands out (padded with zeros). `false` when there is no
/// such packet, or a row cannot be read.
pub fn encode(
    index: u8,
    rows: usize,
    mut row: impl FnMut(usize, &mut Packet) -> bool,
    into: &mut Packet,
) -> bool {
    if usize::from(index) < PACKETS {
        return usize::from(index) < rows && row(usize::from(index), into);
    }
    into.fill(0);
    let mut one = [0; PACKET_BYTES];
    for column in 0..rows {
        if !row(column, &mut one) {
            return false;
        }
        add_scaled(into, &one, weight(index, column));
    }
    true
}

/// A block being put together, or, once it is whole, kept to be handed on.
#[derive(Clone)]
pub struct BlockDecoder {
    bytes: [u8; ROWS_BYTES],
    /// What each row's place holds: nothing, the row itself, or a sum that waits for its use.
    places: [Place; PACKETS],
    /// Rows of this block.
    rows: u8,
}

/// An index below [`PACKETS`] is a row, one above is that sum.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Empty,
    Row,
    Sum(u8),
}

impl Default for BlockDecoder {
    #[inline(always)]
    fn default() -> Self {
        Self { bytes: [0; ROWS_BYTES], places: [Place::Empty; PACKETS], rows: PACKETS as u8 }
    }
}

impl BlockDecoder {
    /// Begins a block of so many pages.
    pub fn begin(&mut self, pages: usize) {
        self.places = [Place::Empty; PACKETS];
        self.rows = packets_of(pages.clamp(1, PAGES_PER_BLOCK)) as u8;
    }

    /// Rows of the block.
    pub const fn rows(&self) -> u8 {
        self.rows
    }

    /// The places of this block's rows.
    fn places(&self) -> &[Place] {
        self.places.get(..usize::from(self.rows)).unwrap_or_default()
    }

    /// Packets that are still needed.
    pub fn missing(&self) -> u8 {
        self.places().iter().filter(|place| **place == Place::Empty).count() as u8
    }

    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        self.missing() == self.rows
    }

    /// The buffer, for other uses while nothing has come.
    pub(super) fn spare(&mut self) -> Option<&mut [u8; PAGE_BYTES]> {
        if self.is_empty() { self.bytes.first_chunk_mut() } else { None }
    }

    fn row(&mut self, index: usize) -> &mut [u8] {
        self.bytes.get_mut(index * PACKET_BYTES..(index + 1) * PACKET_BYTES).unwrap_or_default()
    }

    /// A row of a block that is whole.
    pub(super) fn read_row(&self, index: usize, into: &mut Packet) -> bool {
        let row = self.bytes.get(index * PACKET_BYTES..(index + 1) * PACKET_BYTES);
        let known = self.places().get(index) == Some(&Place::Row);
        row.filter(|_| known).map(|row| into.copy_from_slice(row)).is_some()
    }

    fn free_place(&self) -> Option<usize> {
        self.places().iter().position(|place| *place == Place::Empty)
    }

    /// Takes a packet in; `false` when it brings nothing new.
    pub fn take(&mut self, index: u8, packet: &Packet) -> bool {
        let place = usize::from(index);
        if place < PACKETS {
            match self.places().get(place) {
                None | Some(Place::Row) => return false,
                Some(Place::Sum(_)) => {
                    // The sum moves to an empty place; without one the block was whole already.
                    let Some(free) = self.free_place() else { return false };
                    self.bytes
                        .copy_within(place * PACKET_BYTES..(place + 1) * PACKET_BYTES, free * PACKET_BYTES);
                    self.places[free] = self.places[place];
                }
                Some(Place::Empty) => {}
            }
            self.places[place] = Place::Row;
            self.row(place).copy_from_slice(packet);
            return true;
        }
        if self.places().contains(&Place::Sum(index)) {
            return false;
        }
        let Some(free) = self.free_place() else { return false };
        self.places[free] = Place::Sum(index);
        self.row(free).copy_from_slice(packet);
        true
    }

    /// The block, once nothing is missing: its pages one after another, and padding.
    pub fn block(&mut self) -> Option<&[u8]> {
        if self.missing() > 0 {
            return None;
        }
        self.solve();
        self.bytes.get(..usize::from(self.rows) * PACKET_BYTES)
    }

    /// The same, to be changed.
    pub(super) fn block_mut(&mut self) -> Option<&mut [u8]> {
        self.block()?;
        self.bytes.get_mut(..usize::from(self.rows) * PACKET_BYTES)
    }

    /// Turns the sums into the rows that are missing: what the known rows contribute is taken away, the rest is a
    /// small system of equations, solved by Gauss-Jordan elimination. A Cauchy matrix has no singular square part.
    fn solve(&mut self) {
        let rows = usize::from(self.rows);
        let mut unknown = heapless::Vec::<usize, PACKETS>::new();
        for (place, held) in self.places().iter().enumerate() {
            if let Place::Sum(_) = held {
                let _ = unknown.push(place);
            }
        }
        let count = unknown.len();
        let mut matrix = [[0u8; PACKETS]; PACKETS];
        for (equation, &place) in unknown.iter().enumerate() {
            let Place::Sum(index) = self.places[place] else { continue };
            for column in 0..rows {
                if self.places[column] == Place::Row {
                    self.add_row(place, column, weight(index, column));
                }
            }
            for (variable, &column) in unknown.iter().enumerate() {
                matrix[equation][variable] = weight(index, column);
            }
        }
        for pivot in 0..count {
            let Some(found) = (pivot..count).find(|row| matrix[*row][pivot] != 0) else { return };
            if found != pivot {
                matrix.swap(found, pivot);
                let (a, b) = (unknown[pivot] * PACKET_BYTES, unknown[found] * PACKET_BYTES);
                for byte in 0..PACKET_BYTES {
                    self.bytes.swap(a + byte, b + byte);
                }
            }
            let scale = invert(matrix[pivot][pivot]);
            for value in &mut matrix[pivot] {
                *value = multiply(*value, scale);
            }
            for byte in self.row(unknown[pivot]) {
                *byte = multiply(*byte, scale);
            }
            for other in 0..count {
                let factor = matrix[other][pivot];
                if other == pivot || factor == 0 {
                    continue;
                }
                let pivot_row = matrix[pivot];
                add_scaled(&mut matrix[other], &pivot_row, factor);
                self.add_row(unknown[other], unknown[pivot], factor);
            }
        }
        for place in unknown {
            self.places[place] = Place::Row;
        }
    }

    /// `rows[to] += factor × rows[from]`.
    fn add_row(&mut self, to: usize, from: usize, factor: u8) {
        let mut copy = [0; PACKET_BYTES];
        copy.copy_from_slice(self.row(from));
        add_scaled(self.row(to), &copy, factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn block(seed: u32, pages: usize) -> Vec<u8> {
        let mut state = seed;
        let mut block = vec![0; packets_of(pages) * PACKET_BYTES];
        for byte in &mut block[..pages * PAGE_BYTES] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        block
    }

    fn packet(block: &[u8], index: u8) -> Packet {
        let mut packet = [0; PACKET_BYTES];
        let row = |row: usize, into: &mut Packet| {
            into.copy_from_slice(&block[row * PACKET_BYTES..(row + 1) * PACKET_BYTES]);
            true
        };
        assert!(encode(index, block.len() / PACKET_BYTES, row, &mut packet));
        packet
    }

    #[test]
    fn any_packets_as_many_as_rows_give_the_block_back() {
        let mut state = 7u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u8
        };
        for round in 0..100 {
            let pages = 1 + round as usize % 2;
            let block = block(round, pages);
            let rows = packets_of(pages);
            let mut decoder = BlockDecoder::default();
            decoder.begin(pages);
            let mut taken = Vec::new();
            while decoder.missing() > 0 {
                // Few rows, many rows, any order.
                let index = if round % 3 == 0 { random() } else { random() % 48 };
                if (rows..PACKETS).contains(&usize::from(index)) {
                    assert!(!decoder.take(index, &[0; PACKET_BYTES]), "a row that this block has not");
                    continue;
                }
                let fresh = decoder.take(index, &packet(&block, index));
                assert_eq!(fresh, !taken.contains(&index), "round {round}, packet {index}");
                taken.push(index);
            }
            assert_eq!(taken.iter().collect::<std::collections::BTreeSet<_>>().len(), rows);
            assert_eq!(decoder.block(), Some(&block[..]), "round {round}: {taken:?}");
        }
    }

    #[test]
    fn a_block_made_of_sums_alone_comes_out_whole() {
        let block = block(99, 2);
        let mut decoder = BlockDecoder::default();
        for index in 200..=255u8 {
            if decoder.missing() == 0 {
                break;
            }
            assert!(decoder.take(index, &packet(&block, index)));
        }
        assert_eq!(decoder.block(), Some(&block[..]));
    }

    #[test]
    fn a_repeated_packet_brings_nothing() {
        let block = block(1, 2);
        let mut decoder = BlockDecoder::default();
        assert!(decoder.take(3, &packet(&block, 3)));
        assert!(!decoder.take(3, &packet(&block, 3)));
        assert!(decoder.take(77, &packet(&block, 77)));
        assert!(!decoder.take(77, &packet(&block, 77)));
        assert_eq!(decoder.missing(), 34);
        assert_eq!(decoder.block(), None);
    }
}
