//! The REST API. Everything that can be done goes through it or through the functions that it is a form of
//! ([`crate::service`]): a handler here reads a request, checks the role, and answers.
//!
//! | module | what it does |
//! |---|---|
//! | [`nodes`] | nodes, meshes |
//! | [`releases`] | files, releases |
//! | [`rollouts`] | rollouts: dry run, create, look, pause, resume, abort, retry |
//! | [`events`] | what happened: a list, a stream, the log of triggers |
//! | [`tokens`] | who may do what; the audit log |
//! | [`webhooks`] | whom to tell of events |
//! | [`system`] | health, metrics, the OpenAPI document and a page of it |
//! | [`auth`] | each route names the least role in its handler's arguments |
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
pub mod problem;
pub mod releases;
pub mod rollouts;
pub mod system;
pub mod tokens;
pub mod webhooks;

use crate::service::Service;
use crate::service::releases::MAX_FILE_BYTES;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use problem::Problem;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The largest body of a request that is not an upload, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// What handlers work with. Clones share it.
#[derive(Clone)]
pub struct Api {
    /// The control plane.
    pub service: Service,
    /// The OpenAPI document.
    document: Arc<str>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rootcast",
        description = "The control plane of Rootcast: nodes as heard of, releases, and rollouts that stop by themselves.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(Problem))
)]
struct Document;

fn v1() -> OpenApiRouter<Api> {
    let uploads =
        OpenApiRouter::new().routes(routes!(releases::upload)).layer(DefaultBodyLimit::max(MAX_FILE_BYTES));
    OpenApiRouter::new()
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::show, nodes::change, nodes::forget))
        .routes(routes!(nodes::meshes, nodes::put_mesh))
        .routes(routes!(releases::list, releases::create))
        .routes(routes!(releases::show, releases::remove))
        .routes(routes!(releases::host))
        .routes(routes!(rollouts::list, rollouts::create))
        .routes(routes!(rollouts::dry_run))
        .routes(routes!(rollouts::show))
        .routes(routes!(rollouts::updates))
        .routes(routes!(rollouts::pause))
        .routes(routes!(rollouts::resume))
        .routes(routes!(rollouts::abort))
        .routes(routes!(rollouts::retry))
        .routes(routes!(events::list))
        .routes(routes!(events::stream))
        .routes(routes!(events::triggers))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::audit))
        .routes(routes!(tokens::whoami))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::show, webhooks::change, webhooks::remove))
        .routes(routes!(webhooks::test))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .merge(uploads)
}

/// The OpenAPI document: every route of the API, as the router has it.
pub fn document() -> utoipa::openapi::OpenApi {
    let (_, mut document) =
        OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", v1()).split_for_parts();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().security_schemes.insert("token".to_owned(), bearer.into());
    document
}

/// Every route, and an answer to what is none.
pub fn router(service: Service) -> Router {
    routes(service).fallback(async || Problem::not_found("page"))
}

/// Every route.
pub fn routes(service: Service) -> Router {
    let document = document().to_json().unwrap_or_default();
    let api = Api { service, document: document.into() };
    let (v1, _) = v1().split_for_parts();
    let v1 = v1
        .route("/openapi.json", get(system::openapi))
        .route_layer(from_fn_with_state(api.clone(), audit::write_down));
    Router::new()
        .nest("/api/v1", v1)
        .route("/metrics", get(system::metrics))
        .route("/health/live", get(system::live))
        .route("/health/ready", get(system::ready))
        .method_not_allowed_fallback(async || Problem::method())
        .with_state(api)
}
