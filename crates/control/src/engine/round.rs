//! A round: what was heard is written down, others' writings are read, the planner is asked, and what it decided is written
//! down before it is published.

use super::registry::node_id;
use super::work::{Engine, Failing};
use crate::clock::{from_db, to_db};
use crate::metrics::Metrics;
use crate::store::{Changes, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often names and tags are read anew where other processes may change them.
const MARKS: Duration = Duration::from_secs(5);
/// How often it is said again that nothing can be written.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// A node that the store does not have and that was silent for so long was forgotten elsewhere; in milliseconds.
const FORGOTTEN_MS: i64 = 60_000;

impl Engine {
    pub(super) async fn round(&mut self) {
        let began = Instant::now();
        match self.try_round().await {
            Ok(()) => {
                if let Some(failing) = self.failing.take() {
                    let seconds = failing.since.elapsed().as_secs();
                    tracing::info!(seconds, "rounds can be written down again; everything goes on");
                }
            }
            // An operator's order came in between, or another process has the meshes now: as it should be.
            Err(error @ (StoreError::Changed(_) | StoreError::Fenced)) => {
                tracing::info!(%error, "the open rollouts are read again");
            }
            Err(error) => {
                Metrics::count(&self.parts.metrics.failed_rounds);
                let now = Instant::now();
                let failing = self.failing.get_or_insert(Failing { since: now, said: now });
                // Twice a second would fill what room is left for a log.
                if failing.since == now || failing.said.elapsed() > SAY_AGAIN {
                    failing.said = now;
                    tracing::error!(
                        %error,
                        "a round could not be written down: nothing is triggered until one can; trying again and again"
                    );
                }
            }
        }
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Metrics::count(&self.parts.metrics.rounds);
        self.parts.metrics.longest_round_us.fetch_max(took, Relaxed);
    }

    pub(super) async fn try_round(&mut self) -> Result<(), StoreError> {
        let result = self.write_round().await;
        if let (Some(share), Err(StoreError::Fenced)) = (&mut self.share, &result) {
            share.lose_everything();
            self.is_stale = true;
            self.look_at_leases().await?;
        }
        result
    }

    async fn write_round(&mut self) -> Result<(), StoreError> {
        self.hear_waiting().await;
        if self.is_stale {
            self.load_runs().await?;
        }
        self.write_heard().await?;
        self.read_others().await?;
        // Again: reading and writing may have taken a while.
        self.hear_waiting().await;
        let decided = self.decide().await;
        // What was decided is in memory and not in the store.
        self.is_stale |= decided.is_err();
        decided?;
        self.look_at_leases().await
    }

    /// Writes down what was heard. If that fails, nothing is lost: it is tried again.
    async fn write_heard(&mut self) -> Result<(), StoreError> {
        let mut changes = self.changes();
        let share = self.share.as_ref();
        (changes.nodes, changes.forgotten) =
            self.registry.take_changes(|mesh| share.is_none_or(|share| share.holds(mesh)));
        for run in self.runs.values_mut() {
            changes.updates.extend(run.dirty_rows());
        }
        changes.events = std::mem::take(&mut self.news);
        if changes.is_empty() {
            return Ok(());
        }
        let written = self.parts.store.write(&mut changes).await;
        if written.is_ok() {
            self.publish_events(changes.events);
            return Ok(());
        }
        // The store knows a later attempt of an update.
        self.is_stale |= matches!(written, Err(StoreError::Changed(_)));
        self.registry.put_back(&changes.nodes, changes.forgotten);
        for row in changes.updates {
            if let Some(run) = self.runs.get_mut(&row.rollout_id) {
                run.dirty.insert(node_id(row.node));
            }
        }
        self.news = changes.events;
        written
    }

    /// Reads what other processes wrote.
    pub(super) async fn read_others(&mut self) -> Result<(), StoreError> {
        let Some(share) = &mut self.share else { return Ok(()) };
        let written =
            self.parts.store.written_since(share.unread_since, share.last_event, share.is_alone()).await?;
        share.have_read(written.now);
        for event in written.events {
            share.last_event = event.seq;
            // Nobody listening is no error.
            let _ = self.events.send(event);
        }
        if share.is_alone() {
            return Ok(());
        }
        let open: BTreeSet<&str> = written.rollouts.iter().map(|row| row.id.as_str()).collect();
        self.runs.retain(|id, _| open.contains(id.as_str()));
        let mut known = BTreeSet::new();
        for row in written.rollouts {
            match self.runs.get_mut(&row.id) {
                Some(run) if run.stored.revision != row.revision => run.take_row(row)?,
                Some(_) => {}
                None => {
                    let run = self.load_run(row).await?;
                    known.insert(run.stored.id.clone());
                    self.runs.insert(run.stored.id.clone(), run);
                }
            }
        }
        for row in written.updates.into_iter().filter(|row| !known.contains(&row.rollout_id)) {
            let mesh = self.registry.node(node_id(row.node)).map(|node| node.mesh.as_str());
            let is_ours = mesh.is_some_and(|mesh| self.is_ours(mesh));
            if let Some(run) = self.runs.get_mut(&row.rollout_id) {
                run.take_update(row, is_ours)?;
            }
        }
        if self.marks_read_at.elapsed() > MARKS {
            let marks = self.parts.store.marks().await?;
            self.registry
                .take_marks(marks, from_db(to_db(self.parts.clock.now()).saturating_sub(FORGOTTEN_MS)));
            self.load_meshes().await?;
            self.marks_read_at = Instant::now();
        }
        Ok(())
    }

    /// Takes and gives back meshes. Everything is written when this is called.
    pub(super) async fn look_at_leases(&mut self) -> Result<(), StoreError> {
        let Some(share) = &mut self.share else { return Ok(()) };
        let gained = share.look(&self.parts.store, self.registry.meshes()).await?;
        if gained.is_empty() {
            return Ok(());
        }
        // What the former holder wrote last, and what was heard since.
        let remembered = share.recall(&gained);
        self.load_runs().await?;
        for (_, noted) in remembered {
            self.apply(noted);
        }
        Ok(())
    }

    /// The process ends: others need not wait until it is missed.
    pub(super) async fn leave(&mut self) {
        if let Some(share) = &self.share
            && let Err(error) = self.parts.store.leave(&share.process).await
        {
            tracing::warn!(%error, "its meshes could not be given back; others take them when it is missed");
        }
    }

    async fn decide(&mut self) -> Result<(), StoreError> {
        let mut changes = self.changes();
        let mut messages = Vec::new();
        if !self.runs.is_empty() {
            let now = self.parts.clock.now();
            let busy = self.in_flight();
            let mut fleet = self.registry.fleet(&self.meshes, &BTreeMap::new(), self.listening.since(), now);
            if let Some(share) = &self.share {
                fleet.follows = !share.held.leads;
                fleet.elsewhere =
                    self.registry.meshes().into_iter().filter(|mesh| !share.holds(mesh)).collect();
            }
            for id in self.runs.keys().cloned().collect::<Vec<_>>() {
                for (node, owner) in &busy {
                    if let Some(node) = fleet.nodes.get_mut(node) {
                        node.busy_with = Some(owner.clone()).filter(|owner| *owner != id);
                    }
                }
                self.plan(&id, &fleet, now, &mut changes, &mut messages);
            }
        }
        for run in self.runs.values_mut() {
            changes.updates.extend(run.dirty_rows());
        }
        if changes.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        self.parts.store.write(&mut changes).await?;
        if self.share.as_ref().is_some_and(|share| !share.may_publish(began)) {
            tracing::warn!("it took too long to write; triggers are left to their reminders");
            messages.clear();
        }
        // Only now, with everything written, does anything leave the house.
        for message in messages {
            Metrics::count(&self.parts.metrics.published);
            if self.publish.try_send(message).is_err() {
                tracing::warn!("the broker takes nothing; a trigger is left to its reminder");
            }
        }
        self.publish_events(changes.events);
        // Where another process leads, that one says when a rollout has ended.
        self.runs.retain(|_, run| run.stored.ended_at.is_none());
        Ok(())
    }

    /// Nothing yet, in the name of this process.
    pub(super) fn changes(&self) -> Changes {
        let process = self.share.as_ref().map(|share| share.process.clone());
        Changes { process, ..Changes::default() }
    }
}
