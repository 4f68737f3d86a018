//! Spread: the mesh shares one download.
//!
//! Radio is a broadcast medium, so a page is sent once for everybody who hears it. Nodes take the pages of an object in
//! order. Whoever lacks a page asks *one* neighbour that has it; everybody else who lacks it, too, listens. What is lost
//! is repaired by coded packets, of which any serves any listener, so a request says only *how many* are missing, and one
//! request speaks for all who miss less. Only nodes that are asked ever send, so only nodes that somebody needs forward.
//!
//! ```text
//!                 advertisement or request shows       timer, and nobody asked first
//!   [Quiet] ────────────────────────────────▶ [Wanting] ───────────────────────────▶ [Asked]
//!      ▲            somebody who has more         ▲  ▲                                  │ packets
//!      │                                          │  └── silence: ask again, or another ┤
//!      │  nobody has more                         │                                     ▼
//!      └──────────────────────────────── page whole and its digest right: stored ◀── [Listening]
//! ```
//! Each page is checked against its digest before it is stored or sent on; the digests travel as the object's first
//! pages, and are checked against the description, which comes from the root.
//! `docs/spread.md` describes the protocol for whoever wants to implement it anew.

pub mod code;
mod neighbours;
mod object;
mod packet;
mod trickle;

pub use code::{PACKET_BYTES, PACKETS, PageDecoder};
pub use object::{Description, DigestList, MAX_LIST_PAGES, MAX_PAGES, ObjectId, PageDigest};
pub use packet::{
    ADVERTISE, Advertise, DATA_FRAME_BYTES, DATA_MAGIC, Data, MAX_ADVERTISE_BYTES, REQUEST, Request,
};

use crate::PAGE_BYTES;
use crate::time::{Instant, earliest};
use code::{Packet, encode};
use neighbours::Neighbours;
use rootcast_wire::NodeId;
use trickle::Trickle;

/// Where a node keeps the file's pages.
pub trait PageStore {
    /// Reads from a page that the store holds; `false` when it cannot.
    fn read(&mut self, page: u16, offset: usize, into: &mut [u8]) -> bool;
    /// Stores a verified page; `false` when it cannot.
    fn write(&mut self, page: u16, bytes: &[u8; PAGE_BYTES]) -> bool;
}

/// Rhythm of a mesh's radio, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two packets of one sender: a packet's airtime and room for others' frames.
    pub packet_ms: u16,
    /// Requests are spread over so long, so that the first one silences the rest.
    pub request_window_ms: u16,
}

impl Default for Pace {
    /// For ESP-NOW at 1 Mbit/s, where a full frame takes 2.4 ms.
    fn default() -> Self {
        Self { packet_ms: 4, request_window_ms: 24 }
    }
}

/// What a node wants to send: the kind of frame, and its bytes in the buffer given to [`Spread::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpreadFrame {
    /// A frame of this kind with a body of so many bytes.
    Body {
        /// [`ADVERTISE`] or [`REQUEST`].
        kind: u8,
        /// Length of the body.
        length: usize,
    },
    /// A data frame of so many bytes, complete.
    Data(usize),
}

/// Bytes that [`Spread::poll`] needs room for.
pub const MAX_SPREAD_BYTES: usize = DATA_FRAME_BYTES;

const _: () = assert!(MAX_ADVERTISE_BYTES <= MAX_SPREAD_BYTES);

/// Unanswered requests in a row after which a node stops asking until it hears of somebody again.
const PATIENCE: u8 = 12;

/// Hops after which an object counts as coming from nowhere.
const MAX_HOPS: u8 = 60;

/// One object in one node.
struct Active {
    description: Description,
    id: ObjectId,
    /// Pages held without a gap, list pages first.
    held: u16,
    hops: u8,
    /// Pages that stand in the store from before are looked at until one is not right.
    recheck: bool,
}

/// What is known of the page being received.
#[derive(Default)]
struct Receiving {
    /// The moment at which to ask, unless somebody else does.
    ask_at: Option<Instant>,
    /// Whom this node asked last, and when.
    asked: Option<(NodeId, Instant)>,
    unanswered: u8,
    /// When a packet of this page last came.
    packet_at: Option<Instant>,
    /// Who sent packets of this page: one sender, or several.
    sender: Option<u16>,
    mixed: bool,
    /// After a wrong page: listen to this sender only, to find out who it is.
    only: Option<u16>,
}

