//! Server-sent events for open pages: the API's stream, opened by the session's cookie instead of a token.

use super::Site;
use super::session::Viewer;
use crate::api::events::follow;
use axum::extract::{Query, State};
use axum::response::sse::KeepAlive;
use axum::response::{IntoResponse, Response, Sse};
use futures_util::StreamExt as _;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::sleep;

/// After so long the stream ends and the page asks again: a session that has ended, or whose token was revoked, hears
/// nothing more.
const LONGEST: Duration = Duration::from_secs(60);

/// Which events.
#[derive(Deserialize)]
pub struct Wish {
    rollout: Option<String>,
}

/// What happens from now on.
pub async fn stream(State(site): State<Site>, _: Viewer, Query(wish): Query<Wish>) -> Response {
    let events = follow(site.service, wish.rollout, None).take_until(Box::pin(sleep(LONGEST)));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
