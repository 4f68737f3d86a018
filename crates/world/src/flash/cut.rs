//! What is left on the chip when power goes in the middle of an operation.

use super::record::{Operation, OperationKind};
use super::sectors::{SECTOR_BYTES, SIZE, Snapshot};
use crate::random::Random;

/// Bytes that a chip programs at once; a program operation goes through its pages one after the other.
const PROGRAM_PAGE: u32 = 256;

/// When power goes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerCut {
    /// Which operation it hits: 0 is the next one.
    pub operation: u64,
    /// Where in that operation.
    pub point: CutPoint,
    /// Leaves the bits that were about to change uncertain, as this seed decides: they read as they please until they
    /// are erased, or programmed to 0.
    pub unstable: Option<u64>,
}

/// How far an operation got.
///
/// A point that does not fit the operation (a mixture for a program, a byte for an erase) is taken as
/// [`CutPoint::Before`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutPoint {
    /// Nothing happened.
    Before,
    /// All of it happened, and nobody was told.
    After,
    /// An erase got as far as this.
    Erasing(Mixture),
    /// A program did `bytes` bytes; of the next byte's bits that it was to clear, those in `bits` are cleared.
    Programming {
        /// Whole bytes done.
        bytes: u32,
        /// Bits of the next byte that are cleared if they were to be.
        bits: u8,
    },
    /// A program did `bytes` bytes; in what then follows of the chip's page of 256 bytes, any of the bits that were to
    /// be cleared are cleared: a chip programs a page at once.
    Scattered {
        /// Whole bytes done.
        bytes: u32,
        /// Decides which bits are cleared.
        seed: u64,
    },
    /// A point that fits the operation, chosen by this seed.
    Seeded(u64),
}

/// What a sector looks like when erasing it stopped in the middle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mixture {
    /// The first so many bytes are erased, the rest is as it was.
    Prefix(u32),
    /// Word i of every 32 is erased where bit i is set, the rest is as it was. Reaches every combination of the words
    /// of an otadata record.
    Words(u32),
    /// Each bit that was 0 has become 1 with the probability `ones` / 255.
    Bits {
        /// Decides which.
        seed: u64,
        /// How far the erase got, 0 to 255.
        ones: u8,
    },
    /// Each bit that was 1 has become 0 with the probability `zeros` / 255: chips program a sector to zeros before they
    /// erase it, so that its cells wear alike.
    Preprogrammed {
        /// Decides which.
        seed: u64,
        /// How far that got, 0 to 255.
        zeros: u8,
    },
}

pub(super) fn cut(snapshot: &mut Snapshot, operation: &Operation, point: &CutPoint, unstable: Option<u64>) {
    let address = operation.address;
    match (&operation.kind, point) {
        (_, CutPoint::Seeded(seed)) => {
            let point = choose(operation, *seed);
            cut(snapshot, operation, &point, unstable);
        }
        (_, CutPoint::After) => snapshot.complete(operation),
        (OperationKind::Erase, CutPoint::Erasing(mixture)) => {
            erase_partly(snapshot, address, mixture, unstable)
        }
        (OperationKind::Program(bytes), CutPoint::Programming { bytes: done, bits }) => {
            let done = (*done as usize).min(bytes.len());
            program_done(snapshot, address, &bytes[..done]);
            if let Some(next) = bytes.get(done) {
                let at = address + done as u32;
                program_partly(snapshot, at, *next, *bits, unstable.is_some());
            }
        }
        (OperationKind::Program(bytes), CutPoint::Scattered { bytes: done, seed }) => {
            let done = (*done as usize).min(bytes.len());
            program_done(snapshot, address, &bytes[..done]);
            let page_end = (address + done as u32 + 1).next_multiple_of(PROGRAM_PAGE) - address;
            let mut random = Random::new(*seed);
            // Cells clear at about the same time: from "hardly begun" to "almost done", not just half and half.
            let density = random.next_u64() as u8;
            for (at, next) in (address..).zip(bytes.iter()).take(page_end as usize).skip(done) {
                let bits = mask(&mut random, density);
                program_partly(snapshot, at, *next, bits, unstable.is_some() && random.chance(0.2));
            }
        }
        _ => {}
    }
}

