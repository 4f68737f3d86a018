//! Tokens and roles.
//!
//! A token is `rc_<id>_<secret>`: eight and 32 random bytes in hexadecimal. The store has the secret's SHA-256, which is
//! enough for a secret of 256 random bits; comparing takes the same time however much of it is right.

use super::Api;
use super::problem::Problem;
use crate::clock::to_db;
use crate::id::{NoRandomness, random, sha256_hex};
use crate::store::access::TokenRow;
use crate::store::{Store, StoreError};
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use rootcast_rollout::Moment;
use rootcast_wire::text::Hex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's id.
    pub token: String,
    /// The token's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// A request by somebody who may look.
pub struct Viewer(pub Principal);
/// A request by somebody who may run rollouts.
pub struct Operator(pub Principal);
/// A request by somebody who may do everything.
pub struct Admin(pub Principal);

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

async fn principal(parts: &mut Parts, api: &Api, least: Role) -> Result<Principal, Problem> {
    // The audit layer has asked already, if there is one.
    let known = parts.extensions.get::<Principal>().cloned();
    let principal = match known {
        Some(principal) => Some(principal),
        None => by_header(parts, api).await?,
    };
    let Some(principal) = principal else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "this needs a token: send it as \"Authorization: Bearer rc_…\"; `rootcast serve` printed the first one",
        ));
    };
    if principal.role < least {
        let (own, least) = (principal.role.name(), least.name());
        return Err(Problem::new(StatusCode::FORBIDDEN, format!("this needs the role {least}; the token has {own}")));
    }
    Ok(principal)
}

/// Whose token is in the request's header.
pub async fn by_header(parts: &Parts, api: &Api) -> Result<Option<Principal>, StoreError> {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match header.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) => authenticate(&api.store, token.trim()).await,
        None => Ok(None),
    }
}

macro_rules! extractor {
    ($name:ident) => {
        impl FromRequestParts<Api> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
                principal(parts, api, Role::$name).await.map(Self)
            }
        }
    };
}

extractor!(Viewer);
extractor!(Operator);
extractor!(Admin);
