//! The shared channel: carrier sense and backoff, collisions and capture, queues, acknowledgements, bursts of loss.
//!
//! Event by event, in microseconds. A frame that begins raises the noise at everybody who hears it; a receiver follows
//! the first frame that it notices, changes over to one that is far stronger, and at the end draws whether it came
//! through, by its signal against the worst interference meanwhile. Senders that do not hear each other collide; those
//! that do wait, and collide only when their backoff ends in the same slot.

use super::links::Links;
use super::phy::Rate;
use crate::random::Random;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What a frame is for. The application's frames go first in each node's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Button presses, and whatever else the mesh is there for.
    Application,
    /// The update.
    Bulk,
}

/// Frames that a node's queue holds for each class.
pub const QUEUE_FRAMES: usize = 16;

/// Tries of an acknowledged frame, the first included (802.11's dot11ShortRetryLimit is 7).
const TRIES: u8 = 7;

/// How much stronger a frame has to be to draw a receiver away from the one that it follows, in dB.
const CAPTURE_DB: f64 = 10.0;

/// A carrier is noticed after so long, in microseconds; who begins to send earlier does not know of it.
const SENSE_US: u64 = 4;

/// A frame to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing<P> {
    /// To one node, which acknowledges it; or to all who hear it.
    pub to: Option<usize>,
    /// Bytes of payload.
    pub bytes: usize,
    /// Airtime in microseconds.
    pub airtime_us: u64,
    /// What it is for.
    pub class: Class,
    /// What it says.
    pub payload: P,
}

/// What happens next.
#[derive(Clone, Debug)]
pub enum Event<P> {
    /// A frame has come through.
    Received {
        /// To whom.
        node: usize,
        /// From whom.
        from: usize,
        /// How strong, in dBm.
        signal_dbm: f64,
        /// What it says.
        payload: P,
    },
    /// A node is done with a frame.
    Sent {
        /// Who.
        node: usize,
        /// The frame.
        frame: Outgoing<P>,
        /// Whether it was acknowledged; always so without a receiver.
        delivered: bool,
    },
    /// A moment that was asked for.
    Timer(u64),
}

/// Loss that comes in bursts (Gilbert 1960, Elliott 1963): each receiver is good or bad for random times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Mean length of a good time, in milliseconds.
    pub good_ms: f64,
    /// Mean length of a bad time, in milliseconds.
    pub bad_ms: f64,
    /// Frames lost in a bad time, from 0 to 1.
    pub loss: f64,
}

/// Frames sent and airtime used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Frames, repetitions included.
    pub frames: u64,
    /// Airtime of frames and acknowledgements, in microseconds.
    pub airtime_us: u64,
}

#[derive(Debug)]
enum Step {
    /// A node's backoff ends, if nothing came between.
    Attempt {
        node: usize,
        turn: u64,
    },
    /// A transmission ends.
    End {
        transmission: usize,
    },
    Timer(u64),
}

struct Following {
    transmission: usize,
    signal_dbm: f64,
    signal_mw: f64,
    worst_mw: f64,
}

struct Node<P> {
    queues: [VecDeque<(Outgoing<P>, u8)>; 2],
    awake: bool,
    sending: bool,
    /// Carriers that it senses, and when the last of them went.
    carriers: u32,
    idle_since: u64,
    /// Slots still to wait, once the channel is idle; `None` when it has nothing to send.
    backoff: Option<u64>,
    /// When the attempt is planned for, and its number: older ones are void.
    attempt_at: u64,
    turn: u64,
    noise_mw: f64,
    following: Option<Following>,
    bad_until: u64,
    good_until: u64,
}

struct Transmission<P> {
    from: usize,
    class: Class,
    frame: Outgoing<P>,
    tries: u8,
}

/// The channel and every node's queue.
pub struct Medium<P> {
    links: Links,
    rate: Rate,
    random: Random,
    now: u64,
    order: u64,
    steps: BinaryHeap<Reverse<(u64, u64, usize)>>,
    pending: Vec<Option<Step>>,
    free: Vec<usize>,
    nodes: Vec<Node<P>>,
    on_air: Vec<Option<Transmission<P>>>,
    ready: VecDeque<Event<P>>,
    /// Frames lost whatever their signal, from 0 to 1.
    pub extra_loss: f64,
    /// Loss in bursts.
    pub bursts: Option<Bursts>,
    /// Frames between nodes of different groups are noise.
    groups: Vec<u8>,
    usage: [Usage; 2],
}

