//! Who hears whom, and how well: positions, path loss, walls.

use super::phy::{Rate, milliwatts};
use crate::random::Random;

/// A place, in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// To the right.
    pub x: f64,
    /// Downwards.
    pub y: f64,
    /// Storey, 0 is the lowest.
    pub floor: u8,
}

impl Place {
    fn distance(self, other: Self) -> f64 {
        let floors = 3.0 * f64::from(self.floor.abs_diff(other.floor));
        ((self.x - other.x).powi(2) + (self.y - other.y).powi(2) + floors * floors).sqrt()
    }
}

/// How radio waves fare in a building: the log-distance model with log-normal shadowing (Rappaport, *Wireless
/// Communications*, §4.9; ITU-R P.1238 for indoor exponents and floors).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surroundings {
    /// Sent power with antenna, in dBm.
    pub power_dbm: f64,
    /// Loss over the first metre, in dB: 40 at 2.4 GHz.
    pub first_metre_db: f64,
    /// How quickly the signal falls: 2 in the open, 3 to 4 through walls.
    pub exponent: f64,
    /// Standard deviation of what walls and furniture add or take away on each link, in dB.
    pub shadowing_db: f64,
    /// Loss for each ceiling between two nodes, in dB.
    pub floor_db: f64,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { power_dbm: 15.0, first_metre_db: 40.0, exponent: 3.3, shadowing_db: 5.0, floor_db: 15.0 }
    }
}

/// A link that is heard, by the node at its end.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Who hears it.
    pub node: usize,
    /// How strong, in dBm.
    pub signal_dbm: f64,
    /// The same in milliwatts.
    pub signal_mw: f64,
}

/// The strength of every link.
#[derive(Clone, Debug)]
pub struct Links {
    pub(super) heard: Vec<Vec<Heard>>,
    signal_dbm: Vec<Vec<f64>>,
}

/// Weaker signals are not even interference worth counting, in dBm.
const FAINTEST_DBM: f64 = -104.0;

impl Links {
    /// The links between nodes at these places. Shadowing is the same in both directions, but for 1 dB.
    #[must_use]
    pub fn new(places: &[Place], surroundings: &Surroundings, seed: u64) -> Self {
        let mut random = Random::new(seed).fork(0x11);
        let count = places.len();
        let mut signal_dbm = vec![vec![f64::NEG_INFINITY; count]; count];
        for a in 0..count {
            for b in a + 1..count {
                let distance = places[a].distance(places[b]).max(0.5);
                let floors = f64::from(places[a].floor.abs_diff(places[b].floor));
                let loss = surroundings.first_metre_db
                    + 10.0 * surroundings.exponent * distance.log10()
                    + floors * surroundings.floor_db
                    + normal(&mut random) * surroundings.shadowing_db;
                signal_dbm[a][b] = surroundings.power_dbm - loss + normal(&mut random);
                signal_dbm[b][a] = surroundings.power_dbm - loss + normal(&mut random);
            }
        }
        Self::from_signals(signal_dbm)
    }

    /// Links of these strengths, in dBm, by sender and receiver.
    #[must_use]
    pub fn from_signals(signal_dbm: Vec<Vec<f64>>) -> Self {
        let hears = |row: &Vec<f64>| {
            let all = row.iter().copied().enumerate();
            let loud = all.filter(|(_, signal)| *signal > FAINTEST_DBM);
            loud.map(|(node, signal_dbm)| Heard { node, signal_dbm, signal_mw: milliwatts(signal_dbm) })
                .collect()
        };
        Self { heard: signal_dbm.iter().map(hears).collect(), signal_dbm }
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heard.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heard.is_empty()
    }

    /// Who hears this node, if only as noise.
    #[must_use]
    pub fn heard(&self, node: usize) -> &[Heard] {
        &self.heard[node]
    }

    /// The strength of a link, in dBm.
    #[must_use]
    pub fn signal_dbm(&self, from: usize, to: usize) -> f64 {
        self.signal_dbm[from][to]
    }

