//! Uploads to the firmware host: `rootcast publish` with a token of the control plane.

use crate::api::audit::record;
use crate::clock::Clock;
use crate::service::tokens::{Principal, Role, authenticate};
use crate::store::{Store, StoreError};
use async_trait::async_trait;
use hyper::{Method, StatusCode};
use rootcast_hosting::host::UploadGate;
use std::net::SocketAddr;

/// Lets operators upload, and writes down that they did.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) store: Store,
    pub(super) clock: Clock,
}

#[async_trait]
impl UploadGate for Gate {
    async fn may(&self, token: &str, path: &str) -> Result<(), (StatusCode, String)> {
        let refuse = |status, text: &str| Err((status, text.to_owned()));
        match authenticate(&self.store, token).await {
            Ok(None) => refuse(StatusCode::UNAUTHORIZED, "uploads need a token of the control plane"),
            Ok(Some(who)) if who.role < Role::Operator => {
                refuse(StatusCode::FORBIDDEN, "uploads need the role operator")
            }
            // Beside the folders lie the images that releases name by their content.
            Ok(Some(_)) if !path.trim_start_matches('/').contains('/') => {
                refuse(StatusCode::CONFLICT, "upload into a folder, such as /1.2.0/")
            }
            Ok(Some(_)) => Ok(()),
            Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, unreachable(&error)),
        }
    }

    async fn ended(&self, token: &str, client: SocketAddr, path: &str, status: StatusCode) {
        // It was somebody's a moment ago; if not any more, what was stored is written down all the same.
        let nobody = || Principal { token: "-".to_owned(), name: "-".to_owned(), role: Role::Operator };
        let who = authenticate(&self.store, token).await.ok().flatten().unwrap_or_else(nobody);
        record(&self.store, self.clock.now(), &who, client.to_string(), &Method::PUT, path, status).await;
    }
}

fn unreachable(error: &StoreError) -> &'static str {
    tracing::error!(%error, "the store cannot be used");
    "the database cannot be used now"
}
