//! What several processes on one database have to know of each other: who decides about which mesh, and what the others
//! wrote.
//!
//! Every process hears every mesh and keeps its registry warm; it acts only for meshes that it holds. What it hears of the
//! others it remembers for a while: when a process dies, whoever takes its meshes over applies that to what the store has.

use super::registry::Noted;
use crate::store::lease::{Held, LIFE};
use crate::store::{Store, StoreError};
use rootcast_rollout::Moment;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How often a process shows that it lives, and looks who else does.
const LOOK: Duration = Duration::from_secs(1);
/// How long is remembered what was heard of others' meshes: until a dead process's meshes are taken over, with room.
const MEMORY: Duration = Duration::from_secs(60);
/// What is remembered at most.
const MAX_REMEMBERED: usize = 100_000;
/// How far back what others wrote is read again, in milliseconds: longer than any transaction takes.
const OVERLAP_MS: i64 = 5_000;

/// A process among others.
pub(super) struct Share {
    /// Its name in the store.
    pub process: String,
    pub held: Held,
    looked_at: Option<Instant>,
    /// Since when, by the store's clock, others' writings were not read.
    pub unread_since: i64,
    /// The last event that was passed on.
    pub last_event: i64,
    remembered: VecDeque<(Moment, String, Noted)>,
}

impl Share {
    pub fn new(process: String, last_event: i64) -> Self {
        Self {
            process,
            held: Held::default(),
            looked_at: None,
            unread_since: 0,
            last_event,
            remembered: VecDeque::new(),
        }
    }

    pub fn holds(&self, mesh: &str) -> bool {
        self.held.meshes.contains(mesh)
    }

    /// Whether there is anybody else.
    pub fn is_alone(&self) -> bool {
        self.held.processes <= 1
    }

    /// Looks at the leases if it is time to, and returns the meshes that were gained. Everything that was heard of meshes
    /// that may be given back has to be written.
    pub async fn look(
        &mut self,
        store: &Store,
        meshes: BTreeSet<String>,
    ) -> Result<BTreeSet<String>, StoreError> {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(BTreeSet::new());
        }
        let unknown = meshes.difference(&self.held.known).cloned().collect();
        let held = store.share(&self.process, &unknown).await?;
        self.looked_at = Some(Instant::now());
        let gained: BTreeSet<String> = held.meshes.difference(&self.held.meshes).cloned().collect();
        let lost = self.held.meshes.difference(&held.meshes).count();
        if !gained.is_empty() || lost > 0 || held.leads != self.held.leads {
            tracing::info!(
                process = self.process,
                processes = held.processes,
                meshes = held.meshes.len(),
                gained = gained.len(),
                lost,
                leads = held.leads,
                "the meshes were shared out anew"
            );
        }
        self.held = held;
        Ok(gained)
    }

    /// Whether what was written a moment ago may still be published: a process that was stopped in between for longer than
    /// its leases live leaves that to the reminder of whoever has the mesh now.
    pub fn may_publish(&self, written: Instant) -> bool {
        written.elapsed() < LIFE
    }

    /// Everything was lost: the store says so.
    pub fn lose_everything(&mut self) {
        self.held = Held::default();
        self.looked_at = None;
    }

    /// Remembers what was heard of a mesh that is not this process's.
    pub fn remember(&mut self, mesh: &str, noted: Noted) {
        let now = noted.observation.at;
        while self
            .remembered
            .front()
            .is_some_and(|(at, ..)| self.remembered.len() >= MAX_REMEMBERED || now.since(*at) > MEMORY)
        {
            self.remembered.pop_front();
        }
        self.remembered.push_back((now, mesh.to_owned(), noted));
    }

    /// What was remembered of these meshes, oldest first.
    pub fn recall(&mut self, meshes: &BTreeSet<String>) -> Vec<(String, Noted)> {
        let (recalled, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.remembered).into_iter().partition(|(_, mesh, _)| meshes.contains(mesh));
        self.remembered = rest;
        recalled.into_iter().map(|(_, mesh, noted)| (mesh, noted)).collect()
    }

    /// What others wrote has been read up to this moment of the store's clock.
    pub fn have_read(&mut self, now: i64) {
        self.unread_since = now.saturating_sub(OVERLAP_MS);
    }
}
