//! The same request twice is done once: whoever sends `Idempotency-Key` with a request gets the first answer again, also
//! after a restart, for a day. Another request with the same key is an error.

use super::Api;
use super::problem::Problem;
use crate::clock::to_db;
use crate::id::sha256_hex;
use crate::service::page::check_text;
use crate::service::tokens::Principal;
use crate::store::access::AnswerRow;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// How long answers are kept, in milliseconds.
const KEEP_MS: i64 = 24 * 3600 * 1000;
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
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(created(&to_json(&deed.await?)?));
    };
    let key = key.to_str().map_err(|_| Problem::malformed("the Idempotency-Key is not plain text"))?;
    check_text("Idempotency-Key", key, MAX_KEY_BYTES)?;
    let request = sha256_hex(to_json(request)?.as_bytes());
    if let Some(answer) = api.service.store.answer(&who.token, key).await? {
        return match answer.request == request {
            true => Ok(created(&answer.body)),
            false => Err(Problem::new(
                StatusCode::CONFLICT,
                "this Idempotency-Key was used for another request: take a fresh one",
            )),
        };
    }
    let body = to_json(&deed.await?)?;
    let now = to_db(api.service.clock.now());
    let answer = AnswerRow { request, status: 201, body };
    api.service.store.keep_answer(&who.token, key, &answer, now, now.saturating_sub(KEEP_MS)).await?;
    Ok(created(&answer.body))
}

fn to_json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn created(body: &str) -> Response {
    (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], body.to_owned()).into_response()
}
