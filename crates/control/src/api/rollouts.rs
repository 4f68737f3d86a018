//! Rollouts.

use super::Api;
use super::auth::{Operator, Viewer};
use super::extract::{Body, Params, Part, check_text, cut, page_size};
use super::idempotency::once;
use super::problem::{Problem, Refusals};
use super::releases::Before;
use crate::clock::rfc3339;
use crate::engine::{NewRollout, Order};
use crate::store::rollout::{RolloutRow, UpdateRow};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rootcast_rollout::Spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// A rollout to begin, or to try on paper.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRolloutBody {
    /// The release's id.
    release: String,
    /// What to call it.
    #[serde(default)]
    name: String,
    /// What is asked for.
    #[serde(default)]
    spec: Spec,
}

/// A rollout.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RolloutView {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Its release's id.
    pub release: String,
    /// What was asked for.
    pub spec: Spec,
    /// How it stands: `scheduled`, `running`, `paused`, `stopped`, `aborted`, `succeeded` or `partial`.
    pub phase: String,
    /// The wave that is open, from 1.
    pub wave: i64,
    /// Why it stands as it does.
    pub reason: String,
    /// Why nodes whose turn it is are not started, with how many that are.
    pub holds: BTreeMap<String, u32>,
    /// How many nodes are in which state, by wave from 1.
    pub counts: Vec<WaveCount>,
    /// When it was asked for.
    pub created_at: String,
    /// By whom.
    pub created_by: String,
    /// When everything had ended.
    pub ended_at: Option<String>,
    /// Counts changes: the entity tag.
    pub revision: i64,
}

/// How many nodes of a wave are in a state.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WaveCount {
    /// The wave, from 1.
    pub wave: i64,
    /// The state.
    pub state: String,
    /// How many.
    pub nodes: i64,
}

/// A page of rollouts.
#[derive(Serialize, ToSchema)]
pub struct RolloutPage {
    /// The rollouts, newest first.
    pub items: Vec<RolloutView>,
    /// Give this as `before` for the next page; absent on the last one.
    pub next: Option<String>,
}

async fn view(api: &Api, row: RolloutRow) -> Result<RolloutView, Problem> {
    let counts = api.store.update_counts(&row.id).await?;
    Ok(RolloutView {
        spec: serde_json::from_str(&row.spec).unwrap_or_default(),
        holds: serde_json::from_str(&row.holds).unwrap_or_default(),
        counts: counts.into_iter().map(|(wave, state, nodes)| WaveCount { wave: wave + 1, state, nodes }).collect(),
        id: row.id,
        name: row.name,
        release: row.release_id,
        phase: row.phase,
        wave: row.wave + 1,
        reason: row.reason,
        created_at: rfc3339(row.created_at),
        created_by: row.created_by,
        ended_at: row.ended_at.map(rfc3339),
        revision: row.revision,
    })
}

async fn find(api: &Api, id: &str) -> Result<RolloutView, Problem> {
    let row = api.store.rollout(id).await?.ok_or_else(|| Problem::not_found("rollout"))?;
    view(api, row).await
}

/// What a rollout would do.
#[derive(Serialize, ToSchema)]
pub struct DryRun {
    /// Who would get an image, in the order of their turns.
    pub assigned: Vec<DryAssigned>,
    /// Who is selected and would not, and why.
    pub unassigned: Vec<DryUnassigned>,
}

/// A node that would get an image.
#[derive(Serialize, ToSchema)]
pub struct DryAssigned {
    /// Who.
    pub node: u64,
    /// Its mesh.
    pub mesh: String,
    /// In which wave, from 1.
    pub wave: usize,
    /// Which image: its place among the release's.
    pub image: usize,
    /// What may keep it waiting when its turn comes.
    pub note: Option<String>,
}

/// A node that would get none.
#[derive(Serialize, ToSchema)]
pub struct DryUnassigned {
    /// Who.
    pub node: u64,
    /// Its mesh.
    pub mesh: String,
    /// Why.
    pub reason: String,
}

fn check(new: &NewRolloutBody) -> Result<(), Problem> {
    check_text("name", &new.name, MAX_NAME_BYTES)?;
    new.spec.check().map_err(|error| Problem::unprocessable(error.to_string()))
}

/// Who would get what, and who not, and why; nothing is done
#[utoipa::path(post, path = "/api/v1/rollouts/dry-run", tag = "rollouts", security(("token" = [])),
    request_body = NewRolloutBody, responses((status = 200, body = DryRun), Refusals))]
pub async fn dry_run(
    State(api): State<Api>,
    _: Viewer,
    Body(new): Body<NewRolloutBody>,
) -> Result<Json<DryRun>, Problem> {
    check(&new)?;
    let (assignment, fleet) = api.engine.dry_run(new.release, new.spec).await?;
    let mesh = |id| fleet.nodes.get(&id).map(|node| node.mesh.clone()).unwrap_or_default();
    let assigned = assignment.assigned.into_iter().map(|it| DryAssigned {
        node: it.node.0,
        mesh: mesh(it.node),
        wave: it.wave + 1,
        image: it.variant,
        note: it.note,
    });
    let unassigned = assignment.unassigned.into_iter().map(|it| DryUnassigned {
        node: it.node.0,
        mesh: mesh(it.node),
        reason: it.reason,
    });
    Ok(Json(DryRun { assigned: assigned.collect(), unassigned: unassigned.collect() }))
}

