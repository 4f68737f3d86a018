//! The mesh that a radio without routing (ESP-NOW, or the emulated board's UDP) needs: a place in the tree, a common
//! clock, and frames that find their way. Sans-IO: frames and time in, frames out.
//!
//! ```text
//!            clock learnt            parent chosen
//!  Seeking ───────────────▶ Orphan ───────────────▶ Joined       leaf: seeks until a neighbour answers its challenge
//!     ▲                       ▲                        │
//!     │ mesh silent 60 s      └── parent silent 5 s ───┘
//! ```
//!
//! A root has its place by configuration. It asks first whether a mesh with a clock is there (after a restart one is);
//! if nobody answers, its own clock is the mesh's.
//!
//! **The clock keeps recordings out.** Every frame carries a stamp of the mesh's clock that its origin uses once. A node
//! learns the clock only from an answer to a challenge of eight random bytes, so nobody can set it back; then frames
//! that are older than half a minute, or were heard before, count for nothing. What this does not stop: a jammer, and a
//! recording played within half a minute to a node that has just started and did not hear the original.
//!
//! **Routes** are those that frames took: whoever passes a frame to the root remembers from whom it came, and frames to
//! that node go back the same way. Where no route is known, a frame is flooded.

mod frame;
mod neighbours;
mod replay;

pub use frame::{Aim, HEADER_BYTES, LinkFrame, MAX_LINK_FRAME_BYTES, MESH_KEY_BYTES, MeshKey, TAG_BYTES};

use frame::{Header, Kind, Stamp, count_hop};
use heapless::Deque;
use heapless::index_map::FnvIndexMap;
use neighbours::{Neighbour, Neighbours};
use replay::Replay;
use rootcast_node::{Destination, Instant, MeshState};
use rootcast_wire::NodeId;

/// How often a node says that it is there, in milliseconds.
const BEACON_MS: u64 = 1_000;
/// How often a node without a clock asks for it, in milliseconds.
const SEEK_MS: u64 = 500;
/// How long a root asks before its own clock becomes the mesh's, in milliseconds.
const ROOT_SEEKS_MS: u64 = 2_500;
/// How long a node keeps the clock of a mesh that it does not hear, in milliseconds.
const CLOCK_KEPT_MS: u64 = 60_000;
/// Frames waiting for the radio.
const QUEUE: usize = 12;
/// Nodes whose way is remembered.
const ROUTES: usize = 64;
/// The longest wait before a flooded frame is passed on, in milliseconds, so that not all pass it on at once.
const FLOOD_JITTER_MS: u64 = 12;

/// A beacon's payload: layer, parent, seconds since 1970 or 0, the challenge that it answers or 0.
const BEACON_BYTES: usize = 1 + 6 + 8 + 8;

/// A frame for the radio.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The neighbour that it is for; `None` for whoever hears it.
    pub to: Option<NodeId>,
    /// The frame.
    pub frame: LinkFrame,
    due: Instant,
}

/// What a frame from the radio had in it.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// Nothing for the node core.
    Nothing,
    /// A frame for the node core.
    Frame {
        /// The frame.
        bytes: &'a [u8],
        /// Its signal, when it came straight from its maker.
        signal_dbm: Option<i8>,
    },
    /// A few bytes of another node's application.
    Application {
        /// The other node.
        origin: NodeId,
        /// What it says.
        bytes: &'a [u8],
    },
}

/// This node's part of the mesh.
pub struct Mesh {
    id: NodeId,
    is_root: bool,
    key: MeshKey,
    neighbours: Neighbours,
    replay: Replay,
    routes: FnvIndexMap<u64, NodeId, ROUTES>,
    queue: Deque<Outgoing, QUEUE>,
    parent: Option<NodeId>,
    layer: u8,
    /// Mesh time minus own time, in milliseconds.
    clock: Option<u64>,
    last_stamp: u64,
    challenge: u64,
    /// Seconds since 1970 at a moment, as the root says or the body knows.
    unix: Option<(u64, Instant)>,
    unix_is_new: bool,
    started: Option<Instant>,
    next_beacon: Instant,
    next_seek: Instant,
    mesh_heard: Instant,
    uplink: bool,
    dropped: u32,
    random: u64,
}

