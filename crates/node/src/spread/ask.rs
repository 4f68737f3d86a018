//! When to ask for what, and whom.
//!
//! All who hear one sender are finished with a block at the same moment, or miss some of it. First those speak who miss
//! most (their repairs serve the others), then, after a pause long enough for that, one asks for the next block: whoever
//! did so last time, so that there is no contest.
//!
//! Where several send, patience is what saves the air: a block that one neighbour has sent is soon sent by the next one
//! further out, and brings most of what was missed. Those who have to hand a block on ask at once; all others wait
//! for whoever is expected to send it, too.

use super::machine::{Side, Spread};
use super::packet::Request;
use crate::time::Instant;
use rootcast_wire::NodeId;

/// Unanswered requests in a row after which a node only asks now and then.
const PATIENCE: u8 = 10;

/// How often a node orders a block from a near neighbour before it asks one far away that has it.
const MAX_ORDERS: u8 = 6;

/// How often it does.
const STALLED_MS: u64 = 2_000;

/// Bounds of [`super::receive::Receiving::window_ms`].
const WINDOW_MS: core::ops::RangeInclusive<u8> = 4..=60;

impl Spread {
    /// The time between two who miss one packet more and less: as long as it takes until the first is heard, so that it
    /// silences the second.
    fn step_ms(&self) -> u64 {
        self.packets_ms(1).max(2).max(self.pace.latency_ms.into())
    }

    fn window_ms(&self) -> u64 {
        self.receiving.window_ms.clamp(*WINDOW_MS.start(), *WINDOW_MS.end()).into()
    }

    /// How long to wait for the first of the packets asked for.
    fn patience_ms(&self) -> u64 {
        self.packets_ms(5) + self.step_ms() + 2 * u64::from(self.pace.latency_ms)
    }

    /// The pause after a burst in which those speak who miss something of it.
    pub(super) fn pause_ms(&self) -> u64 {
        (u64::from(self.receiving.usual_need / 16) + 1) * self.step_ms() + 1
    }

    /// Asks for the block soon, unless it is on its way.
    pub(super) fn plan_request(&mut self, now: Instant, random: u32) {
        if self.receiving.goal.is_none() || self.receiving.ask_at.is_some() {
            return;
        }
        let mut begin = now.max(self.receiving.burst_ends.after(self.pause_ms()));
        if let Some((Side::Own, block)) = self.receiving.goal
            && let Some(before) = block.checked_sub(1)
        {
            // The block before goes on to those further out first.
            if self.neighbours.expects(before, now) {
                begin = begin.after(self.burst_ms());
            }
            // And those who send on ask first, since they hear when the next one further out is done.
            if !self.serving.forwards(block, now) && self.neighbours.has_several_senders(now) {
                self.receiving.leads = false;
                begin = begin.after(self.burst_ms());
            }
        }
        let random = u64::from(random);
        let delay =
            if self.receiving.leads { random % 2 } else { self.step_ms() + random % self.window_ms() };
        self.receiving.ask_at = Some(begin.after(delay));
    }

    /// Some packets of the block are missing: asks for them once the burst is over, those first who miss most.
    pub(super) fn plan_complaint(&mut self, now: Instant, random: u32) {
        if let Some((Side::Own, block)) = self.receiving.goal
            && !self.serving.forwards(block, now)
            && self.neighbours.expects(block, now)
        {
            let delay = self.burst_ms() + u64::from(random) % self.packets_ms(8);
            self.receiving.ask_at = Some(self.receiving.burst_ends.after(delay));
            return;
        }
        let step = self.step_ms();
        let missing = u64::from(self.decoder.missing());
        let rank = u64::from(self.receiving.usual_need.div_ceil(16)).saturating_sub(missing);
        let delay = 1 + rank * step + u64::from(random) % (step + self.window_ms() / 4);
        self.receiving.ask_at = Some(self.receiving.burst_ends.after(delay));
    }

    /// Asks no earlier than at this moment.
    pub(super) fn postpone(&mut self, until: Instant, random: u32) {
        let delay = u64::from(random) % self.step_ms();
        if let Some(ask_at) = &mut self.receiving.ask_at
            && *ask_at < until
        {
            *ask_at = until.after(delay);
        }
    }

