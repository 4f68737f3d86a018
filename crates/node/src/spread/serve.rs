//! Sending what was asked for.

use super::PageStore;
use super::code::{PACKET_BYTES, PACKETS, PAGES_PER_BLOCK, Packet, encode, packets_of};
use super::machine::{Side, Spread};
use super::packet::{DATA_HEADER_BYTES, Data, following};
use crate::PAGE_BYTES;
use crate::time::Instant;
use heapless::Vec;
use rootcast_wire::NodeId;

/// Blocks that are being sent at once: somebody further behind interrupts.
const MAX_JOBS: usize = 4;

/// How long blocks count as not to be had after the store could not read one.
const UNREADABLE_MS: u64 = 5_000;

/// Repairs sent unasked at most.
const MAX_MARGIN: u16 = 6;

/// How long a sender further out is kept in mind.
const DEEP_MS: u64 = 3_000;

/// An order for a block may come so many blocks too early.
const MAX_AHEAD: u16 = 2;

/// A node that was asked in the last so many milliseconds sends on what comes without being asked.
const PUSH_MS: u64 = 6_000;

/// But not more than so many blocks beyond the one that it was asked for.
const PUSH_BLOCKS: u16 = 2;

/// For so many blocks a node goes before others who could send the same.
const ESSENTIAL_BLOCKS: u8 = 16;

/// A block that was asked for.
#[derive(Clone, Copy, Debug)]
struct Job {
    side: Side,
    block: u16,
    /// Rows of the block, and the next of them to be sent.
    rows: u8,
    next_row: u8,
    /// Repair packets to be sent after the rows.
    repairs: u8,
    /// Some of it has been sent: it is not interrupted any more.
    begun: bool,
}

impl Job {
    const fn left(&self) -> u8 {
        self.rows - self.next_row + self.repairs
    }
}

/// What a node sends, and how many repairs by experience.
pub(super) struct Serving {
    jobs: Vec<Job, MAX_JOBS>,
    /// When the packets sent so far will have been sent, in microseconds.
    paid_us: u64,
    /// Others come first until then.
    hold_until: Instant,
    /// When another node was last heard to send a block below the one sent here last.
    deep_at: Option<Instant>,
    /// When this node was last asked for packets of its own object, and of which block.
    asked_at: Option<(Instant, u16)>,
    /// The last block that was left to another node, since it sent the same.
    left_to_another: Option<u16>,
    /// So many blocks this node sends before others who could: what another sent did not reach all.
    essential: u8,
    /// The last block whose rows were sent.
    last: Option<(Side, u16)>,
    /// The index of the next repair packet.
    next_repair: u8,
    /// Repair packets sent unasked after a block, in sixteenths: what listeners turn out to need.
    margin: u16,
    /// The most that was asked for after the last block's first burst.
    asked_after: u8,
    /// A block that the store could not read, and when.
    unreadable: Option<(Side, u16, Instant)>,
}

impl Serving {
    pub(super) fn new(me: NodeId) -> Self {
        Self {
            jobs: Vec::new(),
            paid_us: 0,
            hold_until: Instant(0),
            deep_at: None,
            asked_at: None,
            left_to_another: None,
            essential: 0,
            last: None,
            // Different senders begin with different repairs, so that each helps whoever hears both.
            next_repair: PACKETS as u8 + (me.0.wrapping_mul(37) % (256 - PACKETS as u64)) as u8,
            margin: 32,
            asked_after: 0,
            unreadable: None,
        }
    }

    pub(super) fn forget(&mut self, side: Side) {
        self.jobs.retain(|job| job.side != side);
        self.unreadable = self.unreadable.filter(|(unreadable, ..)| *unreadable != side);
        self.last = self.last.filter(|(last, _)| *last != side);
    }

    /// Sends nothing before this moment.
    pub(super) fn begin_at(&mut self, moment: Instant) {
        self.hold_until = moment;
    }