struct Sending {
    page: u16,
    /// The next packet that is a row, if rows are still to be sent.
    next_row: usize,
    /// Repair packets still to be sent.
    repairs: u8,
    next_at: Instant,
}

/// The protocol's state in one node.
pub struct Spread {
    me: NodeId,
    pace: Pace,
    active: Option<Active>,
    digests: DigestList,
    decoder: PageDecoder,
    receiving: Receiving,
    sending: Option<Sending>,
    /// A page asked for while another is being sent: the lowest, and how many packets of it.
    pending: Option<(u16, u8)>,
    last_sent: Option<u16>,
    /// The index of the next repair packet.
    next_repair: u8,
    /// Repair packets sent unasked after a page, in sixteenths: what listeners turn out to need.
    margin: u16,
    /// The most that was asked for after the last page's first burst.
    asked_after: u8,
    neighbours: Neighbours,
    trickle: Option<Trickle>,
    /// Frames sent, by kind, for measurements.
    pub sent: Sent,
}

/// Frames that a node has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Advertisements.
    pub advertise: u32,
    /// Requests.
    pub request: u32,
    /// Data packets.
    pub data: u32,
    /// Pages received whole whose digest was wrong.
    pub wrong_pages: u32,
}

impl Spread {
    /// A node that knows of no object.
    #[must_use]
    pub fn new(me: NodeId, pace: Pace) -> Self {
        Self {
            me,
            pace,
            active: None,
            digests: DigestList::default(),
            decoder: PageDecoder::default(),
            receiving: Receiving::default(),
            sending: None,
            pending: None,
            last_sent: None,
            next_repair: PACKETS as u8 + (me.0.wrapping_mul(37) % 200) as u8,
            margin: 32,
            asked_after: 0,
            neighbours: Neighbours::default(),
            trickle: None,
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
        self.digests = digests;
        let held = description.pages();
        self.activate(description, held, hops, false, now, random);
    }

    /// This node wants the object. What the store holds already is kept where its digest is right.
    pub fn want(&mut self, description: Description, hops: u8, now: Instant, random: u32) {
        self.activate(description, 0, hops, true, now, random);
    }

    fn activate(
        &mut self,
        description: Description,
        held: u16,
        hops: u8,
        recheck: bool,
        now: Instant,
        random: u32,
    ) {
        let id = description.id();
        if self.active.as_ref().is_some_and(|active| active.id == id && active.held >= held) {
            return;
        }
        self.active = Some(Active { description, id, held, hops, recheck });
        self.decoder.clear();
        self.receiving = Receiving::default();
        self.sending = None;
        self.pending = None;
        self.trickle = Some(Trickle::new(now, random));
    }

    /// Forgets the object.
    pub fn stop(&mut self) {
        self.active = None;
        self.sending = None;
        self.pending = None;
        self.trickle = None;
        self.neighbours.clear();
    }

    /// What is being spread, as far as this node knows.
    #[must_use]
    pub fn description(&self) -> Option<&Description> {
        self.active.as_ref().map(|active| &active.description)
    }

    /// Pages of the file that this node holds without a gap.
    #[must_use]
    pub fn file_pages_held(&self) -> u16 {
        self.active.as_ref().map_or(0, |active| active.held.saturating_sub(active.description.list_pages()))
    }

    /// Whether every page is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.held == active.description.pages())
    }

    /// Whether this node has sent, or was asked to, since `now` less `quiet_ms`.
    #[must_use]
    pub const fn is_sending(&self) -> bool {
        self.sending.is_some() || self.pending.is_some()
    }

    // ----- hearing -------------------------------------------------------------------------------

    /// Somebody advertises an object.
    pub fn on_advertise(
        &mut self,
        from: NodeId,
        advertise: &Advertise,
        signal_dbm: Option<i8>,
        now: Instant,
        random: u32,
    ) {
        let Some(active) = &mut self.active else { return };
        if advertise.description != active.description {
            return;
        }
        let neighbour = self.neighbours.hear(from, signal_dbm, now);
        neighbour.held = advertise.held.min(active.description.pages());
        neighbour.hops = advertise.hops;
        if advertise.held > 0 && advertise.hops < MAX_HOPS {
            active.hops = active.hops.min(advertise.hops.saturating_add(1));
        }
        let held = active.held;
        if let Some(trickle) = &mut self.trickle {
            if advertise.held == held {
                trickle.agree();
            } else if advertise.held < held {
                trickle.reset(now, random);
            }
        }
        if advertise.held > held {
            self.receiving.unanswered = 0;
            self.plan_request(now, random);
        }
    }

