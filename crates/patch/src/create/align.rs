//! Which old byte stands behind each new byte: the cheapest path through all alignments in sight.
//!
//! A state is a shift (old position minus new position) or "new bytes". Walking over the new image, each
//! state pays for the bytes that do not fit, and for changing into another state. States come from a hash
//! table of eight-byte strings of the old image. A state that costs more than a change into it from the best
//! one is dropped, so only a handful are alive at any time.

use std::vec;
use std::vec::Vec;

use super::complete;
use super::normal::Normal;
use super::progress::Progress;
use crate::walk::{BACK, Command, Source};

/// Costs in 1/16 bit, found by measurement (see docs/patch-format.md).
const MISFIT: u32 = 120;
const BLANK_DIFFERS: u32 = 24;
/// In a copy of the new image nothing moves: what differs has to be said.
const MADE_DIFFERS: u32 = 60;
/// Cost of a change to a place in the new image, before that of its distance; and bytes of a string looked up there.
const MADE_SWITCH: u32 = 16 * 12;
const MADE_KEY: usize = 4;
const MADE_MISFIT: u32 = 130;
/// States this much dearer than the best are dropped.
const HOPELESS: u32 = 16 * 44;
/// A state is not questioned while so many bytes ahead fit.
const FITS: usize = 8;
const MAX_STATES: usize = 48;
const HASH_BITS: u32 = 18;
/// What finding an alignment takes, in walks over the new image; and how many bytes go between two reports.
pub(super) const PASSES: u64 = 6;
const TELL_EVERY: usize = 32 * 1024;

/// What is worth trying differently from pair to pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    /// Bytes of a string looked up (up to 8).
    key: usize,
    /// Cost of a change to another place, before that of its distance.
    switch: u32,
    /// Cost of a change to new bytes, and of each of them.
    enter_new: u32,
    new_byte: u32,
}

/// Without an old image.
const ALONE: [Tuning; 1] = [Tuning { key: 7, switch: 0, enter_new: 16 * 4, new_byte: 84 }];

/// Tried in turn; the smallest patch wins.
pub(super) fn tunings(old: &[u8]) -> &'static [Tuning] {
    if old.is_empty() { &ALONE } else { &TUNINGS }
}

const TUNINGS: [Tuning; 4] = [
    Tuning { key: 7, switch: 16 * 21, enter_new: 16 * 8, new_byte: 92 },
    Tuning { key: 6, switch: 16 * 22, enter_new: 16 * 8, new_byte: 92 },
    Tuning { key: 8, switch: 16 * 27, enter_new: 16 * 8, new_byte: 100 },
    Tuning { key: 8, switch: 16 * 24, enter_new: 16 * 8, new_byte: 88 },
];
/// Places tried for each string, and of these kept.
const TRIES: usize = 64;
const KEPT: usize = 4;
const LONGEST: usize = 400;
/// Even a state that fits is questioned this often.
const LOOK_EVERY: usize = 64;

#[derive(Clone, Copy)]
struct State {
    shift: Option<i64>,
    cost: u32,
    node: u32,
}

/// A change of state, with the change before it.
#[derive(Clone, Copy)]
struct Node {
    new: u32,
    shift: Option<i64>,
    parent: u32,
}

const ROOT: u32 = u32::MAX;

/// Old and new image one behind the other: a place in it is a place to copy from.
pub(super) struct Places<'a> {
    old: &'a [u8],
    new: &'a [u8],
    old_normal: &'a Normal,
    new_normal: &'a Normal,
    read_back: bool,
    tuning: Tuning,
}

impl<'a> Places<'a> {
    pub(super) fn new(
        old: &'a [u8],
        new: &'a [u8],
        old_normal: &'a Normal,
        new_normal: &'a Normal,
        read_back: bool,
        tuning: Tuning,
    ) -> Self {
        Self { old, new, old_normal, new_normal, read_back, tuning }
    }

    fn normal(&self, place: usize) -> Option<u8> {
        let old_len = self.old.len();
        if place < old_len {
            Some(self.old_normal.bytes[place])
        } else {
            self.new_normal.bytes.get(place - old_len).copied()
        }
    }

    fn byte(&self, place: usize) -> u8 {
        let old_len = self.old.len();
        if place < old_len { self.old[place] } else { self.new[place - old_len] }
    }

    /// How far the normal bytes from `place` on equal those of the new image from `n` on.
    fn common(&self, place: usize, n: usize) -> usize {
        let old_len = self.old.len();
        let from = if place < old_len {
            &self.old_normal.bytes[place..]
        } else {
            &self.new_normal.bytes[place - old_len..]
        };
        from.iter().zip(&self.new_normal.bytes[n..]).take(LONGEST).take_while(|(a, b)| a == b).count()
    }
}

