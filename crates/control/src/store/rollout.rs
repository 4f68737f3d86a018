//! Rollouts, their updates, and the log of triggers.

use super::{Store, StoreError};
use sqlx::{Any, FromRow, Transaction};
use std::collections::BTreeSet;

/// A rollout as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct RolloutRow {
    /// Its id.
    pub id: String,
    /// What the operator calls it.
    pub name: String,
    /// Its release.
    pub release_id: String,
    /// What was asked for, as JSON.
    pub spec: String,
    /// How it stands.
    pub phase: String,
    /// The wave that is open.
    pub wave: i64,
    /// Present nodes by mesh when it began, as JSON.
    pub baseline: String,
    /// What is being waited for, as JSON.
    pub holds: String,
    /// Why it stands as it does.
    pub reason: String,
    /// When it was asked for.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// From when its life counts.
    pub began_at: i64,
    /// When everything had ended.
    pub ended_at: Option<i64>,
    /// Counts changes.
    pub revision: i64,
}

/// An update as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct UpdateRow {
    /// Its rollout.
    pub rollout_id: String,
    /// Its node.
    pub node: i64,
    /// Its wave.
    pub wave: i64,
    /// Which image.
    pub variant: i64,
    /// That image's hash.
    pub image_hash: String,
    /// The first half of its `app_elf_sha256`.
    pub elf: Option<String>,
    /// What ran before.
    pub before_image: Option<String>,
    /// How far it is.
    pub state: String,
    /// Since when.
    pub since: i64,
    /// Which attempt.
    pub attempt: i64,
    /// The attempt's first trigger.
    pub triggered_at: Option<i64>,
    /// Its last trigger.
    pub last_trigger_at: Option<i64>,
    /// Triggers in this attempt.
    pub triggers: i64,
    /// Whether the last was answered.
    pub answered: i64,
    /// When it was last told to drop it.
    pub dropped_at: Option<i64>,
    /// How far the node's step is, 0 to 100.
    pub progress: i64,
    /// Why it stands as it does.
    pub reason: String,
    /// An error's code.
    pub code: Option<String>,
    /// It is triggered by the change that this row belongs to.
    #[sqlx(skip)]
    pub is_triggered: bool,
}

/// A trigger or an abort as logged.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct TriggerRow {
    /// Its number.
    pub seq: i64,
    /// When.
    pub at: i64,
    /// For which rollout.
    pub rollout_id: String,
    /// Which attempt.
    pub attempt: i64,
    /// Which mesh.
    pub mesh: String,
    /// `trigger` or `abort`.
    pub kind: String,
    /// The nodes, as a JSON array.
    pub nodes: String,
    /// Where it was published.
    pub topic: String,
    /// What was published.
    pub message: String,
    /// Why.
    pub reason: String,
}

/// Changes nothing if the rollout is not the one that was read: whoever writes has to read it again.
pub(super) const UPSERT_ROLLOUT: &str = "INSERT INTO rollouts (id, name, release_id, spec, phase, wave, baseline, holds, \
    reason, created_at, created_by, began_at, ended_at, revision) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14) \
    ON CONFLICT (id) DO UPDATE SET phase=excluded.phase, wave=excluded.wave, baseline=excluded.baseline, \
    holds=excluded.holds, reason=excluded.reason, began_at=excluded.began_at, ended_at=excluded.ended_at, \
    spec=excluded.spec, revision=excluded.revision WHERE rollouts.revision = excluded.revision - 1";

/// The last parameter is 1 for an update that is triggered by this very change, else 0: a trigger that the store knows
/// already, or a state from before one, changes nothing.
pub(super) const UPSERT_UPDATE: &str = "INSERT INTO updates (rollout_id, node, wave, variant, image_hash, elf, \
    before_image, state, since, attempt, triggered_at, last_trigger_at, triggers, answered, dropped_at, progress, reason, \
    code, written_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19) \
    ON CONFLICT (rollout_id, node) DO UPDATE SET wave=excluded.wave, before_image=excluded.before_image, \
    state=excluded.state, since=excluded.since, attempt=excluded.attempt, triggered_at=excluded.triggered_at, \
    last_trigger_at=excluded.last_trigger_at, triggers=excluded.triggers, answered=excluded.answered, \
    dropped_at=excluded.dropped_at, progress=excluded.progress, reason=excluded.reason, code=excluded.code, \
    written_at=excluded.written_at \
    WHERE updates.attempt < excluded.attempt \
    OR (updates.attempt = excluded.attempt AND updates.triggers + $20 <= excluded.triggers)";

