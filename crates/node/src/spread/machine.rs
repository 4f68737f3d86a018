//! The protocol's state in one node.

use super::code::BlockDecoder;
use super::neighbours::Neighbours;
use super::object::{Description, DigestList, ObjectId, PageDigest};
use super::packet::{ADVERTISE, Advertise, MAX_ADVERTISE_BYTES};
use super::receive::Receiving;
use super::relay::Other;
use super::serve::Serving;
use super::trickle::Trickle;
use super::{Pace, PageStore, SpreadFrame};
use crate::time::{Instant, earliest};
use rootcast_image::ChipId;
use rootcast_wire::NodeId;
use rootcast_wire::cast::CastId;

/// Hops after which an object counts as coming from nowhere.
pub(super) const MAX_HOPS: u8 = 200;

/// An object heard of in the last so many milliseconds is on the move: nobody needs to be told of it.
const ACTIVE_MS: u64 = 1_500;

/// A source lets the news of an object run ahead of its first block for so long: whoever has not heard of it would miss
/// that, and all others would wait for it later.
const FLOOD_MS: u64 = 900;

/// The node's own object, or one that it only passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Own = 0,
    Other = 1,
}

/// One object in one node.
pub(super) struct Strand {
    pub description: Description,
    pub id: ObjectId,
    /// Blocks held without a gap; of another's object, those that can be got.
    pub held: u16,
    pub hops: u8,
    pub trickle: Trickle,
    /// When anybody last sent or asked for packets of it.
    pub active: Instant,
}

impl Strand {
    pub(super) fn new(description: Description, held: u16, hops: u8, now: Instant, random: u32) -> Self {
        let id = description.id();
        let trickle = Trickle::new(now, random);
        Self { description, id, held, hops, trickle, active: Instant(0) }
    }

    /// Says soon what is held, unless packets on the move say it already.
    pub(super) fn tell(&mut self, now: Instant, random: u32) {
        if now.since(self.active) > ACTIVE_MS {
            self.trickle.reset(now, random);
        }
    }
}

/// Frames that a node has sent, and what it met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Advertisements.
    pub advertise: u32,
    /// Requests.
    pub request: u32,
    /// Data packets.
    pub data: u32,
    /// Of the data packets, repairs.
    pub repair: u32,
    /// Blocks received whole whose digests were wrong.
    pub wrong_blocks: u32,
}

/// Spread in one node: hand in what was heard, call [`Spread::poll`] for what is to be said. Who calls it polls only
/// while the radio has room for a frame; packets wait here rather than in a queue.
pub struct Spread {
    pub(super) me: NodeId,
    pub(super) pace: Pace,
    pub(super) own: Option<Strand>,
    /// The store did not take a page: this node cannot hold its object, and goes on as a relay.
    pub(super) refused: bool,
    pub(super) other: Option<Other>,
    pub(super) digests: DigestList,
    pub(super) decoder: BlockDecoder,
    pub(super) receiving: Receiving,
    pub(super) serving: Serving,
    pub(super) neighbours: Neighbours,
    /// Frames sent, by kind, for measurements.
    pub sent: Sent,
}

impl Spread {
    /// A node that knows of no object.
    #[must_use]
    // Made where it stays: see `Node::boot_in`.
    #[inline(always)]
    pub fn new(me: NodeId, pace: Pace) -> Self {
        Self {
            me,
            pace,
            own: None,
            refused: false,
            other: None,
            digests: DigestList::default(),
            decoder: BlockDecoder::default(),
            receiving: Receiving::default(),
            serving: Serving::new(me),
            neighbours: Neighbours::default(),
            sent: Sent::default(),
        }
    }

    /// This node holds the whole object: it is the source, or was updated before its neighbours.
    pub fn offer(
        &mut self,
        description: Description,
        digests: DigestList,
        hops: u8,
        now: Instant,
        random: u32,
    ) {
        let held = description.blocks();
        if self.own.as_ref().is_some_and(|own| own.description == description && own.held == held) {
            return;
        }
        self.digests = digests;
        self.begin(description, held, hops, now, random);
        self.serving.begin_at(now.after(FLOOD_MS));
    }

    /// Notes the digest of a page of the file that this node is going to offer ([`Spread::offer_collected`]). While it has
    /// an object of its own there is no room for another's: `false` then.
    pub fn collect(&mut self, page: u16, digest: PageDigest) -> bool {
        if self.own.is_none() {
            self.digests.set(page, digest);
        }
        self.own.is_none()
    }

    /// Offers the file whose pages' digests were collected, as its source.
    pub fn offer_collected(&mut self, cast_id: CastId, size: u32, chip: ChipId, now: Instant, random: u32) {
        if self.own.is_none()
            && let Some(description) = self.digests.describe(cast_id, size, chip)
        {
            let held = description.blocks();
            self.begin(description, held, 0, now, random);
            self.serving.begin_at(now.after(FLOOD_MS));
        }
    }

    /// This node wants the object. What the store holds already is kept where its digest is right.
    pub fn want(&mut self, description: Description, hops: u8, now: Instant, random: u32) {
        if self.own.as_ref().is_none_or(|own| own.description != description) {
            self.begin(description, 0, hops, now, random);
        }
    }

