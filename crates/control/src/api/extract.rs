//! Bodies, queries and path parts, with errors that say which field is wrong.

use super::problem::Problem;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => {
                let status = match &rejection {
                    // Well formed but not what is meant, and not well formed, are one mistake to whoever made it.
                    JsonRejection::JsonDataError(_) | JsonRejection::JsonSyntaxError(_) => StatusCode::BAD_REQUEST,
                    other => other.status(),
                };
                Err(Problem::new(status, rejection.body_text()))
            }
        }
    }
}

/// A query.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(value)| Self(value))
            .map_err(|rejection: QueryRejection| Problem::malformed(rejection.body_text()))
    }
}

/// A part of the path.
pub struct Part<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Part<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(value)| Self(value))
            .map_err(|rejection: PathRejection| Problem::malformed(rejection.body_text()))
    }
}

/// The most items of a page.
const MAX_PAGE: u32 = 1_000;
/// Items of a page unless asked for otherwise.
const PAGE: u32 = 100;

/// How many items of a page are wanted: 1 to 1,000, 100 unless said.
pub fn page_size(limit: Option<u32>) -> Result<usize, Problem> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=MAX_PAGE => Ok(limit as usize),
        other => Err(Problem::malformed(format!("\"limit\" is {other}, it must be 1 to {MAX_PAGE}"))),
    }
}

/// Cuts what was read with one item too many into a page, and says where the next one begins.
pub fn cut<T>(mut items: Vec<T>, size: usize, place: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let is_more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| is_more).map(place);
    (items, next)
}

/// Refuses text that cannot be stored or shown: NUL and other control characters, or too much of it.
pub fn check_text(field: &str, text: &str, limit: usize) -> Result<(), Problem> {
    if text.len() > limit {
        return Err(Problem::unprocessable(format!("{field:?} has {} bytes, at most {limit} are allowed", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::unprocessable(format!("{field:?} contains a control character")));
    }
    Ok(())
}
