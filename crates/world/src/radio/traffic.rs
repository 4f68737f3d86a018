//! What the mesh is there for: presses of buttons, on their way to the root while an update is under way.

use super::medium::{Class, Medium, Outgoing};
use crate::random::Random;

/// Bytes of a frame with a button press: header, seal, and a few of its own.
const PRESS_BYTES: usize = 40;

/// A hop that failed is tried again so often by the mesh above the radio.
const HOP_TRIES: u8 = 4;

/// A press on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// Which.
    pub id: u32,
    /// Tries of this hop.
    tries: u8,
}

/// All presses of a run.
pub struct Traffic {
    random: Random,
    per_second: f64,
    parents: Vec<Option<usize>>,
    /// When each was born, and how far it got: the node that took it over last.
    born: Vec<u64>,
    reached: Vec<Vec<usize>>,
    latencies_us: Vec<u64>,
}

impl Traffic {
    /// So many presses a minute, at random nodes, sent up the tree to node 0.
    #[must_use]
    pub fn new(per_minute: f64, parents: Vec<Option<usize>>, seed: u64) -> Self {
        let random = Random::new(seed).fork(0x44);
        let (born, reached, latencies_us) = Default::default();
        Self { random, per_second: per_minute / 60.0, parents, born, reached, latencies_us }
    }

    /// Microseconds until the next press; `None` without traffic.
    pub fn pause_us(&mut self) -> Option<u64> {
        if self.per_second <= 0.0 {
            return None;
        }
        let unit = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        Some((-(1.0 - unit).ln() / self.per_second * 1e6) as u64 + 1)
    }

    /// Somebody presses a button.
    pub fn press<P: Clone>(&mut self, medium: &mut Medium<P>, wrap: impl Fn(Press) -> P) {
        let nodes = self.parents.len() as u64;
        let node = self.random.below(nodes) as usize;
        if self.parents[node].is_none() {
            return;
        }
        let press = Press { id: self.born.len() as u32, tries: 0 };
        self.born.push(medium.now());
        self.reached.push(vec![node]);
        self.forward(node, press, medium, wrap);
    }

    fn forward<P: Clone>(
        &self,
        node: usize,
        press: Press,
        medium: &mut Medium<P>,
        wrap: impl Fn(Press) -> P,
    ) {
        if let Some(parent) = self.parents[node] {
            let airtime_us = medium.rate().esp_now_us(PRESS_BYTES);
            let payload = wrap(press);
            let class = Class::Application;
            medium.send(node, Outgoing { to: Some(parent), bytes: PRESS_BYTES, airtime_us, class, payload });
        }
    }

    /// A press has come to a node.
    pub fn received<P: Clone>(
        &mut self,
        node: usize,
        press: Press,
        medium: &mut Medium<P>,
        wrap: impl Fn(Press) -> P,
    ) {
        let reached = &mut self.reached[press.id as usize];
        if reached.contains(&node) {
            return;
        }
        reached.push(node);
        if node == 0 {
            self.latencies_us.push(medium.now() - self.born[press.id as usize]);
        } else {
            self.forward(node, Press { tries: 0, ..press }, medium, wrap);
        }
    }

    /// A hop is done with.
    pub fn sent<P: Clone>(
        &mut self,
        node: usize,
        press: Press,
        delivered: bool,
        medium: &mut Medium<P>,
        wrap: impl Fn(Press) -> P,
    ) {
        if !delivered && press.tries + 1 < HOP_TRIES {
            self.forward(node, Press { tries: press.tries + 1, ..press }, medium, wrap);
        }
    }

    /// How long presses took that arrived, in milliseconds, and how many were made.
    #[must_use]
    pub fn finish(self) -> (Vec<f64>, usize) {
        (self.latencies_us.iter().map(|us| *us as f64 / 1e3).collect(), self.born.len())
    }
}
