//! Who is in the mesh, and what each node hears: the state of all radios, without clock and wires.
//!
//! ```text
//!        up            radio time           parent is in the mesh, join time
//!  Down ────▶ Starting ──────────▶ Started ─────────────────────────────────▶ Joined
//!    ▲                                ▲                                          │
//!    └── down                         └──────── parent is gone, notice time ─────┘
//! ```

use super::mesh::{Link, Mesh};
use crate::factory::Topology;
use crate::random::Random;
use rootcast_node::{Destination, MeshState};
use rootcast_wire::NodeId;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// Shortest and longest time, in milliseconds; which one it is, the seed decides each time.
pub type Span = (u32, u32);

/// How fast a mesh forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RadioPace {
    /// From the application's start until the radio is up.
    pub start: Span,
    /// From a parent's joining (or the radio) until a node has joined, too.
    pub join: Span,
    /// Until a node notices that its parent is gone.
    pub notice: Span,
}

impl Default for RadioPace {
    fn default() -> Self {
        Self { start: (100, 300), join: (500, 3_000), notice: (500, 2_000) }
    }
}

/// What a node hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RadioEvent {
    /// Its place in the mesh has changed.
    Mesh(MeshState),
    /// A frame that the mesh has brought here.
    Frame(Arc<[u8]>),
    /// A frame straight from a neighbour, with the strength of its signal in dBm.
    NeighbourFrame(Arc<[u8]>, i8),
}

/// All radios of a mesh.
#[derive(Debug)]
pub struct Radio {
    mesh: Mesh,
    pace: RadioPace,
    members: Vec<Membership>,
    queue: BinaryHeap<Reverse<Due>>,
    heard: VecDeque<(usize, RadioEvent)>,
    scheduled: u64,
    random: Random,
}

#[derive(Debug)]
struct Membership {
    id: NodeId,
    up: bool,
    /// Whether it would join at all.
    joins: bool,
    /// Counts ups and downs: what was scheduled for an earlier one does not happen.
    life: u64,
    state: MeshState,
}

#[derive(Debug)]
struct Due {
    at_ms: u64,
    order: u64,
    node: usize,
    life: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Start,
    Join,
    Leave,
    Frame(RadioEvent),
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

impl Radio {
    /// Radios that are all down.
    #[must_use]
    pub fn new(topology: &Topology, link: Link, pace: RadioPace, random: &Random) -> Self {
        let member = |id| Membership { id, up: false, joins: true, life: 0, state: MeshState::default() };
        Self {
            mesh: Mesh::new(topology, link, random.fork(1)),
            pace,
            members: topology.members.iter().map(|node| member(node.id)).collect(),
            queue: BinaryHeap::new(),
            heard: VecDeque::new(),
            scheduled: 0,
            random: random.fork(2),
        }
    }

    /// The tree.
    #[must_use]
    pub const fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The tree, for changing its links.
    pub const fn mesh_mut(&mut self) -> &mut Mesh {
        &mut self.mesh
    }

    /// A node's application has started. One that does not `join` never gets beyond a running radio.
    pub fn up(&mut self, now_ms: u64, node: usize, joins: bool) {
        self.down(now_ms, node);
        let Some(member) = self.members.get_mut(node) else { return };
        (member.up, member.joins) = (true, joins);
        self.schedule(now_ms, self.pace.start, node, What::Start);
    }

    /// A node is gone.
    pub fn down(&mut self, now_ms: u64, node: usize) {
        let Some(member) = self.members.get_mut(node) else { return };
        member.up = false;
        member.life += 1;
        if std::mem::take(&mut member.state).joined {
            self.children_notice(now_ms, node);
        }
    }

    /// A node sends a frame; one that is not in the mesh sends into the void.
    pub fn send(&mut self, now_ms: u64, node: usize, to: Destination, bytes: &Arc<[u8]>) {
        let members = &self.members;
        if !members.get(node).is_some_and(|member| member.state.joined) {
            return;
        }
        let mut arrivals = Vec::new();
        for arrival in self.mesh.send(node, to, |node| members[node].state.joined) {
            let frame = match to {
                Destination::Neighbours => {
                    RadioEvent::NeighbourFrame(Arc::clone(bytes), members[arrival.node].state.signal_dbm)
                }
                _ => RadioEvent::Frame(Arc::clone(bytes)),
            };
            arrivals.push((now_ms + arrival.after_ms, arrival.node, frame));
        }
        for (at_ms, node, frame) in arrivals {
            self.push(at_ms, node, What::Frame(frame));
        }
    }

    /// When something will be heard, or may be.
    #[must_use]
    pub fn next_at(&self) -> Option<u64> {
        if self.heard.is_empty() { self.queue.peek().map(|Reverse(due)| due.at_ms) } else { Some(0) }
    }