impl Mesh {
    /// A node that has heard nothing yet. `seed` are 64 random bits.
    pub fn new(id: NodeId, is_root: bool, key: MeshKey, seed: u64) -> Self {
        Self {
            id,
            is_root,
            key,
            neighbours: Neighbours::default(),
            replay: Replay::default(),
            routes: FnvIndexMap::new(),
            queue: Deque::new(),
            parent: None,
            layer: 0,
            clock: None,
            last_stamp: 0,
            challenge: seed | 1,
            unix: None,
            unix_is_new: false,
            started: None,
            next_beacon: Instant(0),
            next_seek: Instant(0),
            mesh_heard: Instant(0),
            uplink: false,
            dropped: 0,
            random: seed ^ 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// The node's place.
    pub fn state(&self) -> MeshState {
        let parent = self.parent.and_then(|parent| self.neighbours.get(parent));
        MeshState {
            started: self.started.is_some(),
            joined: self.layer > 0,
            layer: self.layer,
            parent: if self.is_root { self.id } else { self.parent.unwrap_or_default() },
            signal_dbm: parent.map_or(0, |parent| parent.signal_dbm),
        }
    }

    /// A root has its place in the mesh while it has its network.
    pub fn set_uplink(&mut self, up: bool) {
        self.uplink = up;
    }

    /// The time of day from a source of this node's own.
    pub fn set_unix(&mut self, unix_s: u64, now: Instant) {
        self.unix = Some((unix_s, now));
    }

    /// The time of day that the mesh told, once each time that it is news.
    pub fn take_unix(&mut self, now: Instant) -> Option<u64> {
        core::mem::take(&mut self.unix_is_new).then(|| self.unix_now(now))?
    }

    fn unix_now(&self, now: Instant) -> Option<u64> {
        self.unix.map(|(unix_s, at)| unix_s + now.since(at) / 1_000)
    }

    /// Frames that were dropped for want of room, so far.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Takes a frame of the node core on its way. Without a place in the mesh it is lost, as on any radio.
    pub fn send(&mut self, now: Instant, to: Destination, bytes: &[u8]) {
        let aim = match to {
            Destination::Root => Aim::Root,
            Destination::Everybody => Aim::Everybody,
            Destination::Neighbours => Aim::Neighbours,
            Destination::Node(node) => Aim::Node(node),
        };
        self.send_kind(now, Kind::Data, aim, bytes);
    }

    /// Sends a few bytes of the application, to the root where no node is named.
    pub fn send_application(&mut self, now: Instant, to: Option<NodeId>, bytes: &[u8]) {
        self.send_kind(now, Kind::Application, to.map_or(Aim::Root, Aim::Node), bytes);
    }

    fn send_kind(&mut self, now: Instant, kind: Kind, aim: Aim, bytes: &[u8]) {
        let Some(stamp) = self.next_stamp(now) else { return };
        let header = Header { kind, hops: 0, origin: self.id, stamp: Stamp::Clock(stamp), aim };
        if let Some(frame) = self.key.seal(&header, bytes) {
            self.pass_on(now, aim, frame, 0);
        }
    }

    /// A frame was heard by the radio, sent by the neighbour `from`. It is decrypted in place.
    pub fn heard<'a>(
        &mut self,
        now: Instant,
        from: NodeId,
        signal_dbm: i8,
        bytes: &'a mut [u8],
    ) -> Heard<'a> {
        let Some(header) = Header::read(bytes) else { return Heard::Nothing };
        if header.origin == self.id {
            return Heard::Nothing;
        }
        // Kept as it came: what is passed on stays encrypted.
        let frame = LinkFrame::from_slice(bytes).unwrap_or_default();
        let Some(payload) = self.key.open(bytes) else { return Heard::Nothing };
        let payload = &*payload;
        match header.kind {
            Kind::Seek => self.on_seek(now, payload),
            Kind::Beacon if header.origin == from => self.on_beacon(now, &header, signal_dbm, payload),
            Kind::Beacon => {}
            Kind::Data | Kind::Application => {
                return self.on_data(now, &header, from, signal_dbm, payload, frame);
            }
        }
        Heard::Nothing
    }

    fn on_seek(&mut self, now: Instant, payload: &[u8]) {
        if let Some(challenge) = payload.first_chunk::<8>()
            && self.clock.is_some()
        {
            let wait = self.draw() % 20;
            self.beacon(now, wait, u64::from_le_bytes(*challenge));
        }
    }

