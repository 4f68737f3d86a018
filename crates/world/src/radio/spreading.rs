//! A mesh of the production protocol ([`Spread`]) on the simulated channel.

use super::hostile::{Hostile, Sight};
use super::image::{Image, Slot};
use super::links::Links;
use super::medium::{Bursts, Class, Event, Medium, Outgoing};
use super::outcome::Outcome;
use super::phy::Rate;
use super::traffic::{Press, Traffic};
use crate::random::Random;
use rootcast_image::ChipId;
use rootcast_node::Instant;
use rootcast_node::spread::{
    ADVERTISE, Advertise, DATA_MAGIC, Data, MAX_SPREAD_BYTES, MAX_SPREAD_BYTES_V2, Pace, REQUEST, Request,
    SEAL_BYTES, Seal, Spread, SpreadFrame,
};
use rootcast_wire::NodeId;
use rootcast_wire::frame::{Body, Frame, HEADER_BYTES};
use std::rc::Rc;

/// What is on the air.
#[derive(Clone, Debug)]
pub enum Payload {
    /// A frame of the update.
    Spread(Rc<[u8]>),
    /// A button press.
    Press(Press),
}

/// What happens to a mesh in the course of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node restarts: its memory is gone, its flash is not.
    Restart(usize),
    /// A node loses power, or sleeps.
    Leave(usize),
    /// It comes back, as after a restart.
    Return(usize),
    /// Nodes of different groups do not hear each other from now on.
    Divide(Vec<u8>),
    /// The server behind a source fails.
    SourceFails(usize),
    /// It is there again.
    SourceReturns(usize),
    /// The node is told of a newer image, and has it.
    Supersede(usize, usize),
    /// A wrong page stands in the node's slot from now on.
    Spoil(usize, u16),
}

/// A mesh before anything has happened.
pub struct Setup {
    /// Who hears whom.
    pub links: Links,
    /// The channel's rate.
    pub rate: Rate,
    /// Whether frames may be of ESP-NOW v2.
    pub v2: bool,
    /// Packets in a frame and time between them; `None`: as the rate asks for.
    pub pace: Option<Pace>,
    /// Images of this world; the first is what node 0 offers first.
    pub images: Vec<Rc<Image>>,
    /// Each node's chip.
    pub chips: Vec<ChipId>,
    /// Nodes that hold an image from the beginning.
    pub sources: Vec<(usize, usize)>,
    /// An image for another chip that node 0 fetches for whoever wants it, page by page: a way that
    /// [`Spread::offer_other`] leaves open, and nodes do not take.
    pub remote: Option<usize>,
    /// Frames lost whatever their signal, from 0 to 1.
    pub loss: f64,
    /// Loss in bursts.
    pub bursts: Option<Bursts>,
    /// Button presses a minute, over the whole mesh.
    pub presses_per_minute: f64,
    /// What happens, and when, in milliseconds.
    pub faults: Vec<(u64, Fault)>,
    /// Nodes that mean ill.
    pub hostile: Vec<(usize, Hostile)>,
    /// The mesh's key: every frame is sealed. Without one, frames are only as long as if they were.
    pub key: Option<[u8; 32]>,
    /// The node restarts whenever it has stored a block.
    pub restarts_at_every_block: Option<usize>,
    /// The run ends at the latest after so many seconds.
    pub limit_s: u64,
    /// Repeats everything that chance decides.
    pub seed: u64,
}

impl Setup {
    /// One image at node 0, and all the others want it.
    #[must_use]
    pub fn new(links: Links, rate: Rate, image: Rc<Image>, seed: u64) -> Self {
        let chips = vec![image.description.chip; links.len()];
        Self {
            links,
            rate,
            v2: false,
            pace: None,
            images: vec![image],
            chips,
            sources: vec![(0, 0)],
            remote: None,
            loss: 0.0,
            bursts: None,
            presses_per_minute: 0.0,
            faults: Vec::new(),
            hostile: Vec::new(),
            key: None,
            restarts_at_every_block: None,
            limit_s: 3_600,
            seed,
        }
    }
}

