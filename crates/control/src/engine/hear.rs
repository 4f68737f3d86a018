//! What is heard, and what it means for the rollouts.

use super::registry::{Noted, db_id};
use super::work::{Engine, MAX_WAITING};
use crate::clock::to_db;
use crate::metrics::Metrics;
use crate::mqtt::{Event, hear};
use crate::store::event::EventRow;
use rootcast_rollout::observe;
use rootcast_wire::NodeId;
use std::sync::atomic::Ordering::Relaxed;

impl Engine {
    pub(super) fn hear(&mut self, event: Event) {
        let now = self.parts.clock.now();
        match event {
            Event::Lost => {
                self.listening_since = None;
                self.tell("broker", None, None, "the connection to the broker is gone".to_owned());
            }
            Event::Back => {
                self.listening_since = Some(now);
                self.tell("broker", None, None, "connected to the broker".to_owned());
            }
            Event::Message { topic, payload, retained } => match hear(&topic, &payload) {
                Err(error) => {
                    Metrics::count(&self.parts.metrics.rejected);
                    tracing::debug!(topic, %error, "a message was turned down");
                }
                Ok((mesh, heard)) => {
                    Metrics::count(&self.parts.metrics.messages);
                    if let Some(noted) = self.registry.hear(&mesh, &heard, retained, now) {
                        self.note(&mesh, noted, retained);
                    } else {
                        self.parts.metrics.refused_nodes.store(self.registry.refused, Relaxed);
                    }
                }
            },
        }
    }

    /// What something heard means for the rollouts.
    fn note(&mut self, mesh: &str, noted: Noted, retained: bool) {
        let is_ours = self.is_ours(mesh);
        if noted.is_new && is_ours {
            self.tell("node", None, Some(noted.node), format!("first heard of, in mesh {mesh:?}"));
        }
        if noted.report.is_some() {
            Metrics::count(&self.parts.metrics.reports);
        }
        // What the broker kept from before says nothing about now.
        if retained {
            return;
        }
        match &mut self.share {
            Some(share) if !is_ours => share.remember(mesh, noted),
            // The database is gone for a moment. Nodes that still have something to say then say it again.
            _ if self.is_stale && self.waiting.len() < MAX_WAITING => self.waiting.push(noted),
            _ => self.apply(noted),
        }
    }

    /// Whether this process decides about a mesh.
    pub(super) fn is_ours(&self, mesh: &str) -> bool {
        self.share.as_ref().is_none_or(|share| share.holds(mesh))
    }

    /// Applies what was heard to the rollouts.
    pub(super) fn apply(&mut self, noted: Noted) {
        let Noted { node, mut observation, report, .. } = noted;
        let now = observation.at;
        let mut moves = Vec::new();
        for (id, run) in &mut self.runs {
            let Some(update) = run.rollout.updates.get_mut(&node) else { continue };
            let token = format!("{id}.{}", update.attempt);
            observation.is_ours = report.as_ref().is_some_and(|(rollout, _)| *rollout == token);
            if observation.is_ours && !update.state.is_end() {
                let progress = report.as_ref().map_or(0, |(_, progress)| *progress);
                if !update.answered || run.progress.insert(node, progress) != Some(progress) {
                    update.answered = true;
                    run.dirty.insert(node);
                }
            }
            if let Some(change) = observe(update, &observation) {
                let from = update.state;
                update.apply(&change, now);
                run.dirty.insert(node);
                let reason =
                    if change.reason.is_empty() { String::new() } else { format!(": {}", change.reason) };
                moves.push((id.clone(), format!("{} → {}{reason}", from.name(), change.to.name())));
            }
        }
        for (rollout, text) in moves {
            self.tell("update", Some(&rollout), Some(node), text);
        }
    }

    fn tell(&mut self, kind: &str, rollout: Option<&str>, node: Option<NodeId>, text: String) {
        if self.news.len() >= MAX_WAITING {
            return;
        }
        self.news.push(EventRow {
            seq: 0,
            at: to_db(self.parts.clock.now()),
            kind: kind.to_owned(),
            rollout_id: rollout.map(str::to_owned),
            node: node.map(db_id),
            mesh: None,
            text,
        });
    }
}
