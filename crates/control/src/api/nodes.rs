//! Nodes and meshes.

use super::Api;
use super::auth::{Operator, Viewer};
use super::extract::{Body, Params, Part};
use super::problem::{Problem, Refusals};
use crate::service::nodes::{MeshChange, MeshView, NodeChange, NodeFilter, NodePage, NodeView, parse_id};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// Every node that was heard of
#[utoipa::path(get, path = "/nodes", tag = "fleet", params(NodeFilter), security(("token" = [])),
    responses((status = 200, body = NodePage), Refusals))]
pub async fn list(
    State(api): State<Api>,
    _: Viewer,
    Params(filter): Params<NodeFilter>,
) -> Result<Json<NodePage>, Problem> {
    Ok(Json(api.service.nodes(&filter).await?))
}

/// One node
#[utoipa::path(get, path = "/nodes/{id}", tag = "fleet", security(("token" = [])),
    params(("id" = String, Path, description = "Its id as a number or a MAC address")),
    responses((status = 200, body = NodeView), Refusals))]
pub async fn show(
    State(api): State<Api>,
    _: Viewer,
    Part(id): Part<String>,
) -> Result<Json<NodeView>, Problem> {
    Ok(Json(api.service.node(parse_id(&id)?).await?))
}

/// Give a node a name or tags
#[utoipa::path(patch, path = "/nodes/{id}", tag = "fleet", security(("token" = [])), request_body = NodeChange,
    params(("id" = String, Path, description = "Its id as a number or a MAC address")),
    responses((status = 200, body = NodeView), Refusals))]
pub async fn change(
    State(api): State<Api>,
    _: Operator,
    Part(id): Part<String>,
    Body(change): Body<NodeChange>,
) -> Result<Json<NodeView>, Problem> {
    Ok(Json(api.service.change_node(parse_id(&id)?, change).await?))
}

/// Forget a node; it comes back when it is heard of again
#[utoipa::path(delete, path = "/nodes/{id}", tag = "fleet", security(("token" = [])),
    params(("id" = String, Path, description = "Its id as a number or a MAC address")),
    responses((status = 204, description = "It is forgotten"), Refusals))]
pub async fn forget(
    State(api): State<Api>,
    _: Operator,
    Part(id): Part<String>,
) -> Result<StatusCode, Problem> {
    api.service.forget_node(parse_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Every mesh that was heard of
#[utoipa::path(get, path = "/meshes", tag = "fleet", security(("token" = [])),
    responses((status = 200, body = Vec<MeshView>), Refusals))]
pub async fn meshes(State(api): State<Api>, _: Viewer) -> Result<Json<Vec<MeshView>>, Problem> {
    Ok(Json(api.service.meshes().await?))
}

/// Give a mesh a title and a time zone
#[utoipa::path(put, path = "/meshes", tag = "fleet", security(("token" = [])), request_body = MeshChange,
    responses((status = 204, description = "It has them"), Refusals))]
pub async fn put_mesh(
    State(api): State<Api>,
    _: Operator,
    Body(change): Body<MeshChange>,
) -> Result<StatusCode, Problem> {
    api.service.change_mesh(change).await?;
    Ok(StatusCode::NO_CONTENT)
}
