//! Whom a node hears: who is ahead of it, who behind, and whom not to believe any more.

use super::machine::Side;
use crate::time::Instant;
use core::cmp::Reverse;
use heapless::Vec;
use rootcast_wire::NodeId;

/// Neighbours that a node keeps in mind; the one that is worth least makes room.
pub const MAX_NEIGHBOURS: usize = 12;

/// Silence in milliseconds after which a neighbour is not asked any more: more than two of Trickle's longest intervals.
const SILENT_MS: u64 = 40_000;

/// How long a neighbour whose blocks were wrong twice is not listened to, in milliseconds.
const BLOCKED_MS: u64 = 300_000;

/// A signal above this, in dBm, counts as being as good as it needs to be.
const GOOD_SIGNAL_DBM: i32 = -70;

/// A neighbour heard at this, in dBm, is one hop away, and stays so when others send at the same time.
const HOP_SIGNAL_DBM: i32 = -91;

/// A neighbour heard at this, in dBm, still brings some of its packets.
const FAINT_SIGNAL_DBM: i32 = -97;

/// A sender that brought so many packets of late is expected to bring the next block, too.
const EXPECTED_PACKETS: u16 = 12;

/// And it has sent one of so many blocks before that.
const EXPECTED_BLOCKS: u16 = 3;

/// A signal below this, in dBm, loses packets, and more when others send far away.
const POOR_SIGNAL_DBM: i32 = -94;

/// A neighbour that sent in the last so many milliseconds counts as one that sends.
const SENDER_MS: u64 = 10_000;

/// Requests for one block that a neighbour may make in [`PER_BLOCK_S`].
const MAX_REQUESTS_PER_BLOCK: u8 = 16;
const PER_BLOCK_S: u32 = 30;

/// Blocks that a neighbour may ask for in [`AGAIN_S`] although it had asked for later ones before: a node that restarts
/// asks for the first again, with the digests, and goes on where it was. A relay asks for whom it relays, too, and those
/// may be at different blocks; the limit serves both.
const MAX_AGAIN: u8 = 48;
const AGAIN_S: u32 = 240;

#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    pub id: NodeId,
    /// Blocks that can be had from it at least, of either object.
    pub held: [u16; 2],
    pub hops: [u8; 2],
    pub heard: Instant,
    /// When it last sent data; 0: never.
    pub sent: Instant,
    /// Packets heard from it lately ([`Neighbours::block_done`]).
    packets: u16,
    /// The block of this node's own object that it sent last.
    sent_block: u16,
    /// Smoothed signal strength.
    pub signal_dbm: i16,
    /// Requests to it that were not answered, in a row.
    failures: u8,
    strikes: u8,
    blocked_until: Instant,
    requests: Requests,
}

/// What a neighbour has asked for.
#[derive(Clone, Debug, Default)]
struct Requests {
    block: u16,
    count: u8,
    /// Seconds are exact enough, and small.
    since_s: u32,
    /// The highest block asked for, and how often it was a lower one since.
    highest: u16,
    again: u8,
    again_since_s: u32,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub(super) struct Neighbours {
    table: Vec<Neighbour, MAX_NEIGHBOURS>,
    /// The block that this node lacks of either object: who has it is worth keeping in mind.
    pub(super) lacking: [u16; 2],
}

impl Neighbours {
    /// Forgets what neighbours hold of one object.
    pub(super) fn forget(&mut self, side: Side) {
        for neighbour in &mut self.table {
            neighbour.held[side as usize] = 0;
            neighbour.hops[side as usize] = u8::MAX;
            neighbour.requests = Requests::default();
        }
    }

    /// What neighbours hold of the own object they hold of the other one from now on.
    pub(super) fn hand_over(&mut self) {
        for neighbour in &mut self.table {
            neighbour.held.swap(0, 1);
            neighbour.hops.swap(0, 1);
        }
    }