    /// Somebody asks for packets, of this node or of another.
    pub fn on_request(
        &mut self,
        from: NodeId,
        request: &Request,
        signal_dbm: Option<i8>,
        now: Instant,
        random: u32,
    ) {
        let Some(active) = &self.active else { return };
        if request.object != active.id || request.page >= active.description.pages() {
            return;
        }
        let held = active.held;
        let neighbour = self.neighbours.hear(from, signal_dbm, now);
        // Pages are taken in order: who asks for page n holds n pages.
        neighbour.held = neighbour.held.max(request.page);
        if request.sender == self.me {
            if request.page < held && !neighbour.asks_too_much(request.page, now) {
                self.serve(request.page, request.need.clamp(1, PACKETS as u8), now);
            }
        } else if request.page == held && request.need >= self.decoder.missing() {
            // It speaks for this node, too.
            let later = now.after(self.patience_ms(request.need) + u64::from(random) % self.window());
            if let Some(ask_at) = &mut self.receiving.ask_at {
                *ask_at = later;
            }
        }
        if request.page > held {
            self.plan_request(now, random);
        }
    }

    /// A packet of a page has come.
    pub fn on_data(&mut self, data: &Data<'_>, now: Instant, random: u32, store: &mut impl PageStore) {
        let Some(active) = &self.active else { return };
        if data.object != active.id.0 as u16 || self.neighbours.is_blocked(data.sender, now) {
            return;
        }
        let held = active.held;
        self.neighbours.answered(data.sender, now);
        if let Some(neighbour) = self.neighbours.by_low16(data.sender) {
            neighbour.held = neighbour.held.max(data.page.saturating_add(1 + u16::from(data.beyond)));
        }
        if let Some(sending) = &mut self.sending {
            if data.page < sending.page {
                // Somebody near serves those who are further behind: they come first.
                sending.next_at = now.after(u64::from(self.pace.packet_ms) * 3);
            } else if data.page == sending.page && sending.repairs > 0 && usize::from(data.index) >= PACKETS {
                sending.repairs -= 1;
            }
        }
        if data.page != held {
            if data.page > held {
                self.plan_request(now, random);
            }
            return;
        }
        if self.receiving.only.is_some_and(|only| only != data.sender) {
            return;
        }
        if self.decoder.take(data.index, data.payload) {
            match self.receiving.sender {
                None => self.receiving.sender = Some(data.sender),
                Some(sender) if sender != data.sender => self.receiving.mixed = true,
                Some(_) => {}
            }
        }
        self.receiving.packet_at = Some(now);
        self.receiving.unanswered = 0;
        if self.decoder.missing() == 0 {
            self.finish_page(now, random, store);
        } else {
            // Whoever misses most asks first, and thereby for the others.
            let have = PACKETS as u64 - u64::from(self.decoder.missing());
            let wait = u64::from(self.pace.packet_ms) * 2 + have / 2 + u64::from(random) % self.window();
            self.receiving.ask_at = Some(now.after(wait));
        }
    }

    fn finish_page(&mut self, now: Instant, random: u32, store: &mut impl PageStore) {
        let Some(active) = &mut self.active else { return };
        let lists = active.description.list_pages();
        let page = active.held;
        let Some(bytes) = self.decoder.page() else { return };
        let digest = PageDigest::of(bytes);
        let right = if page < lists {
            active.description.lists.get(usize::from(page)) == Some(&digest)
        } else {
            self.digests.get(page - lists) == Some(digest)
        };
        let kept = right
            && if page < lists {
                self.digests.read_list(page, bytes);
                true
            } else {
                store.write(page - lists, bytes)
            };
        self.decoder.clear();
        let receiving = core::mem::take(&mut self.receiving);
        if kept {
            active.held += 1;
            if active.held % 4 == 0
                && self.neighbours.anyone_behind(active.held, now)
                && let Some(trickle) = &mut self.trickle
            {
                trickle.reset(now, random);
            }
        } else if !right {
            self.sent.wrong_pages += 1;
            match receiving.sender {
                Some(sender) if !receiving.mixed => self.neighbours.strike(sender, now),
                sender => self.receiving.only = sender,
            }
        }
        self.plan_request(now, random);
    }

