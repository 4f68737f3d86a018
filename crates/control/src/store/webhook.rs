//! Webhooks, and how far each was told.

use super::{Store, StoreError};
use sqlx::FromRow;

/// A webhook as stored.
#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct WebhookRow {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub url: String,
    /// JSON: a list of kinds of events.
    pub kinds: String,
    /// What signatures are made with.
    pub secret: String,
    /// Certificates (PEM) that it may have beside the usual ones.
    pub ca: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// Why it is off; `None` = it is on.
    pub off: Option<String>,
    /// The last event that it was told of, or that was none for it.
    pub told: i64,
    /// Not before then.
    pub next_at: i64,
    /// Messages that it took.
    pub delivered: i64,
    /// Failures since the last success.
    pub failures: i64,
    /// Since when it fails.
    pub failing_since: Option<i64>,
    /// When it was last tried.
    pub tried_at: Option<i64>,
    /// What went wrong then.
    pub error: Option<String>,
}

impl Store {
    /// Every webhook, oldest first.
    pub async fn webhooks(&self) -> Result<Vec<WebhookRow>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM webhooks ORDER BY created_at, id").fetch_all(&self.pool).await?)
    }

    /// One of them.
    pub async fn webhook(&self, id: &str) -> Result<Option<WebhookRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM webhooks WHERE id = $1");
        Ok(query.bind(id).fetch_optional(&self.pool).await?)
    }

    /// Those that are on and may be told something now.
    pub async fn webhooks_due(&self, now: i64) -> Result<Vec<WebhookRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM webhooks WHERE off IS NULL AND next_at <= $1 ORDER BY id");
        Ok(query.bind(now).fetch_all(&self.pool).await?)
    }

    /// Adds one, unless there are `limit` already.
    pub async fn add_webhook(&self, row: &WebhookRow, limit: i64) -> Result<bool, StoreError> {
        let written = sqlx::query(
            "INSERT INTO webhooks (id, url, kinds, secret, ca, created_at, created_by, off, told, next_at, delivered, \
             failures, failing_since, tried_at, error) \
             SELECT $1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15 \
             WHERE (SELECT COUNT(*) FROM webhooks) < $16",
        )
        .bind(&row.id)
        .bind(&row.url)
        .bind(&row.kinds)
        .bind(&row.secret)
        .bind(&row.ca)
        .bind(row.created_at)
        .bind(&row.created_by)
        .bind(&row.off)
        .bind(row.told)
        .bind(row.next_at)
        .bind(row.delivered)
        .bind(row.failures)
        .bind(row.failing_since)
        .bind(row.tried_at)
        .bind(&row.error)
        .bind(limit)
        .execute(&self.pool)
        .await?;
        Ok(written.rows_affected() == 1)
    }

    /// Writes down where telling it stands, if `next_at` is still `held`: whoever wrote it last has it.
    pub async fn put_webhook(&self, row: &WebhookRow, held: i64) -> Result<bool, StoreError> {
        let written = sqlx::query(
            "UPDATE webhooks SET kinds = $2, off = $3, told = $4, next_at = $5, delivered = $6, failures = $7, \
             failing_since = $8, tried_at = $9, error = $10 WHERE id = $1 AND next_at = $11",
        )
        .bind(&row.id)
        .bind(&row.kinds)
        .bind(&row.off)
        .bind(row.told)
        .bind(row.next_at)
        .bind(row.delivered)
        .bind(row.failures)
        .bind(row.failing_since)
        .bind(row.tried_at)
        .bind(&row.error)
        .bind(held)
        .execute(&self.pool)
        .await?;
        Ok(written.rows_affected() == 1)
    }

    /// Removes one; whether it was there.
    pub async fn remove_webhook(&self, id: &str) -> Result<bool, StoreError> {
        let written = sqlx::query("DELETE FROM webhooks WHERE id = $1").bind(id).execute(&self.pool).await?;
        Ok(written.rows_affected() == 1)
    }
}
