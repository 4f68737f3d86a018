//! What happened, and why.

use super::{Store, StoreError};
use sqlx::{Any, FromRow, Transaction};

/// An event as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct EventRow {
    /// Its number, which only grows.
    pub seq: i64,
    /// When.
    pub at: i64,
    /// What kind: `rollout`, `wave`, `update`, `node`, `release`, `broker`, `webhook`.
    pub kind: String,
    /// Which rollout, if one.
    pub rollout_id: Option<String>,
    /// Which node, if one.
    pub node: Option<i64>,
    /// Which mesh, if one.
    pub mesh: Option<String>,
    /// What happened, for people.
    pub text: String,
}

pub(super) const INSERT: &str =
    "INSERT INTO events (at, kind, rollout_id, node, mesh, text) VALUES ($1,$2,$3,$4,$5,$6) RETURNING seq";

/// From here to the end of the transaction nobody else numbers events: whoever has seen a number has seen all before it.
pub(super) async fn in_order(work: &mut Transaction<'_, Any>) -> Result<(), StoreError> {
    /// Any number, as long as nothing else on this database takes it.
    const LOCK: i64 = 0x726f_6f74_6361_7374;
    sqlx::query("SELECT 1 FROM pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut **work).await?;
    Ok(())
}

impl Store {
    /// Events after a number, oldest first; of one rollout or of all.
    pub async fn events(
        &self,
        rollout: Option<&str>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        Ok(match rollout {
            None => {
                let query = sqlx::query_as("SELECT * FROM events WHERE seq > $1 ORDER BY seq LIMIT $2");
                query.bind(after).bind(limit).fetch_all(&self.pool).await?
            }
            Some(rollout) => {
                let query = sqlx::query_as(
                    "SELECT * FROM events WHERE rollout_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                );
                query.bind(rollout).bind(after).bind(limit).fetch_all(&self.pool).await?
            }
        })
    }

    /// The newest events, oldest of them first; of one rollout or of all.
    pub async fn newest_events(
        &self,
        rollout: Option<&str>,
        limit: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut rows: Vec<EventRow> = match rollout {
            None => {
                let query = sqlx::query_as("SELECT * FROM events ORDER BY seq DESC LIMIT $1");
                query.bind(limit).fetch_all(&self.pool).await?
            }
            Some(rollout) => {
                let query =
                    sqlx::query_as("SELECT * FROM events WHERE rollout_id = $1 ORDER BY seq DESC LIMIT $2");
                query.bind(rollout).bind(limit).fetch_all(&self.pool).await?
            }
        };
        rows.reverse();
        Ok(rows)
    }

    /// Writes one event and returns its number.
    pub async fn add_event(&self, event: &EventRow) -> Result<i64, StoreError> {
        let mut work = self.pool.begin().await?;
        if self.is_shared {
            in_order(&mut work).await?;
        }
        let (seq,): (i64,) = sqlx::query_as(INSERT)
            .bind(event.at)
            .bind(&event.kind)
            .bind(&event.rollout_id)
            .bind(event.node)
            .bind(&event.mesh)
            .bind(&event.text)
            .fetch_one(&mut *work)
            .await?;
        work.commit().await?;
        Ok(seq)
    }
}
