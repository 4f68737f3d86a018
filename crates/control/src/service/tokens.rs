//! Tokens and roles, and the audit log.
//!
//! A token is `rc_<id>_<secret>`: eight and 32 random bytes in hexadecimal. The store has the secret's SHA-256, which is
//! enough for a secret of 256 random bits; comparing takes the same time however much of it is right.

use super::page::{check_text, cut, one_more, page_size, page_start};
use super::rollouts::After;
use super::{Service, ServiceError};
use crate::clock::{rfc3339, to_db};
use crate::id::{NoRandomness, random, sha256_hex};
use crate::store::access::{AuditRow, TokenRow};
use crate::store::{Store, StoreError};
use rootcast_rollout::Moment;
use rootcast_wire::text::Hex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest name of a token, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// What a token lets somebody do; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Upload, and run rollouts.
    Operator,
    /// Make and revoke tokens, read the audit log.
    Admin,
}

impl Role {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// The role with this word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Role::Viewer, Role::Operator, Role::Admin].into_iter().find(|role| role.name() == name)
    }
}

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Principal {
    /// The token's id.
    pub token: String,
    /// The token's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// Makes a token, and returns it with its row. The text is shown once; nothing can make it again.
pub fn make_token(name: &str, role: Role, now: Moment) -> Result<(String, TokenRow), NoRandomness> {
    let (id, secret) = (random::<8>()?, random::<32>()?);
    let (id, secret) = (Hex(&id).to_string(), Hex(&secret).to_string());
    let row = TokenRow {
        id: id.clone(),
        name: name.to_owned(),
        role: role.name().to_owned(),
        hash: sha256_hex(secret.as_bytes()),
        created_at: to_db(now),
        revoked_at: None,
    };
    Ok((format!("rc_{id}_{secret}"), row))
}

/// Whose token this is; `None` if it is nobody's, or was revoked.
pub async fn authenticate(store: &Store, token: &str) -> Result<Option<Principal>, StoreError> {
    let Some((id, secret)) = token.strip_prefix("rc_").and_then(|rest| rest.split_once('_')) else {
        return Ok(None);
    };
    if id.len() != 16 || !id.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let Some(row) = store.token(id).await? else { return Ok(None) };
    // Both sides are hashes: what time a comparison takes says nothing about the secret.
    if row.hash != sha256_hex(secret.as_bytes()) {
        return Ok(None);
    }
    Ok(Role::from_name(&row.role).map(|role| Principal { token: row.id, name: row.name, role }))
}

/// A token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id, the public part.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it lets somebody do.
    pub role: Role,
    /// When it was made.
    pub created_at: String,
    /// When it was revoked.
    pub revoked_at: Option<String>,
}

/// A token to make.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// What it lets somebody do.
    pub role: Role,
}

/// A token that was made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// The token itself. It is shown once, here.
    pub token: String,
    /// What is known of it later.
    #[serde(flatten)]
    pub view: TokenView,
}

/// One line of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// Its number.
    pub seq: i64,
    /// When.
    pub at: String,
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

/// A page of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The lines, oldest first.
    pub items: Vec<AuditView>,
    /// Give this as `after` for the next page; absent on the last one.
    pub next: Option<String>,
}

fn audit_view(row: AuditRow) -> AuditView {
    AuditView {
        seq: row.seq,
        at: rfc3339(row.at),
        who: row.who,
        role: row.role,
        source: row.source,
        method: row.method,
        path: row.path,
        status: row.status,
    }
}

fn token_view(row: TokenRow) -> TokenView {
    TokenView {
        id: row.id,
        name: row.name,
        role: Role::from_name(&row.role).unwrap_or(Role::Viewer),
        created_at: rfc3339(row.created_at),
        revoked_at: row.revoked_at.map(rfc3339),
    }
}

impl Service {
    /// Every token.
    pub async fn tokens(&self) -> Result<Vec<TokenView>, ServiceError> {
        Ok(self.store.tokens().await?.into_iter().map(token_view).collect())
    }

    /// Makes a token.
    pub async fn create_token(&self, new: NewToken) -> Result<MadeToken, ServiceError> {
        check_text("name", &new.name, MAX_NAME_BYTES)?;
        if new.name.is_empty() {
            return Err(ServiceError::Invalid("a token has a name: it stands in the audit log".to_owned()));
        }
        let (token, row) = make_token(&new.name, new.role, self.clock.now())?;
        self.store.add_token(&row).await?;
        Ok(MadeToken { token, view: token_view(row) })
    }

    /// Revokes a token: from now on it opens nothing.
    pub async fn revoke_token(&self, id: &str) -> Result<(), ServiceError> {
        match self.store.revoke_token(id, to_db(self.clock.now())).await? {
            true => Ok(()),
            false => Err(ServiceError::NotFound("such token that is valid".to_owned())),
        }
    }

    /// The audit log, oldest first.
    pub async fn audit(&self, page: &After) -> Result<AuditPage, ServiceError> {
        let size = page_size(page.limit)?;
        let rows = self.store.audit(page_start(page.after)?, one_more(size)).await?;
        let (rows, next) = cut(rows, size, |row| row.seq.to_string());
        Ok(AuditPage { items: rows.into_iter().map(audit_view).collect(), next })
    }

    /// The audit log, newest first, lines before `before` only.
    pub async fn newest_audit(&self, before: Option<i64>, limit: u32) -> Result<AuditPage, ServiceError> {
        let size = page_size(Some(limit))?;
        let rows = self.store.newest_audit(before.unwrap_or(i64::MAX), one_more(size)).await?;
        let (rows, next) = cut(rows, size, |row| row.seq.to_string());
        Ok(AuditPage { items: rows.into_iter().map(audit_view).collect(), next })
    }
}