    /// The next thing that is heard up to now, and by which node.
    pub fn poll(&mut self, now_ms: u64) -> Option<(usize, RadioEvent)> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Some(heard);
            }
            if self.queue.peek().is_none_or(|Reverse(due)| due.at_ms > now_ms) {
                return None;
            }
            let Reverse(due) = self.queue.pop()?;
            self.happen(due);
        }
    }

    fn happen(&mut self, Due { at_ms, node, life, what, .. }: Due) {
        let member = &mut self.members[node];
        if let What::Frame(frame) = what {
            if member.state.joined {
                self.heard.push_back((node, frame));
            }
            return;
        }
        if member.life != life {
            return;
        }
        match what {
            What::Start => {
                member.state.started = true;
                self.tell(node);
                self.consider_joining(at_ms, node);
            }
            What::Join => self.join(at_ms, node),
            What::Leave if member.state.joined => {
                member.state.joined = false;
                self.tell(node);
                self.children_notice(at_ms, node);
                self.consider_joining(at_ms, node);
            }
            _ => {}
        }
    }

    fn join(&mut self, now_ms: u64, node: usize) {
        if self.members[node].state.joined || !self.parent_is_there(node) {
            return;
        }
        let (parent, layer) = match self.mesh.parent(node).map(|parent| &self.members[parent]) {
            Some(parent) => (parent.id, parent.state.layer.saturating_add(1)),
            None => (self.members[node].id, 1),
        };
        let signal_dbm = -(self.random.between(40, 75) as i8);
        self.members[node].state = MeshState { started: true, joined: true, layer, parent, signal_dbm };
        self.tell(node);
        for child in self.mesh.children(node).to_vec() {
            self.consider_joining(now_ms, child);
        }
    }

    fn parent_is_there(&self, node: usize) -> bool {
        self.mesh.parent(node).is_none_or(|parent| self.members[parent].state.joined)
    }

    fn consider_joining(&mut self, now_ms: u64, node: usize) {
        let member = &self.members[node];
        if member.up
            && member.joins
            && member.state.started
            && !member.state.joined
            && self.parent_is_there(node)
        {
            self.schedule(now_ms, self.pace.join, node, What::Join);
        }
    }

    fn children_notice(&mut self, now_ms: u64, node: usize) {
        for child in self.mesh.children(node).to_vec() {
            if self.members[child].state.joined {
                self.schedule(now_ms, self.pace.notice, child, What::Leave);
            }
        }
    }

    fn tell(&mut self, node: usize) {
        self.heard.push_back((node, RadioEvent::Mesh(self.members[node].state)));
    }

    fn schedule(&mut self, now_ms: u64, after: Span, node: usize, what: What) {
        let at_ms = now_ms + self.random.between(after.0.into(), after.1.into());
        self.push(at_ms, node, what);
    }

    fn push(&mut self, at_ms: u64, node: usize, what: What) {
        self.scheduled += 1;
        let (order, life) = (self.scheduled, self.members[node].life);
        self.queue.push(Reverse(Due { at_ms, order, node, life, what }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn radio(nodes: usize) -> Radio {
        Radio::new(&Topology::three_layers(nodes, 1), Link::default(), RadioPace::default(), &Random::new(3))
    }

    fn run(radio: &mut Radio, until_ms: u64) -> Vec<(usize, RadioEvent)> {
        std::iter::from_fn(|| radio.poll(until_ms)).collect()
    }

    fn joined(radio: &Radio) -> usize {
        radio.members.iter().filter(|member| member.state.joined).count()
    }

    #[test]
    fn a_mesh_forms_from_its_root_down() {
        let mut radio = radio(12);
        for node in 0..12 {
            radio.up(0, node, true);
        }
        let heard = run(&mut radio, 20_000);
        assert_eq!(joined(&radio), 12);
        let order: Vec<_> = heard
            .iter()
            .filter_map(|(node, event)| match event {
                RadioEvent::Mesh(state) if state.joined => Some((*node, state.layer)),
                _ => None,
            })
            .collect();
        assert_eq!(order[0], (0, 1));
        for (at, (node, layer)) in order.iter().enumerate().skip(1) {
            let parent = radio.mesh.parent(*node).unwrap();
            let above =
                order[..at].iter().find(|(node, _)| *node == parent).expect("the parent joined before");
            assert_eq!(*layer, above.1 + 1);
        }
    }

    #[test]
    fn children_lose_the_mesh_with_their_parent_and_find_it_again() {
        let mut radio = radio(12);
        for node in 0..12 {
            radio.up(0, node, true);
        }
        run(&mut radio, 20_000);
        radio.down(20_000, 1);
        run(&mut radio, 30_000);
        assert_eq!(joined(&radio), 11 - radio.mesh.children(1).len());
        radio.up(30_000, 1, true);
        run(&mut radio, 50_000);
        assert_eq!(joined(&radio), 12);
    }

    #[test]
    fn frames_reach_only_who_is_in_the_mesh() {
        let mut radio = radio(4);
        let frame: Arc<[u8]> = Arc::from(&b"frame"[..]);
        for node in 0..4 {
            radio.up(0, node, node != 2);
        }
        radio.send(0, 0, Destination::Everybody, &frame);
        assert!(run(&mut radio, 20_000).iter().all(|(_, event)| matches!(event, RadioEvent::Mesh(_))));
        radio.send(20_000, 0, Destination::Everybody, &frame);
        let heard = run(&mut radio, 21_000);
        assert!(!heard.is_empty());
        assert!(
            heard.iter().all(|(node, event)| *node != 2 && *event == RadioEvent::Frame(Arc::clone(&frame)))
        );
        radio.send(21_000, 0, Destination::Everybody, &frame);
        for node in 1..4 {
            radio.down(21_000, node);
        }
        assert_eq!(run(&mut radio, 22_000), [], "a frame does not reach a node that went down meanwhile");
    }
}
