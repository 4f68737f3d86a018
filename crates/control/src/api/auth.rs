//! Who sends a request, and whether the role allows it. A handler names the least role by its argument's type.

use super::Api;
use super::problem::Problem;
use crate::service::tokens::{Principal, Role, authenticate};
use crate::store::StoreError;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

/// A request by somebody who may look.
pub struct Viewer(pub Principal);
/// A request by somebody who may run rollouts.
pub struct Operator(pub Principal);
/// A request by somebody who may do everything.
pub struct Admin(pub Principal);

async fn principal(parts: &mut Parts, api: &Api, least: Role) -> Result<Principal, Problem> {
    // The audit layer has asked already, if there is one.
    let known = parts.extensions.get::<Principal>().cloned();
    let principal = match known {
        Some(principal) => Some(principal),
        None => by_header(parts, api).await?,
    };
    let Some(principal) = principal else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "this needs a token: send it as \"Authorization: Bearer rc_…\"; `rootcast serve` printed the first one",
        ));
    };
    if principal.role < least {
        let (own, least) = (principal.role.name(), least.name());
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!("this needs the role {least}; the token has {own}"),
        ));
    }
    Ok(principal)
}

/// Whose token is in the request's header.
pub async fn by_header(parts: &Parts, api: &Api) -> Result<Option<Principal>, StoreError> {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match header.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(token) => authenticate(&api.service.store, token.trim()).await,
        None => Ok(None),
    }
}

macro_rules! extractor {
    ($name:ident) => {
        impl FromRequestParts<Api> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
                principal(parts, api, Role::$name).await.map(Self)
            }
        }
    };
}

extractor!(Viewer);
extractor!(Operator);
extractor!(Admin);
