//! What happened, and every trigger.

use super::page::{cut, one_more, page_size, page_start};
use super::{Service, ServiceError};
use crate::clock::rfc3339;
use crate::engine::node_id;
use crate::store::event::EventRow;
use crate::store::rollout::TriggerRow;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use utoipa::{IntoParams, ToSchema};

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its number, which only grows.
    pub seq: i64,
    /// When.
    pub at: String,
    /// What kind: `rollout`, `wave`, `update`, `node`, `release`, `broker`, `webhook`.
    pub kind: String,
    /// Which rollout, if one.
    pub rollout: Option<String>,
    /// Which node, if one.
    pub node: Option<u64>,
    /// Which mesh, if one.
    pub mesh: Option<String>,
    /// What happened, for people.
    pub text: String,
}

impl From<EventRow> for EventView {
    fn from(row: EventRow) -> Self {
        Self {
            seq: row.seq,
            at: rfc3339(row.at),
            kind: row.kind,
            rollout: row.rollout_id,
            node: row.node.map(|node| node_id(node).0),
            mesh: row.mesh,
            text: row.text,
        }
    }
}

/// A page of events.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The events, oldest first.
    pub items: Vec<EventView>,
    /// Give this as `after` for the next page; absent on the last one.
    pub next: Option<String>,
}

/// Which events.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventFilter {
    /// Only those after this number.
    #[param(minimum = 0)]
    pub after: Option<i64>,
    /// Items of the page: 1 to 1,000, 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Only of this rollout.
    pub rollout: Option<String>,
    /// The newest ones instead of the oldest; `after` does not go with it.
    #[serde(default)]
    pub newest: bool,
}

/// A trigger or an abort, as written down before it was published.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TriggerView {
    /// Its number.
    pub seq: i64,
    /// When.
    pub at: String,
    /// For which rollout.
    pub rollout: String,
    /// Which attempt.
    pub attempt: i64,
    /// Which mesh.
    pub mesh: String,
    /// `trigger` or `abort`.
    pub kind: String,
    /// The nodes that it names.
    pub nodes: Vec<u64>,
    /// Where it was published; empty if it could not be.
    pub topic: String,
    /// What was published, or why it could not be.
    pub message: String,
    /// Why.
    pub reason: String,
}

/// A page of triggers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TriggerPage {
    /// The triggers, oldest first.
    pub items: Vec<TriggerView>,
    /// Give this as `after` for the next page; absent on the last one.
    pub next: Option<String>,
}

impl Service {
    /// What happened.
    pub async fn events(&self, filter: &EventFilter) -> Result<EventPage, ServiceError> {
        let size = page_size(filter.limit)?;
        let after = page_start(filter.after)?;
        let rollout = filter.rollout.as_deref();
        if filter.newest {
            let rows = self.store.newest_events(rollout, one_more(size) - 1).await?;
            return Ok(EventPage { items: rows.into_iter().map(EventView::from).collect(), next: None });
        }
        let rows = self.store.events(rollout, after, one_more(size)).await?;
        let (rows, next) = cut(rows, size, |row| row.seq.to_string());
        Ok(EventPage { items: rows.into_iter().map(EventView::from).collect(), next })
    }

    /// What happens from now on. Who is too slow misses events, and is told how many.
    pub fn listen(&self) -> broadcast::Receiver<EventRow> {
        self.engine.events()
    }

    /// Every trigger and abort.
    pub async fn triggers(&self, page: &super::rollouts::After) -> Result<TriggerPage, ServiceError> {
        let size = page_size(page.limit)?;
        let rows = self.store.triggers(page_start(page.after)?, one_more(size)).await?;
        let (rows, next) = cut(rows, size, |row| row.seq.to_string());
        let view = |row: TriggerRow| {
            let nodes: Vec<i64> = serde_json::from_str(&row.nodes).unwrap_or_default();
            TriggerView {
                seq: row.seq,
                at: rfc3339(row.at),
                rollout: row.rollout_id,
                attempt: row.attempt,
                mesh: row.mesh,
                kind: row.kind,
                nodes: nodes.into_iter().map(|node| node_id(node).0).collect(),
                topic: row.topic,
                message: row.message,
                reason: row.reason,
            }
        };
        Ok(TriggerPage { items: rows.into_iter().map(view).collect(), next })
    }
}
