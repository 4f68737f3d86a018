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
use crate::walk::Command;

/// Costs in 1/16 bit, found by measurement (see docs/patch-format.md).
const SWITCH: u32 = 16 * 26;
const ENTER_NEW: u32 = 16 * 8;
const NEW_BYTE: u32 = 100;
const MISFIT: u32 = 120;
const BLANK_DIFFERS: u32 = 4;
/// States this much dearer than the best are dropped.
const HOPELESS: u32 = 16 * 44;
const MAX_STATES: usize = 48;
/// Strings looked up.
const KEY: usize = 8;
const HASH_BITS: u32 = 18;
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

pub(super) fn commands(old: &[u8], new: &[u8], old_normal: &Normal, new_normal: &Normal) -> Vec<Command> {
    if old.is_empty() || new.is_empty() {
        return complete([], new.len() as u32);
    }
    let nodes = Path::find(old, new, &old_normal.bytes, &new_normal.bytes);
    let mut copies: Vec<Command> = Vec::new();
    for copy in nodes {
        match copies.last_mut() {
            Some(last) if last.new + last.len == copy.new && last.old.map(|o| o + last.len) == copy.old => {
                last.len += copy.len;
            }
            _ => copies.push(copy),
        }
    }
    begin_on_tokens(&mut copies, &old_normal.starts);
    complete(copies, new.len() as u32)
}

/// Moves the start of copies back to where an old token begins.
fn begin_on_tokens(copies: &mut [Command], starts: &[bool]) {
    for i in 0..copies.len() {
        let Some(old) = copies[i].old else { continue };
        let back =
            (0..4).find(|&b| old < b || starts.get((old - b) as usize).copied().unwrap_or(true)).unwrap_or(0);
        let room = copies[i].new - if i > 0 { copies[i - 1].new + 1 } else { 0 };
        if back == 0 || old < back || room < back {
            continue;
        }
        copies[i].new -= back;
        copies[i].old = Some(old - back);
        copies[i].len += back;
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
    fn of(bytes: &[u8]) -> Self {
        let mut index = Self { head: vec![u32::MAX; 1 << HASH_BITS], previous: vec![u32::MAX; bytes.len()] };
        for (i, key) in bytes.windows(KEY).enumerate() {
            let slot = &mut index.head[Self::slot(key)];
            index.previous[i] = *slot;
            *slot = i as u32;
        }
        index
    }

    fn slot(key: &[u8]) -> usize {
        let mut bytes = [0; KEY];
        bytes.copy_from_slice(&key[..KEY]);
        (u64::from_le_bytes(bytes).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - HASH_BITS)) as usize
    }
}

struct Path {
    nodes: Vec<Node>,
    states: Vec<State>,
}

impl Path {
    fn find(old: &[u8], new: &[u8], old_normal: &[u8], new_normal: &[u8]) -> Vec<Command> {
        let index = Index::of(old_normal);
        let mut path = Self {
            nodes: vec![
                Node { new: 0, shift: None, parent: ROOT },
                Node { new: 0, shift: Some(0), parent: ROOT },
            ],
            states: vec![State { shift: None, cost: 0, node: 0 }, State { shift: Some(0), cost: 0, node: 1 }],
        };
        let mut looked = 0;
        for n in 0..new.len() {
            let best = path.best();
            if n + KEY <= new.len() && (!fits(best, n, old_normal, new_normal) || n - looked > LOOK_EVERY) {
                looked = n;
                path.look_up(&index, best, n, old_normal, new_normal);
            }
            path.change(best, None, ENTER_NEW, n);
            for state in &mut path.states {
                let Some(shift) = state.shift else {
                    state.cost += NEW_BYTE;
                    continue;
                };
                let from = n as i64 + shift;
                state.cost += match old_normal.get(from as usize) {
                    Some(&byte) if from >= 0 && byte == new_normal[n] => {
                        if old[from as usize] == new[n] {
                            0
                        } else {
                            BLANK_DIFFERS
                        }
                    }
                    Some(_) if from >= 0 => MISFIT,
                    _ => HOPELESS * 4,
                };
            }
            path.prune();
        }
        path.commands(new.len())
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

    fn look_up(&mut self, index: &Index, best: State, n: usize, old: &[u8], new: &[u8]) {
        let mut kept = [(0usize, 0i64); KEPT];
        let mut place = index.head[Index::slot(&new[n..])];
        for _ in 0..TRIES {
            if place == u32::MAX {
                break;
            }
            let at = place as usize;
            let most = LONGEST.min(old.len() - at).min(new.len() - n);
            let length = (0..most).find(|&i| old[at + i] != new[n + i]).unwrap_or(most);
            if length >= KEY {
                let shift = at as i64 - n as i64;
                let score = length * 8 + 40 - far(best, shift) as usize;
                if let Some(worst) = kept.iter_mut().min_by_key(|k| k.0).filter(|k| k.0 < score) {
                    *worst = (score, shift);
                }
            }
            place = index.previous[at];
        }
        for (score, shift) in kept {
            if score > 0 {
                self.change(best, Some(shift), SWITCH + far(best, shift) * 8, n);
            }
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

    fn commands(&self, new_len: usize) -> Vec<Command> {
        let mut copies = Vec::new();
        let mut end = new_len as u32;
        let mut node = self.best().node;
        while node != ROOT {
            let Node { new, shift, parent } = self.nodes[node as usize];
            if let Some(shift) = shift.filter(|_| end > new) {
                copies.push(Command { new, len: end - new, old: Some((i64::from(new) + shift) as u32) });
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
fn fits(best: State, n: usize, old: &[u8], new: &[u8]) -> bool {
    let Some(from) = best.shift.map(|s| n as i64 + s).filter(|&f| f >= 0) else { return false };
    old.get(from as usize..from as usize + KEY) == new.get(n..n + KEY)
}