pub(super) fn commands(places: &Places<'_>, progress: &Progress<'_>) -> Vec<Command> {
    let mut copies: Vec<Command> = Vec::new();
    for copy in Path::find(places, progress) {
        match copies.last_mut() {
            Some(last) if last.new + last.len == copy.new && last.source.plus(last.len) == copy.source => {
                last.len += copy.len;
            }
            _ => copies.push(copy),
        }
    }
    begin_on_tokens(&mut copies, &places.old_normal.starts, &places.new_normal.starts);
    complete(copies, places.new.len() as u32)
}

/// Moves the start of copies back to where an old token begins.
fn begin_on_tokens(copies: &mut [Command], old_starts: &[bool], new_starts: &[bool]) {
    for i in 0..copies.len() {
        let (from, starts) = match copies[i].source {
            Source::Old(from) => (from, old_starts),
            Source::Made(from) => (from, new_starts),
            Source::New => continue,
        };
        let back = (0..4)
            .find(|&b| from < b || starts.get((from - b) as usize).copied().unwrap_or(true))
            .unwrap_or(0);
        let room = copies[i].new - if i > 0 { copies[i - 1].new + 1 } else { 0 };
        if back == 0 || from < back || room < back {
            continue;
        }
        copies[i].new -= back;
        copies[i].len += back;
        copies[i].source = match copies[i].source {
            Source::Made(from) => Source::Made(from - back),
            _ => Source::Old(from - back),
        };
        if i > 0 {
            let start = copies[i].new;
            let before = &mut copies[i - 1];
            before.len = before.len.min(start - before.new);
        }
    }
}

struct Index {
    head: Vec<u32>,
    previous: Vec<u32>,
}

impl Index {
    fn new(len: usize) -> Self {
        Self { head: vec![u32::MAX; 1 << HASH_BITS], previous: vec![u32::MAX; len] }
    }

    fn add(&mut self, bytes: &[u8], i: usize, key: usize) {
        if let Some(key) = bytes.get(i..i + key) {
            let slot = &mut self.head[Self::slot(key)];
            self.previous[i] = *slot;
            *slot = i as u32;
        }
    }

    /// Shifts to the places (counted from `base`) where most bytes equal those from `n` on, `key` or more.
    fn best_places(
        &self,
        places: &Places<'_>,
        n: usize,
        base: usize,
        key: usize,
        score: impl Fn(usize, i64) -> usize,
    ) -> impl Iterator<Item = i64> {
        let mut kept = [(0usize, 0i64); KEPT];
        let mut at = self.head[Self::slot(&places.new_normal.bytes[n..n + key])];
        for _ in 0..TRIES {
            if at == u32::MAX {
                break;
            }
            let length = places.common(base + at as usize, n);
            if length >= key {
                let shift = (base + at as usize) as i64 - n as i64;
                let score = score(length, shift);
                if let Some(worst) = kept.iter_mut().min_by_key(|k| k.0).filter(|k| k.0 < score) {
                    *worst = (score, shift);
                }
            }
            at = self.previous[at as usize];
        }
        kept.into_iter().filter(|k| k.0 > 0).map(|k| k.1)
    }

    fn slot(key: &[u8]) -> usize {
        let mut bytes = [0; 8];
        bytes[..key.len()].copy_from_slice(key);
        (u64::from_le_bytes(bytes).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - HASH_BITS)) as usize
    }
}

struct Path {
    nodes: Vec<Node>,
    states: Vec<State>,
}

impl Path {
    fn find(places: &Places<'_>, progress: &Progress<'_>) -> Vec<Command> {
        let (old_len, new_len) = (places.old.len(), places.new.len());
        let Tuning { key, enter_new, new_byte, .. } = places.tuning;
        // Beside an old image, short strings of the new one lead away from it.
        let made_key = if old_len > 0 { key } else { MADE_KEY };
        let mut old_index = Index::new(old_len);
        (0..old_len).for_each(|i| old_index.add(&places.old_normal.bytes, i, key));
        let mut new_index = Index::new(if places.read_back { new_len } else { 0 });
        let mut path = Self {
            nodes: vec![Node { new: 0, shift: None, parent: ROOT }],
            states: vec![State { shift: None, cost: 0, node: 0 }],
        };
        if old_len > 0 {
            path.nodes.push(Node { new: 0, shift: Some(0), parent: ROOT });
            path.states.push(State { shift: Some(0), cost: 0, node: 1 });
        }
        let mut looked = 0;
        for n in 0..new_len {
            if n % TELL_EVERY == TELL_EVERY - 1 {
                progress.add(PASSES * TELL_EVERY as u64);
            }
            if places.read_back && n >= BACK as usize {
                new_index.add(&places.new_normal.bytes, n - BACK as usize, made_key);
            }
            let best = path.best();
            if n + key.max(made_key) <= new_len && (!fits(best, n, places) || n - looked > LOOK_EVERY) {
                looked = n;
                path.look_up_old(&old_index, best, n, places);
                path.look_up_made(&new_index, best, n, made_key, places);
            }
            path.change(best, None, enter_new, n);
            for state in &mut path.states {
                let Some(shift) = state.shift else {
                    state.cost += new_byte;
                    continue;
                };
                let place = (n as i64 + shift) as usize; // negative: beyond every image
                let at_seam = place == old_len && path.nodes[state.node as usize].new != n as u32;
                state.cost += match places.normal(place) {
                    Some(_) if at_seam => HOPELESS * 4,
                    Some(byte) if byte == places.new_normal.bytes[n] => {
                        if places.byte(place) == places.new[n] {
                            0
                        } else if place < old_len {
                            BLANK_DIFFERS
                        } else {
                            MADE_DIFFERS
                        }
                    }
                    Some(_) if place < old_len => MISFIT,
                    Some(_) => MADE_MISFIT,
                    None => HOPELESS * 4,
                };
            }
            path.prune();
        }
        progress.add(PASSES * (new_len % TELL_EVERY) as u64);
        path.commands(new_len, old_len)
    }

