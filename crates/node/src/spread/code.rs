//! A page as packets, and repair packets that help everyone who misses *any* packet of the page.
//!
//! A page of 4,096 bytes is cut into [`PACKETS`] rows of [`PACKET_BYTES`] (the last one padded with zeros). Packets
//! 0 to 17 are the rows themselves; packets 18 to 255 are sums of all rows over GF(256), weighted by a Cauchy matrix,
//! so that *any* 18 different packets give the page back (a Reed-Solomon code: maximum distance separable).
//! A sender therefore need not know who misses what, only how many packets the worst-off listener is short of.

use crate::PAGE_BYTES;

/// Bytes of a packet's payload: what is left of an ESP-NOW v1 frame, and a near divisor of a page.
pub const PACKET_BYTES: usize = 228;

/// Packets that a page needs.
pub const PACKETS: usize = PAGE_BYTES.div_ceil(PACKET_BYTES);

/// A page with the padding of its last row.
pub const ROWS_BYTES: usize = PACKETS * PACKET_BYTES;

/// One packet's payload.
pub type Packet = [u8; PACKET_BYTES];

const _: () = assert!(PACKETS == 18);

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

/// Weight of row `column` in packet `index` (18 or more): an entry of a Cauchy matrix, never zero.
fn weight(index: u8, column: usize) -> u8 {
    invert(index ^ column as u8)
}

/// Makes packet `index` of a page whose rows `row` hands out (padded with zeros).
pub fn encode(index: u8, mut row: impl FnMut(usize, &mut Packet) -> bool, into: &mut Packet) -> bool {
    if usize::from(index) < PACKETS {
        return row(usize::from(index), into);
    }
    into.fill(0);
    let mut one = [0; PACKET_BYTES];
    for column in 0..PACKETS {
        if !row(column, &mut one) {
            return false;
        }
        add_scaled(into, &one, weight(index, column));
    }
    true
}

/// A page being put together.
#[derive(Clone)]
pub struct PageDecoder {
    rows: [u8; ROWS_BYTES],
    /// What each row's place holds: nothing, the row itself, or a sum that waits for its use.
    places: [Place; PACKETS],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Empty,
    Row,
    Sum(u8),
}

impl Default for PageDecoder {
    fn default() -> Self {
        Self { rows: [0; ROWS_BYTES], places: [Place::Empty; PACKETS] }
    }
}

impl PageDecoder {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.places = [Place::Empty; PACKETS];
    }

    /// Packets that are still needed.
    pub fn missing(&self) -> u8 {
        self.places.iter().filter(|place| **place == Place::Empty).count() as u8
    }

    fn row(&mut self, index: usize) -> &mut [u8] {
        self.rows.get_mut(index * PACKET_BYTES..(index + 1) * PACKET_BYTES).unwrap_or_default()
    }

    /// Takes a packet in; `false` when it brings nothing new.
    pub fn take(&mut self, index: u8, packet: &Packet) -> bool {
        let place = usize::from(index);
        if place < PACKETS {
            match self.places[place] {
                Place::Row => return false,
                Place::Sum(_) => {
                    // The sum moves to an empty place; without one the page was complete already.
                    let Some(free) = self.places.iter().position(|place| *place == Place::Empty) else {
                        return false;
                    };
                    self.rows
                        .copy_within(place * PACKET_BYTES..(place + 1) * PACKET_BYTES, free * PACKET_BYTES);
                    self.places[free] = self.places[place];
                }
                Place::Empty => {}
            }
            self.places[place] = Place::Row;
            self.row(place).copy_from_slice(packet);
            return true;
        }
        if self.places.contains(&Place::Sum(index)) {
            return false;
        }
        let Some(free) = self.places.iter().position(|place| *place == Place::Empty) else { return false };
        self.places[free] = Place::Sum(index);
        self.row(free).copy_from_slice(packet);
        true
    }

    /// The page, once nothing is missing.
    pub fn page(&mut self) -> Option<&[u8; PAGE_BYTES]> {
        if self.missing() > 0 {
            return None;
        }
        self.solve();
        self.rows.first_chunk()
    }

    /// Turns the sums into the rows that are missing: what the known rows contribute is taken away, the rest is a
    /// small system of equations, solved by Gauss-Jordan elimination. A Cauchy matrix has no singular square part.
    fn solve(&mut self) {
        let mut unknown = heapless::Vec::<usize, PACKETS>::new();
        for (place, held) in self.places.iter().enumerate() {
            if let Place::Sum(_) = held {
                let _ = unknown.push(place);
            }
        }
        let count = unknown.len();
        let mut matrix = [[0u8; PACKETS]; PACKETS];
        for (equation, &place) in unknown.iter().enumerate() {
            let Place::Sum(index) = self.places[place] else { continue };
            for column in 0..PACKETS {
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
                    self.rows.swap(a + byte, b + byte);
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
    use std::vec::Vec;

    fn page(seed: u32) -> [u8; PAGE_BYTES] {
        let mut state = seed;
        core::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
    }

    fn packet(page: &[u8; PAGE_BYTES], index: u8) -> Packet {
        let mut packet = [0; PACKET_BYTES];
        let row = |row: usize, into: &mut Packet| {
            into.fill(0);
            let bytes = &page[row * PACKET_BYTES..PAGE_BYTES.min((row + 1) * PACKET_BYTES)];
            into[..bytes.len()].copy_from_slice(bytes);
            true
        };
        assert!(encode(index, row, &mut packet));
        packet
    }

    #[test]
    fn any_eighteen_different_packets_give_the_page_back() {
        let mut state = 7u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u8
        };
        for round in 0..200 {
            let page = page(round);
            let mut decoder = PageDecoder::default();
            let mut taken = Vec::new();
            while decoder.missing() > 0 {
                // Few rows, many rows, any order.
                let index = if round % 3 == 0 { random() } else { random() % 24 };
                let fresh = decoder.take(index, &packet(&page, index));
                assert_eq!(fresh, !taken.contains(&index), "round {round}, packet {index}");
                taken.push(index);
            }
            assert_eq!(decoder.page(), Some(&page), "round {round}: {taken:?}");
        }
    }

    #[test]
    fn a_page_made_of_sums_alone_comes_out_whole() {
        let page = page(99);
        let mut decoder = PageDecoder::default();
        for index in 200..=255u8 {
            if decoder.missing() == 0 {
                break;
            }
            assert!(decoder.take(index, &packet(&page, index)));
        }
        assert_eq!(decoder.page(), Some(&page));
    }

    #[test]
    fn a_repeated_packet_brings_nothing() {
        let page = page(1);
        let mut decoder = PageDecoder::default();
        assert!(decoder.take(3, &packet(&page, 3)));
        assert!(!decoder.take(3, &packet(&page, 3)));
        assert!(decoder.take(77, &packet(&page, 77)));
        assert!(!decoder.take(77, &packet(&page, 77)));
        assert_eq!(decoder.missing(), 16);
        assert_eq!(decoder.page(), None);
    }
}