fn program_done(snapshot: &mut Snapshot, address: u32, bytes: &[u8]) {
    snapshot.sectors.program(address, bytes);
    snapshot.settle_zeros(address, bytes);
}

fn program_partly(snapshot: &mut Snapshot, address: u32, byte: u8, bits: u8, unstable: bool) {
    let mut old = [0];
    snapshot.sectors.read(address, &mut old);
    let wanted = old[0] & !byte;
    if wanted != 0 {
        program_done(snapshot, address, &[!(wanted & bits)]);
        if unstable {
            snapshot.unsettle(address, wanted);
        }
    }
}

fn erase_partly(snapshot: &mut Snapshot, address: u32, mixture: &Mixture, unstable: Option<u64>) {
    let start = address / SIZE * SIZE;
    let mut before = [0; SECTOR_BYTES];
    snapshot.sectors.read(start, &mut before);
    let sector = snapshot.sectors.sector_mut(start);
    match mixture {
        Mixture::Prefix(bytes) => sector[..(*bytes as usize).min(SECTOR_BYTES)].fill(0xFF),
        Mixture::Words(words) => {
            for (index, word) in sector.chunks_exact_mut(4).enumerate() {
                if words >> (index % 32) & 1 == 1 {
                    word.fill(0xFF);
                }
            }
        }
        Mixture::Bits { seed, ones } => {
            let mut random = Random::new(*seed);
            sector.iter_mut().for_each(|byte| *byte |= mask(&mut random, *ones));
        }
        Mixture::Preprogrammed { seed, zeros } => {
            let mut random = Random::new(*seed);
            sector.iter_mut().for_each(|byte| *byte &= !mask(&mut random, *zeros));
        }
    }
    if let Some(seed) = unstable {
        let mut random = Random::new(seed);
        // From a single doubtful cell, which alone decides whether a record is valid, to all of them.
        let density = [0, 1, 32, 255][random.below(4) as usize];
        let single = random.below(SECTOR_BYTES as u64) as usize;
        for (index, byte) in before.iter().enumerate() {
            let bits = if density == 0 { u8::from(index == single) } else { mask(&mut random, density) };
            snapshot.unsettle(start + index as u32, bits & !byte);
        }
    }
}

/// A byte whose bits are each 1 with the probability `density` / 255.
fn mask(random: &mut Random, density: u8) -> u8 {
    let draw = random.next_u64().to_le_bytes();
    let bits = draw.iter().enumerate().filter(|(_, byte)| **byte < density || density == 255);
    bits.fold(0, |mask, (bit, _)| mask | 1 << bit)
}

/// A point that fits the operation.
fn choose(operation: &Operation, seed: u64) -> CutPoint {
    let mut random = Random::new(seed);
    let kind = random.below(16);
    let length = operation.length() as u64;
    match (&operation.kind, kind) {
        (_, 0) => CutPoint::Before,
        (_, 1) => CutPoint::After,
        (OperationKind::Erase, 2..=4) => CutPoint::Erasing(Mixture::Prefix(random.below(length) as u32)),
        (OperationKind::Erase, 5..=8) => CutPoint::Erasing(Mixture::Words(random.next_u32())),
        (OperationKind::Erase, 9..=11) => CutPoint::Erasing(Mixture::Preprogrammed {
            seed: random.next_u64(),
            zeros: random.next_u32() as u8,
        }),
        (OperationKind::Erase, _) => {
            CutPoint::Erasing(Mixture::Bits { seed: random.next_u64(), ones: random.next_u32() as u8 })
        }
        (OperationKind::Program(_), 2..=9) => {
            CutPoint::Programming { bytes: random.below(length) as u32, bits: random.next_u32() as u8 }
        }
        (OperationKind::Program(_), _) => {
            CutPoint::Scattered { bytes: random.below(length) as u32, seed: random.next_u64() }
        }
    }
}
