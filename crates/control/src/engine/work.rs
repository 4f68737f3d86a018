//! The loop.

use super::handle::{EngineHandle, Request};
use super::listening::Listening;
use super::publish::Message;
use super::registry::{Noted, Registry};
use super::run::Run;
use super::share::Share;
use crate::clock::Clock;
use crate::id;
use crate::metrics::Metrics;
use crate::mqtt::{BACKLOG, Received, Sink};
use crate::store::event::EventRow;
use crate::store::node::MeshRow;
use crate::store::rollout::RolloutRow;
use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// The time between two rounds, in which the planner is asked and everything written down. It begins with the end of a
/// round: however long that took, there is time to hear nodes and operators before the next one.
const ROUND: Duration = Duration::from_millis(500);
/// Requests that may wait.
const REQUESTS: usize = 256;
/// Events that a listener may fall behind by.
const EVENT_BACKLOG: usize = 4_096;
/// Messages heard between two looks at the clock.
pub(super) const HEARD_AT_ONCE: usize = 1_024;
/// Messages that may wait for the broker; more are left to the planner, which says them again.
const PUBLISH_BACKLOG: usize = 4_096;

/// What is remembered of what was heard while the database is gone; and events that wait for it.
pub(super) const MAX_WAITING: usize = 100_000;

/// What an engine is made of.
pub struct EngineParts {
    /// Where everything is kept.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// Where nodes find files: `https://host:8443/`, with the slash at its end.
    pub files_url: String,
}

/// The engine.
pub struct Engine {
    pub(super) parts: EngineParts,
    pub(super) registry: Registry,
    pub(super) meshes: BTreeMap<String, MeshRow>,
    pub(super) runs: BTreeMap<String, Run>,
    /// The open rollouts in memory are not as the store has them: a round could not be written.
    pub(super) is_stale: bool,
    /// Rounds cannot be written down.
    pub(super) failing: Option<Failing>,
    /// Where several processes work with the database.
    pub(super) share: Option<Share>,
    /// When names and tags were last read anew, which other processes may have changed.
    pub(super) marks_read_at: Instant,
    /// What came and is not heard yet.
    pub(super) hearing: mpsc::Receiver<Received>,
    /// Messages that found no room there.
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) listening: Listening,
    /// What was heard while the open rollouts are not as the store has them, for when they are again.
    pub(super) waiting: Vec<Noted>,
    /// What happened since the last round.
    pub(super) news: Vec<EventRow>,
    pub(super) publish: mpsc::Sender<Message>,
    pub(super) events: broadcast::Sender<EventRow>,
}

/// Since when rounds cannot be written down, and when that was last said.
pub(super) struct Failing {
    pub since: Instant,
    pub said: Instant,
}

/// Channels between an engine and the connection to its broker.
pub struct Wires {
    /// To [`super::connect`].
    pub heard: Sink,
    /// To [`super::connect`].
    pub to_publish: mpsc::Receiver<Message>,
}

impl Engine {
    /// Reads what the store knows and begins to work.
    pub async fn start(parts: EngineParts) -> Result<(EngineHandle, Wires, JoinHandle<()>), StoreError> {
        let (engine, wires, handle, to_do) = Self::new(parts).await?;
        Ok((handle, wires, tokio::spawn(engine.work(to_do))))
    }

    /// Reads what the store knows.
    pub(super) async fn new(
        parts: EngineParts,
    ) -> Result<(Self, Wires, EngineHandle, mpsc::Receiver<Request>), StoreError> {
        let registry = Registry::from_rows(parts.store.nodes().await?);
        let (requests, to_do) = mpsc::channel(REQUESTS);
        let (heard, hearing) = mpsc::channel(BACKLOG);
        let heard = Sink { events: heard, dropped: Arc::default() };
        let (publish, to_publish) = mpsc::channel(PUBLISH_BACKLOG);
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let listeners = events.downgrade();
        let share = match parts.store.is_shared() {
            false => None,
            true => {
                let process = id::fresh('p', parts.clock.now()).map_err(|_| StoreError::Fenced)?;
                Some(Share::new(process, parts.store.last_event().await?))
            }
        };
        let is_shared = share.is_some();
        let mut engine = Engine {
            listening: Listening::new(parts.clock.now()),
            hearing,
            dropped: heard.dropped.clone(),
            parts,
            registry,
            meshes: BTreeMap::new(),
            runs: BTreeMap::new(),
            is_stale: true,
            failing: None,
            share,
            marks_read_at: Instant::now(),
            waiting: Vec::new(),
            news: Vec::new(),
            publish,
            events,
        };
        engine.load_meshes().await?;
        engine.load_runs().await?;
        engine.look_at_leases().await?;
        let handle = EngineHandle { requests, events: listeners, is_shared };
        Ok((engine, Wires { heard, to_publish }, handle, to_do))
    }

    pub(super) async fn load_meshes(&mut self) -> Result<(), StoreError> {
        self.meshes =
            self.parts.store.meshes().await?.into_iter().map(|mesh| (mesh.name.clone(), mesh)).collect();
        Ok(())
    }

    pub(super) async fn load_runs(&mut self) -> Result<(), StoreError> {
        self.runs.clear();
        for row in self.parts.store.open_rollouts().await? {
            let run = self.load_run(row).await?;
            self.runs.insert(run.stored.id.clone(), run);
        }
        self.is_stale = false;
        for noted in std::mem::take(&mut self.waiting) {
            self.apply(noted);
        }
        Ok(())
    }

    pub(super) async fn load_run(&self, row: RolloutRow) -> Result<Run, StoreError> {
        let store = &self.parts.store;
        let release = store.release(&row.release_id).await?;
        let images = store.images(&row.release_id).await?;
        let updates = store.updates(&row.id, -1, i64::MAX).await?;
        Run::from_rows(row, release, images, updates)
    }

    async fn work(mut self, mut to_do: mpsc::Receiver<Request>) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard: Vec<Received> = Vec::with_capacity(HEARD_AT_ONCE);
        loop {
            // Which of them comes first is left to chance: a flood keeps the planner from its rounds as little as
            // operators from their pause, and rounds that take long keep neither from being heard.
            tokio::select! {
                _ = rounds.tick() => {
                    self.round().await;
                    rounds.reset();
                }
                request = to_do.recv() => match request {
                    Some(Request::Stop(reply)) => {
                        self.round().await;
                        self.leave().await;
                        let _ = reply.send(());
                        return;
                    }
                    Some(request) => self.answer(request).await,
                    None => return,
                },
                _ = self.hearing.recv_many(&mut heard, HEARD_AT_ONCE) => {
                    for received in heard.drain(..) {
                        self.hear(received);
                    }
                }
            }
        }
    }
}
