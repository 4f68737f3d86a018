//! Server-sent events for open pages: the API's stream, opened by the session's cookie instead of a token.

use super::Site;
use super::session::Viewer;
use crate::api::events::{Reader, follow};
use axum::extract::{Query, State};
use axum::response::sse::KeepAlive;
use axum::response::{IntoResponse, Response, Sse};
use serde::Deserialize;

/// Which events.
#[derive(Deserialize)]
pub struct Wish {
    rollout: Option<String>,
}

/// What happens from now on, until the session ends.
pub async fn stream(State(site): State<Site>, Viewer(session): Viewer, Query(wish): Query<Wish>) -> Response {
    let events = follow(site.service, wish.rollout, None, Reader::Session(session.secret));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
