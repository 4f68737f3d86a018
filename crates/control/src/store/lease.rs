//! Which process decides about which mesh, and what the others wrote.
//!
//! Only on PostgreSQL: an SQLite file belongs to one process. All times here are the database's, so that no two clocks have
//! to agree. A process shows that it lives by its row in `processes`; a lease stands as long as that row does. Whoever finds
//! a row too old deletes it and thereby frees its leases; each of the owner's writes begins by touching the row, in the same
//! transaction, so that of the two only one succeeds and a process that lost its leases writes nothing more.

use super::rollout::{RolloutRow, UpdateRow};
use super::{Store, StoreError};
use crate::store::event::EventRow;
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use std::time::Duration;

/// The lease on rollouts as wholes. No mesh can be called so: it is a wildcard of MQTT.
pub const WHOLE: &str = "#";

/// After so long without a sign of life a process has lost its leases.
pub const LIFE: Duration = Duration::from_secs(10);

/// The database's clock, in milliseconds since 1970.
macro_rules! now {
    () => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

/// What a process holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The meshes.
    pub meshes: BTreeSet<String>,
    /// Whether it decides about rollouts as wholes.
    pub leads: bool,
    /// Processes that are there, itself among them.
    pub processes: usize,
    /// Meshes that anybody could hold.
    pub known: BTreeSet<String>,
}

/// What was written since.
#[derive(Debug, Default)]
pub struct Written {
    /// Open rollouts.
    pub rollouts: Vec<RolloutRow>,
    /// Their updates that were written since.
    pub updates: Vec<UpdateRow>,
    /// Events.
    pub events: Vec<EventRow>,
    /// The database's time, for the next question.
    pub now: i64,
}

/// Shows that a process lives, and returns the database's time; fails if it was declared dead.
pub(super) async fn touch(work: &mut Transaction<'_, Any>, process: &str) -> Result<i64, StoreError> {
    let statement = concat!("UPDATE processes SET seen_at = ", now!(), " WHERE id = $1 RETURNING seen_at");
    let row: Option<(i64,)> = sqlx::query_as(statement).bind(process).fetch_optional(&mut **work).await?;
    row.map(|(now,)| now).ok_or(StoreError::Fenced)
}

impl Store {
    /// Whether several processes may work with this database.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Shows that a process lives, buries the dead, and takes or gives back leases until every process has its share.
    pub async fn share(&self, process: &str, meshes: &BTreeSet<String>) -> Result<Held, StoreError> {
        let mut work = self.pool.begin().await?;
        match touch(&mut work, process).await {
            Ok(_) => {}
            Err(StoreError::Fenced) => {
                let statement = concat!("INSERT INTO processes (id, seen_at) VALUES ($1, ", now!(), ")");
                sqlx::query(statement).bind(process).execute(&mut *work).await?;
            }
            Err(error) => return Err(error),
        }
        let life = i64::try_from(LIFE.as_millis()).unwrap_or(i64::MAX);
        sqlx::query(concat!("DELETE FROM processes WHERE seen_at < ", now!(), " - $1"))
            .bind(life)
            .execute(&mut *work)
            .await?;
        sqlx::query(
            "UPDATE leases SET holder = NULL WHERE holder IS NOT NULL AND holder NOT IN (SELECT id FROM processes)",
        )
        .execute(&mut *work)
        .await?;
        for mesh in meshes.iter().map(String::as_str).chain([WHOLE]) {
            sqlx::query("INSERT INTO leases (mesh) VALUES ($1) ON CONFLICT (mesh) DO NOTHING")
                .bind(mesh)
                .execute(&mut *work)
                .await?;
        }
        let (processes,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM processes").fetch_one(&mut *work).await?;
        let leases: Vec<(String, Option<String>)> =
            sqlx::query_as("SELECT mesh, holder FROM leases ORDER BY mesh").fetch_all(&mut *work).await?;
        let mut held = Held { processes: usize::try_from(processes).unwrap_or(1).max(1), ..Held::default() };
        held.known = leases.iter().map(|(mesh, _)| mesh.clone()).filter(|mesh| mesh != WHOLE).collect();
        let is_mine = |holder: &Option<String>| holder.as_deref() == Some(process);
        let mine: BTreeSet<&str> =
            leases.iter().filter(|it| is_mine(&it.1)).map(|it| it.0.as_str()).collect();
        held.leads = mine.contains(WHOLE);
        held.meshes = mine.into_iter().filter(|mesh| *mesh != WHOLE).map(str::to_owned).collect();
        let share = held.known.len().div_ceil(held.processes);
        while held.meshes.len() > share {
            let Some(mesh) = held.meshes.pop_last() else { break };
            give_back(&mut work, process, &mesh).await?;
        }
        for (mesh, _) in leases.iter().filter(|(_, holder)| holder.is_none()) {
            if mesh != WHOLE && held.meshes.len() >= share {
                continue;
            }
            let claim = sqlx::query("UPDATE leases SET holder = $1 WHERE mesh = $2 AND holder IS NULL");
            if claim.bind(process).bind(mesh).execute(&mut *work).await?.rows_affected() == 0 {
                continue;
            }
            match mesh.as_str() {
                WHOLE => held.leads = true,
                mesh => _ = held.meshes.insert(mesh.to_owned()),
            }
        }
        work.commit().await?;
        Ok(held)
    }

    /// Gives everything back: the process ends.
    pub async fn leave(&self, process: &str) -> Result<(), StoreError> {
        let mut work = self.pool.begin().await?;
        sqlx::query("DELETE FROM processes WHERE id = $1").bind(process).execute(&mut *work).await?;
        sqlx::query("UPDATE leases SET holder = NULL WHERE holder = $1")
            .bind(process)
            .execute(&mut *work)
            .await?;
        work.commit().await?;
        Ok(())
    }

    /// What was written since a moment (of the database's clock) and after an event. A little of what was known before comes
    /// again: a transaction may take a while from its writing to its end.
    /// Events only, if `alone`.
    pub async fn written_since(&self, since: i64, after: i64, alone: bool) -> Result<Written, StoreError> {
        let (now,): (i64,) = sqlx::query_as(concat!("SELECT ", now!())).fetch_one(&self.pool).await?;
        let events = self.events(None, after, EVENTS_AT_ONCE).await?;
        if alone {
            return Ok(Written { now, events, ..Written::default() });
        }
        let rollouts = self.open_rollouts().await?;
        let query = sqlx::query_as(
            "SELECT u.* FROM updates u JOIN rollouts r ON r.id = u.rollout_id \
             WHERE r.ended_at IS NULL AND u.written_at >= $1",
        );
        let updates = query.bind(since).fetch_all(&self.pool).await?;
        Ok(Written { rollouts, updates, events, now })
    }

    /// The number of the newest event, 0 if there is none.
    pub async fn last_event(&self) -> Result<i64, StoreError> {
        let query = sqlx::query_as("SELECT COALESCE(MAX(seq), 0) FROM events");
        let (seq,): (i64,) = query.fetch_one(&self.pool).await?;
        Ok(seq)
    }
}

/// Events read at a time.
const EVENTS_AT_ONCE: i64 = 2_000;

async fn give_back(work: &mut Transaction<'_, Any>, process: &str, mesh: &str) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE leases SET holder = NULL WHERE mesh = $1 AND holder = $2");
    query.bind(mesh).bind(process).execute(&mut **work).await?;
    Ok(())
}