    /// Whether others wait for this node to send the block on when it has it.
    pub(super) fn forwards(&self, block: u16, now: Instant) -> bool {
        self.asked_at.is_some_and(|(at, last)| now.since(at) < PUSH_MS && last + PUSH_BLOCKS >= block)
    }

    /// Whether this block is being sent, or was the last one.
    fn has_begun(&self, side: Side, block: u16) -> bool {
        self.last == Some((side, block)) || self.jobs.iter().any(|job| job.side == side && job.block == block)
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    pub(super) fn is_busy_with(&self, side: Side) -> bool {
        self.jobs.iter().any(|job| job.side == side)
    }

    /// When the next packet is to be sent. Whoever has begun goes on: listeners count on it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let job = self.first().and_then(|place| self.jobs.get(place))?;
        let paid = Instant(self.paid_us / 1_000);
        Some(if job.begun { paid } else { paid.max(self.hold_until) })
    }

    /// The job of whoever is furthest behind.
    fn first(&self) -> Option<usize> {
        let jobs = self.jobs.iter().enumerate();
        jobs.min_by_key(|(_, job)| (job.block, job.side as u8)).map(|(place, _)| place)
    }

    /// Blocks from this one on cannot be had at the moment.
    pub(super) fn readable(&self, side: Side, now: Instant) -> u16 {
        match self.unreadable {
            Some((unreadable, block, at)) if unreadable == side && now.since(at) < UNREADABLE_MS => block,
            _ => u16::MAX,
        }
    }

    /// Somebody who is further behind is served by another node: lets it pass.
    pub(super) fn give_way(&mut self, side: Side, block: u16, until: Instant) {
        if let Some(job) = self.first().and_then(|place| self.jobs.get(place))
            && job.side == side
            && block < job.block
        {
            self.hold_until = self.hold_until.max(until);
        }
    }

    /// Another node sends: nothing is begun meanwhile, and not the same twice.
    ///
    /// Where packets travel over many hops, senders less than three hops apart spoil each other's packets at those
    /// between them. A sender that hears the next one's burst therefore also waits for the one after that, which it does
    /// not hear: if there is one, the next one's packets say so.
    pub(super) fn hear_burst(
        &mut self,
        me: u16,
        side: Side,
        data: &Data<'_>,
        ends: Instant,
        burst_ms: u64,
        now: Instant,
    ) {
        // Of those who wait for the same moment one begins first, and the others hear it.
        let turn = u64::from((me ^ data.block).wrapping_mul(0x9E37) >> 13) * burst_ms / 32;
        let ends = ends.after(turn);
        if self.last.is_some_and(|(last, block)| last == side && data.block <= block) {
            self.deep_at = Some(now);
            let after = if data.deep { burst_ms } else { 1 };
            self.hold_until = self.hold_until.max(ends.after(after));
        }
        let Some(place) = self.first() else { return };
        let Some(job) = self.jobs.get_mut(place) else { return };
        self.hold_until = self.hold_until.max(ends);
        if job.side != side || data.block > job.block {
            return;
        }
        if data.block < job.block {
            let after = if data.deep { burst_ms } else { 1 };
            self.hold_until = self.hold_until.max(ends.after(after));
        } else if usize::from(data.index) < PACKETS && job.next_row < job.rows {
            // Both send the same: who is further goes on. Who asked here and does not hear the other will ask again.
            if (job.next_row, data.sender) < (data.index + 1, me) {
                if side == Side::Own {
                    self.left_to_another = Some(job.block);
                }
                self.jobs.swap_remove(place);
            }
        } else if job.next_row == job.rows && usize::from(data.index) >= PACKETS {
            job.repairs = job.repairs.saturating_sub(data.packets().count() as u8);
            if job.repairs == 0 {
                self.jobs.swap_remove(place);
            }
        }
    }

