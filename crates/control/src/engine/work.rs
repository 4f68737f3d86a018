//! The loop.

use super::handle::{EngineHandle, NewRollout, Order, OrderError, Reply, Request, Standing};
use super::publish::Message;
use super::registry::{Noted, Registry, db_id};
use super::run::{Run, planner_release};
use crate::clock::{Clock, to_db};
use crate::id;
use crate::metrics::Metrics;
use crate::mqtt::{self, Event, hear};
use crate::store::event::EventRow;
use crate::store::node::MeshRow;
use crate::store::rollout::{RolloutRow, TriggerRow};
use crate::store::{Changes, Store, StoreError};
use rootcast_rollout::plan::present;
use rootcast_rollout::{Action, Fleet, Moment, Phase, Rollout, Spec, State, assign, observe, plan};
use rootcast_wire::text::from_hex;
use rootcast_wire::{Mode, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// How often the planner is asked, and everything written down.
const ROUND: Duration = Duration::from_millis(500);
/// Requests that may wait.
const REQUESTS: usize = 256;
/// Events that a listener may fall behind by.
const EVENT_BACKLOG: usize = 4_096;
/// Messages heard between two looks at the clock.
const HEARD_AT_ONCE: usize = 1_024;
/// Messages that may wait for the broker; more are left to the planner, which says them again.
const PUBLISH_BACKLOG: usize = 4_096;

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
    parts: EngineParts,
    registry: Registry,
    meshes: BTreeMap<String, MeshRow>,
    runs: BTreeMap<String, Run>,
    /// The open rollouts in memory are not as the store has them: a round could not be written.
    is_stale: bool,
    listening_since: Option<Moment>,
    /// What happened since the last round.
    news: Vec<EventRow>,
    publish: mpsc::Sender<Message>,
    events: broadcast::Sender<EventRow>,
}

/// Channels between an engine and the connection to its broker.
pub struct Wires {
    /// To [`super::connect`].
    pub heard: mpsc::Sender<Event>,
    /// To [`super::connect`].
    pub to_publish: mpsc::Receiver<Message>,
}

impl Engine {
    /// Reads what the store knows and begins to work.
    pub async fn start(parts: EngineParts) -> Result<(EngineHandle, Wires, JoinHandle<()>), StoreError> {
        let registry = Registry::from_rows(parts.store.nodes().await?);
        let (requests, to_do) = mpsc::channel(REQUESTS);
        let (heard, hearing) = mpsc::channel(HEARD_AT_ONCE);
        let (publish, to_publish) = mpsc::channel(PUBLISH_BACKLOG);
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let listeners = events.downgrade();
        let mut engine = Engine {
            parts,
            registry,
            meshes: BTreeMap::new(),
            runs: BTreeMap::new(),
            is_stale: true,
            listening_since: None,
            news: Vec::new(),
            publish,
            events,
        };
        engine.load_meshes().await?;
        engine.load_runs().await?;
        let task = tokio::spawn(engine.work(to_do, hearing));
        Ok((EngineHandle { requests, events: listeners }, Wires { heard, to_publish }, task))
    }

    async fn load_meshes(&mut self) -> Result<(), StoreError> {
        self.meshes =
            self.parts.store.meshes().await?.into_iter().map(|mesh| (mesh.name.clone(), mesh)).collect();
        Ok(())
    }

    async fn load_runs(&mut self) -> Result<(), StoreError> {
        self.runs.clear();
        for row in self.parts.store.open_rollouts().await? {
            let run = self.load_run(row).await?;
            self.runs.insert(run.stored.id.clone(), run);
        }
        self.is_stale = false;
        Ok(())
    }

    async fn load_run(&self, row: RolloutRow) -> Result<Run, StoreError> {
        let store = &self.parts.store;
        let release = store.release(&row.release_id).await?;
        let images = store.images(&row.release_id).await?;
        let updates = store.updates(&row.id, -1, i64::MAX).await?;
        Run::from_rows(row, release.map(|release| release.version).unwrap_or_default(), images, updates)
    }