    fn begin(&mut self, description: Description, held: u16, hops: u8, now: Instant, random: u32) {
        if self.other.as_ref().is_some_and(|other| other.strand.description == description) {
            self.drop_other();
        }
        self.forget(Side::Own);
        self.own = Some(Strand::new(description, held, hops, now, random));
        self.aim(now, random);
    }

    /// Forgets this node's own object. What it relays for others stays.
    pub fn stop(&mut self) {
        self.forget(Side::Own);
    }

    fn forget(&mut self, side: Side) {
        match side {
            Side::Own => (self.own, self.refused) = (None, false),
            Side::Other => self.other = None,
        }
        self.serving.forget(side);
        self.neighbours.forget(side);
        if self.receiving.goal.is_some_and(|(aimed, _)| aimed == side) {
            self.receiving = Receiving::default();
        }
    }

    pub(super) fn drop_other(&mut self) {
        self.forget(Side::Other);
    }

    /// What is being spread, as far as this node itself needs it.
    #[must_use]
    pub fn description(&self) -> Option<&Description> {
        self.own.as_ref().map(|own| &own.description)
    }

    /// Pages of the file that this node holds without a gap.
    #[must_use]
    pub fn file_pages_held(&self) -> u16 {
        self.own.as_ref().map_or(0, |own| {
            let pages = own.held.saturating_mul(super::PAGES_PER_BLOCK as u16).min(own.description.pages());
            pages.saturating_sub(own.description.list_pages())
        })
    }

    /// Whether every page is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.held == own.description.blocks())
    }

    /// Whether the store has refused a page: this node will never be complete.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.refused
    }

    /// Whether this node sends packets, or is asked to.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        self.serving.is_busy()
    }

    pub(super) fn strand(&self, side: Side) -> Option<&Strand> {
        match side {
            Side::Own => self.own.as_ref().filter(|_| !self.refused),
            Side::Other => self.other.as_ref().map(|other| &other.strand),
        }
    }

    pub(super) fn strand_mut(&mut self, side: Side) -> Option<&mut Strand> {
        match side {
            Side::Own => self.own.as_mut().filter(|_| !self.refused),
            Side::Other => self.other.as_mut().map(|other| &mut other.strand),
        }
    }

    /// Which object an id (or as much of it as `mask` leaves) means.
    pub(super) fn side_of(&self, id: u32, mask: u32) -> Option<Side> {
        [Side::Own, Side::Other]
            .into_iter()
            .find(|side| self.strand(*side).is_some_and(|strand| (strand.id.0 ^ id) & mask == 0))
    }

    /// The least time, in whole milliseconds, that so many packets take.
    pub(super) fn packets_ms(&self, packets: u32) -> u64 {
        (u64::from(packets) * u64::from(self.pace.packet_us)).div_ceil(1_000)
    }

    /// The time, in milliseconds, that a whole block takes with its repairs.
    pub(super) fn burst_ms(&self) -> u64 {
        self.packets_ms(super::PACKETS as u32 + 8)
    }

    /// When [`Spread::poll`] wants to be called, at the latest.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let mut deadline = self.serving.deadline();
        if self.receiving.unchecked {
            deadline = earliest(deadline, Some(now));
        }
        if !self.serving.is_busy() {
            deadline = earliest(deadline, self.receiving.ask_at);
        }
        for side in [Side::Own, Side::Other] {
            deadline = earliest(deadline, self.strand(side).map(|strand| strand.trickle.deadline()));
        }
        deadline
    }

    /// The next frame to be sent, written into `out`; `None` when there is nothing to send now.
    pub fn poll(
        &mut self,
        now: Instant,
        random: u32,
        store: &mut impl PageStore,
        out: &mut [u8],
    ) -> Option<SpreadFrame> {
        if self.receiving.unchecked {
            self.recheck(now, random, store);
            return None;
        }
        if let Some(length) = self.send(now, random, store, out) {
            return Some(SpreadFrame::Data(length));
        }
        // A radio that sends does not hear: what it would ask for has to wait.
        if !self.serving.is_busy()
            && self.receiving.ask_at.is_some_and(|moment| now >= moment)
            && let Some(length) = self.ask(now, random, out)
        {
            self.sent.request += 1;
            return Some(SpreadFrame::Body { kind: super::REQUEST, length });
        }
        [Side::Own, Side::Other].into_iter().find_map(|side| self.advertise(side, now, random, out))
    }

    fn advertise(&mut self, side: Side, now: Instant, random: u32, out: &mut [u8]) -> Option<SpreadFrame> {
        let readable = self.serving.readable(side, now);
        // A node that has nothing yet says so all the same: thereby all hear of the object before its first block.
        let nothing_to_tell = self.strand(side)?.held == 0 && side == Side::Other;
        let strand = self.strand_mut(side)?;
        if !strand.trickle.poll(now, random) || nothing_to_tell {
            return None;
        }
        let held = strand.held.min(readable);
        let advertise = Advertise { description: strand.description.clone(), held, hops: strand.hops };
        let mut body = [0; MAX_ADVERTISE_BYTES];
        let length = advertise.write(&mut body);
        out.get_mut(..length)?.copy_from_slice(body.get(..length)?);
        self.sent.advertise += 1;
        Some(SpreadFrame::Body { kind: ADVERTISE, length })
    }
}