    pub(super) fn hear(&mut self, id: NodeId, signal_dbm: Option<i8>, now: Instant) -> &mut Neighbour {
        let place = self.table.iter().position(|neighbour| neighbour.id == id);
        let place = place.unwrap_or_else(|| {
            let fresh = Neighbour {
                id,
                held: [0; 2],
                hops: [u8::MAX; 2],
                heard: now,
                sent: Instant(0),
                packets: 0,
                sent_block: 0,
                signal_dbm: i16::from(signal_dbm.unwrap_or(-60)),
                failures: 0,
                strikes: 0,
                blocked_until: Instant(0),
                requests: Requests::default(),
            };
            if self.table.push(fresh.clone()).is_err() {
                // The one worth least: not blocked, silent, without what is lacking here, heard badly.
                let lacking = self.lacking;
                let worth = |neighbour: &Neighbour| {
                    let has = neighbour.held.iter().zip(lacking).any(|(held, lacking)| *held > lacking);
                    let good = i32::from(neighbour.signal_dbm) >= POOR_SIGNAL_DBM;
                    (
                        now < neighbour.blocked_until,
                        now.since(neighbour.heard) < SILENT_MS,
                        has && good,
                        neighbour.sent_within(SENDER_MS, now),
                        u8::MAX - neighbour.hops[0].min(neighbour.hops[1]),
                        has,
                        neighbour.signal_dbm,
                    )
                };
                let least = self.table.iter().enumerate().min_by_key(|(_, neighbour)| worth(neighbour));
                let place = least.map_or(0, |(place, _)| place);
                self.table[place] = fresh;
                return place;
            }
            self.table.len() - 1
        });
        let neighbour = &mut self.table[place];
        neighbour.heard = now;
        if let Some(signal) = signal_dbm {
            neighbour.signal_dbm = (neighbour.signal_dbm * 3 + i16::from(signal)) / 4;
        }
        neighbour
    }

    fn by_low16(&mut self, low16: u16) -> Option<&mut Neighbour> {
        self.table.iter_mut().find(|neighbour| neighbour.id.0 as u16 == low16)
    }

    fn live(&self, now: Instant) -> impl Iterator<Item = &Neighbour> {
        self.table
            .iter()
            .filter(move |neighbour| now.since(neighbour.heard) < SILENT_MS && now >= neighbour.blocked_until)
    }

    /// How good a neighbour is as a source: heard well, not failing, and best one that sends already, since then its
    /// packets serve more than one.
    fn worth(neighbour: &Neighbour, side: Side, now: Instant) -> (i32, Reverse<NodeId>) {
        let signal = i32::from(neighbour.signal_dbm).min(GOOD_SIGNAL_DBM);
        let poor = (POOR_SIGNAL_DBM - signal).max(0);
        let busy = neighbour.sent_within(SENDER_MS, now);
        let worth = signal - 3 * poor + if busy { 12 + i32::from(neighbour.packets / 6).min(24) } else { 0 }
            - 12 * i32::from(neighbour.failures)
            - i32::from(neighbour.hops[side as usize].min(20));
        // Of equals all who hear them choose the same.
        (worth, Reverse(neighbour.id))
    }

    /// The neighbour to ask for a block, of those who have it. A relay asks only neighbours nearer to the source than
    /// `below` hops, so that two relays never wait for each other.
    pub(super) fn source_of(&self, side: Side, block: u16, below: u8, now: Instant) -> Option<NodeId> {
        self.live(now)
            .filter(|neighbour| {
                neighbour.held[side as usize] > block && neighbour.hops[side as usize] < below
            })
            .max_by_key(|neighbour| Self::worth(neighbour, side, now))
            .map(|neighbour| neighbour.id)
    }

    /// The neighbour from whom a node at so many hops gets its blocks, if one is heard well, and those it holds, as far
    /// as is known.
    pub(super) fn parent(&self, side: Side, hops: u8, now: Instant) -> Option<(NodeId, u16)> {
        self.live(now)
            .filter(|neighbour| neighbour.hops[side as usize] < hops && neighbour.failures < 2)
            .filter(|neighbour| i32::from(neighbour.signal_dbm) >= POOR_SIGNAL_DBM)
            .max_by_key(|neighbour| Self::worth(neighbour, side, now))
            .map(|neighbour| (neighbour.id, neighbour.held[side as usize]))
    }

    /// A node's distance from the source by its neighbours; one that is heard badly counts several times.
    pub(super) fn hops(&self, side: Side, now: Instant) -> Option<u8> {
        let hops = |neighbour: &Neighbour| {
            let cost = match i32::from(neighbour.signal_dbm) - HOP_SIGNAL_DBM {
                0.. => 1,
                -1 => 2,
                -3..-1 => 5,
                _ => 10,
            };
            neighbour.hops[side as usize].saturating_add(cost)
        };
        self.live(now).filter(|neighbour| neighbour.hops[side as usize] < u8::MAX).map(hops).min()
    }