    fn best(&self) -> State {
        let mut best = self.states[0];
        for state in &self.states {
            if state.cost < best.cost {
                best = *state;
            }
        }
        best
    }

    /// Offers a change from `best` into a state.
    fn change(&mut self, best: State, shift: Option<i64>, price: u32, n: usize) {
        let cost = best.cost + price;
        let node = Node { new: n as u32, shift, parent: best.node };
        match self.states.iter_mut().find(|s| s.shift == shift) {
            Some(state) if state.cost <= cost => {}
            Some(state) => {
                *state = State { shift, cost, node: self.nodes.len() as u32 };
                self.nodes.push(node);
            }
            None => {
                self.states.push(State { shift, cost, node: self.nodes.len() as u32 });
                self.nodes.push(node);
            }
        }
    }

    /// Offers the best places of the old image.
    fn look_up_old(&mut self, index: &Index, best: State, n: usize, places: &Places<'_>) {
        let key = places.tuning.key;
        let score = |length: usize, shift: i64| length * 8 + 40 - far(best, shift) as usize;
        for shift in index.best_places(places, n, 0, key, score) {
            self.change(best, Some(shift), places.tuning.switch + far(best, shift) * 8, n);
        }
    }

    /// Offers the best places of what is made of the new image, found by `key` bytes.
    fn look_up_made(&mut self, index: &Index, best: State, n: usize, key: usize, places: &Places<'_>) {
        let old_len = places.old.len();
        // A copy says how far beyond what can be read back it goes.
        let bits = |shift: i64| {
            let reach = n as i64 - i64::from(BACK) + old_len as i64;
            64 - (reach - (n as i64 + shift)).max(0).leading_zeros()
        };
        let score = |length: usize, shift: i64| (length * 16 + 128).saturating_sub(bits(shift) as usize * 4);
        for shift in index.best_places(places, n, old_len, key, score) {
            self.change(best, Some(shift), MADE_SWITCH + bits(shift) * 16, n);
        }
    }

    fn prune(&mut self) {
        let best = self.best().cost;
        self.states.retain(|s| s.shift.is_none() || s.cost < best + HOPELESS);
        if self.states.len() > MAX_STATES {
            self.states[1..].sort_by_key(|s| (s.cost, s.shift));
            self.states.truncate(MAX_STATES);
        }
        if best > 1 << 30 {
            self.states.iter_mut().for_each(|s| s.cost -= best);
        }
    }

    fn commands(&self, new_len: usize, old_len: usize) -> Vec<Command> {
        let mut copies = Vec::new();
        let mut end = new_len as u32;
        let mut node = self.best().node;
        while node != ROOT {
            let Node { new, shift, parent } = self.nodes[node as usize];
            if let Some(shift) = shift.filter(|_| end > new) {
                let place = (i64::from(new) + shift) as u32;
                let source = match place.checked_sub(old_len as u32) {
                    None => Source::Old(place),
                    Some(made) => Source::Made(made),
                };
                copies.push(Command { new, len: end - new, source });
            }
            end = new;
            node = parent;
        }
        copies.reverse();
        copies
    }
}

/// Bits of the distance between two shifts.
fn far(best: State, shift: i64) -> u32 {
    best.shift.map_or(0, |s| 64 - (shift - s).unsigned_abs().leading_zeros()).min(32)
}

/// Whether the best state fits the next few bytes.
fn fits(best: State, n: usize, places: &Places<'_>) -> bool {
    let Some(place) = best.shift.map(|s| n as i64 + s).filter(|&f| f >= 0) else { return false };
    (0..FITS).all(|i| {
        n + i < places.new.len() && places.normal(place as usize + i) == Some(places.new_normal.bytes[n + i])
    })
}
