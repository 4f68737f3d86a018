//! What is done without spreading, on the same channel: every node by itself, relaying link by link, and Espressif's
//! mesh upgrade. Each model is kinder than reality where reality is hard to know.
//!
//! | way | what is modelled | kinder than reality in |
//! |---|---|---|
//! | direct | each node joins the router and downloads over TCP with lwIP's defaults (segments of 1440 bytes, a window of four: ESP-IDF `CONFIG_LWIP_TCP_SND_BUF_DEFAULT`), an acknowledgement for every second segment, 802.11 acknowledgements and seven tries | no TLS handshake but its bytes, no slow start, no association, no losses above the radio, and the router never tires |
//! | unicast tree | the root downloads once and sends each node its own copy down the tree of least expected transmissions, as ESP-WIFI-MESH routes (frames of 1440 bytes in its MTU of 1500) | a node never sends to a child whose queue is full, which it could not know |
//! | mupgrade | ESP-MDF's `mupgrade`: packets of 1 KB, each node hands each packet on to each of its children, then rounds: the root asks every node for its bitmap and sends what any of them misses, up to 20 times | bitmaps are compact, all go through in the first try of each hop, and nobody waits for time-outs |
//!
//! The channel's rate is the same for all, so that the protocols are compared and not the radios. A node near the router
//! may reach 24 Mbit/s and more in station mode where ESP-NOW is left at its 1 Mbit/s: [`Way::Direct`] takes a rate of
//! its own.

use super::links::Links;
use super::medium::{Bursts, Class, Event, Medium, Outgoing};
use super::outcome::Outcome;
use super::phy::Rate;
use super::traffic::{Press, Traffic};
use std::collections::VecDeque;

/// A way other than spreading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every node downloads by itself, through the router, which stands where node 0 is.
    Direct,
    /// The root sends every node its own copy, link by link.
    UnicastTree,
    /// ESP-MDF's `mupgrade`.
    Mupgrade,
}

/// The circumstances, the same for all ways.
pub struct Circumstances {
    /// Who hears whom; node 0 is the root.
    pub links: Links,
    /// The channel's rate.
    pub rate: Rate,
    /// Bytes of the image.
    pub image_bytes: u64,
    /// Frames lost whatever their signal.
    pub loss: f64,
    /// Loss in bursts.
    pub bursts: Option<Bursts>,
    /// Button presses a minute.
    pub presses_per_minute: f64,
    /// The run ends at the latest after so many seconds.
    pub limit_s: u64,
    /// Repeats everything that chance decides.
    pub seed: u64,
}

/// Bytes that a download costs besides the image: TLS handshake with a chain of two certificates, request, response head.
const DOWNLOAD_EXTRA_BYTES: u64 = 5_000;
const SEGMENT_BYTES: usize = 1_440;
/// TCP and IP headers.
const TCP_BYTES: usize = 40;
/// Segments on their way to one node: lwIP's window of 5,760 bytes.
const WINDOW: u32 = 4;
/// Payload of a mesh frame, and ESP-WIFI-MESH's header in it.
const MESH_BYTES: usize = 1_440;
const MESH_HEADER_BYTES: usize = 60;
const MUPGRADE_BYTES: usize = 1_024;
const MUPGRADE_ROUNDS: u32 = 20;
/// Frames that a node keeps for one child before its parent waits.
const ROOM: usize = 10;

#[derive(Clone, Copy, Debug)]
enum Piece {
    Press(Press),
    /// A TCP segment, or an acknowledgement of two.
    Segment,
    Acknowledgement,
    /// A piece of the image, for one node or for a whole subtree.
    Image {
        piece: u32,
        to: Option<usize>,
    },
}

/// Runs a way until all who can have the image, or nothing moves any more.
#[must_use]
pub fn run(way: Way, it: &Circumstances) -> Outcome {
    let mut medium = Medium::new(it.links.clone(), it.rate, it.seed);
    medium.extra_loss = it.loss;
    medium.bursts = it.bursts;
    let tree: Vec<_> =
        it.links.tree(it.rate, 1_024).into_iter().map(|node| node.map(|(parent, _)| parent)).collect();
    let traffic = Traffic::new(it.presses_per_minute, tree.clone(), it.seed);
    let mut run = Run {
        nodes: (0..it.links.len()).map(|_| Station::default()).collect(),
        tree,
        medium,
        traffic,
        way,
        total: 0,
        limit_us: it.limit_s * 1_000_000,
        progress: Vec::new(),
        router_bytes: it.image_bytes,
        round: 0,
        finished: vec![None; it.links.len()],
    };
    run.begin(it);
    run.go();
    run.outcome()
}

#[derive(Default)]
struct Station {
    have: Vec<bool>,
    count: u32,
    /// Pieces that wait to be handed on, and to which child.
    queue: VecDeque<(u32, Option<usize>, usize)>,
    /// Direct: segments not yet sent, those on their way, and those not yet acknowledged.
    unsent: u32,
    flying: u32,
    unacknowledged: u32,
}