/// Begin a rollout
#[utoipa::path(post, path = "/api/v1/rollouts", tag = "rollouts", security(("token" = [])),
    request_body = NewRolloutBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key twice begins one rollout")),
    responses((status = 201, body = RolloutView), Refusals))]
pub async fn create(
    State(api): State<Api>,
    Operator(who): Operator,
    headers: HeaderMap,
    Body(new): Body<NewRolloutBody>,
) -> Result<Response, Problem> {
    check(&new)?;
    let deed = async {
        let NewRolloutBody { release, name, spec } = new.clone();
        let id = api.engine.create(NewRollout { name, release, spec, by: who.name.clone() }).await?;
        find(&api, &id).await
    };
    once(&api, &who, &headers, &new, deed).await
}

/// Every rollout
#[utoipa::path(get, path = "/api/v1/rollouts", tag = "rollouts", security(("token" = [])), params(Before),
    responses((status = 200, body = RolloutPage), Refusals))]
pub async fn list(
    State(api): State<Api>,
    _: Viewer,
    Params(page): Params<Before>,
) -> Result<Json<RolloutPage>, Problem> {
    let size = page_size(page.limit)?;
    let rows = api.store.rollouts(page.before.as_deref(), i64::try_from(size).unwrap_or(0) + 1).await?;
    let (rows, next) = cut(rows, size, |row| row.id.clone());
    let mut items = Vec::new();
    for row in rows {
        items.push(view(&api, row).await?);
    }
    Ok(Json(RolloutPage { items, next }))
}

/// One rollout
#[utoipa::path(get, path = "/api/v1/rollouts/{id}", tag = "rollouts", security(("token" = [])),
    params(("id" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "An entity tag: 304 if it is still that one")),
    responses((status = 200, body = RolloutView), (status = 304, description = "It has not changed"), Refusals))]
pub async fn show(
    State(api): State<Api>,
    _: Viewer,
    Part(id): Part<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = find(&api, &id).await?;
    let tag = format!("\"{}\"", view.revision);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let value = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"0\""));
    if known == Some(tag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, value)]).into_response());
    }
    Ok(([(header::ETAG, value)], Json(view)).into_response())
}

/// One node's part in a rollout.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UpdateView {
    /// Who.
    pub node: i64,
    /// In which wave, from 1.
    pub wave: i64,
    /// How far it is.
    pub state: String,
    /// Since when.
    pub since: String,
    /// How far the node's step is, 0 to 100.
    pub progress: i64,
    /// Which attempt this is, from 1.
    pub attempt: i64,
    /// Triggers sent in this attempt.
    pub triggers: i64,
    /// Why it stands as it does.
    pub reason: String,
    /// An error's code.
    pub code: Option<String>,
    /// The image it gets.
    pub image_hash: String,
    /// What ran before: an image hash, or `elf:` and the first half of `app_elf_sha256`.
    pub before: Option<String>,
}

impl From<UpdateRow> for UpdateView {
    fn from(row: UpdateRow) -> Self {
        Self {
            node: row.node,
            wave: row.wave + 1,
            state: row.state,
            since: rfc3339(row.since),
            progress: row.progress,
            attempt: row.attempt,
            triggers: row.triggers,
            reason: row.reason,
            code: row.code,
            image_hash: row.image_hash,
            before: row.before_image,
        }
    }
}

/// A page of updates.
#[derive(Serialize, ToSchema)]
pub struct UpdatePage {
    /// The updates, by node.
    pub items: Vec<UpdateView>,
    /// Give this as `after` for the next page; absent on the last one.
    pub next: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// Only those after this number.
    #[param(minimum = 0)]
    pub after: Option<i64>,
    /// Items of the page: 1 to 1,000, 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// The nodes of a rollout
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/updates", tag = "rollouts", security(("token" = [])),
    params(("id" = String, Path), After), responses((status = 200, body = UpdatePage), Refusals))]
pub async fn updates(
    State(api): State<Api>,
    _: Viewer,
    Part(id): Part<String>,
    Params(page): Params<After>,
) -> Result<Json<UpdatePage>, Problem> {
    let size = page_size(page.limit)?;
    api.store.rollout(&id).await?.ok_or_else(|| Problem::not_found("rollout"))?;
    let limit = i64::try_from(size).unwrap_or(0) + 1;
    let rows = api.store.updates(&id, page.after.unwrap_or(-1), limit).await?;
    let (rows, next) = cut(rows, size, |row| row.node.to_string());
    Ok(Json(UpdatePage { items: rows.into_iter().map(UpdateView::from).collect(), next }))
}

async fn order(api: &Api, id: &str, headers: &HeaderMap, order: Order, by: &str) -> Result<Json<RolloutView>, Problem> {
    let revision = match headers.get(header::IF_MATCH) {
        None => None,
        Some(value) => {
            let tag = value.to_str().ok().and_then(|tag| tag.trim_matches('"').parse().ok());
            Some(tag.ok_or_else(|| Problem::malformed("If-Match is no entity tag of a rollout"))?)
        }
    };
    api.engine.order(id, order, revision, by).await?;
    find(api, id).await.map(Json)
}

/// Trigger nobody more until it is resumed
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/pause", tag = "rollouts", security(("token" = [])),
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
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/resume", tag = "rollouts", security(("token" = [])),
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
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/abort", tag = "rollouts", security(("token" = [])),
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
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/retry", tag = "rollouts", security(("token" = [])),
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
