//! What happened, newest first.

use super::Site;
use super::error::Refused;
use super::layout::{Frame, Live, page};
use super::parts::{at, escape, mesh_link};
use super::session::Viewer;
use super::sight::{mac, names};
use crate::service::events::{EventFilter, EventView};
use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use rootcast_wire::NodeId;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Events shown at once.
const EVENTS: u32 = 100;

/// Which events.
#[derive(Deserialize)]
pub struct Wish {
    after: Option<i64>,
}

/// What happened.
pub async fn list(
    State(site): State<Site>,
    Viewer(session): Viewer,
    Query(wish): Query<Wish>,
) -> Result<Response, Refused> {
    let filter = EventFilter {
        after: wish.after.map(|after| after.max(0)),
        limit: Some(EVENTS),
        rollout: None,
        newest: wish.after.is_none(),
    };
    let mut events = site.service.events(&filter).await?.items;
    let first = events.first().map_or(0, |event| event.seq);
    events.reverse();
    let names = names(&site).await?;
    let older = Some(first - 1 - i64::from(EVENTS)).filter(|_| first > 1);
    let content = html! {
        h1 { "Events" }
        div #events data-live {
            @if events.is_empty() { p.empty { "Nothing happened yet." } }
            ol.log { @for event in &events { (line(event, &names, true)) } }
            p {
                @if let Some(older) = older { a.button href={ "/events?after=" (older.max(0)) } { "Older" } }
                @if wish.after.is_some() { " " a.button href="/events" { "Newest" } }
            }
        }
    };
    let mut frame = Frame::new("Events", Some(&session)).section("Events");
    if wish.after.is_none() {
        frame = frame.live(Live { rollout: None, every: 30 });
    }
    Ok(page(&frame, &content))
}

/// One event in a list; `names` are what people call nodes.
pub fn line(event: &EventView, names: &BTreeMap<u64, String>, with_links: bool) -> Markup {
    html! {
        li {
            (at(&event.at))
            " " span.kind { (event.kind) }
            " " span.log-text { (event.text) }
            @if with_links && let Some(rollout) = &event.rollout { " " a href={ "/rollouts/" (escape(rollout)) } { "rollout" } }
            @if let Some(node) = event.node { " " a href={ "/nodes/" (node) } { (names.get(&node).cloned().unwrap_or_else(|| mac(NodeId(node)))) } }
            @else if let Some(mesh) = &event.mesh { " " (mesh_link(mesh, None)) }
        }
    }
}