    /// Somebody asks another node. If it is for what this node lacks, too, and for nearly as much, it speaks for this
    /// node.
    pub(super) fn overhear(
        &mut self,
        from: NodeId,
        request: &Request,
        side: Side,
        need: u8,
        now: Instant,
        random: u32,
    ) {
        let (asked, block) = (request.sender, request.block);
        let whole = need >= self.decoder.rows();
        match self.receiving.goal {
            Some((aimed, mine)) if aimed == side && mine == block => {
                let at_once = self.receiving.asked.is_some_and(|(_, at)| now.since(at) <= self.step_ms());
                // Whoever asked last asks first for the next block; of two at once the lower id.
                if !at_once || from < self.me {
                    self.receiving.leads = false;
                }
                if whole {
                    let window = self.window_ms() as u8;
                    self.receiving.window_ms =
                        if at_once { window + window / 4 } else { window - window / 32 };
                } else {
                    self.learn_need(need);
                }
                if u16::from(need) * 4 < u16::from(self.decoder.missing()) * 3 {
                    return;
                }
                self.receiving.hint = Some(asked);
                if self.receiving.ask_at.is_some() {
                    // Nobody need say so often what was said: who was asked may have to wait for others.
                    let backoff = self.receiving.heard_asking.min(5);
                    self.receiving.heard_asking = backoff + 1;
                    let patience = self.patience_ms() + u64::from(random) % self.window_ms();
                    self.receiving.ask_at = Some(now.after(patience << backoff));
                }
            }
            // Somebody behind this node is to be served first.
            Some((aimed, mine)) if aimed == side && block < mine => {
                if mine == block + 1 {
                    self.receiving.leads = false;
                    if !whole {
                        self.learn_need(need);
                    }
                }
                let served = now.after(self.packets_ms(u32::from(need) + 2));
                self.shift_burst(served);
                let pause = self.pause_ms();
                self.postpone(served.after(pause), random);
            }
            Some((aimed, _)) if aimed == side && side == Side::Own => self.plan_request(now, random),
            _ => {}
        }
    }

    /// Other packets come first, until this moment: what was to come of this node's block comes after them.
    pub(super) fn shift_burst(&mut self, until: Instant) {
        let receiving = &mut self.receiving;
        if receiving.packet_at.is_some() && receiving.burst_left_ms > 0 && receiving.burst_ends < until {
            receiving.burst_ends = until.after(receiving.burst_left_ms.into());
        }
    }

    /// Remembers what is missing most after a block's first burst.
    fn learn_need(&mut self, need: u8) {
        if need >= self.decoder.rows() / 2 || self.receiving.complained {
            return;
        }
        self.receiving.complained = true;
        let usual = &mut self.receiving.usual_need;
        *usual = *usual - *usual / 4 + u16::from(need) * 4;
    }

    /// Makes the request that is due.
    pub(super) fn ask(&mut self, now: Instant, random: u32, out: &mut [u8]) -> Option<usize> {
        let (side, block) = self.receiving.goal?;
        let strand = self.strand(side)?;
        let (object, hops) = (strand.id, strand.hops);
        if let Some((asked, at)) = self.receiving.asked.take()
            && self.receiving.packet_at.is_none_or(|packet| packet < at)
            && self.receiving.others_at.is_none_or(|others| others < at)
        {
            self.neighbours.unanswered(asked);
            self.receiving.unanswered = self.receiving.unanswered.saturating_add(1);
            self.receiving.leads = false;
            // Whoever was being tested has nothing to say.
            self.receiving.only = None;
        }
        let random = u64::from(random);
        let below = if side == Side::Other { hops } else { u8::MAX };
        let mut source = self.neighbours.source_of(side, block, below, now);
        // A neighbour that is nearer to the source and heard well is better than one far away that has the block: if it
        // has it not yet, the request is an order for when it has.
        let mut order = false;
        if side == Side::Own
            && source.is_some()
            && self.receiving.orders < MAX_ORDERS
            && let Some((parent, held)) = self.neighbours.parent(side, hops, now)
        {
            source = Some(parent);
            order = held <= block;
        }
        let tired = self.receiving.unanswered >= PATIENCE;
        if source.is_none() || tired {
            self.receiving.ask_at = Some(now.after(STALLED_MS + random % STALLED_MS));
            if side == Side::Other {
                self.give_up_relaying(now, random as u32);
                return None;
            }
            if !self.receiving.stalled {
                self.receiving.stalled = true;
                if let Some(own) = &mut self.own {
                    own.tell(now, random as u32);
                }
                self.aim(now, random as u32);
                return None;
            }
        }
        // Whom others near ask for the same is best: one burst then serves all.
        if let Some(hint) = self.receiving.hint.take()
            && self.neighbours.is_fit(hint, side, block, now)
        {
            source = Some(hint);
        }
        let sender = source?;
        if self.receiving.only.is_some() {
            self.receiving.only = Some(sender.0 as u16);
        }
        let need = self.decoder.missing();
        if need < self.decoder.rows() {
            self.learn_need(need);
        }
        self.receiving.leads = true;
        if order {
            self.receiving.orders += 1;
            let burst = self.burst_ms();
            self.receiving.ask_at = Some(now.after(burst + random % burst));
        } else if !tired {
            let backoff = u64::from(self.receiving.unanswered.max(self.receiving.heard_asking).min(5));
            let wait = (self.patience_ms() << backoff) + random % (self.window_ms() << backoff);
            self.receiving.ask_at = Some(now.after(wait));
        }
        self.receiving.asked = Some((sender, now));
        let relays = side == Side::Other;
        let request = Request { object, sender, block, need, relays, hops: (!relays).then_some(hops) };
        let body = request.write();
        out.get_mut(..body.len())?.copy_from_slice(&body);
        Some(body.len())
    }
}