    async fn work(mut self, mut to_do: mpsc::Receiver<Request>, mut hearing: mpsc::Receiver<Event>) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Vec::with_capacity(HEARD_AT_ONCE);
        loop {
            tokio::select! {
                // A flood must not keep the planner from its rounds, nor operators from their pause.
                biased;
                _ = rounds.tick() => self.round().await,
                request = to_do.recv() => match request {
                    Some(Request::Stop(reply)) => {
                        self.round().await;
                        let _ = reply.send(());
                        return;
                    }
                    Some(request) => self.answer(request).await,
                    None => return,
                },
                _ = hearing.recv_many(&mut heard, HEARD_AT_ONCE) => {
                    for event in heard.drain(..) {
                        self.hear(event);
                    }
                }
            }
        }
    }

    // ----- hearing -------------------------------------------------------------------------------

    fn hear(&mut self, event: Event) {
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
        let Noted { node, mut observation, report, is_new } = noted;
        if is_new {
            self.tell("node", None, Some(node), format!("first heard of, in mesh {mesh:?}"));
        }
        if report.is_some() {
            Metrics::count(&self.parts.metrics.reports);
        }
        // What the broker kept from before says nothing about now.
        if retained {
            return;
        }
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

    // ----- planning ------------------------------------------------------------------------------

    async fn round(&mut self) {
        let began = Instant::now();
        if let Err(error) = self.try_round().await {
            tracing::error!(%error, "a round could not be written down; the open rollouts are read again");
            Metrics::count(&self.parts.metrics.failed_rounds);
            self.is_stale = true;
        }
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Metrics::count(&self.parts.metrics.rounds);
        self.parts.metrics.longest_round_us.fetch_max(took, Relaxed);
    }

    async fn try_round(&mut self) -> Result<(), StoreError> {
        if self.is_stale {
            self.load_runs().await?;
        }
        let mut changes = Changes::default();
        let mut messages = Vec::new();
        if !self.runs.is_empty() {
            let now = self.parts.clock.now();
            let busy = self.in_flight();
            let mut fleet = self.registry.fleet(&self.meshes, &BTreeMap::new(), self.listening_since, now);
            for id in self.runs.keys().cloned().collect::<Vec<_>>() {
                for (node, owner) in &busy {
                    if let Some(node) = fleet.nodes.get_mut(node) {
                        node.busy_with = Some(owner.clone()).filter(|owner| *owner != id);
                    }
                }
                self.plan(&id, &fleet, now, &mut changes, &mut messages);
            }
        }
        let (nodes, forgotten) = self.registry.take_changes();
        changes.nodes = nodes;
        changes.forgotten = forgotten;
        for run in self.runs.values_mut() {
            changes.updates.extend(run.dirty_rows());
        }
        changes.events.splice(0..0, std::mem::take(&mut self.news));
        if changes.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.parts.store.write(&mut changes).await {
            self.registry.put_back(&changes.nodes, changes.forgotten);
            return Err(error);
        }
        // Only now, with everything written, does anything leave the house.
        for message in messages {
            Metrics::count(&self.parts.metrics.published);
            if self.publish.try_send(message).is_err() {
                tracing::warn!("the broker takes nothing; a trigger is left to its reminder");
            }
        }
        for event in changes.events {
            // Nobody listening is no error.
            let _ = self.events.send(event);
        }
        self.runs.retain(|_, run| !run.rollout.has_ended());
        Ok(())
    }

    /// Nodes that are being updated, with the rollout that does it.
    fn in_flight(&self) -> BTreeMap<NodeId, String> {
        let of_run = |(id, run): (&String, &Run)| {
            let active = run
                .rollout
                .updates
                .iter()
                .filter(|(_, update)| update.state.is_in_flight() || update.state == State::Soaking);
            active.map(|(node, _)| (*node, id.clone())).collect::<Vec<_>>()
        };
        self.runs.iter().flat_map(of_run).collect()
    }

    fn plan(
        &mut self,
        id: &str,
        fleet: &Fleet,
        now: Moment,
        changes: &mut Changes,
        messages: &mut Vec<Message>,
    ) {
        let Some(run) = self.runs.get_mut(id) else { return };
        let plan = plan(&run.rollout, fleet, now);
        let holds = serde_json::to_string(&plan.holds).unwrap_or_default();
        let mut is_changed = !plan.actions.is_empty() || holds != run.stored.holds;
        run.stored.holds = holds;
        let event = |kind: &str, node: Option<NodeId>, mesh: Option<&str>, text: String| EventRow {
            seq: 0,
            at: to_db(now),
            kind: kind.to_owned(),
            rollout_id: Some(id.to_owned()),
            node: node.map(db_id),
            mesh: mesh.map(str::to_owned),
            text,
        };
        for action in &plan.actions {
            let before = match action {
                Action::Move { node, .. } => run.rollout.updates.get(node).map(|update| update.state),
                _ => None,
            };
            run.rollout.apply(action, fleet, now);
            match action {
                Action::Begin { reason, .. } => {
                    run.stored.reason.clone_from(reason);
                    changes.events.push(event("rollout", None, None, reason.clone()));
                }
                Action::EnterWave { wave, reason } => {
                    let text = format!("{reason}; wave {} begins", wave + 1);
                    run.stored.reason.clone_from(&text);
                    changes.events.push(event("wave", None, None, text));
                }
                Action::End { phase, reason } => {
                    run.stored.reason.clone_from(reason);
                    changes.events.push(event("rollout", None, None, format!("{}: {reason}", phase.name())));
                }
                Action::Move { node, change } => {
                    run.dirty.insert(*node);
                    let from = before.map_or("", State::name);
                    let text = format!("{from} → {}: {}", change.to.name(), change.reason);
                    changes.events.push(event("update", Some(*node), None, text));
                }
                Action::Swap { above, below, reason } => {
                    run.dirty.extend([*above, *below]);
                    changes.events.push(event("wave", Some(*above), None, reason.clone()));
                }
                Action::Trigger { mesh, variant, attempt, nodes, reason } => {
                    run.dirty.extend(nodes);
                    for node in nodes {
                        run.progress.remove(node);
                    }
                    let made = trigger_message(run, mesh, *variant, *attempt, nodes, &self.parts.files_url);
                    log(run, "trigger", mesh, *attempt, nodes, reason, made, now, changes, messages);
                    let text = format!("{} nodes triggered: {reason}", nodes.len());
                    changes.events.push(event("trigger", None, Some(mesh), text));
                }
                Action::Drop { mesh, attempt, nodes } => {
                    run.dirty.extend(nodes);
                    let made = mqtt::abort(mesh, &run.token(*attempt)).map_err(|error| error.to_string());
                    let reason = "told to drop the update";
                    log(run, "abort", mesh, *attempt, nodes, reason, made, now, changes, messages);
                    changes.events.push(event(
                        "trigger",
                        None,
                        Some(mesh),
                        format!("{} nodes {reason}", nodes.len()),
                    ));
                }
            }
        }
        // What reports ended since the last round may be the last thing that was waited for.
        is_changed |= run.rollout.has_ended() && run.stored.ended_at.is_none();
        if is_changed {
            changes.rollouts.push(run.row(now));
        }
    }

    // ----- orders --------------------------------------------------------------------------------

    async fn answer(&mut self, request: Request) {
        // Whoever asked may have gone away.
        match request {
            Request::Fleet(reply) => {
                let _ = reply.send(self.fleet());
            }
            Request::Standing(reply) => {
                let _ = reply.send(self.standing());
            }
            Request::DryRun(release, spec, reply) => {
                let _ = reply.send(
                    self.dry_run(&release, &spec).await.map(|(assignment, fleet, _)| (assignment, fleet)),
                );
            }
            Request::Create(new, reply) => {
                let _ = reply.send(self.create(*new).await);
            }
            Request::Order { rollout, order, revision, by, reply } => {
                let _ = reply.send(self.order(&rollout, order, revision, &by).await);
            }
            Request::Mark { node, name, tags, reply } => {
                let is_known = self.registry.mark(node, name, tags.as_ref());
                self.written(is_known, node, reply).await;
            }
            Request::Forget(node, reply) => {
                let is_known = self.registry.forget(node);
                self.written(is_known, node, reply).await;
            }
            Request::Mesh(mesh, reply) => {
                let written = self.parts.store.put_mesh(&mesh).await;
                if written.is_ok() {
                    self.meshes.insert(mesh.name.clone(), mesh);
                }
                let _ = reply.send(written.map_err(OrderError::from));
            }
            // Taken care of by the loop.
            Request::Stop(_) => {}
        }
    }

    async fn written(&mut self, is_known: bool, node: NodeId, reply: Reply<Result<(), OrderError>>) {
        let result = match is_known {
            false => Err(OrderError::NotFound(format!("node {node}"))),
            true => self.try_round().await.map_err(OrderError::from),
        };
        let _ = reply.send(result);
    }

    fn fleet(&self) -> Fleet {
        self.registry.fleet(&self.meshes, &self.in_flight(), self.listening_since, self.parts.clock.now())
    }

    fn standing(&self) -> Standing {
        let fleet = self.fleet();
        Standing {
            is_connected: self.listening_since.is_some(),
            nodes: fleet.nodes.len(),
            online: fleet.nodes.values().filter(|node| node.online).count(),
            open_rollouts: self.runs.len(),
            in_flight: self
                .runs
                .values()
                .flat_map(|run| run.rollout.updates.values())
                .filter(|update| update.state.is_in_flight())
                .count(),
        }
    }

    async fn dry_run(
        &self,
        release: &str,
        spec: &Spec,
    ) -> Result<(rootcast_rollout::Assignment, Fleet, String), OrderError> {
        let store = &self.parts.store;
        let row = store
            .release(release)
            .await?
            .ok_or_else(|| OrderError::NotFound(format!("release {release}")))?;
        let images = store.images(release).await?;
        let fleet = self.fleet();
        Ok((assign(spec, &planner_release(&row.version, &images), &fleet), fleet, row.version))
    }

    async fn create(&mut self, new: NewRollout) -> Result<String, OrderError> {
        let (assignment, _, version) = self.dry_run(&new.release, &new.spec).await?;
        let images = self.parts.store.images(&new.release).await?;
        let now = self.parts.clock.now();
        let id = id::fresh('r', now).map_err(|error| OrderError::Conflict(error.to_string()))?;
        let reason = match assignment.assigned.len() {
            0 => "no node gets this release".to_owned(),
            count => format!("{count} nodes are to get {version}"),
        };
        let stored = RolloutRow {
            id: id.clone(),
            name: new.name,
            release_id: new.release,
            spec: String::new(),
            phase: String::new(),
            wave: 0,
            baseline: "{}".to_owned(),
            holds: "{}".to_owned(),
            reason,
            created_at: to_db(now),
            created_by: new.by.clone(),
            began_at: to_db(now),
            ended_at: None,
            revision: 0,
        };
        let rollout = Rollout {
            spec: new.spec,
            phase: Phase::Scheduled,
            began_at: now,
            wave: 0,
            baseline: BTreeMap::new(),
            updates: assignment.updates(now),
        };
        let dirty: BTreeSet<NodeId> = rollout.updates.keys().copied().collect();
        let run = Run { stored, rollout, version, images, progress: BTreeMap::new(), dirty };
        let text = format!("asked for by {}: {}", new.by, run.stored.reason);
        let event = self.event(&id, text, now);
        self.keep(&id, run, event, now).await?;
        Ok(id)
    }

    fn event(&self, rollout: &str, text: String, now: Moment) -> EventRow {
        let (kind, rollout_id) = ("rollout".to_owned(), Some(rollout.to_owned()));
        EventRow { at: to_db(now), kind, rollout_id, text, ..EventRow::default() }
    }

    fn publish_events(&self, events: Vec<EventRow>) {
        for event in events {
            // Nobody listening is no error.
            let _ = self.events.send(event);
        }
    }

    async fn order(
        &mut self,
        id: &str,
        order: Order,
        revision: Option<i64>,
        by: &str,
    ) -> Result<(), OrderError> {
        let mut run = match self.runs.get(id) {
            Some(run) => run.clone(),
            None => {
                let row = self.parts.store.rollout(id).await?;
                self.load_run(row.ok_or_else(|| OrderError::NotFound(format!("rollout {id}")))?).await?
            }
        };
        if revision.is_some_and(|revision| revision != run.stored.revision) {
            return Err(OrderError::Changed(run.stored.revision));
        }
        let now = self.parts.clock.now();
        let phase = run.rollout.phase;
        let refuse = |wish: &str| {
            Err(OrderError::Conflict(format!("a rollout that is {} cannot be {wish}", phase.name())))
        };
        let text = match order {
            Order::Pause if matches!(phase, Phase::Scheduled | Phase::Running) => {
                run.rollout.phase = Phase::Paused;
                format!("paused by {by}")
            }
            Order::Pause => return refuse("paused"),
            Order::Resume if phase == Phase::Paused => {
                let has_begun = !run.rollout.baseline.is_empty();
                run.rollout.phase = if has_begun { Phase::Running } else { Phase::Scheduled };
                format!("resumed by {by}")
            }
            Order::Resume => return refuse("resumed"),
            Order::Abort if !phase.is_over() => {
                run.rollout.phase = Phase::Aborted;
                format!("aborted by {by}")
            }
            Order::Abort => return refuse("aborted"),
            Order::Retry { force } => {
                if !run.rollout.has_ended() {
                    return refuse("retried before everything in it has ended");
                }
                let nodes = rootcast_rollout::retry::retry(&mut run.rollout, now);
                if nodes.is_empty() {
                    return Err(OrderError::Conflict("there is nothing to retry: no node failed".to_owned()));
                }
                run.rollout.baseline = present(&self.fleet());
                run.rollout.spec.force |= force;
                let text = format!("retried by {by}: {} nodes", nodes.len());
                run.dirty.extend(nodes);
                text
            }
        };
        run.stored.reason.clone_from(&text);
        let event = self.event(id, text, now);
        Ok(self.keep(id, run, event, now).await?)
    }

    /// Writes a rollout down with what happened to it, and only then goes on with it.
    async fn keep(&mut self, id: &str, mut run: Run, event: EventRow, now: Moment) -> Result<(), StoreError> {
        let mut changes = Changes {
            rollouts: vec![run.row(now)],
            updates: run.dirty_rows(),
            events: vec![event],
            ..Changes::default()
        };
        self.parts.store.write(&mut changes).await?;
        self.publish_events(changes.events);
        self.runs.insert(id.to_owned(), run);
        Ok(())
    }
}

