//! What a frame that was heard changes.

use super::PageStore;
use super::code::PACKETS;
use super::machine::{MAX_HOPS, Side, Spread};
use super::packet::{Advertise, Data, Request};
use crate::time::Instant;
use rootcast_wire::NodeId;

impl Spread {
    /// Somebody advertises an object.
    pub fn on_advertise(
        &mut self,
        from: NodeId,
        advertise: &Advertise,
        signal_dbm: Option<i8>,
        now: Instant,
        random: u32,
    ) {
        let known = [Side::Own, Side::Other].into_iter().find(|side| {
            self.strand(*side).is_some_and(|strand| strand.description == advertise.description)
        });
        let Some(side) = known.or_else(|| self.consider(advertise, now, random)) else { return };
        let neighbour = self.neighbours.hear(from, signal_dbm, now);
        neighbour.held[side as usize] = advertise.held.min(advertise.description.blocks());
        neighbour.hops[side as usize] = advertise.hops;
        match side {
            Side::Own => self.measure_hops(now),
            Side::Other => self.look_upstream(now),
        }
        let Some(strand) = self.strand_mut(side) else { return };
        if advertise.held == strand.held {
            strand.trickle.agree();
        } else if advertise.held < strand.held {
            strand.tell(now, random);
        } else if side == Side::Own {
            self.receiving.unanswered = 0;
            self.receiving.stalled = false;
            self.aim(now, random);
            self.plan_request(now, random);
        }
    }

    /// Takes the own distance from the source from the neighbours'. The source's own stays 0.
    fn measure_hops(&mut self, now: Instant) {
        let hops = self.neighbours.hops(Side::Own, now);
        if let (Some(own), Some(hops)) = (&mut self.own, hops)
            && own.hops > 0
        {
            own.hops = hops.min(MAX_HOPS);
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
        let Some(side) = self.side_of(request.object.0, u32::MAX) else { return };
        let Some(strand) = self.strand_mut(side) else { return };
        if request.block >= strand.description.blocks() {
            return;
        }
        strand.active = now;
        let need = request.need.clamp(1, PACKETS as u8);
        let neighbour = self.neighbours.hear(from, signal_dbm, now);
        if !request.relays {
            // Blocks are taken in order: who asks for block n holds n blocks.
            neighbour.held[side as usize] = request.block;
            if let Some(hops) = request.hops {
                neighbour.hops[side as usize] = hops;
            }
        }
        if neighbour.asks_too_much(request.block, now) {
            return;
        }
        if side == Side::Own {
            self.measure_hops(now);
        }
        if request.sender == self.me {
            self.asked_for(side, request.block, need, now, random);
        } else {
            let until = now.after(self.packets_ms(need.into()) + 2);
            self.serving.give_way(side, request.block, until);
            self.overhear(from, request, side, need, now, random);
        }
    }

    /// Packets of a block have come.
    pub fn on_data(&mut self, data: &Data<'_>, now: Instant, random: u32, store: &mut impl PageStore) {
        let Some(side) = self.side_of(data.object.into(), 0xFFFF) else { return };
        let Some(strand) = self.strand_mut(side) else { return };
        if data.block >= strand.description.blocks() || data.sender == self.me.0 as u16 {
            return;
        }
        if self.neighbours.is_blocked(data.sender, now) {
            return;
        }
        if let Some(strand) = self.strand_mut(side) {
            strand.active = now;
        }
        let left = data.left.min(2 * PACKETS as u8);
        let ends = now.after(self.packets_ms(left.into()) + u64::from(self.pace.latency_ms));
        let held = data.block.saturating_add(1 + u16::from(data.beyond));
        self.neighbours.sends(data.sender, side, data.block, held, now);
        let burst_ms = self.burst_ms();
        self.serving.hear_burst(self.me.0 as u16, side, data, ends, burst_ms, now);
        match self.receiving.goal {
            Some((aimed, block)) if aimed == side && block == data.block => {
                self.take(data, ends, now, random, store);
            }
            // Ahead of this node: it had better say soon what it still lacks.
            Some((Side::Own, block)) if side == Side::Own && block < data.block => {
                self.plan_request(now, random);
            }
            // Somebody near is being served. What this node asked for would collide with it.
            Some((aimed, _)) => {
                self.receiving.others_at = Some(ends);
                self.shift_burst(ends);
                let mut pause = if aimed == side { self.pause_ms() } else { 1 };
                if data.deep && aimed == side {
                    // What is asked for now would be sent against the burst further out.
                    pause += burst_ms;
                }
                let until = ends.max(self.receiving.burst_ends).after(pause);
                self.postpone(until, random);
            }
            None => {}
        }
    }
}
