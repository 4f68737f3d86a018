//! Rollouts.

use super::Api;
use super::auth::{Operator, Viewer};
use super::extract::{Body, Params, Part};
use super::idempotency::once;
use super::problem::{Problem, Refusals};
use crate::engine::Order;
use crate::service::releases::Before;
use crate::service::rollouts::{After, DryRun, RolloutPage, RolloutRequest, RolloutView, UpdatePage};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

/// Who would get what, and who not, and why; nothing is done
#[utoipa::path(post, path = "/rollouts/dry-run", tag = "rollouts", security(("token" = [])),
    request_body = RolloutRequest, responses((status = 200, body = DryRun), Refusals))]
pub async fn dry_run(
    State(api): State<Api>,
    _: Viewer,
    Body(new): Body<RolloutRequest>,
) -> Result<Json<DryRun>, Problem> {
    Ok(Json(api.service.dry_run(new).await?))
}

/// Begin a rollout
#[utoipa::path(post, path = "/rollouts", tag = "rollouts", security(("token" = [])), request_body = RolloutRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key twice begins one rollout")),
    responses((status = 201, body = RolloutView), Refusals))]
pub async fn create(
    State(api): State<Api>,
    Operator(who): Operator,
    headers: HeaderMap,
    Body(new): Body<RolloutRequest>,
) -> Result<Response, Problem> {
    let deed = async { Ok(api.service.create_rollout(new.clone(), &who.name).await?) };
    once(&api, &who, &headers, &new, deed).await
}

/// Every rollout
#[utoipa::path(get, path = "/rollouts", tag = "rollouts", security(("token" = [])), params(Before),
    responses((status = 200, body = RolloutPage), Refusals))]
pub async fn list(
    State(api): State<Api>,
    _: Viewer,
    Params(page): Params<Before>,
) -> Result<Json<RolloutPage>, Problem> {
    Ok(Json(api.service.rollouts(&page).await?))
}

/// One rollout
#[utoipa::path(get, path = "/rollouts/{id}", tag = "rollouts", security(("token" = [])),
    params(("id" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "An entity tag: 304 if it is still that one")),
    responses((status = 200, body = RolloutView), (status = 304, description = "It has not changed"), Refusals))]
pub async fn show(
    State(api): State<Api>,
    _: Viewer,
    Part(id): Part<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = api.service.rollout(&id).await?;
    let tag = format!("\"{}\"", view.revision);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let value = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"0\""));
    if known == Some(tag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, value)]).into_response());
    }
    Ok(([(header::ETAG, value)], Json(view)).into_response())
}

/// The nodes of a rollout
#[utoipa::path(get, path = "/rollouts/{id}/updates", tag = "rollouts", security(("token" = [])),
    params(("id" = String, Path), After), responses((status = 200, body = UpdatePage), Refusals))]
pub async fn updates(
    State(api): State<Api>,
    _: Viewer,
    Part(id): Part<String>,
    Params(page): Params<After>,
) -> Result<Json<UpdatePage>, Problem> {
    Ok(Json(api.service.updates(&id, &page).await?))
}

async fn order(
    api: &Api,
    id: &str,
    headers: &HeaderMap,
    order: Order,
    by: &str,
) -> Result<Json<RolloutView>, Problem> {
    let revision = match headers.get(header::IF_MATCH) {
        None => None,
        Some(value) => {
            let tag = value.to_str().ok().and_then(|tag| tag.trim_matches('"').parse().ok());
            Some(tag.ok_or_else(|| Problem::malformed("If-Match is no entity tag of a rollout"))?)
        }
    };
    Ok(Json(api.service.order(id, order, revision, by).await?))
}

/// Trigger nobody more until it is resumed
#[utoipa::path(post, path = "/rollouts/{id}/pause", tag = "rollouts", security(("token" = [])),
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this one")),
    responses((status = 200, body = RolloutView), Refusals))]
pub async fn pause(
    State(api): State<Api>,
    Operator(who): Operator,
    Part(id): Part<String>,
    headers: HeaderMap,
) -> Result<Json<RolloutView>, Problem> {
    order(&api, &id, &headers, Order::Pause, &who.name).await
}

/// Go on with a paused rollout
#[utoipa::path(post, path = "/rollouts/{id}/resume", tag = "rollouts", security(("token" = [])),
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this one")),
    responses((status = 200, body = RolloutView), Refusals))]
pub async fn resume(
    State(api): State<Api>,
    Operator(who): Operator,
    Part(id): Part<String>,
    headers: HeaderMap,
) -> Result<Json<RolloutView>, Problem> {
    order(&api, &id, &headers, Order::Resume, &who.name).await
}

/// End a rollout: nobody more is triggered, and who has not switched drops the update
#[utoipa::path(post, path = "/rollouts/{id}/abort", tag = "rollouts", security(("token" = [])),
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "Only if it is still this one")),
    responses((status = 200, body = RolloutView), Refusals))]
pub async fn abort(
    State(api): State<Api>,
    Operator(who): Operator,
    Part(id): Part<String>,
    headers: HeaderMap,
) -> Result<Json<RolloutView>, Problem> {
    order(&api, &id, &headers, Order::Abort, &who.name).await
}

/// How to try again.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RetryOptions {
    /// Install even an image that failed its trial on a node before.
    #[serde(default)]
    force: bool,
}

/// Try again with the nodes that did not make it
#[utoipa::path(post, path = "/rollouts/{id}/retry", tag = "rollouts", security(("token" = [])),
    params(("id" = String, Path), RetryOptions,
        ("If-Match" = Option<String>, Header, description = "Only if it is still this one")),
    responses((status = 200, body = RolloutView), Refusals))]
pub async fn retry(
    State(api): State<Api>,
    Operator(who): Operator,
    Part(id): Part<String>,
    Params(options): Params<RetryOptions>,
    headers: HeaderMap,
) -> Result<Json<RolloutView>, Problem> {
    order(&api, &id, &headers, Order::Retry { force: options.force }, &who.name).await
}