struct Run {
    nodes: Vec<Station>,
    tree: Vec<Option<usize>>,
    medium: Medium<Piece>,
    traffic: Traffic,
    way: Way,
    total: u32,
    limit_us: u64,
    progress: Vec<f64>,
    router_bytes: u64,
    round: u32,
    finished: Vec<Option<u64>>,
}

const PRESS: u64 = 0;
const TICK: u64 = 1;

impl Run {
    fn piece_bytes(&self) -> usize {
        match self.way {
            Way::Direct => SEGMENT_BYTES,
            Way::UnicastTree => MESH_BYTES,
            Way::Mupgrade => MUPGRADE_BYTES,
        }
    }

    fn begin(&mut self, it: &Circumstances) {
        let extra = if self.way == Way::Direct { DOWNLOAD_EXTRA_BYTES } else { 0 };
        self.total = (it.image_bytes + extra).div_ceil(self.piece_bytes() as u64) as u32;
        let total = self.total as usize;
        let reached = (1..self.nodes.len()).filter(|node| self.tree[*node].is_some()).collect::<Vec<_>>();
        match self.way {
            Way::Direct => {
                // Those who reach the router itself; for the others there is no way.
                for node in 1..self.nodes.len() {
                    if self.medium.links().usable(0, node, it.rate) {
                        self.nodes[node].unsent = self.total;
                        self.router_bytes += it.image_bytes + extra;
                    }
                }
            }
            Way::UnicastTree => {
                for node in &reached {
                    self.nodes[*node].have = vec![false; total];
                }
                // One node after another: their copies share the first hops.
                for node in reached {
                    let first = self.next_hop(0, node);
                    (0..self.total)
                        .for_each(|piece| self.nodes[0].queue.push_back((piece, Some(node), first)));
                }
            }
            Way::Mupgrade => {
                for node in reached {
                    self.nodes[node].have = vec![false; total];
                }
                for piece in 0..self.total {
                    self.hand_on(0, piece, None);
                }
            }
        }
    }

    fn next_hop(&self, from: usize, to: usize) -> usize {
        let mut node = to;
        while let Some(parent) = self.tree[node].filter(|parent| *parent != from) {
            node = parent;
        }
        node
    }

    /// A node puts a piece on the way to whoever is to have it.
    fn hand_on(&mut self, node: usize, piece: u32, to: Option<usize>) {
        if let Some(to) = to {
            if to != node {
                let hop = self.next_hop(node, to);
                self.nodes[node].queue.push_back((piece, Some(to), hop));
            }
            return;
        }
        for child in 1..self.nodes.len() {
            if self.tree[child] == Some(node) {
                self.nodes[node].queue.push_back((piece, None, child));
            }
        }
    }

    fn go(&mut self) {
        self.medium.wake_at(1_000_000, TICK);
        if let Some(pause) = self.traffic.pause_us() {
            self.medium.wake_at(pause, PRESS);
        }
        for node in 0..self.nodes.len() {
            self.feed(node);
        }
        while let Some(event) = self.medium.next(self.limit_us) {
            match event {
                Event::Timer(PRESS) => {
                    self.traffic.press(&mut self.medium, Piece::Press);
                    if let Some(pause) = self.traffic.pause_us() {
                        self.medium.wake_at(self.medium.now() + pause, PRESS);
                    }
                }
                Event::Timer(_) => {
                    let share: f64 = self.nodes.iter().skip(1).map(|it| f64::from(it.count)).sum();
                    let count = (self.nodes.len() - 1).max(1) as f64;
                    self.progress.push(share / count / f64::from(self.total.max(1)));
                    if self.is_over() {
                        break;
                    }
                    self.medium.wake_at(self.medium.now() + 1_000_000, TICK);
                }
                Event::Received { node, from, payload, .. } => self.receive(node, from, payload),
                Event::Sent { node, frame, delivered } => {
                    match frame.payload {
                        Piece::Press(press) => {
                            self.traffic.sent(node, press, delivered, &mut self.medium, Piece::Press);
                        }
                        Piece::Segment if !delivered => {
                            // One that came, and of which only 802.11's acknowledgement was lost, TCP may have
                            // acknowledged by now.
                            if let Some(to) = frame.to
                                && self.nodes[to].flying > 0
                            {
                                self.nodes[to].flying -= 1;
                                self.nodes[to].unsent += 1;
                            }
                        }
                        Piece::Acknowledgement if !delivered => self.acknowledge(node),
                        // ESP-WIFI-MESH gives a frame up after its tries; mupgrade's rounds mend it, and for a single
                        // copy somebody above sends it again.
                        Piece::Image { piece, to: Some(to) } if !delivered => {
                            if let Some(hop) = frame.to {
                                self.nodes[node].queue.push_back((piece, Some(to), hop));
                            }
                        }
                        _ => {}
                    }
                    self.feed(node);
                }
            }
        }
    }

