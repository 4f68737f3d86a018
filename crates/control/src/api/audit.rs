//! Every request that could change something is written down: who, what, when, from where, and how it ended. Looking is
//! not; the query, which may hold what is nobody's business, is not either. Requests without a valid token change nothing
//! and go to the program's log only: a stranger must not be able to fill the database.

use super::Api;
use super::auth::by_header;
use super::problem::Problem;
use crate::clock::to_db;
use crate::metrics::Metrics;
use crate::service::tokens::Principal;
use crate::store::Store;
use crate::store::access::AuditRow;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rootcast_rollout::Moment;
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
    let source = source_of(&parts);
    let Some(principal) = principal else {
        Metrics::count(&api.service.metrics.unauthorized);
        tracing::info!(%source, method = %parts.method, path = parts.uri.path(), "a request without a valid token");
        return next.run(Request::from_parts(parts, body)).await;
    };
    parts.extensions.insert(principal.clone());
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let response = next.run(Request::from_parts(parts, body)).await;
    if matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return response;
    }
    let (store, now) = (&api.service.store, api.service.clock.now());
    record(store, now, &principal, source, &method, &format!("/api/v1{path}"), response.status()).await;
    response
}

/// Writes down that somebody asked for a change, and how that ended.
pub(crate) async fn record(
    store: &Store,
    now: Moment,
    who: &Principal,
    source: String,
    method: &Method,
    path: &str,
    status: StatusCode,
) {
    let row = AuditRow {
        seq: 0,
        at: to_db(now),
        who: format!("{} ({})", who.name, who.token),
        role: who.role.name().to_owned(),
        source,
        method: method.to_string(),
        path: path.get(..path.floor_char_boundary(MAX_PATH_BYTES)).unwrap_or_default().to_owned(),
        status: status.as_u16().into(),
    };
    if let Err(error) = store.add_audit(&row).await {
        // What was done is done; that it could not be written down must not go unseen.
        tracing::error!(%error, ?row, "a change could not be written into the audit log");
    }
}

/// From which address a request comes, as far as is known.
pub(crate) fn source_of(parts: &Parts) -> String {
    let source = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.to_string());
    source.unwrap_or_else(|| "-".to_owned())
}
