//! What the engine writes in one transaction: all of it or nothing.

use super::event::{self, EventRow};
use super::lease;
use super::node::{self, NodeRow};
use super::rollout::{self, RolloutRow, TriggerRow, UpdateRow};
use super::{Store, StoreError};

/// Changes that belong together.
#[derive(Debug, Default)]
pub struct Changes {
    /// The process that writes, where several do: it must not have lost its leases.
    pub process: Option<String>,
    /// Rollouts for which something is triggered without a change to themselves, with the revision that they must have.
    pub must_be: Vec<(String, i64)>,
    /// Nodes for which a rollout is begun: no other may have them. Looked at where several processes begin rollouts.
    pub must_be_free: Vec<i64>,
    /// Nodes as they are now.
    pub nodes: Vec<NodeRow>,
    /// Nodes that are no more.
    pub forgotten: Vec<i64>,
    /// Rollouts as they are now.
    pub rollouts: Vec<RolloutRow>,
    /// Updates as they are now.
    pub updates: Vec<UpdateRow>,
    /// What is about to be published.
    pub triggers: Vec<TriggerRow>,
    /// What happened.
    pub events: Vec<EventRow>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
            && self.forgotten.is_empty()
            && self.rollouts.is_empty()
            && self.updates.is_empty()
            && self.triggers.is_empty()
            && self.events.is_empty()
    }
}

impl Store {
    /// Writes changes. Events get their numbers.
    pub async fn write(&self, changes: &mut Changes) -> Result<(), StoreError> {
        let mut work = self.pool.begin().await?;
        let written_at = match &changes.process {
            Some(process) if self.is_shared => lease::touch(&mut work, process).await?,
            _ => 0,
        };
        for (id, revision) in &changes.must_be {
            // Nobody pauses it until this is through.
            let statement = match self.is_shared {
                true => "SELECT revision FROM rollouts WHERE id = $1 FOR SHARE",
                false => "SELECT revision FROM rollouts WHERE id = $1",
            };
            let row: Option<(i64,)> = sqlx::query_as(statement).bind(id).fetch_optional(&mut *work).await?;
            if row != Some((*revision,)) {
                return Err(StoreError::Changed(id.clone()));
            }
        }
        if self.is_shared && !changes.must_be_free.is_empty() {
            rollout::must_be_free(&mut work, &changes.must_be_free).await?;
        }
        for id in &changes.forgotten {
            sqlx::query("DELETE FROM nodes WHERE id = $1").bind(*id).execute(&mut *work).await?;
        }
        for row in &changes.nodes {
            sqlx::query(node::UPSERT)
                .bind(row.id)
                .bind(&row.mesh)
                .bind(&row.node_type)
                .bind(&row.dialect)
                .bind(row.chip)
                .bind(&row.version)
                .bind(&row.running)
                .bind(&row.elf)
                .bind(&row.slot)
                .bind(row.is_root)
                .bind(row.parent)
                .bind(row.layer)
                .bind(row.rssi)
                .bind(row.uptime_s)
                .bind(&row.state)
                .bind(row.progress)
                .bind(&row.error)
                .bind(&row.detail)
                .bind(row.unsigned_allowed)
                .bind(row.first_seen)
                .bind(row.last_seen)
                .bind(row.gone)
                .bind(&row.name)
                .bind(&row.tags)
                .bind(row.slot_bytes)
                .execute(&mut *work)
                .await?;
        }
        for row in &changes.rollouts {
            let written = sqlx::query(rollout::UPSERT_ROLLOUT)
                .bind(&row.id)
                .bind(&row.name)
                .bind(&row.release_id)
                .bind(&row.spec)
                .bind(&row.phase)
                .bind(row.wave)
                .bind(&row.baseline)
                .bind(&row.holds)
                .bind(&row.reason)
                .bind(row.created_at)
                .bind(&row.created_by)
                .bind(row.began_at)
                .bind(row.ended_at)
                .bind(row.revision)
                .execute(&mut *work)
                .await?;
            if written.rows_affected() == 0 {
                return Err(StoreError::Changed(row.id.clone()));
            }
        }
        for row in &changes.updates {
            let written = sqlx::query(rollout::UPSERT_UPDATE)
                .bind(&row.rollout_id)
                .bind(row.node)
                .bind(row.wave)
                .bind(row.variant)
                .bind(&row.image_hash)
                .bind(&row.elf)
                .bind(&row.before_image)
                .bind(&row.state)
                .bind(row.since)
                .bind(row.attempt)
                .bind(row.triggered_at)
                .bind(row.last_trigger_at)
                .bind(row.triggers)
                .bind(row.answered)
                .bind(row.dropped_at)
                .bind(row.progress)
                .bind(&row.reason)
                .bind(&row.code)
                .bind(written_at)
                .bind(i64::from(row.is_triggered))
                .execute(&mut *work)
                .await?;
            if written.rows_affected() == 0 {
                return Err(StoreError::Changed(row.rollout_id.clone()));
            }
        }
        for row in &changes.triggers {
            sqlx::query(
                "INSERT INTO triggers (at, rollout_id, attempt, mesh, kind, nodes, topic, message, reason) \
                 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)",
            )
            .bind(row.at)
            .bind(&row.rollout_id)
            .bind(row.attempt)
            .bind(&row.mesh)
            .bind(&row.kind)
            .bind(&row.nodes)
            .bind(&row.topic)
            .bind(&row.message)
            .bind(&row.reason)
            .execute(&mut *work)
            .await?;
        }
        if self.is_shared && !changes.events.is_empty() {
            event::in_order(&mut work).await?;
        }
        for row in &mut changes.events {
            let (seq,): (i64,) = sqlx::query_as(event::INSERT)
                .bind(row.at)
                .bind(&row.kind)
                .bind(&row.rollout_id)
                .bind(row.node)
                .bind(&row.mesh)
                .bind(&row.text)
                .fetch_one(&mut *work)
                .await?;
            row.seq = seq;
        }
        work.commit().await?;
        Ok(())
    }
}
