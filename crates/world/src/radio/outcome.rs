//! What a run shows, and the least that any protocol could need.

use super::links::Links;
use super::phy::{ESP_NOW_V1_BYTES, ESP_NOW_V2_BYTES, Rate};

/// One run of one protocol.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// When each node had the whole image, in seconds; `None`: never.
    pub finished_s: Vec<Option<f64>>,
    /// Nodes that were to get it.
    pub wanted: Vec<bool>,
    /// Airtime of all the update's frames, in seconds.
    pub airtime_s: f64,
    /// Frames of the update.
    pub frames: u64,
    /// Bytes fetched through the router.
    pub router_bytes: u64,
    /// How long button presses took during the update, in milliseconds, sorted.
    pub presses_ms: Vec<f64>,
    /// Presses that were made.
    pub presses: usize,
    /// Mean share of the image that nodes hold, once a second.
    pub progress: Vec<f64>,
    /// Nodes that sent data.
    pub senders: usize,
    /// Frames by kind: advertisements, requests, data packets, and of these repairs.
    pub kinds: [u64; 4],
}

impl Outcome {
    /// When this share of the wanted nodes had the image, in seconds; `None` when they never did.
    #[must_use]
    pub fn time_until(&self, share: f64) -> Option<f64> {
        let wanted = self.wanted.iter().filter(|wanted| **wanted).count();
        let mut times: Vec<f64> = self.finished().flatten().collect();
        times.sort_by(f64::total_cmp);
        let needed = (wanted as f64 * share).ceil() as usize;
        if needed == 0 { Some(0.0) } else { times.get(needed - 1).copied() }
    }

    fn finished(&self) -> impl Iterator<Item = Option<f64>> {
        self.finished_s.iter().zip(&self.wanted).filter(|(_, wanted)| **wanted).map(|(at, _)| *at)
    }

    /// Wanted nodes that never had the image.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.finished().filter(Option::is_none).count()
    }

    /// The 95th percentile of the time that button presses took, in milliseconds.
    #[must_use]
    pub fn press_p95_ms(&self) -> Option<f64> {
        let place = (self.presses_ms.len() as f64 * 0.95).ceil() as usize;
        self.presses_ms.get(place.checked_sub(1)?).copied()
    }
}

/// The least that any protocol needs on a mesh.
///
/// R is the payload of a full ESP-NOW frame (250 bytes; 1470 with version 2) divided by that frame's airtime, preamble,
/// MAC header, ESP-NOW's own bytes and check sequence included; the wait for the channel is not airtime and is not
/// counted, neither here nor in what protocols use. Spread's own header, seal, repairs, requests and advertisements
/// therefore all count against it.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Nodes that have to send, the source included: at least as many as there are hops, and at least as many as there
    /// are nodes of which no two share a neighbour.
    pub senders: u32,
    /// How often each byte is sent when somebody who knows every link chooses who sends how much, one after another,
    /// without collisions, without requests and with an ideal code: not a bound, but what is within reach.
    pub oracle_sends: f64,
    /// Hops to the furthest node.
    pub hops: u32,
    /// Airtime in seconds.
    pub airtime_s: f64,
    /// Time in seconds until the last node has it: S/R, twice S/R over two hops, three times over three or more, since
    /// senders three hops apart are the first that can send at once; with the wait for the channel.
    pub time_s: f64,
}

impl Bound {
    /// For an image of so many bytes, on these links, when this share of frames is lost everywhere.
    #[must_use]
    pub fn new(links: &Links, rate: Rate, v2: bool, image_bytes: u64, loss: f64) -> Self {
        let payload = if v2 { ESP_NOW_V2_BYTES } else { ESP_NOW_V1_BYTES };
        let frame_us = rate.esp_now_us(payload) as f64;
        let frames = image_bytes as f64 / payload as f64 / (1.0 - loss);
        let hops = links.hops(rate);
        let furthest = hops.iter().flatten().max().copied().unwrap_or(0);
        let senders = furthest.max(packing(links, rate, &hops)).max(1);
        let once_s = frames * frame_us / 1e6;
        let waits_s = frames * rate.access_us() as f64 / 1e6;
        let time_s = f64::from(furthest.clamp(1, 3)) * (once_s + waits_s);
        let oracle_sends = oracle(links, rate).max(f64::from(senders));
        Self { senders, oracle_sends, hops: furthest, airtime_s: once_s * f64::from(senders), time_s }
    }
}