impl<P: Clone> Medium<P> {
    /// A silent channel.
    #[must_use]
    pub fn new(links: Links, rate: Rate, seed: u64) -> Self {
        let node = || Node {
            queues: [VecDeque::new(), VecDeque::new()],
            awake: true,
            sending: false,
            carriers: 0,
            idle_since: 0,
            backoff: None,
            attempt_at: 0,
            turn: 0,
            noise_mw: 0.0,
            following: None,
            bad_until: 0,
            good_until: 0,
        };
        let nodes = (0..links.len()).map(|_| node()).collect();
        let groups = vec![0; links.len()];
        Self {
            links,
            rate,
            random: Random::new(seed).fork(0x22),
            now: 0,
            order: 0,
            steps: BinaryHeap::new(),
            pending: Vec::new(),
            free: Vec::new(),
            nodes,
            on_air: Vec::new(),
            ready: VecDeque::new(),
            extra_loss: 0.0,
            bursts: None,
            groups,
            usage: [Usage::default(); 2],
        }
    }

    /// The time in microseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Who hears whom.
    #[must_use]
    pub const fn links(&self) -> &Links {
        &self.links
    }

    /// The channel's rate.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// What frames of this class have used so far.
    #[must_use]
    pub const fn usage(&self, class: Class) -> Usage {
        self.usage[class as usize]
    }

    /// Frames that wait in a node's queue.
    #[must_use]
    pub fn queued(&self, node: usize, class: Class) -> usize {
        self.nodes[node].queues[class as usize].len()
    }

    /// Wakes a node up or puts it to sleep; asleep it hears nothing, and forgets what it had to send.
    pub fn set_awake(&mut self, node: usize, awake: bool) {
        let it = &mut self.nodes[node];
        it.awake = awake;
        if !awake {
            it.queues.iter_mut().for_each(VecDeque::clear);
            it.following = None;
            it.backoff = None;
            it.turn += 1;
        }
    }

    /// Puts a node on one side of a wall that frames pass only as noise; all begin on side 0.
    pub fn set_group(&mut self, node: usize, group: u8) {
        self.groups[node] = group;
    }

    /// Asks for [`Event::Timer`] at this moment.
    pub fn wake_at(&mut self, at: u64, token: u64) {
        self.push(at, Step::Timer(token));
    }

