//! The web page: what the REST API can do, for people. Rendered here, over the same functions ([`crate::service`]); reads
//! without JavaScript, which only keeps an open page up to date.
//!
//! | module | pages |
//! |---|---|
//! | `fleet`, `mesh`, `nodes` | how everything stands; a mesh as a tree; nodes |
//! | `releases` | releases, upload |
//! | `rollouts`, `rollout_form`, `rollout_view` | rollouts: with a dry run first, then waves, nodes, reasons, orders |
//! | `events`, `access`, `webhooks` | what happened; tokens and the audit log; whom to tell |
//! | `docs` | `/api/docs`, the OpenAPI document for people |
//! | `login`, `session` | a token opens a session; each page names its least role in its handler's arguments |
//!
//! | module | what all of them need |
//! |---|---|
//! | `guard` | around every request: who, from which page, the audit log, headers that keep a browser on this machine |
//! | `forms` | what a form sent, and that it was one of ours |
//! | `error` | pages that say what is wrong |
//! | `layout`, `parts`, `assets` | the frame, the pieces, style and script |
//! | `sight` | the colour of a node's LED, with the reason |
//! | `live` | server-sent events for open pages |
//!
//! Markup is made by maud: every text is escaped, whoever it comes from, unless it is markup already.

mod access;
mod assets;
mod docs;
mod error;
mod events;
mod fleet;
mod forms;
mod guard;
mod layout;
mod live;
mod login;
mod mesh;
mod nodes;
mod parts;
mod releases;
mod rollout_form;
mod rollout_view;
mod rollouts;
mod session;
mod sight;
mod webhooks;

use crate::api::problem::Problem;
use crate::service::Service;
use crate::service::releases::MAX_FILE_BYTES;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use error::Refused;
use std::sync::Arc;

/// What a form around uploaded files may have beside them, in bytes.
const FORM_BYTES: usize = 64 << 10;

/// What handlers work with. Clones share it.
#[derive(Clone)]
struct Site {
    service: Service,
    /// Whether browsers come over TLS: the cookie then goes no other way.
    is_secure: bool,
    /// The page about the API, which never changes.
    docs: Arc<str>,
}

/// The pages, and with them the API ([`crate::api::routes`]). `is_secure`: browsers come over TLS, from here or from
/// a proxy.
pub fn router(service: Service, api: Router, is_secure: bool) -> Router {
    let docs = docs::render(&crate::api::document()).into_string().into();
    let site = Site { service, is_secure, docs };
    let uploads = Router::new()
        .route("/releases", post(releases::create))
        .layer(DefaultBodyLimit::max(MAX_FILE_BYTES + FORM_BYTES));
    Router::new()
        .route("/", get(fleet::show))
        .route("/mesh", get(mesh::show).post(mesh::change))
        .route("/nodes", get(nodes::list))
        .route("/nodes/{id}", get(nodes::show).post(nodes::change))
        .route("/nodes/{id}/forget", post(nodes::forget))
        .route("/releases", get(releases::list))
        .route("/releases/elsewhere", post(releases::name))
        .route("/releases/{id}", get(releases::show))
        .route("/releases/{id}/remove", post(releases::remove))
        .route("/rollouts", get(rollouts::list))
        .route("/rollouts/new", get(rollouts::new).post(rollouts::create))
        .route("/rollouts/{id}", get(rollouts::show))
        .route("/rollouts/{id}/{order}", post(rollouts::order))
        .route("/events", get(events::list))
        .route("/audit", get(access::audit))
        .route("/tokens", get(access::tokens).post(access::create))
        .route("/tokens/{id}/revoke", post(access::revoke))
        .route("/webhooks", get(webhooks::list).post(webhooks::create))
        .route("/webhooks/{id}/{order}", post(webhooks::order))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/live", get(live::stream))
        .route("/api/docs", get(docs::show))
        .route("/assets/{name}", get(assets::serve))
        .layer(DefaultBodyLimit::max(FORM_BYTES))
        .merge(uploads)
        .fallback(nothing_here)
        .method_not_allowed_fallback(async || {
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done with this page.")
        })
        .layer(from_fn_with_state(site.clone(), guard::around))
        .with_state(site)
        // The API looks after itself: it knows tokens only, and no cookie opens it.
        .merge(api)
}

async fn nothing_here(uri: Uri) -> Response {
    match uri.path().starts_with("/api/") {
        true => Problem::not_found("page").into_response(),
        false => Refused::new(StatusCode::NOT_FOUND, "There is no such page.").into_response(),
    }
}
