//! Sessions of the web page.

use super::access::TokenRow;
use super::{Store, StoreError};

/// Sessions that one token may have at a time; with one more, its oldest one ends.
const MAX_SESSIONS_OF_A_TOKEN: i64 = 50;

impl Store {
    /// Adds a session, and forgets those that have ended.
    pub async fn add_session(
        &self,
        hash: &str,
        token_id: &str,
        at: i64,
        expires_at: i64,
    ) -> Result<(), StoreError> {
        let mut work = self.pool.begin().await?;
        sqlx::query("DELETE FROM sessions WHERE expires_at <= $1").bind(at).execute(&mut *work).await?;
        sqlx::query("INSERT INTO sessions (hash, token_id, created_at, expires_at) VALUES ($1,$2,$3,$4)")
            .bind(hash)
            .bind(token_id)
            .bind(at)
            .bind(expires_at)
            .execute(&mut *work)
            .await?;
        sqlx::query(
            "DELETE FROM sessions WHERE token_id = $1 AND hash NOT IN \
             (SELECT hash FROM sessions WHERE token_id = $1 ORDER BY created_at DESC, hash LIMIT $2)",
        )
        .bind(token_id)
        .bind(MAX_SESSIONS_OF_A_TOKEN)
        .execute(&mut *work)
        .await?;
        work.commit().await?;
        Ok(())
    }

    /// The token that a session was opened with, if neither has ended.
    pub async fn session_token(&self, hash: &str, now: i64) -> Result<Option<TokenRow>, StoreError> {
        let query = sqlx::query_as(
            "SELECT tokens.* FROM sessions JOIN tokens ON tokens.id = sessions.token_id \
             WHERE sessions.hash = $1 AND sessions.expires_at > $2 AND tokens.revoked_at IS NULL",
        );
        Ok(query.bind(hash).bind(now).fetch_optional(&self.pool).await?)
    }

    /// Ends a session.
    pub async fn end_session(&self, hash: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions WHERE hash = $1").bind(hash).execute(&self.pool).await?;
        Ok(())
    }
}