    fn push(&mut self, at: u64, step: Step) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.pending.push(None);
            self.pending.len() - 1
        });
        self.pending[place] = Some(step);
        self.order += 1;
        self.steps.push(Reverse((at.max(self.now), self.order, place)));
    }

    /// Gives a frame to a node's radio; `false` when the queue is full or the node is asleep.
    pub fn send(&mut self, node: usize, frame: Outgoing<P>) -> bool {
        let it = &mut self.nodes[node];
        let queue = &mut it.queues[frame.class as usize];
        if !it.awake || queue.len() >= QUEUE_FRAMES {
            return false;
        }
        queue.push_back((frame, 0));
        if !it.sending && it.backoff.is_none() {
            self.contend(node, 0);
        }
        true
    }

    /// Draws a backoff, and begins to count it down if the channel is idle.
    fn contend(&mut self, node: usize, failures: u8) {
        let window = ((self.rate.contention_window() + 1) << failures.min(5)).min(1024) - 1;
        let slots = self.random.between(0, window);
        self.nodes[node].backoff = Some(slots);
        self.count_down(node);
    }

    fn count_down(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        let Some(slots) = it.backoff else { return };
        if it.carriers > 0 || it.sending {
            return;
        }
        it.turn += 1;
        it.attempt_at = self.now.max(it.idle_since) + self.rate.difs_us() + slots * self.rate.slot_us();
        let (at, turn) = (it.attempt_at, it.turn);
        self.push(at, Step::Attempt { node, turn });
    }

    /// The next thing that happens, until a moment; time then stands at that moment.
    pub fn next(&mut self, until: u64) -> Option<Event<P>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let due = self.steps.peek().is_some_and(|Reverse((at, ..))| *at <= until);
            if !due {
                self.now = self.now.max(until);
                return None;
            }
            let Some(Reverse((at, _, place))) = self.steps.pop() else { continue };
            self.now = at;
            self.free.push(place);
            match self.pending[place].take() {
                Some(Step::Timer(token)) => return Some(Event::Timer(token)),
                Some(Step::Attempt { node, turn }) if self.nodes[node].turn == turn => self.begin(node),
                Some(Step::End { transmission }) => self.end(transmission),
                _ => {}
            }
        }
    }

    fn begin(&mut self, from: usize) {
        let it = &mut self.nodes[from];
        it.backoff = None;
        if !it.awake || it.sending {
            return;
        }
        let Some((class, (frame, tries))) = [Class::Application, Class::Bulk]
            .into_iter()
            .find_map(|class| it.queues[class as usize].pop_front().map(|frame| (class, frame)))
        else {
            return;
        };
        it.sending = true;
        it.following = None;
        let ack = if frame.to.is_some() { self.rate.ack_us() } else { 0 };
        let usage = &mut self.usage[class as usize];
        usage.frames += 1;
        usage.airtime_us += frame.airtime_us + ack;
        let ends = self.now + frame.airtime_us + ack;
        let transmission = self.on_air.iter().position(Option::is_none).unwrap_or_else(|| {
            self.on_air.push(None);
            self.on_air.len() - 1
        });
        let notice = self.rate.notice_dbm();
        let carrier = self.rate.carrier_dbm();
        for heard in &self.links.heard[from] {
            let node = &mut self.nodes[heard.node];
            if heard.signal_dbm >= carrier {
                node.carriers += 1;
                if node.carriers == 1
                    && let Some(slots) = &mut node.backoff
                    && node.attempt_at > self.now + SENSE_US
                {
                    // Stands still; what was counted down stays so.
                    *slots = (*slots).min((node.attempt_at - self.now).div_ceil(self.rate.slot_us()));
                    node.turn += 1;
                }
            }
            let others = node.noise_mw;
            node.noise_mw += heard.signal_mw;
            if !node.awake || node.sending || self.groups[from] != self.groups[heard.node] {
                continue;
            }
            let follows = match &mut node.following {
                None => heard.signal_dbm >= notice,
                Some(following) if heard.signal_dbm > following.signal_dbm + CAPTURE_DB => true,
                Some(following) => {
                    following.worst_mw = following.worst_mw.max(node.noise_mw - following.signal_mw);
                    false
                }
            };
            if follows {
                let (signal_dbm, signal_mw) = (heard.signal_dbm, heard.signal_mw);
                node.following =
                    Some(Following { transmission, signal_dbm, signal_mw, worst_mw: others.max(0.0) });
            }
        }
        self.on_air[transmission] = Some(Transmission { from, class, frame, tries });
        self.push(ends, Step::End { transmission });
    }

    fn end(&mut self, transmission: usize) {
        let Some(Transmission { from, class, frame, tries }) = self.on_air[transmission].take() else {
            return;
        };
        let mut delivered = frame.to.is_none();
        let carrier = self.rate.carrier_dbm();
        for place in 0..self.links.heard[from].len() {
            let heard = self.links.heard[from][place];
            let node = &mut self.nodes[heard.node];
            node.noise_mw = (node.noise_mw - heard.signal_mw).max(0.0);
            if heard.signal_dbm >= carrier {
                node.carriers = node.carriers.saturating_sub(1);
                if node.carriers == 0 {
                    node.idle_since = self.now;
                    node.noise_mw = if node.noise_mw < 1e-12 { 0.0 } else { node.noise_mw };
                    self.count_down(heard.node);
                }
            }
            let node = &mut self.nodes[heard.node];
            let followed = node.following.take_if(|following| following.transmission == transmission);
            let Some(following) = followed else { continue };
            let lost = self.rate.loss(following.signal_dbm, following.worst_mw, frame.bytes);
            if self.random.chance(lost) || self.is_lost_anyway(heard.node) {
                continue;
            }
            match frame.to {
                Some(to) if to != heard.node => continue,
                Some(to) => {
                    let back = self.links.loss(to, from, self.rate, 14);
                    delivered = !self.random.chance(back);
                }
                None => {}
            }
            self.ready.push_back(Event::Received {
                node: heard.node,
                from,
                signal_dbm: heard.signal_dbm,
                payload: frame.payload.clone(),
            });
        }
        let it = &mut self.nodes[from];
        it.sending = false;
        it.idle_since = self.now;
        if !it.awake {
            return;
        }
        let failed = !delivered && tries + 1 < TRIES;
        if failed {
            it.queues[class as usize].push_front((frame, tries + 1));
        } else {
            self.ready.push_back(Event::Sent { node: from, frame, delivered });
        }
        if self.nodes[from].queues.iter().any(|queue| !queue.is_empty()) {
            self.contend(from, if failed { tries + 1 } else { 0 });
        }
    }

    fn is_lost_anyway(&mut self, node: usize) -> bool {
        if self.extra_loss > 0.0 && self.random.chance(self.extra_loss) {
            return true;
        }
        let Some(bursts) = self.bursts else { return false };
        let it = &mut self.nodes[node];
        while self.now >= it.bad_until {
            let mut draw = |mean_ms: f64| {
                let unit = (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
                (-(1.0 - unit).ln() * mean_ms * 1_000.0) as u64 + 1
            };
            it.good_until = it.bad_until + draw(bursts.good_ms);
            it.bad_until = it.good_until + draw(bursts.bad_ms);
        }
        self.now >= it.good_until && self.random.chance(bursts.loss)
    }
}
