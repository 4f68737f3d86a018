//! Whom a node hears: who is ahead of it, who behind, and whom not to believe any more.

use super::machine::Side;
use crate::time::Instant;
use heapless::Vec;
use rootcast_wire::NodeId;

/// Neighbours that a node keeps in mind; the one that is worth least makes room.
pub const MAX_NEIGHBOURS: usize = 12;

/// Silence in milliseconds after which a neighbour is not asked any more: more than two of Trickle's longest intervals.
const SILENT_MS: u64 = 40_000;

/// How long a neighbour whose blocks were wrong twice is not listened to, in milliseconds.
const BLOCKED_MS: u64 = 300_000;

/// A signal above this, in dBm, counts as being as good as it needs to be.
const GOOD_SIGNAL_DBM: i32 = -75;

/// Requests for one block that a neighbour may make in [`PER_BLOCK_MS`].
const MAX_REQUESTS_PER_BLOCK: u8 = 16;
const PER_BLOCK_MS: u64 = 30_000;

/// A neighbour may begin again from an earlier block so often in [`BEGIN_AGAIN_MS`].
const MAX_BEGIN_AGAIN: u8 = 2;
const BEGIN_AGAIN_MS: u64 = 120_000;
/// A relay asks for whom it relays, and those may be at different blocks.
const MAX_BEGIN_AGAIN_RELAY: u8 = 24;

#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    pub id: NodeId,
    /// Blocks that can be had from it at least, of either object.
    pub held: [u16; 2],
    pub hops: [u8; 2],
    pub heard: Instant,
    /// When it last sent data.
    pub sent: Option<Instant>,
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
    since: Instant,
    begun_again: u8,
    again_since: Instant,
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

    pub(super) fn hear(&mut self, id: NodeId, signal_dbm: Option<i8>, now: Instant) -> &mut Neighbour {
        let place = self.table.iter().position(|neighbour| neighbour.id == id);
        let place = place.unwrap_or_else(|| {
            let fresh = Neighbour {
                id,
                held: [0; 2],
                hops: [u8::MAX; 2],
                heard: now,
                sent: None,
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
                    (
                        now < neighbour.blocked_until,
                        now.since(neighbour.heard) < SILENT_MS,
                        neighbour.held.iter().zip(lacking).any(|(held, lacking)| *held > lacking),
                        neighbour.sent.is_some_and(|sent| now.since(sent) < SILENT_MS),
                        neighbour.signal_dbm,
                        u8::MAX - neighbour.hops[0].min(neighbour.hops[1]),
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

    /// The neighbour to ask for a block: near enough, not failing, and best one that sends already, since then its
    /// packets serve more than one. A relay asks only neighbours nearer to the source than `below` hops, so that two
    /// relays never wait for each other.
    pub(super) fn source_of(&self, side: Side, block: u16, below: u8, now: Instant) -> Option<NodeId> {
        let worth = |neighbour: &&Neighbour| {
            let signal = i32::from(neighbour.signal_dbm).min(GOOD_SIGNAL_DBM);
            let busy = neighbour.sent.is_some_and(|sent| now.since(sent) < 3_000);
            signal + if busy { 8 } else { 0 }
                - 12 * i32::from(neighbour.failures)
                - i32::from(neighbour.hops[side as usize].min(20))
        };
        self.live(now)
            .filter(|neighbour| {
                neighbour.held[side as usize] > block && neighbour.hops[side as usize] < below
            })
            .max_by_key(worth)
            .map(|neighbour| neighbour.id)
    }

    /// The most that can be had from neighbours nearer than `below`, and the least distance among those who have any.
    pub(super) fn best(&self, side: Side, below: u8, now: Instant) -> (u16, u8) {
        let near = self.live(now).filter(|neighbour| {
            neighbour.held[side as usize] > 0 && neighbour.hops[side as usize] < below
        });
        near.fold((0, u8::MAX), |(held, hops), neighbour| {
            (held.max(neighbour.held[side as usize]), hops.min(neighbour.hops[side as usize]))
        })
    }

    pub(super) fn is_blocked(&self, low16: u16, now: Instant) -> bool {
        self.table.iter().any(|neighbour| neighbour.id.0 as u16 == low16 && now < neighbour.blocked_until)
    }

    pub(super) fn unanswered(&mut self, id: NodeId) {
        if let Some(neighbour) = self.table.iter_mut().find(|neighbour| neighbour.id == id) {
            neighbour.failures = neighbour.failures.saturating_add(1).min(4);
        }
    }

    /// This neighbour sends, and holds so many blocks.
    pub(super) fn sends(&mut self, low16: u16, side: Side, held: u16, now: Instant) {
        if let Some(neighbour) = self.by_low16(low16) {
            neighbour.failures = 0;
            neighbour.sent = Some(now);
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
    /// Whether this request is one too many: nobody's radio is to be captured by a node that never has enough, or that
    /// has enough and begins again.
    pub(super) fn asks_too_much(&mut self, block: u16, relays: bool, now: Instant) -> bool {
        let requests = &mut self.requests;
        if block < requests.block {
            if now.since(requests.again_since) > BEGIN_AGAIN_MS {
                requests.begun_again = 0;
                requests.again_since = now;
            }
            if requests.begun_again >= if relays { MAX_BEGIN_AGAIN_RELAY } else { MAX_BEGIN_AGAIN } {
                return true;
            }
            requests.begun_again += 1;
        }
        if requests.block != block || now.since(requests.since) > PER_BLOCK_MS {
            requests.block = block;
            requests.count = 0;
            requests.since = now;
        }
        requests.count = requests.count.saturating_add(1);
        requests.count > MAX_REQUESTS_PER_BLOCK
    }
}
