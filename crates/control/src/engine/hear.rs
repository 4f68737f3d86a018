//! What is heard, and what it means for the rollouts.

use super::listening::Deafness;
use super::registry::{Noted, db_id};
use super::work::{Engine, HEARD_AT_ONCE, MAX_WAITING};
use crate::clock::to_db;
use crate::metrics::Metrics;
use crate::mqtt::{Event, Received, hear};
use crate::store::event::EventRow;
use rootcast_rollout::observe;
use rootcast_wire::NodeId;
use std::sync::atomic::Ordering::Relaxed;
use tokio::task::yield_now;

impl Engine {
    /// Hears what has come until now, so that nobody is taken for silent whose words lie here unheard. What comes
    /// meanwhile is left for later: a flood must not keep the planner from its rounds.
    pub(super) async fn hear_waiting(&mut self) {
        for heard in 0..self.hearing.len() {
            let Ok(received) = self.hearing.try_recv() else { break };
            self.hear(received);
            if heard % HEARD_AT_ONCE == HEARD_AT_ONCE - 1 {
                yield_now().await;
            }
        }
        let dropped = self.dropped.load(Relaxed);
        self.parts.metrics.dropped.store(dropped, Relaxed);
        match self.listening.look(dropped, self.parts.clock.now()) {
            None => {}
            Some(Deafness::Dropped(messages)) => tracing::warn!(
                messages,
                "messages came faster than they could be taken in and were dropped; nobody is called silent until everything was heard for a while"
            ),
            Some(Deafness::StoodStill(time)) => tracing::warn!(
                seconds = time.as_secs(),
                "the control plane stood still: it was stopped, or has too little of the processor or a slow database; nobody is called silent until everything was heard for a while"
            ),
        }
    }

    /// Hears an event as of when it came.
    pub(super) fn hear(&mut self, received: Received) {
        let now = self.parts.clock.at(received.at);
        match received.event {
            Event::Lost => {
                self.listening.end();
                self.tell("broker", None, None, "the connection to the broker is gone".to_owned());
            }
            Event::Back => {
                self.listening.begin(now);
                self.tell("broker", None, None, "connected to the broker".to_owned());
            }
            Event::Oversized { topic } => {
                Metrics::count(&self.parts.metrics.rejected);
                tracing::debug!(topic, "a message was turned down: it is longer than any of a node");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, from_db};
    use crate::engine::{EngineParts, Wires};
    use crate::store::{Place, Store};
    use std::sync::Arc;
    use std::time::Duration;

    async fn engine() -> (tempfile::TempDir, Engine, Wires) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Place::File(folder.path().join("test.db"))).await.unwrap();
        let (clock, metrics) = (Clock::start(), Arc::new(Metrics::default()));
        let parts = EngineParts { store, clock, metrics, files_url: String::new() };
        let (engine, wires, _, _) = Engine::new(parts).await.unwrap();
        (folder, engine, wires)
    }

    #[tokio::test]
    async fn what_waited_is_heard_before_a_round_decides_and_counts_as_of_when_it_came() {
        let (_folder, mut engine, wires) = engine().await;
        let say = async |event| wires.heard.events.send(Received::now(event)).await.unwrap();
        say(Event::Back).await;
        for id in 1..=2_000 {
            let topic = format!("house-{}/switch/state/root", id % 100);
            let payload = format!(r#"{{"deviceId":{id},"type":"switch","rootcast":1}}"#).into_bytes();
            say(Event::Message { topic, payload, retained: false }).await;
        }
        let came = engine.parts.clock.now();
        tokio::time::sleep(Duration::from_millis(50)).await;
        engine.try_round().await.unwrap();
        assert_eq!(engine.registry.nodes().count(), 2_000, "every one that waited");
        assert!(engine.registry.nodes().all(|(_, row)| from_db(row.last_seen) <= came));
        assert!(engine.listening.since().is_some_and(|since| since <= came));
    }

    #[tokio::test]
    async fn a_control_plane_that_dropped_messages_listens_from_then_on_only() {
        let (_folder, mut engine, wires) = engine().await;
        wires.heard.events.send(Received::now(Event::Back)).await.unwrap();
        engine.try_round().await.unwrap();
        let before = engine.listening.since().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        wires.heard.dropped.fetch_add(1, Relaxed);
        engine.try_round().await.unwrap();
        let since = engine.listening.since().unwrap();
        assert!(since > before, "silence from before is not the nodes'");
        assert_eq!(engine.parts.metrics.dropped.load(Relaxed), 1);
        engine.try_round().await.unwrap();
        assert_eq!(engine.listening.since(), Some(since), "once");
    }
}
