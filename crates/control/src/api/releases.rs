//! Files and releases.

use super::Api;
use super::auth::{Operator, Viewer};
use super::extract::{Body, Params, Part};
use super::idempotency::once;
use super::problem::{Problem, Refusals};
use crate::service::releases::{Before, FileView, HostView, NewRelease, ReleasePage, ReleaseView};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

/// Upload an app image
///
/// The body is the file. It is checked as a node would check it before anything is kept.
#[utoipa::path(post, path = "/files", tag = "releases", security(("token" = [])),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = FileView), Refusals))]
pub async fn upload(
    State(api): State<Api>,
    _: Operator,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<FileView>), Problem> {
    let bytes = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    Ok((StatusCode::CREATED, Json(api.service.upload(bytes).await?)))
}

/// Where nodes find files, and where to upload more of them
///
/// `PUT` with this API's token and role operator stores a file in a folder there: what a signed release leads to.
#[utoipa::path(get, path = "/host", tag = "releases", security(("token" = [])),
    responses((status = 200, body = HostView), Refusals))]
pub async fn host(State(api): State<Api>, _: Viewer) -> Json<HostView> {
    Json(api.service.host())
}

/// Make a release of files that were uploaded, or of what lies behind a URL
///
/// What lies behind a URL is checked as nodes would check it, with everything that a signed release leads to. That can take a while.
#[utoipa::path(post, path = "/releases", tag = "releases", security(("token" = [])), request_body = NewRelease,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key twice makes one release")),
    responses((status = 201, body = ReleaseView), Refusals))]
pub async fn create(
    State(api): State<Api>,
    Operator(who): Operator,
    headers: HeaderMap,
    Body(new): Body<NewRelease>,
) -> Result<Response, Problem> {
    let deed = async { Ok(api.service.create_release(&new, &who.name).await?) };
    once(&api, &who, &headers, &new, deed).await
}

/// Every release
#[utoipa::path(get, path = "/releases", tag = "releases", security(("token" = [])), params(Before),
    responses((status = 200, body = ReleasePage), Refusals))]
pub async fn list(
    State(api): State<Api>,
    _: Viewer,
    Params(page): Params<Before>,
) -> Result<Json<ReleasePage>, Problem> {
    Ok(Json(api.service.releases(&page).await?))
}

/// One release
#[utoipa::path(get, path = "/releases/{id}", tag = "releases", security(("token" = [])),
    params(("id" = String, Path)), responses((status = 200, body = ReleaseView), Refusals))]
pub async fn show(
    State(api): State<Api>,
    _: Viewer,
    Part(id): Part<String>,
) -> Result<Json<ReleaseView>, Problem> {
    Ok(Json(api.service.release(&id).await?))
}

/// Remove a release that no rollout names; files that no other release names go with it
#[utoipa::path(delete, path = "/releases/{id}", tag = "releases", security(("token" = [])),
    params(("id" = String, Path)), responses((status = 204, description = "It is gone"), Refusals))]
pub async fn remove(
    State(api): State<Api>,
    _: Operator,
    Part(id): Part<String>,
) -> Result<StatusCode, Problem> {
    api.service.remove_release(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
