//! Every request that could change something is written down: who, what, when, from where, and how it ended. Looking is
//! not; the query, which may hold what is nobody's business, is not either.

use super::Api;
use super::auth::by_header;
use super::problem::Problem;
use crate::clock::to_db;
use crate::store::access::AuditRow;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;

/// The longest path that is written down, in bytes.
const MAX_PATH_BYTES: usize = 200;

/// Finds out who sends a request, lets it be answered, and writes both down.
pub async fn write_down(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let principal = match by_header(&parts, &api).await {
        Ok(principal) => principal,
        Err(error) => return Problem::from(error).into_response(),
    };
    if let Some(principal) = principal.clone() {
        parts.extensions.insert(principal);
    }
    let source = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.to_string());
    let (method, mut path) = (parts.method.clone(), parts.uri.path().to_owned());
    let response = next.run(Request::from_parts(parts, body)).await;
    if matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return response;
    }
    path.truncate(path.floor_char_boundary(MAX_PATH_BYTES));
    let row = AuditRow {
        seq: 0,
        at: to_db(api.clock.now()),
        who: principal.as_ref().map_or("-".to_owned(), |it| format!("{} ({})", it.name, it.token)),
        role: principal.as_ref().map_or("-", |it| it.role.name()).to_owned(),
        source: source.unwrap_or_else(|| "-".to_owned()),
        method: method.to_string(),
        path: format!("/api/v1{path}"),
        status: response.status().as_u16().into(),
    };
    match api.store.add_audit(&row).await {
        Ok(()) => response,
        // What was done is done; that it could not be written down must not go unseen.
        Err(error) => {
            tracing::error!(%error, method = row.method, path = row.path, "a change could not be written into the audit log");
            response
        }
    }
}
