//! Tokens, and the audit log.

use super::Api;
use super::auth::{Admin, Viewer};
use super::extract::{Body, Params, Part};
use super::problem::{Problem, Refusals};
use crate::service::rollouts::After;
use crate::service::tokens::{AuditPage, MadeToken, NewToken, Principal, TokenView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// Every token, without its secret
#[utoipa::path(get, path = "/tokens", tag = "access", security(("token" = [])),
    responses((status = 200, body = Vec<TokenView>), Refusals))]
pub async fn list(State(api): State<Api>, _: Admin) -> Result<Json<Vec<TokenView>>, Problem> {
    Ok(Json(api.service.tokens().await?))
}

/// Make a token; it is shown once
#[utoipa::path(post, path = "/tokens", tag = "access", security(("token" = [])), request_body = NewToken,
    responses((status = 201, body = MadeToken), Refusals))]
pub async fn create(
    State(api): State<Api>,
    _: Admin,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    Ok((StatusCode::CREATED, Json(api.service.create_token(new).await?)))
}

/// Revoke a token: from now on it opens nothing
#[utoipa::path(delete, path = "/tokens/{id}", tag = "access", security(("token" = [])),
    params(("id" = String, Path)), responses((status = 204, description = "It is revoked"), Refusals))]
pub async fn revoke(State(api): State<Api>, _: Admin, Part(id): Part<String>) -> Result<StatusCode, Problem> {
    api.service.revoke_token(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who changed what, when and from where
#[utoipa::path(get, path = "/audit", tag = "access", security(("token" = [])), params(After),
    responses((status = 200, body = AuditPage), Refusals))]
pub async fn audit(
    State(api): State<Api>,
    _: Admin,
    Params(page): Params<After>,
) -> Result<Json<AuditPage>, Problem> {
    Ok(Json(api.service.audit(&page).await?))
}

/// Whose token this is
#[utoipa::path(get, path = "/whoami", tag = "access", security(("token" = [])),
    responses((status = 200, body = Principal), Refusals))]
pub async fn whoami(Viewer(who): Viewer) -> Json<Principal> {
    Json(who)
}