/// Updates that have not ended, of rollouts that go on.
const OPEN_UPDATES: &str = "SELECT u.node, u.rollout_id FROM updates u JOIN rollouts r ON r.id = u.rollout_id \
    WHERE r.ended_at IS NULL AND r.phase IN ('scheduled', 'running', 'paused') \
    AND u.state NOT IN ('succeeded', 'rolled_back', 'failed', 'lost', 'skipped', 'aborted')";

/// Refuses nodes that another rollout has. From here to the end of the transaction nobody else begins one: of two that are
/// begun at the same time, the second sees the first.
pub(super) async fn must_be_free(work: &mut Transaction<'_, Any>, nodes: &[i64]) -> Result<(), StoreError> {
    /// Any number, as long as nothing else on this database takes it.
    const LOCK: i64 = 0x726f_6c6c_6f75_7473;
    sqlx::query("SELECT 1 FROM pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut **work).await?;
    let nodes: BTreeSet<i64> = nodes.iter().copied().collect();
    let open: Vec<(i64, String)> = sqlx::query_as(OPEN_UPDATES).fetch_all(&mut **work).await?;
    match open.into_iter().find(|(node, _)| nodes.contains(node)) {
        None => Ok(()),
        Some((node, rollout)) => Err(StoreError::Taken { node, rollout }),
    }
}

impl Store {
    /// Rollouts, newest first, those before `before` only.
    pub async fn rollouts(&self, before: Option<&str>, limit: i64) -> Result<Vec<RolloutRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM rollouts WHERE id < $1 ORDER BY id DESC LIMIT $2");
        Ok(query.bind(before.unwrap_or("~")).bind(limit).fetch_all(&self.pool).await?)
    }

    /// Rollouts in which something may still happen.
    pub async fn open_rollouts(&self) -> Result<Vec<RolloutRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM rollouts WHERE ended_at IS NULL ORDER BY id");
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// A rollout.
    pub async fn rollout(&self, id: &str) -> Result<Option<RolloutRow>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM rollouts WHERE id = $1").bind(id).fetch_optional(&self.pool).await?)
    }

    /// Updates of a rollout by node, those after `after` only.
    pub async fn updates(&self, rollout: &str, after: i64, limit: i64) -> Result<Vec<UpdateRow>, StoreError> {
        let query = sqlx::query_as(
            "SELECT * FROM updates WHERE rollout_id = $1 AND node > $2 ORDER BY node LIMIT $3",
        );
        Ok(query.bind(rollout).bind(after).bind(limit).fetch_all(&self.pool).await?)
    }

    /// Updates of a rollout that ended badly, by wave and node.
    pub async fn failed_updates(&self, rollout: &str, limit: i64) -> Result<Vec<UpdateRow>, StoreError> {
        let query = sqlx::query_as(
            "SELECT * FROM updates WHERE rollout_id = $1 AND state IN ('failed', 'rolled_back', 'lost') \
             ORDER BY wave, node LIMIT $2",
        );
        Ok(query.bind(rollout).bind(limit).fetch_all(&self.pool).await?)
    }

    /// How many updates of a rollout are in which wave and state.
    pub async fn update_counts(&self, rollout: &str) -> Result<Vec<(i64, String, i64)>, StoreError> {
        let query = sqlx::query_as(
            "SELECT wave, state, COUNT(*) FROM updates WHERE rollout_id = $1 GROUP BY wave, state ORDER BY wave, state",
        );
        Ok(query.bind(rollout).fetch_all(&self.pool).await?)
    }

    /// How many rollouts are in which phase.
    pub async fn rollout_phases(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let query = sqlx::query_as("SELECT phase, COUNT(*) FROM rollouts GROUP BY phase ORDER BY phase");
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// How many updates of all rollouts are in which state.
    pub async fn update_states(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let query = sqlx::query_as("SELECT state, COUNT(*) FROM updates GROUP BY state ORDER BY state");
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// The log of triggers and aborts, oldest first, those after `after` only.
    pub async fn triggers(&self, after: i64, limit: i64) -> Result<Vec<TriggerRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM triggers WHERE seq > $1 ORDER BY seq LIMIT $2");
        Ok(query.bind(after).bind(limit).fetch_all(&self.pool).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootcast_rollout::{Phase, State};

    #[test]
    fn the_words_for_open_updates_are_those_of_the_planner() {
        let is_named = |word: &str| OPEN_UPDATES.contains(&format!("'{word}'"));
        for state in State::ALL.into_iter().filter(|state| *state != State::Scheduled) {
            assert_eq!(is_named(state.name()), state.is_end(), "{state:?}");
        }
        for phase in Phase::ALL {
            // "succeeded" and "aborted" are words of states, too.
            let (phases, _) = OPEN_UPDATES.split_once("NOT IN").unwrap();
            assert_eq!(phases.contains(&format!("'{}'", phase.name())), !phase.is_over(), "{phase:?}");
        }
    }
}
