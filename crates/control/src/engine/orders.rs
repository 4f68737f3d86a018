//! What others ask of the engine.

use super::handle::{NewRollout, Order, OrderError, Reply, Request, Standing, Tried};
use super::registry::db_id;
use super::run::{Run, image_bytes, planner_release};
use super::work::Engine;
use crate::clock::to_db;
use crate::id;
use crate::store::event::EventRow;
use crate::store::node::NodeRow;
use crate::store::release::ReleaseRow;
use crate::store::rollout::RolloutRow;
use crate::store::{Changes, StoreError};
use rootcast_rollout::plan::present;
use rootcast_rollout::{Assigned, Fleet, Moment, Phase, Rollout, Spec, assign, bandwidth};
use rootcast_wire::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// How often an order is tried again when another process changes its rollout at the same time.
const TRIES: usize = 5;

impl Engine {
    pub(super) async fn answer(&mut self, request: Request) {
        // Whoever asked may have gone away.
        match request {
            Request::Fleet(reply) => {
                let _ = reply.send(self.fleet());
            }
            Request::Standing(reply) => {
                let _ = reply.send(self.standing());
            }
            Request::DryRun(release, spec, reply) => {
                let _ = reply.send(self.dry_run(&release, &spec).await);
            }
            Request::Create(new, reply) => {
                let _ = reply.send(self.create(*new).await);
            }
            Request::Order { rollout, order, revision, by, reply } => {
                let _ = reply.send(self.order(&rollout, order, revision, &by).await);
            }
            Request::Mark { node, name, tags, reply } => {
                let row = self.registry.mark(node, name, tags.as_ref());
                let _ = reply.send(self.mark(node, row).await);
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

    async fn mark(&mut self, node: NodeId, row: Option<NodeRow>) -> Result<(), OrderError> {
        let row = row.ok_or_else(|| OrderError::NotFound(format!("node {node}")))?;
        // Its row may not be there yet.
        self.try_round().await?;
        match self.parts.store.mark_node(row.id, row.name.as_deref(), &row.tags).await? {
            true => Ok(()),
            false => Err(OrderError::NotFound(format!("node {node}"))),
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
        self.registry.fleet(&self.meshes, &self.in_flight(), self.listening.since(), self.parts.clock.now())
    }

    fn standing(&self) -> Standing {
        let fleet = self.fleet();
        Standing {
            is_connected: self.listening.since().is_some(),
            can_write: self.failing.is_none(),
            nodes: fleet.nodes.len(),
            online: fleet.nodes.values().filter(|node| node.online).count(),
            open_rollouts: self.runs.len(),
            in_flight: self
                .runs
                .values()
                .flat_map(|run| run.rollout.updates.values())
                .filter(|update| update.state.is_in_flight())
                .count(),
            processes: self.share.as_ref().map_or(1, |share| share.held.processes),
            leads: self.share.as_ref().is_none_or(|share| share.held.leads),
            meshes: match &self.share {
                Some(share) => share.held.meshes.len(),
                None => self.registry.meshes().len(),
            },
        }
    }

    async fn dry_run(&self, release: &str, spec: &Spec) -> Result<Tried, OrderError> {
        let store = &self.parts.store;
        let row = store
            .release(release)
            .await?
            .ok_or_else(|| OrderError::NotFound(format!("release {release}")))?;
        let images = store.images(release).await?;
        let fleet = self.fleet();
        let planned = planner_release(&row.version, &images);
        let mut assignment = assign(spec, &planned, &fleet);
        let size = |it: &Assigned| planned.variants.get(it.variant).map_or(0, |variant| variant.size);
        let largest = assignment.assigned.iter().map(size).max().unwrap_or(0);
        bandwidth::check(spec, largest).map_err(|error| OrderError::Invalid(error.to_string()))?;
        let least_time = bandwidth::least_time(&spec.limits, &planned, &assignment, &fleet);
        let taken = self.taken();
        for it in &mut assignment.assigned {
            if let Some((other, _)) = taken.get(&it.node) {
                it.note = Some(format!("rollout {other} has it already, and would have to end first"));
            }
        }
        Ok(Tried { assignment, fleet, release: row, least_time })
    }

    /// Nodes that wait for their turn or are being updated in a rollout that goes on, with that rollout.
    fn taken(&self) -> BTreeMap<NodeId, (&str, Phase)> {
        let mut taken = BTreeMap::new();
        for (id, run) in self.runs.iter().filter(|(_, run)| !run.rollout.phase.is_over()) {
            let open = run.rollout.updates.iter().filter(|(_, update)| !update.state.is_end());
            taken.extend(open.map(|(node, _)| (*node, (id.as_str(), run.rollout.phase))));
        }
        taken
    }

    /// Refuses nodes that another rollout has: of two that are begun at the same time, one would undo the other.
    fn must_be_free(&self, nodes: impl Iterator<Item = NodeId>) -> Result<(), OrderError> {
        let taken = self.taken();
        let mut found = nodes.filter_map(|node| Some((node, *taken.get(&node)?)));
        let Some((node, (rollout, phase))) = found.next() else { return Ok(()) };
        let others = match found.count() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        Err(OrderError::Conflict(format!(
            "node {node}{others}: rollout {rollout} has it already and is {}; wait for its end, abort it, or leave the \
             node out",
            phase.name()
        )))
    }

    async fn create(&mut self, new: NewRollout) -> Result<String, OrderError> {
        if self.share.is_some() {
            self.try_round().await?;
        }
        let Tried { assignment, release, .. } = self.dry_run(&new.release, &new.spec).await?;
        self.must_be_free(assignment.assigned.iter().map(|it| it.node))?;
        let images = self.parts.store.images(&new.release).await?;
        let now = self.parts.clock.now();
        let id = id::fresh('r', now).map_err(|error| OrderError::Conflict(error.to_string()))?;
        let reason = match assignment.assigned.len() {
            0 => "no node gets this release".to_owned(),
            count => format!("{count} nodes are to get {}", release.version),
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
            image_bytes: image_bytes(&images),
        };
        let dirty: BTreeSet<NodeId> = rollout.updates.keys().copied().collect();
        let (progress, triggered) = (BTreeMap::new(), BTreeSet::new());
        let ReleaseRow { version, manifest, .. } = release;
        let run = Run { stored, rollout, version, manifest, images, progress, dirty, triggered };
        let text = format!("asked for by {}: {}", new.by, run.stored.reason);
        let event = self.event(&id, text, now);
        let free = run.rollout.updates.keys().map(|node| db_id(*node)).collect();
        match self.keep(&id, run, event, free, now).await {
            Err(error @ StoreError::Taken { .. }) => Err(OrderError::Conflict(format!(
                "{error}; wait for its end, abort it, or leave the node out"
            ))),
            written => Ok(written.map(|()| id)?),
        }
    }

    fn event(&self, rollout: &str, text: String, now: Moment) -> EventRow {
        let (kind, rollout_id) = ("rollout".to_owned(), Some(rollout.to_owned()));
        EventRow { at: to_db(now), kind, rollout_id, text, ..EventRow::default() }
    }

    /// Tells listeners; where there are several processes, what was written is read with what the others wrote.
    pub(super) fn publish_events(&self, events: Vec<EventRow>) {
        if self.share.is_some() {
            return;
        }
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
        for _ in 1..TRIES {
            match self.try_order(id, order, revision, by).await {
                Err(OrderError::Store(StoreError::Changed(_))) => {}
                result => return result,
            }
        }
        self.try_order(id, order, revision, by).await
    }

    async fn try_order(
        &mut self,
        id: &str,
        order: Order,
        revision: Option<i64>,
        by: &str,
    ) -> Result<(), OrderError> {
        if self.share.is_some() {
            self.read_others().await?;
        }
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
        Ok(self.keep(id, run, event, Vec::new(), now).await?)
    }

    /// Writes a rollout down with what happened to it, and only then goes on with it.
    async fn keep(
        &mut self,
        id: &str,
        mut run: Run,
        event: EventRow,
        must_be_free: Vec<i64>,
        now: Moment,
    ) -> Result<(), StoreError> {
        let mut changes = Changes {
            rollouts: vec![run.row(now)],
            updates: run.dirty_rows(),
            events: vec![event],
            must_be_free,
            ..self.changes()
        };
        self.parts.store.write(&mut changes).await?;
        self.publish_events(changes.events);
        self.runs.insert(id.to_owned(), run);
        Ok(())
    }
}