    /// The probability that a frame of this payload is lost on a link when nobody else sends.
    #[must_use]
    pub fn loss(&self, from: usize, to: usize, rate: Rate, payload: usize) -> f64 {
        rate.loss(self.signal_dbm[from][to], 0.0, payload)
    }

    /// Whether a link carries at least half of its full frames in both directions.
    #[must_use]
    pub fn usable(&self, a: usize, b: usize, rate: Rate) -> bool {
        a != b && self.loss(a, b, rate, 250).max(self.loss(b, a, rate, 250)) < 0.5
    }

    /// Each node's least number of hops from node 0 over usable links; `None` where there is no way.
    #[must_use]
    pub fn hops(&self, rate: Rate) -> Vec<Option<u32>> {
        let mut hops = vec![None; self.len()];
        let mut ring = vec![0];
        let mut distance = 0;
        while !ring.is_empty() {
            for node in &ring {
                hops[*node] = Some(distance);
            }
            let next = (0..self.len()).filter(|node| {
                hops[*node].is_none() && ring.iter().any(|from| self.usable(*from, *node, rate))
            });
            ring = next.collect();
            distance += 1;
        }
        hops
    }

    /// Each node's parent in the tree of least expected transmissions (ETX: De Couto and others, MobiCom 2003), and
    /// those expected transmissions over the whole way. Node 0 has none.
    #[must_use]
    pub fn tree(&self, rate: Rate, payload: usize) -> Vec<Option<(usize, f64)>> {
        let count = self.len();
        let mut cost = vec![f64::INFINITY; count];
        let mut parent = vec![None; count];
        let mut done = vec![false; count];
        if let Some(first) = cost.first_mut() {
            *first = 0.0;
        }
        for _ in 0..count {
            let open = (0..count).filter(|node| !done[*node] && cost[*node].is_finite());
            let Some(from) = open.min_by(|a, b| cost[*a].total_cmp(&cost[*b])) else { break };
            done[from] = true;
            for to in 0..count {
                if done[to] || !self.usable(from, to, rate) {
                    continue;
                }
                let forth = 1.0 - self.loss(from, to, rate, payload);
                let back = 1.0 - self.loss(to, from, rate, 14);
                let through = cost[from] + 1.0 / (forth * back);
                if through < cost[to] {
                    cost[to] = through;
                    parent[to] = Some((from, through));
                }
            }
        }
        parent
    }
}

/// A number of the standard normal distribution (Box and Muller 1958).
fn normal(random: &mut Random) -> f64 {
    let unit = |random: &mut Random| ((random.next_u64() >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
    let (a, b) = (unit(random), unit(random));
    (-2.0 * a.ln()).sqrt() * (2.0 * std::f64::consts::PI * b).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(count: usize, spacing: f64) -> Links {
        let places: Vec<_> = (0..count).map(|i| Place { x: i as f64 * spacing, y: 0.0, floor: 0 }).collect();
        Links::new(&places, &Surroundings { shadowing_db: 0.0, ..Surroundings::default() }, 1)
    }

    #[test]
    fn signals_fall_with_distance_and_equal_seeds_give_equal_links() {
        let links = row(5, 10.0);
        for to in 2..5 {
            assert!(links.signal_dbm(0, to) < links.signal_dbm(0, to - 1));
        }
        assert_eq!(links.signal_dbm(1, 3), row(5, 10.0).signal_dbm(1, 3));
    }

    #[test]
    fn a_row_beyond_reach_has_as_many_hops_as_links() {
        let links = row(5, 4000.0);
        assert_eq!(links.hops(Rate::Mbit1), [Some(0), None, None, None, None]);
        let near = row(4, 30.0);
        let hops = near.hops(Rate::Mbit24);
        assert!(hops[3] > hops[1], "{hops:?}");
        let tree = near.tree(Rate::Mbit24, 250);
        assert!(tree[0].is_none() && tree[3].is_some());
    }
}