    fn on_beacon(&mut self, now: Instant, header: &Header, signal_dbm: i8, payload: &[u8]) {
        let (Stamp::Clock(stamp), Some(beacon)) = (header.stamp, payload.first_chunk::<BEACON_BYTES>())
        else {
            return;
        };
        let word =
            |at: usize| beacon[at..at + 8].iter().rev().fold(0, |number, b| number << 8 | u64::from(*b));
        let answers = word(15) == self.challenge;
        if answers {
            self.learn_clock(now, stamp);
        }
        let Some(clock) = self.mesh_now(now) else { return };
        if !self.replay.is_new(header.origin, stamp, clock) {
            return;
        }
        self.mesh_heard = now;
        let parent = NodeId(frame::read_48(&beacon[1..7]));
        let layer = beacon[0];
        self.neighbours.heard(Neighbour { id: header.origin, layer, parent, signal_dbm, heard: now });
        let unix_s = word(7);
        // The time of day comes down the tree, or with the answer to a challenge.
        if unix_s > 0 && !self.is_root && (answers || self.parent == Some(header.origin)) {
            self.unix_is_new |= self.unix_now(now).is_none_or(|known| known.abs_diff(unix_s) > 2);
            self.unix = Some((unix_s, now));
        }
        self.find_place(now);
    }

    /// An answer to the challenge: fresh by proof. A clock never goes back, so that no stamp is used twice.
    fn learn_clock(&mut self, now: Instant, stamp: u64) {
        let offset = stamp.saturating_sub(now.0);
        if self.clock.is_none_or(|known| offset > known || known.abs_diff(offset) > 10_000) {
            self.clock = Some(offset);
            self.replay.clear();
        }
        self.challenge = self.draw() | 1;
        self.mesh_heard = now;
    }