    /// Whether another node was lately heard to send further out.
    fn is_deep(&self, now: Instant) -> bool {
        self.deep_at.is_some_and(|at| now.since(at) < DEEP_MS)
    }

    /// Takes a job on.
    pub(super) fn add(&mut self, side: Side, block: u16, rows: u8, need: u8) {
        let repeated = self.last == Some((side, block));
        let margin = self.margin;
        if let Some(job) = self.jobs.iter_mut().find(|job| job.side == side && job.block == block) {
            if need < rows && job.next_row >= rows {
                self.asked_after = self.asked_after.max(need);
                job.repairs = job.repairs.max(need);
            }
            return;
        }
        let fresh = need >= rows && !repeated;
        if !repeated && need >= rows {
            self.learn_margin();
            self.last = Some((side, block));
        } else if repeated {
            self.asked_after = self.asked_after.max(need);
        }
        let margin = (self.margin.max(margin) / 16) as u8;
        let repairs = if fresh { margin } else { need + need * margin / PACKETS as u8 };
        let job = Job { side, block, rows, next_row: if fresh { 0 } else { rows }, repairs, begun: false };
        if let Err(job) = self.jobs.push(job)
            && let Some(last) = self.jobs.iter_mut().max_by_key(|job| job.block)
            && last.block > job.block
        {
            *last = job;
        }
    }

    /// The margin follows what was asked for after a block's first burst.
    fn learn_margin(&mut self) {
        if self.last.is_none() {
            return;
        }
        // Whoever misses a third does so for a reason that a few repairs more do not mend.
        if self.asked_after > PACKETS as u8 / 3 {
        } else if self.asked_after > 0 {
            self.margin = (self.margin + 4 + u16::from(self.asked_after)).min(16 * MAX_MARGIN);
        } else {
            self.margin = self.margin.saturating_sub(8);
        }
        self.asked_after = 0;
    }
}

impl Spread {
    /// A block has come of which others will need it from here, as they did the ones before: it goes on at once, before
    /// the next one is on its way.
    pub(super) fn push(&mut self, block: u16, now: Instant, random: u32) {
        if self.serving.forwards(block, now) {
            let rows = self.decoder.rows();
            self.serving.add(Side::Own, block, rows, rows);
            // Another may do the same: the later one hears the earlier, and leaves it to it. Whom some nodes depend on
            // goes first, so that those whom nobody depends on learn that they are not needed.
            let late = self.packets_ms(2) + u64::from(random) % (self.packets_ms(3) + 1);
            let wait = if self.serving.essential > 0 { 0 } else { late };
            self.serving.essential = self.serving.essential.saturating_sub(1);
            self.serving.hold_until = self.serving.hold_until.max(now.after(wait));
        }
    }

    /// Somebody asks this node for packets.
    pub(super) fn asked_for(&mut self, side: Side, block: u16, need: u8, now: Instant, random: u32) {
        let readable = self.serving.readable(side, now);
        let Some(strand) = self.strand(side) else { return };
        let rows = packets_of(strand.description.pages_of(block)) as u8;
        let here = match (side, &self.other) {
            (Side::Own, _) => block < strand.held,
            (Side::Other, Some(other)) => other.has(block),
            (Side::Other, None) => false,
        };
        if side == Side::Own && block <= strand.held + MAX_AHEAD {
            self.serving.asked_at = Some((now, block));
            if self.serving.left_to_another == Some(block) && need >= rows / 2 {
                self.serving.left_to_another = None;
                self.serving.essential = ESSENTIAL_BLOCKS;
            }
        }
        if here && block < readable {
            if side == Side::Own
                && need >= rows
                && !self.serving.has_begun(side, block)
                && block.checked_sub(1).is_some_and(|before| self.neighbours.expects(before, now))
            {
                // The block before goes on to those further out first.
                self.serving.hold_until = self.serving.hold_until.max(now.after(self.burst_ms()));
            }
            self.serving.add(side, block, rows, need.min(rows));
        } else if side == Side::Other {
            self.fetch_for_others(block, need, now, random);
        }
    }

