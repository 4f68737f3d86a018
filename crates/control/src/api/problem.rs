//! Errors as RFC 9457 has them: what went wrong, with which thing, and what to do.

use crate::service::ServiceError;
use crate::store::StoreError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoResponses, ToSchema};

/// What went wrong.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What went wrong, with which thing, and what to do.
    pub detail: String,
}

/// The ways in which any request may be turned down.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "for the document only")]
pub enum Refusals {
    /// The request is not well formed.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// There is no token, or it is not valid.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The token's role does not allow it.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is no such thing.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// It makes no sense as things are.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The thing has changed since.
    #[response(status = 412, content_type = "application/problem+json")]
    Changed(Problem),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is of a type that is not understood.
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(Problem),
    /// The request is well formed and asks for what cannot be.
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(Problem),
    /// The database or the broker is not there, or the control plane ends.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem").to_owned();
        Self { kind: "about:blank".to_owned(), title, status: status.as_u16(), detail: detail.into() }
    }

    /// 400.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }

    /// 405.
    pub fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this cannot be done with this page; see /api/v1/openapi.json",
        )
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.status == 401 {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // What the database says may hold addresses and statements: it is for the log.
        tracing::error!(%error, "the store cannot be used");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the database cannot be used now; the log says why. Try again.",
        )
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let status = match error {
            ServiceError::Store(error) => return error.into(),
            ServiceError::Malformed(_) => StatusCode::BAD_REQUEST,
            ServiceError::NotFound(_) => StatusCode::NOT_FOUND,
            ServiceError::Conflict(_) => StatusCode::CONFLICT,
            ServiceError::Changed(_) => StatusCode::PRECONDITION_FAILED,
            ServiceError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ServiceError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}
