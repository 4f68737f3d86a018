//! Everything that can be asked of the control plane, as plain functions: the REST API, the web page and Home Assistant sit
//! on this and add nothing but their own form.
//!
//! | module | what it does |
//! |---|---|
//! | [`nodes`] | nodes, meshes |
//! | [`releases`] | files, releases |
//! | `elsewhere` | releases behind a URL |
//! | [`rollouts`] | rollouts: dry run, create, look, pause, resume, abort, retry |
//! | [`events`] | what happened, and every trigger |
//! | [`once`] | the same request twice is done once |
//! | [`tokens`] | who may do what; the audit log |
//! | [`webhooks`] | whom to tell of events |
//! | [`sessions`] | who is logged in on the web page |
//!
//! Roles are checked by whoever calls: a function here does what it is asked for.

mod elsewhere;
mod error;
pub mod events;
pub mod nodes;
pub mod once;
pub mod page;
pub mod releases;
pub mod rollouts;
pub mod sessions;
pub mod tokens;
pub mod webhooks;

pub use error::ServiceError;

use crate::clock::Clock;
use crate::engine::{EngineHandle, Standing};
use crate::metrics::Metrics;
use crate::store::Store;
use std::path::PathBuf;
use std::sync::Arc;

/// The control plane, to be asked. Clones share it.
#[derive(Clone)]
pub struct Service {
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
    /// Where nodes find them, with the slash at its end.
    pub files_url: Arc<str>,
    /// Where they are uploaded with `PUT`, with the slash at its end: the built-in host.
    pub upload_url: Arc<str>,
    /// The certificate (PEM) that nodes have to trust there, if it is the development CA's.
    pub ca: Option<Arc<str>>,
}

impl Service {
    /// How things stand.
    pub async fn standing(&self) -> Result<Standing, ServiceError> {
        Ok(self.engine.standing().await?)
    }
}
