//! A block from its first packet to the store.

use super::PageStore;
use super::code::{PACKET_BYTES, PAGES_PER_BLOCK};
use super::machine::{Side, Spread};
use super::object::PageDigest;
use super::packet::Data;
use crate::PAGE_BYTES;
use crate::time::Instant;
use rootcast_wire::NodeId;

/// What is known of the block being received.
pub(super) struct Receiving {
    /// Which one.
    pub goal: Option<(Side, u16)>,
    /// What the store holds from before has still to be looked at.
    pub unchecked: bool,
    /// The moment at which to ask, unless somebody else does.
    pub ask_at: Option<Instant>,
    /// Whom another asked for this block.
    pub hint: Option<NodeId>,
    /// Whom this node asked last, and when.
    pub asked: Option<(NodeId, Instant)>,
    /// Requests in a row that nobody answered.
    pub unanswered: u8,
    /// How often this node has ordered the block of a neighbour that did not have it yet.
    pub orders: u8,
    /// Nobody has what this node's own object lacks, or nobody answers.
    pub stalled: bool,
    /// When a packet of this block last came.
    pub packet_at: Option<Instant>,
    /// When others' packets were last on the air: whoever is asked lets them pass first.
    pub others_at: Option<Instant>,
    /// Requests of others for this block, since a packet of it last came.
    pub heard_asking: u8,
    /// When the burst of packets on the air will have ended.
    pub burst_ends: Instant,
    /// How long the rest of that burst takes, if it is of this block.
    pub burst_left_ms: u16,
    /// Somebody missed something of this block, and said so.
    pub complained: bool,
    /// Who sent packets of this block: one sender, or several.
    pub sender: Option<u16>,
    pub mixed: bool,
    /// After a wrong block: listen to this sender only, to find out who it is.
    pub only: Option<u16>,
    /// This node asked for the last block before all others near it, and does so again.
    pub leads: bool,
    /// What is missing most after a block's first burst, by experience, in sixteenths of a packet.
    pub usual_need: u16,
    /// Milliseconds over which the first request for a block is spread among those who do not lead.
    pub window_ms: u8,
}

impl Default for Receiving {
    fn default() -> Self {
        Self {
            goal: None,
            unchecked: false,
            ask_at: None,
            hint: None,
            asked: None,
            unanswered: 0,
            orders: 0,
            stalled: false,
            packet_at: None,
            others_at: None,
            heard_asking: 0,
            burst_ends: Instant(0),
            burst_left_ms: 0,
            complained: false,
            sender: None,
            mixed: false,
            only: None,
            leads: false,
            usual_need: 3 * 16,
            window_ms: 30,
        }
    }
}

impl Receiving {
    /// Forgets the block, but not what was learned.
    pub(super) fn next(&mut self, goal: Option<(Side, u16)>) {
        *self = Self {
            goal,
            unchecked: goal.is_some_and(|(side, _)| side == Side::Own),
            burst_ends: self.burst_ends,
            stalled: self.stalled,
            leads: self.leads,
            usual_need: self.usual_need,
            window_ms: self.window_ms,
            ..Self::default()
        };
    }
}

impl Spread {
    /// What this node lacks next: of its own object, or else of one that it relays.
    fn next_goal(&self) -> Option<(Side, u16)> {
        if self.serving.is_busy_with(Side::Other) && self.other.as_ref().is_some_and(|it| it.cached.is_some())
        {
            // The buffer is being sent from.
            return None;
        }
        let relayed = self.other.as_ref().and_then(|other| other.lacks()).map(|block| (Side::Other, block));
        let own = self.own.as_ref().filter(|own| own.held < own.description.blocks() && !self.refused);
        match own {
            Some(own) if !self.receiving.stalled || relayed.is_none() => Some((Side::Own, own.held)),
            _ => relayed,
        }
    }

    /// Turns to the block that is lacking next.
    pub(super) fn aim(&mut self, now: Instant, random: u32) {
        let goal = self.next_goal();
        if goal == self.receiving.goal {
            return;
        }
        self.receiving.next(goal);
        let Some((side, block)) = goal else { return };
        self.neighbours.lacking[side as usize] = block;
        let Some(strand) = self.strand(side) else { return };
        let pages = strand.description.pages_of(block);
        self.decoder.begin(pages);
        if let Some(other) = &mut self.other {
            other.cached = None;
        }
        self.plan_request(now, random);
    }

    /// Takes packets of the block that this node lacks.
    pub(super) fn take(
        &mut self,
        data: &Data<'_>,
        ends: Instant,
        now: Instant,
        random: u32,
        store: &mut impl PageStore,
    ) {
        if self.receiving.only.is_some_and(|only| only != data.sender) {
            return;
        }
        self.receiving.burst_ends = ends;
        self.receiving.burst_left_ms = ends.since(now) as u16;
        self.receiving.packet_at = Some(now);
        self.receiving.unanswered = 0;
        self.receiving.heard_asking = 0;
        for (index, packet) in data.packets() {
            if self.decoder.take(index, packet) {
                match self.receiving.sender {
                    None => self.receiving.sender = Some(data.sender),
                    Some(sender) if sender != data.sender => self.receiving.mixed = true,
                    Some(_) => {}
                }
            }
        }
        if self.decoder.missing() == 0 {
            self.finish(now, random, store);
        } else {
            self.plan_complaint(now, random);
        }
    }

    /// The block is whole: believe it or not, store it, turn to the next.
    fn finish(&mut self, now: Instant, random: u32, store: &mut impl PageStore) {
        let Some((side, block)) = self.receiving.goal else { return };
        if !self.is_right(side, block) {
            self.reject(now, random);
            return;
        }
        if !self.receiving.complained {
            self.receiving.usual_need -= self.receiving.usual_need / 8;
        }
        match side {
            Side::Own => self.keep(block, now, random, store),
            Side::Other => {
                if let Some(other) = &mut self.other {
                    other.cached = Some(block);
                }
                self.relay_cached(now);
            }
        }
        self.aim(now, random);
    }