    /// Makes the next frame of what is being sent.
    pub(super) fn send(
        &mut self,
        now: Instant,
        random: u32,
        store: &mut impl PageStore,
        out: &mut [u8],
    ) -> Option<usize> {
        if self.serving.deadline().is_none_or(|moment| now < moment) {
            return None;
        }
        let place = self.serving.first()?;
        let mut job = *self.serving.jobs.get(place)?;
        let strand = self.strand(job.side)?;
        let (object, beyond) = (strand.id.0 as u16, strand.held.saturating_sub(job.block + 1));
        let room = out.len().saturating_sub(DATA_HEADER_BYTES) / PACKET_BYTES;
        let in_frame = usize::from(self.pace.packets_per_frame).clamp(1, room.max(1));
        let rows_left = usize::from(job.rows - job.next_row);
        let count = in_frame.min(if rows_left > 0 { rows_left } else { job.repairs.into() });
        let first = if rows_left > 0 { job.next_row } else { self.serving.next_repair };
        let payload = out.get_mut(DATA_HEADER_BYTES..)?;
        let mut index = first;
        for packet in payload.as_chunks_mut::<PACKET_BYTES>().0.iter_mut().take(count) {
            let rows = job.rows.into();
            if !encode(index, rows, |row, into| self.read_row(&job, row, into, store), packet) {
                self.serving.unreadable = Some((job.side, job.block, now));
                self.serving.jobs.clear();
                return None;
            }
            index = following(index);
        }
        job.begun = true;
        if rows_left > 0 {
            job.next_row += count as u8;
        } else {
            job.repairs -= count as u8;
            self.serving.next_repair = index;
            self.sent.repair += count as u32;
        }
        self.sent.data += count as u32;
        let data = Data {
            object,
            block: job.block,
            index: first,
            beyond: beyond.min(255) as u8,
            sender: self.me.0 as u16,
            left: job.left(),
            deep: self.serving.is_deep(now),
            payload: &[],
        };
        data.write_header(out)?;
        if job.left() == 0 {
            self.serving.jobs.swap_remove(place);
            self.aim(now, random);
        } else if let Some(room) = self.serving.jobs.get_mut(place) {
            *room = job;
        }
        let cost = count as u64 * u64::from(self.pace.packet_us);
        self.serving.paid_us = self.serving.paid_us.max(now.0 * 1_000) + cost;
        Some(DATA_HEADER_BYTES + count * PACKET_BYTES)
    }

    fn read_row(&self, job: &Job, row: usize, into: &mut Packet, store: &mut impl PageStore) -> bool {
        let Some(strand) = self.strand(job.side) else { return false };
        if job.side == Side::Other
            && let Some(other) = &self.other
            && other.cached == Some(job.block)
        {
            return self.decoder.read_row(row, into);
        }
        let (lists, pages) = (strand.description.list_pages(), strand.description.pages());
        let first = job.block * PAGES_PER_BLOCK as u16;
        // A row may lie across the border of two pages, and the last one goes beyond the block.
        let mut at = row * PACKET_BYTES;
        let mut rest = &mut into[..];
        while !rest.is_empty() {
            let page = first + (at / PAGE_BYTES) as u16;
            let offset = at % PAGE_BYTES;
            let count = rest.len().min(PAGE_BYTES - offset);
            let (part, more) = rest.split_at_mut(count);
            if page >= pages || at >= PAGES_PER_BLOCK * PAGE_BYTES {
                part.fill(0);
            } else if job.side == Side::Other {
                if !store.read_other(strand.id, page, offset, part) {
                    return false;
                }
            } else if page < lists {
                self.digests.read(page, offset, strand.description.file_pages(), part);
            } else if !store.read(page - lists, offset, part) {
                return false;
            }
            at += count;
            rest = more;
        }
        true
    }
}