/// Chooses, again and again, the node that holds everything whose sends bring the others furthest forward, and lets it
/// send until one more node has everything, or several, whichever is better.
fn oracle(links: &Links, rate: Rate) -> f64 {
    let count = links.len();
    let share = |from: usize, to: usize| 1.0 - links.loss(from, to, rate, ESP_NOW_V1_BYTES);
    let shares: Vec<Vec<(usize, f64)>> = (0..count)
        .map(|from| links.heard(from).iter().map(|it| (it.node, share(from, it.node))).collect())
        .collect();
    let reached: Vec<bool> = links.hops(rate).iter().map(Option::is_some).collect();
    let mut lacks: Vec<f64> = reached.iter().map(|reached| f64::from(u8::from(*reached))).collect();
    if let Some(source) = lacks.first_mut() {
        *source = 0.0;
    }
    let mut total = 0.0;
    while lacks.iter().any(|lack| *lack > 1e-9) {
        let mut best = (0.0, 0, 0.0);
        for from in (0..count).filter(|from| reached[*from] && lacks[*from] <= 1e-9) {
            let open = || shares[from].iter().filter(|(to, share)| lacks[*to] > 1e-9 && *share > 0.05);
            let mut ends: Vec<f64> = open().map(|(to, share)| lacks[*to] / share).collect();
            ends.sort_by(f64::total_cmp);
            for sends in ends {
                let gain: f64 = open().map(|(to, share)| lacks[*to].min(sends * share)).sum();
                // Half of the weight on those who are finished: progress alone would spread itself thin.
                let finished = open().filter(|(to, share)| lacks[*to] <= sends * share + 1e-9).count();
                let worth = (gain + finished as f64) / sends;
                if worth > best.0 {
                    best = (worth, from, sends);
                }
            }
        }
        let (worth, from, sends) = best;
        if worth <= 0.0 {
            break;
        }
        total += sends;
        for (to, share) in &shares[from] {
            lacks[*to] = (lacks[*to] - sends * share).max(0.0);
        }
    }
    total
}

/// Reached nodes, the source aside, of which no two share a neighbour (nor are neighbours): each needs a sender of its
/// own. Taken greedily, those with few neighbours first, so not the most that there are.
fn packing(links: &Links, rate: Rate, hops: &[Option<u32>]) -> u32 {
    let reached: Vec<usize> = (1..links.len()).filter(|node| hops[*node].is_some()).collect();
    let neighbours = |node: usize| {
        (0..links.len()).filter(move |other| links.usable(node, *other, rate)).collect::<Vec<_>>()
    };
    let mut all: Vec<(usize, Vec<usize>)> =
        reached.into_iter().map(|node| (node, neighbours(node))).collect();
    all.sort_by_key(|(_, near)| near.len());
    let mut covered = vec![false; links.len()];
    let mut count = 0;
    for (node, near) in all {
        if near.iter().chain([&node]).any(|it| covered[*it]) {
            continue;
        }
        near.iter().for_each(|it| covered[*it] = true);
        covered[node] = true;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_domain_needs_one_sender_and_a_chain_one_for_each_hop() {
        let together = Links::from_signals(vec![vec![-50.0; 20]; 20]);
        let bound = Bound::new(&together, Rate::Mbit1, false, 1_000_000, 0.0);
        assert_eq!((bound.senders, bound.hops), (1, 1));
        assert!((bound.airtime_s - 4_000.0 * 0.002_536).abs() < 0.01, "{bound:?}");
        let with_loss = Bound::new(&together, Rate::Mbit1, false, 1_000_000, 0.1);
        assert!((with_loss.airtime_s * 0.9 - bound.airtime_s).abs() < 0.01);
        let mut signals = vec![vec![f64::NEG_INFINITY; 4]; 4];
        for node in 0..3 {
            (signals[node][node + 1], signals[node + 1][node]) = (-60.0, -60.0);
        }
        let chain = Bound::new(&Links::from_signals(signals), Rate::Mbit1, false, 1_000_000, 0.0);
        assert_eq!((chain.senders, chain.hops), (3, 3));
        assert!((chain.oracle_sends - 3.0).abs() < 0.01, "{chain:?}");
    }

    #[test]
    fn times_are_those_of_the_wanted_nodes() {
        let outcome = Outcome {
            finished_s: vec![Some(0.0), Some(3.0), Some(1.0), Some(2.0), None],
            wanted: vec![false, true, true, true, true],
            presses_ms: (1..=100).map(f64::from).collect(),
            ..Outcome::default()
        };
        assert_eq!(outcome.time_until(0.5), Some(2.0));
        assert_eq!(outcome.time_until(0.75), Some(3.0));
        assert_eq!(outcome.time_until(1.0), None);
        assert_eq!(outcome.missing(), 1);
        assert_eq!(outcome.press_p95_ms(), Some(95.0));
    }
}