    /// Whether every page of the block in the decoder has its digest.
    fn is_right(&mut self, side: Side, block: u16) -> bool {
        let Some(strand) = (match side {
            Side::Own => self.own.as_ref(),
            Side::Other => self.other.as_ref().map(|other| &other.strand),
        }) else {
            return false;
        };
        let (lists, first) = (strand.description.list_pages(), block * PAGES_PER_BLOCK as u16);
        let Some(bytes) = self.decoder.block_mut() else { return false };
        let pages = strand.description.pages_of(block);
        // The list pages come first, and a block may hold both a list page and the file's first page.
        let mut list = None;
        for (page, bytes) in (first..).zip(bytes.chunks_exact(PAGE_BYTES).take(pages)) {
            let found = strand.description.digest_of(page, bytes);
            let expected = if page < lists {
                list = list.or(Some(bytes));
                strand.description.lists.get(usize::from(page)).copied()
            } else if let Some(list) = list {
                let at = usize::from(page - lists) * 16;
                list.get(at..at + 16).and_then(|digest| digest.try_into().ok()).map(PageDigest)
            } else {
                match side {
                    Side::Own => self.digests.get(page - lists),
                    Side::Other => self.other.as_ref().and_then(|other| other.window.get(page - lists)),
                }
            };
            if expected != Some(found) {
                return false;
            }
        }
        // What is behind the end has no digest, and whoever sends it on is to send what all others send.
        for (page, bytes) in (first..).zip(bytes.chunks_exact_mut(PAGE_BYTES).take(pages)) {
            bytes.get_mut(strand.description.bytes_of(page)..).unwrap_or_default().fill(0xFF);
        }
        if block == 0
            && side == Side::Other
            && let Some(other) = &mut self.other
        {
            other.take_lists(bytes);
        }
        true
    }

    /// Stores the block in the decoder.
    fn keep(&mut self, block: u16, now: Instant, random: u32, store: &mut impl PageStore) {
        let Some(own) = &mut self.own else { return };
        let lists = own.description.list_pages();
        let pages = own.description.pages_of(block);
        let Some(bytes) = self.decoder.block() else { return };
        let (all, _) = bytes.as_chunks::<PAGE_BYTES>();
        for (page, bytes) in (block * PAGES_PER_BLOCK as u16..).zip(all.iter().take(pages)) {
            if page < lists {
                self.digests.take_list(page, bytes);
            } else if !store.write(page - lists, bytes) {
                self.refuse(now, random);
                return;
            }
        }
        own.held = block + 1;
        self.neighbours.block_done();
        if block == 0 {
            own.trickle.reset(now, random);
        }
        self.push(block, now, random);
    }

    /// The block is not what the root described: somebody sent wrong packets.
    fn reject(&mut self, now: Instant, random: u32) {
        self.sent.wrong_blocks += 1;
        let goal = self.receiving.goal;
        let only = match self.receiving.sender {
            Some(sender) if !self.receiving.mixed => {
                self.neighbours.strike(sender, now);
                None
            }
            sender => sender,
        };
        self.receiving.next(goal);
        self.receiving.unchecked = false;
        self.receiving.only = only;
        if let Some((side, block)) = goal
            && let Some(strand) = self.strand(side)
        {
            let pages = strand.description.pages_of(block);
            self.decoder.begin(pages);
        }
        self.plan_request(now, random);
    }

    /// Takes over what the store holds of the next block from before, if it is right: as a whole, or the rows of the
    /// page that is.
    pub(super) fn recheck(&mut self, now: Instant, random: u32, store: &mut impl PageStore) {
        self.receiving.unchecked = false;
        let (Some(own), Some((Side::Own, block))) = (&self.own, self.receiving.goal) else { return };
        let lists = own.description.list_pages();
        let first = block * PAGES_PER_BLOCK as u16;
        let pages = own.description.pages_of(block) as u16;
        if first < lists || !self.decoder.is_empty() {
            return;
        }
        let mut right = [false; PAGES_PER_BLOCK];
        for (page, right) in (first..first + pages).zip(&mut right) {
            let Some(bytes) = self.decoder.spare() else { return };
            *right = store.read(page - lists, 0, bytes)
                && self.digests.get(page - lists) == Some(own.description.digest_of(page, bytes));
        }
        let whole = right.iter().take(pages.into()).all(|right| *right);
        if whole {
            for page in first..first + pages {
                let Some(bytes) = self.decoder.spare() else { return };
                if !store.read(page - lists, 0, bytes) {
                    return;
                }
                bytes.get_mut(own.description.bytes_of(page)..).unwrap_or_default().fill(0xFF);
                if !store.write(page - lists, bytes) {
                    return;
                }
            }
            if let Some(own) = &mut self.own {
                own.held = block + 1;
            }
            self.aim(now, random);
            return;
        }
        // Rows that lie within a page that is right.
        for index in 0..usize::from(self.decoder.rows()) {
            let (start, end) = (index * PACKET_BYTES, (index + 1) * PACKET_BYTES);
            let page = start / PAGE_BYTES;
            let whole = own.description.bytes_of(first + page as u16);
            if right.get(page) != Some(&true) || end - page * PAGE_BYTES > whole {
                continue;
            }
            let mut row = [0; PACKET_BYTES];
            if store.read(first + page as u16 - lists, start % PAGE_BYTES, &mut row) {
                self.decoder.take(index as u8, &row);
            }
        }
    }
}
