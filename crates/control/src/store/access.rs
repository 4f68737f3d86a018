//! Tokens, the audit log, and answers kept for repeated requests.

use super::{Store, StoreError};
use sqlx::FromRow;

/// A token as stored. The secret itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct TokenRow {
    /// Its id, the public part.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// SHA-256 of the secret part.
    pub hash: String,
    /// When it was made.
    pub created_at: i64,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
}

/// One line of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct AuditRow {
    /// Its number.
    pub seq: i64,
    /// When.
    pub at: i64,
    /// The token's name and id, or `-`.
    pub who: String,
    /// Its role, or `-`.
    pub role: String,
    /// From which address.
    pub source: String,
    /// The request's method.
    pub method: String,
    /// The request's path.
    pub path: String,
    /// The answer's status.
    pub status: i64,
}

/// An answer that was given before.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct AnswerRow {
    /// A hash of the request that it was given to.
    pub request: String,
    /// Its status.
    pub status: i64,
    /// Its body.
    pub body: String,
}

impl Store {
    /// Every token.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM tokens ORDER BY created_at, id").fetch_all(&self.pool).await?)
    }

    /// A token that was not revoked.
    pub async fn token(&self, id: &str) -> Result<Option<TokenRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM tokens WHERE id = $1 AND revoked_at IS NULL");
        Ok(query.bind(id).fetch_optional(&self.pool).await?)
    }

    /// Adds a token.
    pub async fn add_token(&self, token: &TokenRow) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO tokens (id, name, role, hash, created_at) VALUES ($1,$2,$3,$4,$5)")
            .bind(&token.id)
            .bind(&token.name)
            .bind(&token.role)
            .bind(&token.hash)
            .bind(token.created_at)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Revokes a token. False if there is none that is valid.
    pub async fn revoke_token(&self, id: &str, at: i64) -> Result<bool, StoreError> {
        let query = sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL");
        Ok(query.bind(at).bind(id).execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Appends to the audit log.
    pub async fn add_audit(&self, row: &AuditRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO audit (at, who, role, source, method, path, status) VALUES ($1,$2,$3,$4,$5,$6,$7)",
        )
        .bind(row.at)
        .bind(&row.who)
        .bind(&row.role)
        .bind(&row.source)
        .bind(&row.method)
        .bind(&row.path)
        .bind(row.status)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The audit log, oldest first, lines after `after` only.
    pub async fn audit(&self, after: i64, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2");
        Ok(query.bind(after).bind(limit).fetch_all(&self.pool).await?)
    }

    /// The audit log, newest first, lines before `before` only.
    pub async fn newest_audit(&self, before: i64, limit: i64) -> Result<Vec<AuditRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2");
        Ok(query.bind(before).bind(limit).fetch_all(&self.pool).await?)
    }

    /// The answer that was given to a request with this key.
    pub async fn answer(&self, token: &str, key: &str) -> Result<Option<AnswerRow>, StoreError> {
        let query =
            sqlx::query_as("SELECT request, status, body FROM idempotency WHERE token_id = $1 AND key = $2");
        Ok(query.bind(token).bind(key).fetch_optional(&self.pool).await?)
    }

    /// Keeps an answer, and forgets those older than `forget_before`.
    pub async fn keep_answer(
        &self,
        token: &str,
        key: &str,
        answer: &AnswerRow,
        at: i64,
        forget_before: i64,
    ) -> Result<(), StoreError> {
        let mut work = self.pool.begin().await?;
        sqlx::query("DELETE FROM idempotency WHERE at < $1").bind(forget_before).execute(&mut *work).await?;
        sqlx::query(
            "INSERT INTO idempotency (token_id, key, request, status, body, at) VALUES ($1,$2,$3,$4,$5,$6) \
             ON CONFLICT (token_id, key) DO NOTHING",
        )
        .bind(token)
        .bind(key)
        .bind(&answer.request)
        .bind(answer.status)
        .bind(&answer.body)
        .bind(at)
        .execute(&mut *work)
        .await?;
        work.commit().await?;
        Ok(())
    }
}