    fn on_data<'a>(
        &mut self,
        now: Instant,
        header: &Header,
        from: NodeId,
        signal_dbm: i8,
        payload: &'a [u8],
        frame: LinkFrame,
    ) -> Heard<'a> {
        let (Stamp::Clock(stamp), Some(clock)) = (header.stamp, self.mesh_now(now)) else {
            return Heard::Nothing;
        };
        if !self.replay.is_new(header.origin, stamp, clock) {
            return Heard::Nothing;
        }
        if matches!(header.aim, Aim::Root) {
            self.remember_route(header.origin, from);
        }
        let straight = (header.origin == from).then_some(signal_dbm);
        let for_us = match header.aim {
            Aim::Neighbours | Aim::Everybody => true,
            Aim::Root => self.is_root,
            Aim::Node(node) => node == self.id,
        };
        let goes_on = match header.aim {
            Aim::Neighbours => false,
            Aim::Everybody => true,
            Aim::Root | Aim::Node(_) => !for_us,
        };
        if goes_on {
            let mut frame = frame;
            if count_hop(&mut frame, neighbours::MAX_LAYER) {
                let wait = match header.aim {
                    Aim::Everybody => self.draw() % FLOOD_JITTER_MS,
                    _ => 0,
                };
                self.pass_on(now, header.aim, frame, wait);
            }
        }
        match header.kind {
            _ if !for_us => Heard::Nothing,
            Kind::Application => Heard::Application { origin: header.origin, bytes: payload },
            _ => Heard::Frame { bytes: payload, signal_dbm: straight },
        }
    }

    fn remember_route(&mut self, origin: NodeId, from: NodeId) {
        if self.routes.insert(origin.0, from).is_err() {
            self.routes.clear();
            let _ = self.routes.insert(origin.0, from);
        }
    }

    fn pass_on(&mut self, now: Instant, aim: Aim, frame: LinkFrame, wait_ms: u64) {
        let to = match aim {
            Aim::Neighbours | Aim::Everybody => None,
            Aim::Root if self.is_root => return,
            Aim::Root => match self.parent {
                Some(parent) => Some(parent),
                None => return,
            },
            Aim::Node(node) => self.routes.get(&node.0).copied(),
        };
        self.enqueue(Outgoing { to, frame, due: now.after(wait_ms) });
    }

    fn enqueue(&mut self, outgoing: Outgoing) {
        if self.queue.push_back(outgoing).is_err() {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Whether there is room for another frame of the node core.
    pub fn has_room(&self) -> bool {
        self.queue.len() + 4 <= QUEUE
    }

    fn mesh_now(&self, now: Instant) -> Option<u64> {
        self.clock.map(|offset| offset + now.0)
    }

    fn next_stamp(&mut self, now: Instant) -> Option<u64> {
        let stamp = self.mesh_now(now)?.max(self.last_stamp + 1);
        self.last_stamp = stamp;
        Some(stamp)
    }

    fn draw(&mut self) -> u64 {
        // xorshift: only jitter and challenges hang on it, and challenges need to be new, not secret.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn beacon(&mut self, now: Instant, wait_ms: u64, answer: u64) {
        let Some(stamp) = self.next_stamp(now) else { return };
        let mut payload = [0; BEACON_BYTES];
        payload[0] = self.layer;
        payload[1..7].copy_from_slice(&self.state().parent.0.to_le_bytes()[..6]);
        payload[7..15].copy_from_slice(&self.unix_now(now).unwrap_or(0).to_le_bytes());
        payload[15..23].copy_from_slice(&answer.to_le_bytes());
        let (kind, aim) = (Kind::Beacon, Aim::Neighbours);
        let header = Header { kind, hops: 0, origin: self.id, stamp: Stamp::Clock(stamp), aim };
        if let Some(frame) = self.key.seal(&header, &payload) {
            self.enqueue(Outgoing { to: None, frame, due: now.after(wait_ms) });
        }
    }

    fn seek(&mut self, now: Instant) {
        let stamp = Stamp::random(self.draw());
        let header = Header { kind: Kind::Seek, hops: 0, origin: self.id, stamp, aim: Aim::Neighbours };
        if let Some(frame) = self.key.seal(&header, &self.challenge.to_le_bytes()) {
            self.enqueue(Outgoing { to: None, frame, due: now });
        }
    }

    fn find_place(&mut self, now: Instant) {
        let before = self.layer;
        if self.is_root {
            self.layer = u8::from(self.uplink && self.clock.is_some());
        } else {
            let chosen = self.neighbours.choose(self.id, self.parent).map(|best| (best.id, best.layer));
            self.parent = chosen.map(|(id, _)| id);
            self.layer = chosen.map_or(0, |(_, layer)| layer + 1);
        }
        if self.layer != before {
            // Those below are told at once.
            self.next_beacon = now;
        }
    }

    /// Does what is due as time passes.
    pub fn handle_timeout(&mut self, now: Instant) {
        let started = *self.started.get_or_insert(now);
        self.neighbours.age(now);
        if self.clock.is_some() && !self.is_root && now.since(self.mesh_heard) > CLOCK_KEPT_MS {
            self.clock = None;
        }
        if self.clock.is_none() {
            if self.is_root && now.since(started) >= ROOT_SEEKS_MS {
                // The time of day where it is known: it goes on even after everybody was without power.
                let beginning = self.unix_now(now).map_or(self.draw() >> 20, |unix_s| unix_s * 1_000);
                self.clock = Some(beginning.saturating_sub(now.0));
            } else if now >= self.next_seek {
                self.next_seek = now.after(SEEK_MS + self.draw() % 100);
                self.seek(now);
            }
        }
        self.find_place(now);
        if self.clock.is_some() && now >= self.next_beacon {
            self.next_beacon = now.after(BEACON_MS - 100 + self.draw() % 200);
            self.beacon(now, 0, 0);
        }
    }

    /// When [`Mesh::handle_timeout`] or [`Mesh::poll`] has something to do, at the latest.
    pub fn deadline(&self) -> Instant {
        let timer = if self.clock.is_some() { self.next_beacon } else { self.next_seek };
        self.queue.iter().map(|outgoing| outgoing.due).min().map_or(timer, |due| due.min(timer))
    }

    /// The next frame for the radio.
    pub fn poll(&mut self, now: Instant) -> Option<Outgoing> {
        // Frames wait for a dozen milliseconds at most: the order between them is not kept for that.
        for _ in 0..self.queue.len() {
            let outgoing = self.queue.pop_front()?;
            if outgoing.due <= now {
                return Some(outgoing);
            }
            let _ = self.queue.push_back(outgoing);
        }
        None
    }
}

#[cfg(test)]
mod tests;