    /// Whether this neighbour is heard well, answers, and has the block.
    pub(super) fn is_fit(&self, id: NodeId, side: Side, block: u16, now: Instant) -> bool {
        self.live(now).any(|neighbour| {
            neighbour.id == id
                && neighbour.held[side as usize] > block
                && neighbour.failures == 0
                && i32::from(neighbour.signal_dbm) >= POOR_SIGNAL_DBM
        })
    }

    /// The most that can be had from neighbours nearer than `below`, and the least distance among those who have any.
    pub(super) fn best(&self, side: Side, below: u8, now: Instant) -> (u16, u8) {
        let near = self
            .live(now)
            .filter(|neighbour| neighbour.held[side as usize] > 0 && neighbour.hops[side as usize] < below);
        near.fold((0, u8::MAX), |(held, hops), neighbour| {
            (held.max(neighbour.held[side as usize]), hops.min(neighbour.hops[side as usize]))
        })
    }

    /// Whether a neighbour will probably send this block without being asked by this node, as it did those before.
    pub(super) fn expects(&self, block: u16, now: Instant) -> bool {
        self.live(now).any(|neighbour| {
            neighbour.sent_within(SENDER_MS, now)
                && i32::from(neighbour.signal_dbm) >= FAINT_SIGNAL_DBM
                && neighbour.packets >= EXPECTED_PACKETS
                && (block.saturating_sub(EXPECTED_BLOCKS)..block).contains(&neighbour.sent_block)
        })
    }

    /// Whether more than one neighbour sends.
    pub(super) fn has_several_senders(&self, now: Instant) -> bool {
        self.live(now).filter(|neighbour| neighbour.sent_within(SENDER_MS, now)).count() > 1
    }

    /// This node has a block more: what neighbours sent before counts less from now on.
    pub(super) fn block_done(&mut self) {
        for neighbour in &mut self.table {
            neighbour.packets -= neighbour.packets / 4;
        }
    }

    pub(super) fn is_blocked(&self, low16: u16, now: Instant) -> bool {
        self.table.iter().any(|neighbour| neighbour.id.0 as u16 == low16 && now < neighbour.blocked_until)
    }

    pub(super) fn unanswered(&mut self, id: NodeId) {
        if let Some(neighbour) = self.table.iter_mut().find(|neighbour| neighbour.id == id) {
            neighbour.failures = neighbour.failures.saturating_add(1).min(4);
        }
    }

    /// This neighbour sends a block, and holds so many.
    pub(super) fn sends(&mut self, low16: u16, side: Side, block: u16, held: u16, now: Instant) {
        if let Some(neighbour) = self.by_low16(low16) {
            if side == Side::Own {
                neighbour.sent_block = block;
            }
            neighbour.failures = 0;
            neighbour.sent = now;
            neighbour.packets = neighbour.packets.saturating_add(1);
            neighbour.heard = now;
            let known = &mut neighbour.held[side as usize];
            *known = held.max(*known);
        }
    }

    /// A block that this neighbour alone had sent was wrong.
    pub(super) fn strike(&mut self, low16: u16, now: Instant) {
        if let Some(neighbour) = self.by_low16(low16) {
            neighbour.strikes += 1;
            if neighbour.strikes >= 2 {
                neighbour.strikes = 0;
                neighbour.blocked_until = now.after(BLOCKED_MS);
            }
        }
    }
}

impl Neighbour {
    fn sent_within(&self, ms: u64, now: Instant) -> bool {
        self.sent != Instant(0) && now.since(self.sent) < ms
    }

    /// Whether this request is one too many: nobody's radio is to be captured by a node that never has enough, or that
    /// has enough and begins again.
    pub(super) fn asks_too_much(&mut self, block: u16, now: Instant) -> bool {
        let requests = &mut self.requests;
        let now_s = (now.0 / 1_000) as u32;
        if now_s.wrapping_sub(requests.again_since_s) > AGAIN_S {
            requests.again = 0;
            requests.again_since_s = now_s;
        }
        if requests.block != block || now_s.wrapping_sub(requests.since_s) > PER_BLOCK_S {
            if block < requests.highest {
                if requests.again >= MAX_AGAIN {
                    return true;
                }
                requests.again += 1;
            }
            requests.highest = requests.highest.max(block);
            requests.block = block;
            requests.count = 0;
            requests.since_s = now_s;
        }
        requests.count = requests.count.saturating_add(1);
        requests.count > MAX_REQUESTS_PER_BLOCK
    }
}
