//! Rollouts.

use super::page::{check_text, cut, one_more, page_size, page_start};
use super::releases::Before;
use super::{Service, ServiceError};
use crate::clock::rfc3339;
use crate::engine::{NewRollout, Order, Tried, node_id};
use crate::store::rollout::{RolloutRow, UpdateRow};
use rootcast_rollout::{Running, Spec};
use rootcast_wire::text::Hex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// A rollout to begin, or to try on paper.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutRequest {
    /// The release's id.
    pub release: String,
    /// What to call it.
    #[serde(default)]
    pub name: String,
    /// What is asked for.
    #[serde(default)]
    pub spec: Spec,
}

/// A rollout.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RolloutView {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Its release's id.
    pub release: String,
    /// What was asked for.
    pub spec: Spec,
    /// How it stands: `scheduled`, `running`, `paused`, `stopped`, `aborted`, `succeeded` or `partial`.
    pub phase: String,
    /// The wave that is open, from 1.
    pub wave: i64,
    /// Why it stands as it does.
    pub reason: String,
    /// Why nodes whose turn it is are not started, with how many that are.
    pub holds: BTreeMap<String, u32>,
    /// How many nodes are in which state, by wave from 1.
    pub counts: Vec<WaveCount>,
    /// When it was asked for.
    pub created_at: String,
    /// By whom.
    pub created_by: String,
    /// When everything had ended.
    pub ended_at: Option<String>,
    /// Counts changes: the entity tag.
    pub revision: i64,
}

/// How many nodes of a wave are in a state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WaveCount {
    /// The wave, from 1.
    pub wave: i64,
    /// The state.
    pub state: String,
    /// How many.
    pub nodes: i64,
}

/// A page of rollouts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RolloutPage {
    /// The rollouts, newest first.
    pub items: Vec<RolloutView>,
    /// Give this as `before` for the next page; absent on the last one.
    pub next: Option<String>,
}

/// What a rollout would do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DryRun {
    /// Who would get an image, in the order of their turns.
    pub assigned: Vec<DryAssigned>,
    /// Who is selected and would not, and why.
    pub unassigned: Vec<DryUnassigned>,
    /// How long limits on bytes a second stretch it at least, from the first start to the last, in seconds; absent without
    /// such a limit.
    pub least_s: Option<u64>,
}

/// A node that would get an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DryAssigned {
    /// Who.
    pub node: u64,
    /// Its mesh.
    pub mesh: String,
    /// In which wave, from 1.
    pub wave: usize,
    /// Which image: its place among the release's.
    pub image: usize,
    /// Whether the release has a patch for what it runs, which it then gets in place of the image.
    pub by_patch: bool,
    /// What may keep it waiting when its turn comes.
    pub note: Option<String>,
}

/// A node that would get none.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DryUnassigned {
    /// Who.
    pub node: u64,
    /// Its mesh.
    pub mesh: String,
    /// Why.
    pub reason: String,
}

/// One node's part in a rollout.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpdateView {
    /// Who.
    pub node: u64,
    /// In which wave, from 1.
    pub wave: i64,
    /// How far it is.
    pub state: String,
    /// Since when.
    pub since: String,
    /// How far the node's step is, 0 to 100.
    pub progress: i64,
    /// Which attempt this is, from 1.
    pub attempt: i64,
    /// Triggers sent in this attempt.
    pub triggers: i64,
    /// Why it stands as it does.
    pub reason: String,
    /// An error's code.
    pub code: Option<String>,
    /// The image it gets.
    pub image_hash: String,
    /// What ran before: an image hash, or `elf:` and the first half of `app_elf_sha256`.
    pub before: Option<String>,
}

impl From<UpdateRow> for UpdateView {
    fn from(row: UpdateRow) -> Self {
        Self {
            node: node_id(row.node).0,
            wave: row.wave + 1,
            state: row.state,
            since: rfc3339(row.since),
            progress: row.progress,
            attempt: row.attempt,
            triggers: row.triggers,
            reason: row.reason,
            code: row.code,
            image_hash: row.image_hash,
            before: row.before_image,
        }
    }
}

/// A page of updates.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpdatePage {
    /// The updates, by node.
    pub items: Vec<UpdateView>,
    /// Give this as `after` for the next page; absent on the last one.
    pub next: Option<String>,
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// Only those after this number.
    #[param(minimum = 0)]
    pub after: Option<i64>,
    /// Items of the page: 1 to 1,000, 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

fn check(new: &RolloutRequest) -> Result<(), ServiceError> {
    check_text("name", &new.name, MAX_NAME_BYTES)?;
    new.spec.check().map_err(|error| ServiceError::Invalid(error.to_string()))
}