/// The rhythm that suits a rate: a frame's airtime and the mean wait for the channel, and four fifths of that for others.
/// With three fifths an update takes a tenth less time, and a button press over six hops a third longer.
#[must_use]
pub fn pace(rate: Rate, v2: bool) -> Pace {
    let packets = if v2 { 6 } else { 1 };
    let bytes = if v2 { MAX_SPREAD_BYTES_V2 } else { MAX_SPREAD_BYTES } + SEAL_BYTES;
    let frame_us = (rate.esp_now_us(bytes) + rate.access_us()) * 9 / 5;
    Pace { packet_us: (frame_us / packets) as u32, packets_per_frame: packets as u8, latency_ms: 0 }
}

struct Station {
    id: NodeId,
    chip: ChipId,
    spread: Spread,
    slot: Slot,
    sequence: u32,
    awake: bool,
    /// The image that it wants or offers: the newest that it has heard of.
    image: Option<usize>,
    wakes_at: Option<u64>,
    finished: Option<u64>,
    held: u16,
    hostile: Option<Hostile>,
}

/// A mesh in the course of its update.
pub struct Mesh {
    medium: Medium<Payload>,
    nodes: Vec<Station>,
    images: Vec<Rc<Image>>,
    seal: Option<Seal>,
    pace: Pace,
    room: usize,
    random: Random,
    traffic: Traffic,
    faults: Vec<(u64, Fault)>,
    restarts: Option<usize>,
    limit_us: u64,
    progress: Vec<f64>,
    /// Bytes of the images that sources have fetched, each once: a second source of an image is one that had it before.
    downloaded: u64,
    /// Restarts that were made, and blocks wasted on wrong packets.
    pub wrong_blocks: u64,
    sent_before: rootcast_node::spread::Sent,
}

const SECOND_US: u64 = 1_000_000;
/// Tokens of timers that are not a node's.
const PRESS: u64 = u64::MAX;
const TICK: u64 = u64::MAX - 1;
const FAULT: u64 = u64::MAX - 2;

/// Frames that a node gives its radio ahead of time: one on the air, one ready.
const AHEAD: usize = 2;

