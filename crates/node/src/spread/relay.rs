//! An object that this node has no use for, and passes on: it is for another chip or type of node, or does not fit.
//!
//! A relay holds one block, in the buffer in which it receives its own, and the digests of a few pages around it. When
//! it is asked for a block that it has not, it asks somebody nearer to the source, checks what comes, and then sends.
//! Its own object comes first.

use super::machine::{MAX_HOPS, Side, Spread, Strand};
use super::object::{Description, ObjectId, PageDigest};
use super::packet::Advertise;
use crate::PAGE_BYTES;
use crate::time::Instant;

/// Digests that a relay keeps: it fetches the list anew after so many pages.
const WINDOW: usize = 32;

/// An object that nobody has asked for so long makes room for another.
const UNUSED_MS: u64 = 15_000;

/// The digests of some pages.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    first: u16,
    digests: heapless::Vec<PageDigest, WINDOW>,
}

impl Window {
    pub(super) fn get(&self, page: u16) -> Option<PageDigest> {
        self.digests.get(usize::from(page.checked_sub(self.first)?)).copied()
    }
}

/// The object that passes through.
pub(super) struct Other {
    pub strand: Strand,
    pub window: Window,
    /// The block in the decoder.
    pub cached: Option<u16>,
    /// This node can read the whole object somewhere.
    source: bool,
    /// What was asked for and is not here, and how many packets of it.
    wanted: Option<(u16, u8)>,
    used: Instant,
}

impl Other {
    pub(super) fn has(&self, block: u16) -> bool {
        self.source || self.cached == Some(block)
    }

    /// The block to be fetched next: the one wanted, or the list if its digests are not here.
    pub(super) fn lacks(&self) -> Option<u16> {
        let (block, _) = self.wanted.filter(|_| !self.source)?;
        let lists = self.strand.description.list_pages();
        let pages = block * 2..block * 2 + self.strand.description.pages_of(block) as u16;
        let known = block == 0 || pages.into_iter().all(|page| self.window.get(page - lists).is_some());
        Some(if known { block } else { 0 })
    }

    /// Takes from verified list pages the digests around the block that is wanted.
    pub(super) fn take_lists(&mut self, block: &[u8]) {
        let description = &self.strand.description;
        let lists = description.list_pages();
        let first = self.wanted.map_or(0, |(block, _)| (block * 2).saturating_sub(lists));
        let list = block.get(..usize::from(lists) * PAGE_BYTES).unwrap_or_default();
        let digests = list.as_chunks::<16>().0.iter().take(description.file_pages().into());
        self.window.first = first;
        self.window.digests = digests.skip(first.into()).take(WINDOW).map(|it| PageDigest(*it)).collect();
    }
}

impl Spread {
    /// This node can read the whole of an object that it has no use for ([`super::PageStore::read_other`]): a root that
    /// fetches a variant for another chip.
    pub fn offer_other(&mut self, description: Description, hops: u8, now: Instant, random: u32) {
        if self.other.as_ref().is_some_and(|other| other.source && other.strand.description == description) {
            return;
        }
        self.drop_other();
        let held = description.blocks();
        self.other = Some(Other::new(Strand::new(description, held, hops, now, random), true, now));
        self.aim(now, random);
    }

    /// The store does not take this node's own object: from now on it is another's.
    pub(super) fn refuse(&mut self, now: Instant, random: u32) {
        self.refused = true;
        self.serving.forget(Side::Own);
        let Some(own) = &self.own else { return };
        if self.other.as_ref().is_some_and(|other| other.source) {
            return;
        }
        let description = own.description.clone();
        self.drop_other();
        self.neighbours.hand_over();
        self.other = Some(Other::new(Strand::new(description, 0, MAX_HOPS, now, random), false, now));
        self.look_upstream(now);
    }

    /// The object that this node passes on without using it.
    #[must_use]
    pub fn other(&self) -> Option<ObjectId> {
        self.other.as_ref().map(|other| other.strand.id)
    }

    /// Whether to pass on an object that was unknown until now.
    pub(super) fn consider(&mut self, advertise: &Advertise, now: Instant, random: u32) -> Option<Side> {
        if let Some(own) = &mut self.own
            && own.description.chip == advertise.description.chip
            && !self.refused
        {
            // An older one is not to be passed on: whoever spreads it is to hear of the newer. A newer one is for the
            // node to want.
            if own.description.cast_id.is_newer_than(advertise.description.cast_id) {
                own.tell(now, random);
            }
            // Of the same cast it is what a release has for another type of node.
            if own.description.cast_id != advertise.description.cast_id {
                return None;
            }
        }
        if let Some(other) = &self.other {
            let (old, new) = (&other.strand.description, &advertise.description);
            let newer = new.cast_id.is_newer_than(old.cast_id);
            if !newer && (other.source || now.since(other.used) < UNUSED_MS) {
                return None;
            }
        }
        if advertise.held == 0 {
            return None;
        }
        self.drop_other();
        let strand = Strand::new(advertise.description.clone(), 0, MAX_HOPS, now, random);
        self.other = Some(Other::new(strand, false, now));
        Some(Side::Other)
    }

    /// What can be got for others, from nodes nearer to the source.
    pub(super) fn look_upstream(&mut self, now: Instant) {
        let Some(other) = self.other.as_mut().filter(|other| !other.source) else { return };
        let (_, hops) = self.neighbours.best(Side::Other, MAX_HOPS, now);
        other.strand.hops = hops.saturating_add(1).min(MAX_HOPS);
        let (held, _) = self.neighbours.best(Side::Other, other.strand.hops, now);
        other.strand.held = held;
    }

    /// Fetches a block that somebody further out asks for; the lowest first.
    pub(super) fn fetch_for_others(&mut self, block: u16, need: u8, now: Instant, random: u32) {
        self.look_upstream(now);
        let Some(other) = &mut self.other else { return };
        other.used = now;
        if block >= other.strand.held {
            return;
        }
        other.wanted = match other.wanted {
            Some((wanted, more)) if wanted == block => Some((block, more.max(need))),
            Some((wanted, more)) if wanted < block => Some((wanted, more)),
            _ => Some((block, need)),
        };
        self.aim(now, random);
    }

    /// The block in the decoder is one for others: if it is the one they wanted, they get it.
    pub(super) fn relay_cached(&mut self, now: Instant) {
        let Some(other) = &mut self.other else { return };
        if let (Some(cached), Some((wanted, need))) = (other.cached, other.wanted)
            && cached == wanted
        {
            other.wanted = None;
            other.used = now;
            let rows = self.decoder.rows();
            self.serving.add(Side::Other, cached, rows, need.min(rows));
        }
    }

    /// Nobody has what was wanted.
    pub(super) fn give_up_relaying(&mut self, now: Instant, random: u32) {
        if let Some(other) = &mut self.other {
            other.wanted = None;
        }
        self.aim(now, random);
    }
}

impl Other {
    fn new(strand: Strand, source: bool, now: Instant) -> Self {
        Self { strand, window: Window::default(), cached: None, source, wanted: None, used: now }
    }
}
