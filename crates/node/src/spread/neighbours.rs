//! Whom a node hears: who is ahead of it, who behind, and whom not to believe any more.

use crate::time::Instant;
use heapless::Vec;
use rootcast_wire::NodeId;

/// Neighbours that a node keeps in mind; the one not heard for longest makes room.
pub const MAX_NEIGHBOURS: usize = 12;

/// Silence in milliseconds after which a neighbour is not asked any more.
const SILENT_MS: u64 = 40_000;

/// How long a neighbour whose pages were wrong twice is not listened to, in milliseconds.
const BLOCKED_MS: u64 = 60_000;

/// A signal above this, in dBm, counts as being as good as it needs to be.
const GOOD_SIGNAL_DBM: i32 = -72;

/// Requests for one page that a neighbour may make before it has to wait.
const MAX_REQUESTS_PER_PAGE: u8 = 16;

#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    pub id: NodeId,
    /// Pages that it holds at least.
    pub held: u16,
    pub hops: u8,
    pub heard: Instant,
    /// When it last sent data.
    pub sent: Option<Instant>,
    /// Smoothed signal strength.
    pub signal_dbm: i16,
    /// Requests to it that were not answered, in a row.
    failures: u8,
    strikes: u8,
    blocked_until: Instant,
    asked_page: u16,
    asked: u8,
    asked_since: Instant,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub(super) struct Neighbours {
    table: Vec<Neighbour, MAX_NEIGHBOURS>,
}

impl Neighbours {
    pub(super) fn clear(&mut self) {
        self.table.clear();
    }

    pub(super) fn hear(&mut self, id: NodeId, signal_dbm: Option<i8>, now: Instant) -> &mut Neighbour {
        let place = self.table.iter().position(|neighbour| neighbour.id == id);
        let place = place.unwrap_or_else(|| {
            let fresh = Neighbour {
                id,
                held: 0,
                hops: u8::MAX,
                heard: now,
                sent: None,
                signal_dbm: i16::from(signal_dbm.unwrap_or(-60)),
                failures: 0,
                strikes: 0,
                blocked_until: Instant(0),
                asked_page: 0,
                asked: 0,
                asked_since: now,
            };
            if self.table.push(fresh.clone()).is_err() {
                // The one that is worth least: heard worst among those not heard for long, or simply worst.
                let worth =
                    |neighbour: &Neighbour| (now.since(neighbour.heard) < SILENT_MS, neighbour.signal_dbm);
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

    pub(super) fn by_low16(&mut self, low16: u16) -> Option<&mut Neighbour> {
        self.table.iter_mut().find(|neighbour| neighbour.id.0 as u16 == low16)
    }

    /// The neighbour to ask for a page: near enough, not failing, and best one that sends already, since then its
    /// packets serve more than one.
    pub(super) fn source_of(&self, page: u16, now: Instant) -> Option<NodeId> {
        let worth = |neighbour: &&Neighbour| {
            let signal = i32::from(neighbour.signal_dbm).min(GOOD_SIGNAL_DBM);
            let busy = neighbour.sent.is_some_and(|sent| now.since(sent) < 3_000);
            signal + if busy { 8 } else { 0 }
                - 12 * i32::from(neighbour.failures)
                - i32::from(neighbour.hops.min(20))
        };
        self.table
            .iter()
            .filter(|neighbour| neighbour.held > page && now.since(neighbour.heard) < SILENT_MS)
            .filter(|neighbour| now >= neighbour.blocked_until)
            .max_by_key(worth)
            .map(|neighbour| neighbour.id)
    }

    /// Whether somebody near lacks what this node holds.
    pub(super) fn anyone_behind(&self, held: u16, now: Instant) -> bool {
        self.table.iter().any(|neighbour| neighbour.held < held && now.since(neighbour.heard) < 5_000)
    }

    pub(super) fn is_blocked(&self, low16: u16, now: Instant) -> bool {
        self.table.iter().any(|neighbour| neighbour.id.0 as u16 == low16 && now < neighbour.blocked_until)
    }

    pub(super) fn unanswered(&mut self, id: NodeId) {
        if let Some(neighbour) = self.table.iter_mut().find(|neighbour| neighbour.id == id) {
            neighbour.failures = neighbour.failures.saturating_add(1).min(4);
        }
    }

    pub(super) fn answered(&mut self, low16: u16, now: Instant) {
        if let Some(neighbour) = self.by_low16(low16) {
            neighbour.failures = 0;
            neighbour.sent = Some(now);
            neighbour.heard = now;
        }
    }

    /// A page that this neighbour alone had sent was wrong.
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
    /// Whether this request is one too many: nobody's radio is to be captured by a node that never has enough.
    pub(super) fn asks_too_much(&mut self, page: u16, now: Instant) -> bool {
        if self.asked_page != page || now.since(self.asked_since) > 30_000 {
            self.asked_page = page;
            self.asked = 0;
            self.asked_since = now;
        }
        self.asked = self.asked.saturating_add(1);
        self.asked > MAX_REQUESTS_PER_PAGE
    }
}
