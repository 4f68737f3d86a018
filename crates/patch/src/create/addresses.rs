//! Fits the address map: the fewest (old position, shift) steps that predict most references and copies.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use crate::map::MAP_ENTRIES;
use crate::space::{OUTSIDE, Space};
use crate::walk::{Command, Source};

/// What a wrong prediction costs, in bits: of a reference, and of a copy's source.
const REFERENCE: u32 = 6;
const COPY: u32 = 18;
/// What an entry costs.
const ENTRY: u32 = 28;

/// Something at an old position moved by a shift.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sighting {
    position: u32,
    /// Copies first: their start is where an entry should begin.
    weight: core::cmp::Reverse<u32>,
    shift: u32,
}

pub(super) fn fit(
    references: &[(u32, u32)],
    commands: &[Command],
    old: Option<&Space>,
    new: Option<&Space>,
) -> Vec<(u32, u32)> {
    let mut sightings = Vec::new();
    for k in commands {
        if let Source::Old(from) = k.source {
            sightings.push(sighting(from, k.new, COPY));
        }
    }
    if let (Some(old), Some(new)) = (old, new) {
        // References to inside the command they stand in are predicted by the command; a few votes do no harm.
        for &(was, is) in references {
            let Some(from) = old.position_of(was) else { continue };
            let to = if from >= OUTSIDE {
                from.wrapping_add(is.wrapping_sub(was))
            } else {
                match new.position_of(is) {
                    Some(to) if to < OUTSIDE => to,
                    _ => continue,
                }
            };
            sightings.push(sighting(from, to, REFERENCE));
        }
    }
    sightings.sort_unstable();
    let mut price = ENTRY;
    loop {
        let entries = cheapest(&sightings, price);
        if entries.len() <= MAP_ENTRIES {
            return entries;
        }
        price += price / 4;
    }
}

fn sighting(from: u32, to: u32, weight: u32) -> Sighting {
    Sighting { position: from, weight: core::cmp::Reverse(weight), shift: to.wrapping_sub(from) }
}

/// The steps with the least cost: Viterbi over shifts, where a shift that is not seen pays the sighting's weight.
fn cheapest(sightings: &[Sighting], price: u32) -> Vec<(u32, u32)> {
    // Costs relative to "all wrong so far": a right prediction earns its weight.
    let mut states: BTreeMap<u32, (i64, usize)> = BTreeMap::new();
    let mut steps = vec![(0u32, 0u32, usize::MAX)];
    states.insert(0, (0, 0));
    let mut best = (0i64, 0usize);
    for s in sightings {
        let change = best.0 + i64::from(price);
        let state = states.entry(s.shift).or_insert((i64::MAX, 0));
        if change < state.0 {
            steps.push((s.position, s.shift, best.1));
            *state = (change, steps.len() - 1);
        }
        state.0 -= i64::from(s.weight.0);
        if state.0 < best.0 {
            best = *state;
        }
    }
    let mut entries = Vec::new();
    let mut at = best.1;
    while let Some(&(position, shift, before)) = steps.get(at).filter(|_| at != 0) {
        entries.push((position, shift));
        at = before;
    }
    entries.reverse();
    entries.dedup_by_key(|e| e.1);
    entries
}
