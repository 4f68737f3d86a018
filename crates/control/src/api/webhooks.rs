//! Webhooks.

use super::Api;
use super::auth::Admin;
use super::extract::{Body, Part};
use super::problem::{Problem, Refusals};
use crate::service::webhooks::{MadeWebhook, NewWebhook, TestOutcome, WebhookChange, WebhookView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// Every webhook, without its secret
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", security(("token" = [])),
    responses((status = 200, body = Vec<WebhookView>), Refusals))]
pub async fn list(State(api): State<Api>, _: Admin) -> Result<Json<Vec<WebhookView>>, Problem> {
    Ok(Json(api.service.webhooks().await?))
}

/// Make a webhook; its secret is shown once
///
/// Each event is one `POST`, in the form of Standard Webhooks 1.0: `webhook-id` is the same in every attempt,
/// `webhook-signature` is `v1,` and HMAC-SHA256 in base64. Any answer of 200 to 299 within 15 seconds takes the message; it is
/// sent again otherwise, more and more slowly, and later events wait for it. After three days of that the webhook is off.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", security(("token" = [])), request_body = NewWebhook,
    responses((status = 201, body = MadeWebhook), Refusals))]
pub async fn create(
    State(api): State<Api>,
    Admin(who): Admin,
    Body(new): Body<NewWebhook>,
) -> Result<(StatusCode, Json<MadeWebhook>), Problem> {
    Ok((StatusCode::CREATED, Json(api.service.create_webhook(new, &who.name).await?)))
}

/// One webhook
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks", security(("token" = [])),
    params(("id" = String, Path)), responses((status = 200, body = WebhookView), Refusals))]
pub async fn show(
    State(api): State<Api>,
    _: Admin,
    Part(id): Part<String>,
) -> Result<Json<WebhookView>, Problem> {
    Ok(Json(api.service.webhook(&id).await?))
}

/// Change a webhook, or switch it on or off
#[utoipa::path(patch, path = "/webhooks/{id}", tag = "webhooks", security(("token" = [])),
    params(("id" = String, Path)), request_body = WebhookChange,
    responses((status = 200, body = WebhookView), Refusals))]
pub async fn change(
    State(api): State<Api>,
    Admin(who): Admin,
    Part(id): Part<String>,
    Body(change): Body<WebhookChange>,
) -> Result<Json<WebhookView>, Problem> {
    Ok(Json(api.service.change_webhook(&id, &change, &who.name).await?))
}

/// Remove a webhook: it is told nothing more
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", security(("token" = [])),
    params(("id" = String, Path)), responses((status = 204, description = "It is removed"), Refusals))]
pub async fn remove(State(api): State<Api>, _: Admin, Part(id): Part<String>) -> Result<StatusCode, Problem> {
    api.service.remove_webhook(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a test message now, once
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks", security(("token" = [])),
    params(("id" = String, Path)), responses((status = 200, body = TestOutcome), Refusals))]
pub async fn test(
    State(api): State<Api>,
    _: Admin,
    Part(id): Part<String>,
) -> Result<Json<TestOutcome>, Problem> {
    Ok(Json(api.service.test_webhook(&id).await?))
}