/// The topic and message of a trigger, or why there is none.
fn trigger_message(
    run: &Run,
    mesh: &str,
    variant: usize,
    attempt: u32,
    nodes: &[NodeId],
    files_url: &str,
) -> Result<(String, String), String> {
    let image = run.images.get(variant).ok_or("the release has no such image")?;
    let order = mqtt::Order {
        url: &format!("{files_url}{}", image.file),
        sha256: from_hex(&image.sha256).ok_or("the image's SHA-256 cannot be read")?,
        size: u32::try_from(image.size).map_err(|_| "the image is too large")?,
        version: &run.version,
        nodes,
        token: &run.token(attempt),
        mode: run.rollout.spec.mode.as_deref().and_then(Mode::from_name),
        max_parallel: run.rollout.spec.limits.max_parallel,
        force: run.rollout.spec.force,
    };
    mqtt::trigger(mesh, &order).map_err(|error| error.to_string())
}

/// Writes a message into the log of triggers, and lines it up for the broker.
#[expect(clippy::too_many_arguments, reason = "a row's columns")]
fn log(
    run: &Run,
    kind: &str,
    mesh: &str,
    attempt: u32,
    nodes: &[NodeId],
    reason: &str,
    made: Result<(String, String), String>,
    now: Moment,
    changes: &mut Changes,
    messages: &mut Vec<Message>,
) {
    let (topic, message) = match made {
        Ok((topic, payload)) => {
            messages.push(Message { topic: topic.clone(), payload: payload.clone() });
            (topic, payload)
        }
        Err(error) => (String::new(), format!("not sent: {error}")),
    };
    let ids: Vec<i64> = nodes.iter().map(|id| db_id(*id)).collect();
    changes.triggers.push(TriggerRow {
        seq: 0,
        at: to_db(now),
        rollout_id: run.stored.id.clone(),
        attempt: attempt.into(),
        mesh: mesh.to_owned(),
        kind: kind.to_owned(),
        nodes: serde_json::to_string(&ids).unwrap_or_default(),
        topic,
        message,
        reason: reason.to_owned(),
    });
}