    // ----- asking --------------------------------------------------------------------------------

    fn window(&self) -> u64 {
        u64::from(self.pace.request_window_ms).max(1)
    }

    /// How long to wait for so many packets before asking again.
    fn patience_ms(&self, need: u8) -> u64 {
        u64::from(self.pace.packet_ms) * (u64::from(need) / 2 + 4) + self.window()
    }

    /// Asks for the next page soon, unless it is on its way.
    fn plan_request(&mut self, now: Instant, random: u32) {
        let Some(active) = &self.active else { return };
        if active.held >= active.description.pages() || self.receiving.unanswered >= PATIENCE {
            self.receiving.ask_at = None;
        } else if self.receiving.ask_at.is_none() {
            self.receiving.ask_at = Some(now.after(1 + u64::from(random) % self.window()));
        }
    }

    /// What the store holds from before is taken over page by page, as long as it is right.
    fn recheck(&mut self, store: &mut impl PageStore) -> bool {
        let Some(active) = &mut self.active else { return false };
        let lists = active.description.list_pages();
        if !active.recheck || active.held < lists || active.held >= active.description.pages() {
            return false;
        }
        let page = active.held - lists;
        let mut bytes = [0; PAGE_BYTES];
        if store.read(page, 0, &mut bytes)
            && Some(PageDigest::of(&bytes)) == self.digests.get(page)
            && store.write(page, &bytes)
        {
            active.held += 1;
            self.decoder.clear();
            return true;
        }
        active.recheck = false;
        false
    }

    // ----- sending -------------------------------------------------------------------------------

    fn serve(&mut self, page: u16, need: u8, now: Instant) {
        let whole = usize::from(need) >= PACKETS;
        if let Some(sending) = &mut self.sending {
            if sending.page == page {
                if !whole && sending.next_row >= PACKETS {
                    sending.repairs = sending.repairs.max(need);
                    self.asked_after = self.asked_after.max(need);
                }
                return;
            }
            // Lower pages first: who is furthest behind holds up everybody after it.
            self.pending = match self.pending {
                Some((pending, more)) if pending == page => Some((page, more.max(need))),
                Some((pending, more)) if pending < page => Some((pending, more)),
                _ => Some((page, need)),
            };
            return;
        }
        let repeated = self.last_sent == Some(page);
        if repeated {
            self.asked_after = self.asked_after.max(need);
        } else {
            self.learn_margin();
        }
        let margin = (self.margin / 16) as u8;
        self.last_sent = Some(page);
        self.sending = Some(Sending {
            page,
            next_row: if whole && !repeated { 0 } else { PACKETS },
            repairs: if whole && !repeated { margin } else { need + need * margin / PACKETS as u8 },
            next_at: now,
        });
    }

    /// The margin follows what was asked for after a page's first burst: up quickly, down slowly.
    fn learn_margin(&mut self) {
        if self.last_sent.is_none() {
            return;
        }
        if self.asked_after > 0 {
            self.margin = (self.margin + 8 * u16::from(self.asked_after)).min(16 * PACKETS as u16);
        } else {
            self.margin -= self.margin / 16;
        }
        self.asked_after = 0;
    }

    /// Makes the next packet of what is being sent.
    fn send(&mut self, now: Instant, store: &mut impl PageStore, out: &mut [u8]) -> Option<usize> {
        let active = self.active.as_ref()?;
        let sending = self.sending.as_mut()?;
        let index = if sending.next_row < PACKETS {
            sending.next_row += 1;
            (sending.next_row - 1) as u8
        } else if sending.repairs > 0 {
            sending.repairs -= 1;
            let index = self.next_repair;
            self.next_repair = if index == u8::MAX { PACKETS as u8 } else { index + 1 };
            index
        } else {
            self.sending = None;
            if let Some((page, need)) = self.pending.take() {
                self.serve(page, need, now);
            }
            return None;
        };
        sending.next_at = now.after(self.pace.packet_ms.into());
        let (page, lists) = (sending.page, active.description.list_pages());
        let file_pages = active.description.file_pages();
        let mut payload: Packet = [0; PACKET_BYTES];
        let digests = &self.digests;
        let mut list = [0; PAGE_BYTES];
        if page < lists {
            digests.write_list(page, file_pages, &mut list);
        }
        let whole = encode(
            index,
            |row, into| {
                into.fill(0);
                let from = row * PACKET_BYTES;
                let count = PACKET_BYTES.min(PAGE_BYTES - from);
                let Some(into) = into.get_mut(..count) else { return false };
                if page < lists {
                    list.get(from..from + count).map(|bytes| into.copy_from_slice(bytes)).is_some()
                } else {
                    store.read(page - lists, from, into)
                }
            },
            &mut payload,
        );
        if !whole {
            self.sending = None;
            return None;
        }
        let beyond = (active.held - page).saturating_sub(1).min(255) as u8;
        let data = Data {
            object: active.id.0 as u16,
            page,
            index,
            beyond,
            sender: self.me.0 as u16,
            payload: &payload,
        };
        self.sent.data += 1;
        data.write(out)
    }