    /// Gives a node's radio its next frames.
    fn feed(&mut self, node: usize) {
        while self.medium.queued(node, Class::Bulk) < 2 {
            if self.way == Way::Direct {
                if node != 0 {
                    return;
                }
                // In turn: whoever has had least goes first.
                let open = (1..self.nodes.len()).filter(|to| {
                    let it = &self.nodes[*to];
                    it.unsent > 0 && it.flying < WINDOW
                });
                let Some(to) = open.max_by_key(|to| self.nodes[*to].unsent) else { return };
                self.nodes[to].unsent -= 1;
                self.nodes[to].flying += 1;
                self.send(0, to, SEGMENT_BYTES + TCP_BYTES, Piece::Segment);
                continue;
            }
            // A child with a full queue waits; those behind it in the queue go first.
            let queue = &self.nodes[node].queue;
            let ready = |hop: usize| self.nodes[hop].queue.len() < ROOM;
            let Some(place) = queue.iter().take(200).position(|(.., hop)| ready(*hop)) else { return };
            let Some((piece, to, hop)) = self.nodes[node].queue.remove(place) else { return };
            let bytes = self.piece_bytes() + MESH_HEADER_BYTES;
            self.send(node, hop, bytes, Piece::Image { piece, to });
            if node != 0
                && let Some(parent) = self.tree[node]
            {
                self.feed(parent);
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: usize, payload: Piece) {
        let airtime_us = self.medium.rate().wifi_us(bytes);
        self.medium.send(from, Outgoing { to: Some(to), bytes, airtime_us, class: Class::Bulk, payload });
    }

    fn acknowledge(&mut self, node: usize) {
        self.send(node, 0, TCP_BYTES, Piece::Acknowledgement);
    }

    fn receive(&mut self, node: usize, from: usize, piece: Piece) {
        match piece {
            Piece::Press(press) => {
                self.traffic.received(node, press, &mut self.medium, Piece::Press);
            }
            Piece::Segment => {
                let it = &mut self.nodes[node];
                if it.count < self.total {
                    it.count += 1;
                }
                it.unacknowledged += 1;
                let last = it.count == self.total;
                if it.unacknowledged >= 2 || last {
                    self.acknowledge(node);
                }
                if last && self.finished[node].is_none() {
                    self.finished[node] = Some(self.medium.now());
                }
            }
            Piece::Acknowledgement => {
                let it = &mut self.nodes[from];
                it.flying = it.flying.saturating_sub(it.unacknowledged);
                it.unacknowledged = 0;
                self.feed(0);
            }
            Piece::Image { piece, to } => {
                let here = to.is_none_or(|to| to == node);
                let it = &mut self.nodes[node];
                let fresh = it.have.get(piece as usize) == Some(&false);
                if here && fresh {
                    it.have[piece as usize] = true;
                    it.count += 1;
                    if it.count == self.total {
                        self.finished[node] = Some(self.medium.now());
                    }
                }
                if fresh || !here {
                    self.hand_on(node, piece, to);
                }
                self.feed(node);
            }
        }
    }

    fn is_over(&mut self) -> bool {
        let idle = |run: &Self| {
            (0..run.nodes.len())
                .all(|node| run.nodes[node].queue.is_empty() && run.medium.queued(node, Class::Bulk) == 0)
        };
        match self.way {
            Way::Direct => {
                self.nodes.iter().all(|it| it.unsent == 0 && it.flying == 0 || it.count == self.total)
            }
            Way::UnicastTree => idle(self),
            Way::Mupgrade => {
                if !idle(self) {
                    return false;
                }
                self.round += 1;
                let missing: Vec<(u32, usize)> = (1..self.nodes.len())
                    .flat_map(|node| {
                        let have = self.nodes[node].have.iter().enumerate();
                        have.filter(|(_, have)| !**have).map(move |(piece, _)| (piece as u32, node))
                    })
                    .collect();
                if missing.is_empty() || self.round >= MUPGRADE_ROUNDS {
                    return true;
                }
                // What anybody misses is sent to whoever misses it; on the way down it is repeated for each.
                for (piece, node) in missing {
                    let hop = self.next_hop(0, node);
                    self.nodes[0].queue.push_back((piece, Some(node), hop));
                }
                self.feed(0);
                false
            }
        }
    }

    fn outcome(self) -> Outcome {
        let usage = self.medium.usage(Class::Bulk);
        let (mut presses_ms, presses) = self.traffic.finish();
        presses_ms.sort_by(f64::total_cmp);
        let mut finished_s: Vec<_> = self.finished.iter().map(|at| at.map(|at| at as f64 / 1e6)).collect();
        if let Some(root) = finished_s.first_mut() {
            *root = Some(0.0);
        }
        Outcome {
            finished_s,
            wanted: (0..self.nodes.len()).map(|node| node > 0).collect(),
            airtime_s: usage.airtime_us as f64 / 1e6,
            frames: usage.frames,
            router_bytes: self.router_bytes,
            presses_ms,
            presses,
            progress: self.progress,
            senders: 0,
            kinds: [0; 4],
        }
    }
}