impl Mesh {
    /// A mesh at its beginning.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let random = Random::new(setup.seed).fork(0x55);
        let parents =
            setup.links.tree(setup.rate, 64).iter().map(|it| it.map(|(parent, _)| parent)).collect();
        let traffic = Traffic::new(setup.presses_per_minute, parents, setup.seed);
        let mut medium = Medium::new(setup.links, setup.rate, setup.seed);
        medium.extra_loss = setup.loss;
        medium.bursts = setup.bursts;
        let pace = setup.pace.unwrap_or_else(|| pace(setup.rate, setup.v2));
        let node = |place: usize| {
            let id = NodeId(0x0024_0AC4_0000 + place as u64 * 0x101 + 1);
            Station {
                id,
                chip: setup.chips[place],
                spread: Spread::new(id, pace),
                slot: Slot::new(&setup.images),
                sequence: 0,
                awake: true,
                image: None,
                wakes_at: None,
                finished: None,
                held: 0,
                hostile: setup.hostile.iter().find(|(node, _)| *node == place).map(|(_, it)| it.clone()),
            }
        };
        let nodes = (0..setup.chips.len()).map(node).collect();
        let room = if setup.v2 { MAX_SPREAD_BYTES_V2 } else { MAX_SPREAD_BYTES };
        let mut mesh = Self {
            medium,
            nodes,
            images: setup.images,
            seal: setup.key.as_ref().map(Seal::new),
            pace,
            room,
            random,
            traffic,
            faults: setup.faults,
            restarts: setup.restarts_at_every_block,
            limit_us: setup.limit_s * SECOND_US,
            progress: Vec::new(),
            downloaded: 0,
            wrong_blocks: 0,
            sent_before: Default::default(),
        };
        let mut images: Vec<usize> = setup.sources.iter().map(|(_, image)| *image).collect();
        images.sort_unstable();
        images.dedup();
        mesh.downloaded =
            images.into_iter().map(|image| u64::from(mesh.images[image].description.size)).sum();
        for (node, image) in setup.sources {
            let image_of = Rc::clone(&mesh.images[image]);
            mesh.nodes[node].slot.load(&image_of, u16::MAX);
            mesh.offer(node, image);
        }
        if let Some(image) = setup.remote {
            let image = Rc::clone(&mesh.images[image]);
            let (now, random) = (mesh.now(), mesh.random.next_u32());
            let root = &mut mesh.nodes[0];
            root.slot.remote = Some(Rc::clone(&image));
            root.spread.offer_other(image.description.clone(), 0, now, random);
        }
        mesh
    }

    /// A node's slot.
    #[must_use]
    pub fn slot(&self, node: usize) -> &Slot {
        &self.nodes[node].slot
    }

    /// A node's slot before the run: what stands there from earlier.
    pub fn slot_mut(&mut self, node: usize) -> &mut Slot {
        &mut self.nodes[node].slot
    }

    /// The image that a node is to end with: the newest for its chip that any source has.
    #[must_use]
    pub fn image(&self, node: usize) -> Option<usize> {
        self.nodes[node].image
    }

    /// Whether the node holds the newest image that it knows of, whole.
    #[must_use]
    pub fn is_done(&self, node: usize) -> bool {
        let it = &self.nodes[node];
        it.image.is_some_and(|image| it.slot.holds(&self.images[image]))
    }

    fn now(&self) -> Instant {
        Instant(self.medium.now() / 1_000)
    }

    fn offer(&mut self, node: usize, image: usize) {
        let (now, random) = (self.now(), self.random.next_u32());
        let it = &mut self.nodes[node];
        let source = &self.images[image];
        it.image = Some(image);
        it.finished = Some(0);
        it.spread.offer(source.description.clone(), source.digests.clone(), 0, now, random);
    }

    /// Runs until every node that is awake and means well has what it can get, or the time is up.
    pub fn run(&mut self) -> Outcome {
        for node in 0..self.nodes.len() {
            self.medium.wake_at(self.medium.now(), node as u64);
        }
        if let Some(pause) = self.traffic.pause_us() {
            self.medium.wake_at(pause, PRESS);
        }
        self.faults.sort_by_key(|(at, _)| *at);
        for (at, _) in &self.faults {
            self.medium.wake_at(at * 1_000, FAULT);
        }
        self.medium.wake_at(SECOND_US, TICK);

        while let Some(event) = self.medium.next(self.limit_us) {
            match event {
                Event::Timer(PRESS) => {
                    self.traffic.press(&mut self.medium, Payload::Press);
                    if let Some(pause) = self.traffic.pause_us() {
                        self.medium.wake_at(self.medium.now() + pause, PRESS);
                    }
                }
                Event::Timer(TICK) => {
                    self.progress.push(self.mean_progress());
                    if self.is_over() {
                        break;
                    }
                    self.medium.wake_at(self.medium.now() + SECOND_US, TICK);
                }
                Event::Timer(FAULT) => {
                    let (_, fault) = self.faults.remove(0);
                    self.suffer(fault);
                }
                Event::Timer(node) => {
                    let node = node as usize;
                    if self.nodes[node].wakes_at.is_some_and(|at| at <= self.medium.now()) {
                        self.nodes[node].wakes_at = None;
                    }
                    self.poll(node);
                }
                Event::Received { node, from, signal_dbm, payload } => match payload {
                    Payload::Press(press) => {
                        self.traffic.received(node, press, &mut self.medium, Payload::Press);
                    }
                    Payload::Spread(bytes) => self.hear(node, from, &bytes, signal_dbm),
                },
                Event::Sent { node, frame, delivered } => match frame.payload {
                    Payload::Press(press) => {
                        self.traffic.sent(node, press, delivered, &mut self.medium, Payload::Press);
                    }
                    Payload::Spread(_) => self.poll(node),
                },
            }
        }
        self.outcome()
    }

    fn is_over(&self) -> bool {
        self.faults.is_empty()
            && self.nodes.iter().all(|node| {
                !node.awake || node.hostile.is_some() || node.spread.is_refused() || node.finished.is_some()
            })
    }

    fn mean_progress(&self) -> f64 {
        let share = |node: &Station| {
            let pages = node.spread.description().map_or(1, |it| it.file_pages()).max(1);
            f64::from(node.spread.file_pages_held()) / f64::from(pages)
        };
        let honest = self.nodes.iter().filter(|node| node.hostile.is_none());
        honest.clone().map(share).sum::<f64>() / honest.count().max(1) as f64
    }

    fn hear(&mut self, node: usize, from: usize, bytes: &[u8], signal_dbm: f64) {
        let (now, random) = (self.now(), self.random.next_u32());
        let it = &mut self.nodes[node];
        if !it.awake {
            return;
        }
        let opened = match &self.seal {
            Some(seal) => seal.open(bytes),
            None => bytes.len().checked_sub(SEAL_BYTES).and_then(|length| bytes.get(..length)),
        };
        let images = &self.images;
        if let Some(hostile) = &mut it.hostile {
            let sight =
                Sight { me: it.id, from: NodeId(0x0024_0AC4_0000 + from as u64 * 0x101 + 1), bytes, opened };
            hostile.hear(&sight, &mut self.random);
            self.poll(node);
            return;
        }
        let Some(bytes) = opened else { return };
        let signal = Some(signal_dbm as i8);
        if bytes.starts_with(&DATA_MAGIC) {
            if let Some(data) = Data::read(bytes) {
                it.spread.on_data(&data, now, random, &mut it.slot);
            }
        } else if let Ok(Frame { source, body: Body::Spread { kind, bytes }, .. }) = Frame::parse(bytes) {
            match kind {
                ADVERTISE => {
                    let Some(advertise) = Advertise::read(bytes) else { return };
                    let found = images.iter().position(|it| it.description == advertise.description);
                    // As the root's cast tells a node which image is for it.
                    let newer = |old: usize| {
                        advertise.description.cast_id.is_newer_than(images[old].description.cast_id)
                    };
                    if let Some(image) = found
                        && advertise.description.chip == it.chip
                        && it.image.is_none_or(newer)
                    {
                        it.image = Some(image);
                        it.finished = None;
                        let hops = advertise.hops.saturating_add(1);
                        it.spread.want(advertise.description.clone(), hops, now, random);
                    }
                    it.spread.on_advertise(source, &advertise, signal, now, random);
                }
                REQUEST => {
                    if let Some(request) = Request::read(bytes) {
                        it.spread.on_request(source, &request, signal, now, random);
                    }
                }
                _ => {}
            }
        }
        self.notice(node);
        self.poll(node);
    }

    fn notice(&mut self, node: usize) {
        let now_us = self.medium.now();
        let it = &mut self.nodes[node];
        if it.finished.is_none() && it.spread.is_complete() {
            it.finished = Some(now_us);
        }
        let held = it.spread.file_pages_held();
        if self.restarts == Some(node) && held > it.held {
            it.held = held;
            self.suffer(Fault::Restart(node));
        }
    }

    fn poll(&mut self, node: usize) {
        loop {
            let now = self.now();
            if !self.nodes[node].awake || self.medium.queued(node, Class::Bulk) >= AHEAD {
                return;
            }
            let Some(frame) = self.next_frame(node, now) else { break };
            let airtime_us = self.medium.rate().esp_now_us(frame.len());
            let (bytes, payload) = (frame.len(), Payload::Spread(frame));
            self.medium.send(node, Outgoing { to: None, bytes, airtime_us, class: Class::Bulk, payload });
        }
        self.notice(node);
        let now = self.now();
        let it = &mut self.nodes[node];
        let deadline = if it.hostile.is_some() { None } else { it.spread.deadline(now) };
        let Some(deadline) = deadline else { return };
        // Never twice in one millisecond: the protocol's time has no finer steps.
        let at = deadline.0.max(now.0 + u64::from(deadline <= now)) * 1_000;
        if it.wakes_at.is_none_or(|known| at < known) {
            it.wakes_at = Some(at);
            self.medium.wake_at(at, node as u64);
        }
    }

    fn next_frame(&mut self, node: usize, now: Instant) -> Option<Rc<[u8]>> {
        let it = &mut self.nodes[node];
        let random = self.random.next_u32();
        let mut frame = [0; 1470];
        let length = if let Some(hostile) = &mut it.hostile {
            let (length, genuine) = hostile.say(&mut frame)?;
            if !genuine {
                return Some(frame.get(..length)?.into());
            }
            length
        } else {
            let mut bytes = [0; MAX_SPREAD_BYTES_V2];
            match it.spread.poll(now, random, &mut it.slot, bytes.get_mut(..self.room)?)? {
                SpreadFrame::Data(length) => {
                    frame.get_mut(..length)?.copy_from_slice(bytes.get(..length)?);
                    length
                }
                SpreadFrame::Body { kind, length } => {
                    it.sequence += 1;
                    let body = Body::Spread { kind, bytes: bytes.get(..length)? };
                    Frame { source: it.id, sequence: it.sequence, body }.write(&mut frame).ok()?
                }
            }
        };
        let length = match &self.seal {
            Some(seal) => seal.seal(&mut frame, length)?,
            None => length + SEAL_BYTES,
        };
        debug_assert!(length > HEADER_BYTES);
        Some(frame.get(..length)?.into())
    }

    fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Restart(node) => {
                let image = self.nodes[node].image;
                self.suffer(Fault::Leave(node));
                self.suffer(Fault::Return(node));
                // A source knows from its flash that it is one.
                if let Some(image) = image
                    && self.nodes[node].slot.holds(&self.images[image])
                {
                    let finished = self.nodes[node].finished;
                    self.offer(node, image);
                    self.nodes[node].finished = finished;
                }
            }
            Fault::Leave(node) => {
                self.medium.set_awake(node, false);
                self.nodes[node].awake = false;
            }
            Fault::Return(node) => {
                self.medium.set_awake(node, true);
                let pace = self.pace;
                let it = &mut self.nodes[node];
                let sent = it.spread.sent;
                it.awake = true;
                it.spread = Spread::new(it.id, pace);
                if !it.slot_is_whole(&self.images) {
                    it.image = None;
                    it.finished = None;
                }
                it.wakes_at = None;
                self.sent_before.advertise += sent.advertise;
                self.sent_before.request += sent.request;
                self.sent_before.data += sent.data;
                self.sent_before.repair += sent.repair;
                self.wrong_blocks += u64::from(sent.wrong_blocks);
                self.poll(node);
            }
            Fault::Divide(groups) => {
                for (node, group) in groups.into_iter().enumerate() {
                    self.medium.set_group(node, group);
                }
            }
            Fault::SourceFails(node) => self.nodes[node].slot.unreadable = true,
            Fault::SourceReturns(node) => self.nodes[node].slot.unreadable = false,
            Fault::Supersede(node, image) => {
                let newest = Rc::clone(&self.images[image]);
                self.nodes[node].slot.load(&newest, u16::MAX);
                self.offer(node, image);
                for it in &mut self.nodes {
                    if it.image != Some(image) && it.chip == newest.description.chip {
                        it.finished = None;
                    }
                }
                self.poll(node);
            }
            Fault::Spoil(node, page) => self.nodes[node].slot.erase(page),
        }
    }

    fn outcome(&mut self) -> Outcome {
        let usage = self.medium.usage(Class::Bulk);
        let mut sent = self.sent_before;
        for node in &self.nodes {
            let one = node.spread.sent;
            sent.advertise += one.advertise;
            sent.request += one.request;
            sent.data += one.data;
            sent.repair += one.repair;
            self.wrong_blocks += u64::from(one.wrong_blocks);
        }
        let traffic = std::mem::replace(&mut self.traffic, Traffic::new(0.0, Vec::new(), 0));
        let (mut presses_ms, presses) = traffic.finish();
        presses_ms.sort_by(f64::total_cmp);
        Outcome {
            finished_s: self.nodes.iter().map(|it| it.finished.map(|at| at as f64 / 1e6)).collect(),
            wanted: self.nodes.iter().enumerate().map(|(at, it)| at > 0 && it.hostile.is_none()).collect(),
            airtime_s: usage.airtime_us as f64 / 1e6,
            frames: usage.frames,
            router_bytes: self.downloaded + self.nodes[0].slot.fetched,
            presses_ms,
            presses,
            progress: std::mem::take(&mut self.progress),
            senders: self.nodes.iter().filter(|it| it.spread.sent.data > 0).count(),
            kinds: [sent.advertise, sent.request, sent.data, sent.repair].map(u64::from),
        }
    }
}

impl Station {
    fn slot_is_whole(&self, images: &[Rc<Image>]) -> bool {
        self.image.is_some_and(|image| self.slot.holds(&images[image]))
    }
}
