//! `Idempotency-Key`: the same request twice is done once. Another request with the same key is an error.

use super::Api;
use super::problem::Problem;
use crate::id::sha256_hex;
use crate::service::once::Once;
use crate::service::page::check_text;
use crate::service::tokens::Principal;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 128;

/// Does something, unless it was done under the request's key before.
pub async fn once<T: Serialize>(
    api: &Api,
    who: &Principal,
    headers: &HeaderMap,
    request: &impl Serialize,
    deed: impl Future<Output = Result<T, Problem>>,
) -> Result<Response, Problem> {
    let deed = async { to_json(&deed.await?) };
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(created(deed.await?));
    };
    let key = key.to_str().map_err(|_| Problem::malformed("the Idempotency-Key is not plain text"))?;
    check_text("Idempotency-Key", key, MAX_KEY_BYTES)?;
    let request = sha256_hex(to_json(request)?.as_bytes());
    let status = StatusCode::CREATED.as_u16().into();
    match api.service.once((&who.token, key), request, status, deed).await? {
        Once::Answer(body) => Ok(created(body)),
        Once::Taken => Err(Problem::new(
            StatusCode::CONFLICT,
            "this Idempotency-Key was used for another request: take a fresh one",
        )),
    }
}

fn to_json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn created(body: String) -> Response {
    (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
