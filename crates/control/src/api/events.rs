//! What happened: a list, a stream, and the log of triggers.

use super::Api;
use super::auth::Viewer;
use super::extract::Params;
use super::problem::{Problem, Refusals};
use crate::service::Service;
use crate::service::events::{EventFilter, EventPage, EventView, TriggerPage};
use crate::service::page::page_start;
use crate::service::rollouts::After;
use crate::store::event::EventRow;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;
use utoipa::IntoParams;

/// How often it is looked whether a reader may still read.
const LOOK: Duration = Duration::from_secs(2);
/// Events read from the store at a time.
const READ_AT_ONCE: u32 = 500;

/// What happened
#[utoipa::path(get, path = "/events", tag = "events", security(("token" = [])), params(EventFilter),
    responses((status = 200, body = EventPage), Refusals))]
pub async fn list(
    State(api): State<Api>,
    _: Viewer,
    Params(filter): Params<EventFilter>,
) -> Result<Json<EventPage>, Problem> {
    Ok(Json(api.service.events(&filter).await?))
}

/// Every trigger and abort, as written down before it was published
#[utoipa::path(get, path = "/triggers", tag = "events", security(("token" = [])), params(After),
    responses((status = 200, body = TriggerPage), Refusals))]
pub async fn triggers(
    State(api): State<Api>,
    _: Viewer,
    Params(page): Params<After>,
) -> Result<Json<TriggerPage>, Problem> {
    Ok(Json(api.service.triggers(&page).await?))
}

/// Which events to be told of.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamFilter {
    /// Those after this number, those of the past first; absent = from now on. `Last-Event-ID` says the same.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// Only of this rollout.
    rollout: Option<String>,
}

/// What happens, as server-sent events
///
/// `id` is the event's number, `event` its kind, `data` the event as `GET /events` has it. None is left out: who falls
/// behind gets what was missed from the store. The stream ends soon after its token was revoked.
#[utoipa::path(get, path = "/events/stream", tag = "events", security(("token" = [])),
    params(StreamFilter, ("Last-Event-ID" = Option<i64>, Header, description = "Go on after this event")),
    responses((status = 200, body = String, content_type = "text/event-stream"), Refusals))]
pub async fn stream(
    State(api): State<Api>,
    Viewer(who): Viewer,
    Params(filter): Params<StreamFilter>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let named = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let named: Option<i64> = match named {
        None => None,
        Some(text) => {
            Some(text.parse().map_err(|_| Problem::malformed("Last-Event-ID is no event's number"))?)
        }
    };
    let after = match named.or(filter.after) {
        None => None,
        after => Some(page_start(after)?),
    };
    let events = follow(api.service, filter.rollout, after, Reader::Token(who.token));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Who follows events.
pub(crate) enum Reader {
    /// Whoever has the token with this id.
    Token(String),
    /// Whoever has a session with this secret.
    Session(String),
}

/// What happens from now on, or after an event: those of the past first. It ends when its reader may read no more.
pub(crate) fn follow(
    service: Service,
    rollout: Option<String>,
    after: Option<i64>,
    reader: Reader,
) -> impl Stream<Item = Result<Event, Infallible>> {
    // Listening begins before the past is read, so that nothing falls between the two.
    let live = service.listen();
    let follower = Follower {
        service,
        rollout,
        last: after.unwrap_or(0),
        is_behind: after.is_some(),
        ready: VecDeque::new(),
        live,
        reader,
        allowed_at: Instant::now(),
    };
    futures_util::stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

/// Somebody who follows events.
struct Follower {
    service: Service,
    rollout: Option<String>,
    /// The last event that was passed on.
    last: i64,
    /// There may be events in the store that were not passed on.
    is_behind: bool,
    ready: VecDeque<EventView>,
    live: Receiver<EventRow>,
    reader: Reader,
    /// When the reader was last found to be allowed to read.
    allowed_at: Instant,
}

impl Follower {
    /// Whether the reader may still read. Who cannot be asked about may not.
    async fn is_allowed(&mut self) -> bool {
        if self.allowed_at.elapsed() < LOOK {
            return true;
        }
        let is_allowed = match &self.reader {
            Reader::Token(id) => matches!(self.service.store.token(id).await, Ok(Some(_))),
            Reader::Session(secret) => matches!(self.service.session(secret).await, Ok(Some(_))),
        };
        self.allowed_at = Instant::now();
        is_allowed
    }

    /// The next event; nothing more after the engine has ended or the store cannot be read: the client comes back. Nothing
    /// more either for a reader whose token was revoked or whose session has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if !self.is_allowed().await {
                return None;
            }
            if let Some(view) = self.ready.pop_front() {
                self.last = view.seq;
                let event = Event::default().id(view.seq.to_string()).event(&view.kind);
                return event.json_data(&view).ok();
            }
            if self.is_behind {
                let filter = EventFilter {
                    after: Some(self.last),
                    limit: Some(READ_AT_ONCE),
                    rollout: self.rollout.clone(),
                    newest: false,
                };
                let page = self.service.events(&filter).await.ok()?;
                self.is_behind = page.next.is_some();
                self.ready.extend(page.items);
                continue;
            }
            // Also when nothing happens, the reader is looked at from time to time.
            let Ok(received) = timeout_at(self.allowed_at + LOOK, self.live.recv()).await else { continue };
            match received {
                Ok(row) => {
                    let is_wanted = self.rollout.is_none() || self.rollout == row.rollout_id;
                    if is_wanted && row.seq > self.last {
                        self.ready.push_back(row.into());
                    }
                }
                Err(RecvError::Lagged(_)) => self.is_behind = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