impl Service {
    async fn view(&self, row: RolloutRow) -> Result<RolloutView, ServiceError> {
        let counts = self.store.update_counts(&row.id).await?;
        let count = |(wave, state, nodes)| WaveCount { wave: wave + 1, state, nodes };
        Ok(RolloutView {
            spec: serde_json::from_str(&row.spec).unwrap_or_default(),
            holds: serde_json::from_str(&row.holds).unwrap_or_default(),
            counts: counts.into_iter().map(count).collect(),
            id: row.id,
            name: row.name,
            release: row.release_id,
            phase: row.phase,
            wave: row.wave + 1,
            reason: row.reason,
            created_at: rfc3339(row.created_at),
            created_by: row.created_by,
            ended_at: row.ended_at.map(rfc3339),
            revision: row.revision,
        })
    }

    /// Who would get what, and who not, and why; nothing is done.
    pub async fn dry_run(&self, new: RolloutRequest) -> Result<DryRun, ServiceError> {
        check(&new)?;
        let images = self.store.images(&new.release).await?;
        let Tried { assignment, fleet, least_time, .. } = self.engine.dry_run(new.release, new.spec).await?;
        let is_by_patch = |id, image: usize| {
            let running = fleet.nodes.get(&id).and_then(|node| node.running);
            let patches: Option<Vec<String>> =
                images.get(image).and_then(|image| serde_json::from_str(&image.patches).ok());
            match (running, patches) {
                (Some(Running::Image(hash)), Some(patches)) => patches.contains(&Hex(&hash).to_string()),
                _ => false,
            }
        };
        let mesh = |id| fleet.nodes.get(&id).map(|node| node.mesh.clone()).unwrap_or_default();
        let assigned = assignment.assigned.into_iter().map(|it| DryAssigned {
            node: it.node.0,
            mesh: mesh(it.node),
            wave: it.wave + 1,
            image: it.variant,
            by_patch: is_by_patch(it.node, it.variant),
            note: it.note,
        });
        let unassigned = assignment.unassigned.into_iter().map(|it| DryUnassigned {
            node: it.node.0,
            mesh: mesh(it.node),
            reason: it.reason,
        });
        let least_s = least_time.map(|time| time.as_secs());
        Ok(DryRun { assigned: assigned.collect(), unassigned: unassigned.collect(), least_s })
    }

    /// Begins a rollout.
    pub async fn create_rollout(&self, new: RolloutRequest, by: &str) -> Result<RolloutView, ServiceError> {
        check(&new)?;
        let RolloutRequest { release, name, spec } = new;
        let id = self.engine.create(NewRollout { name, release, spec, by: by.to_owned() }).await?;
        self.rollout(&id).await
    }

    /// Rollouts, newest first.
    pub async fn rollouts(&self, page: &Before) -> Result<RolloutPage, ServiceError> {
        let size = page_size(page.limit)?;
        let rows = self.store.rollouts(page.before.as_deref(), one_more(size)).await?;
        let (rows, next) = cut(rows, size, |row| row.id.clone());
        let mut items = Vec::new();
        for row in rows {
            items.push(self.view(row).await?);
        }
        Ok(RolloutPage { items, next })
    }

    /// One rollout.
    pub async fn rollout(&self, id: &str) -> Result<RolloutView, ServiceError> {
        let row =
            self.store.rollout(id).await?.ok_or_else(|| ServiceError::NotFound("such rollout".to_owned()))?;
        self.view(row).await
    }

    /// The nodes of a rollout.
    pub async fn updates(&self, id: &str, page: &After) -> Result<UpdatePage, ServiceError> {
        let size = page_size(page.limit)?;
        let row = self.store.rollout(id).await?;
        row.ok_or_else(|| ServiceError::NotFound("such rollout".to_owned()))?;
        // A node may have the id 0.
        let after = match page.after {
            None => -1,
            after => page_start(after)?,
        };
        let rows = self.store.updates(id, after, one_more(size)).await?;
        let (rows, next) = cut(rows, size, |row| row.node.to_string());
        Ok(UpdatePage { items: rows.into_iter().map(UpdateView::from).collect(), next })
    }

    /// The nodes of a rollout that ended badly: failed, rolled back or lost; not more than `limit`.
    pub async fn failed_updates(&self, id: &str, limit: u32) -> Result<Vec<UpdateView>, ServiceError> {
        let rows = self.store.failed_updates(id, limit.into()).await?;
        Ok(rows.into_iter().map(UpdateView::from).collect())
    }

    /// Pauses, resumes, aborts or retries a rollout; if a revision is given, only if it is still that one.
    pub async fn order(
        &self,
        id: &str,
        order: Order,
        revision: Option<i64>,
        by: &str,
    ) -> Result<RolloutView, ServiceError> {
        self.engine.order(id, order, revision, by).await?;
        self.rollout(id).await
    }
}
