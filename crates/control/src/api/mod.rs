//! The REST API. Everything that can be done goes through it: the command line, the web page and other programs are its
//! clients.
//!
//! | module | what it does |
//! |---|---|
//! | [`nodes`] | nodes, meshes |
//! | [`releases`] | files, releases |
//! | [`rollouts`] | rollouts: dry run, create, look, pause, resume, abort, retry |
//! | [`events`] | what happened: a list, a stream, the log of triggers |
//! | [`tokens`] | who may do what; the audit log |
//! | [`system`] | health, metrics, the OpenAPI document and a page of it |
//! | [`auth`] | tokens and roles: each route names the least role in its handler's arguments |
//! | [`audit`] | every change is written down |
//! | [`idempotency`] | the same request twice is done once |
//! | [`problem`] | errors, RFC 9457 |
//! | [`extract`] | bodies and queries with errors that say which field |
//! | [`listen`] | the listener: TLS, limits on connections and slow clients |

pub mod audit;
pub mod auth;
pub mod events;
pub mod extract;
pub mod idempotency;
pub mod listen;
pub mod nodes;
pub mod openapi;
pub mod problem;
pub mod releases;
pub mod rollouts;
pub mod system;
pub mod tokens;

use crate::clock::Clock;
use crate::engine::EngineHandle;
use crate::metrics::Metrics;
use crate::store::Store;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use problem::Problem;
use std::path::PathBuf;
use std::sync::Arc;

/// The largest body of a request that is not an upload, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// What handlers work with. Clones share it.
#[derive(Clone)]
pub struct Api {
    /// Where everything is kept.
    pub store: Store,
    /// The engine.
    pub engine: EngineHandle,
    /// What time it is.
    pub clock: Clock,
    /// What the process counts.
    pub metrics: Arc<Metrics>,
    /// The folder of uploaded files, which the firmware host serves.
    pub files: Arc<PathBuf>,
    /// Where nodes find them.
    pub files_url: Arc<str>,
}

/// Every route.
pub fn router(api: Api) -> Router {
    let v1 = Router::new()
        .route("/nodes", get(nodes::list))
        .route("/nodes/{id}", get(nodes::show).patch(nodes::change).delete(nodes::forget))
        .route("/meshes", get(nodes::meshes).put(nodes::put_mesh))
        .route("/files", post(releases::upload).layer(DefaultBodyLimit::max(releases::MAX_FILE_BYTES)))
        .route("/releases", get(releases::list).post(releases::create))
        .route("/releases/{id}", get(releases::show).delete(releases::remove))
        .route("/rollouts", get(rollouts::list).post(rollouts::create))
        .route("/rollouts/dry-run", post(rollouts::dry_run))
        .route("/rollouts/{id}", get(rollouts::show))
        .route("/rollouts/{id}/updates", get(rollouts::updates))
        .route("/rollouts/{id}/pause", post(rollouts::pause))
        .route("/rollouts/{id}/resume", post(rollouts::resume))
        .route("/rollouts/{id}/abort", post(rollouts::abort))
        .route("/rollouts/{id}/retry", post(rollouts::retry))
        .route("/events", get(events::list))
        .route("/events/stream", get(events::stream))
        .route("/triggers", get(events::triggers))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{id}", delete(tokens::revoke))
        .route("/audit", get(tokens::audit))
        .route("/whoami", get(tokens::whoami))
        .route("/openapi.json", get(system::openapi))
        .route_layer(from_fn_with_state(api.clone(), audit::write_down));
    Router::new()
        .nest("/api/v1", v1)
        .route("/api/docs", get(system::docs))
        .route("/metrics", get(system::metrics))
        .route("/health/live", get(system::live))
        .route("/health/ready", get(system::ready))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .fallback(async || Problem::not_found("page"))
        .method_not_allowed_fallback(async || Problem::method())
        .with_state(api)
}