    // ----- time ----------------------------------------------------------------------------------

    /// When [`Spread::poll`] wants to be called, at the latest.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let active = self.active.as_ref()?;
        let recheck = active.recheck
            && active.held >= active.description.list_pages()
            && active.held < active.description.pages();
        let mut deadline = recheck.then_some(now);
        deadline = earliest(deadline, self.sending.as_ref().map(|sending| sending.next_at));
        if self.sending.is_none() {
            deadline = earliest(deadline, self.receiving.ask_at);
        }
        earliest(deadline, self.trickle.as_ref().map(Trickle::deadline))
    }

    /// The next frame to be sent, written into `out`; `None` when there is nothing to send now.
    pub fn poll(
        &mut self,
        now: Instant,
        random: u32,
        store: &mut impl PageStore,
        out: &mut [u8; MAX_SPREAD_BYTES],
    ) -> Option<SpreadFrame> {
        if self.recheck(store) {
            return None;
        }
        while self.sending.as_ref().is_some_and(|sending| now >= sending.next_at) {
            if let Some(length) = self.send(now, store, out) {
                return Some(SpreadFrame::Data(length));
            }
        }
        // A radio that sends does not hear: what it would ask for has to wait.
        if self.sending.is_none() && self.receiving.ask_at.is_some_and(|moment| now >= moment) {
            return self.ask(now, random, out);
        }
        if self.trickle.as_mut()?.poll(now, random) {
            let active = self.active.as_ref()?;
            if active.held == 0 && active.hops > 0 && self.neighbours.source_of(0, now).is_some() {
                return None;
            }
            let advertise =
                Advertise { description: active.description.clone(), held: active.held, hops: active.hops };
            let mut body = [0; MAX_ADVERTISE_BYTES];
            let length = advertise.write(&mut body);
            out.get_mut(..length)?.copy_from_slice(&body[..length]);
            self.sent.advertise += 1;
            return Some(SpreadFrame::Body { kind: ADVERTISE, length });
        }
        None
    }

    fn ask(&mut self, now: Instant, random: u32, out: &mut [u8]) -> Option<SpreadFrame> {
        let active = self.active.as_ref()?;
        let page = active.held;
        if let Some((asked, at)) = self.receiving.asked.take()
            && self.receiving.packet_at.is_none_or(|packet| packet < at)
        {
            self.neighbours.unanswered(asked);
            self.receiving.unanswered = self.receiving.unanswered.saturating_add(1);
            // Whoever was being tested has nothing to say.
            self.receiving.only = None;
        }
        self.receiving.ask_at = None;
        if self.receiving.unanswered >= PATIENCE {
            return None;
        }
        let sender = self.neighbours.source_of(page, now)?;
        if self.receiving.only.is_some() {
            self.receiving.only = Some(sender.0 as u16);
        }
        let need = self.decoder.missing();
        let request = Request { object: active.id, sender, page, need };
        let backoff = u64::from(self.receiving.unanswered.min(5));
        self.receiving.asked = Some((sender, now));
        self.receiving.ask_at = Some(
            now.after((self.patience_ms(need) << backoff) + u64::from(random) % (self.window() << backoff)),
        );
        let body = request.write();
        out.get_mut(..body.len())?.copy_from_slice(&body);
        self.sent.request += 1;
        Some(SpreadFrame::Body { kind: REQUEST, length: body.len() })
    }
}
