//! What goes around every request: who asks, whether a change was asked for by a page of ours, the audit log, and headers
//! that let a browser do nothing but what these pages need.

use super::Site;
use super::error::Refused;
use super::session::{self, Session};
use crate::api::audit;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Nothing inline, nothing from elsewhere, no frame around it, forms to this origin only.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Finds out who asks, lets the request be answered, and writes changes down.
pub async fn around(State(site): State<Site>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let session = match session::find(&site, &parts.headers).await {
        Ok(session) => session,
        Err(error) => return finish(Refused::from(error).into_response(), None),
    };
    if let Some(session) = &session {
        parts.extensions.insert(session.clone());
    }
    let is_change = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let (source, method) = (audit::source_of(&parts), parts.method.clone());
    let path = parts.uri.path().to_owned();
    let response = match is_change && !is_from_here(&parts) {
        true => {
            Refused::new(StatusCode::FORBIDDEN, "This was sent by a page of another origin.").into_response()
        }
        false => next.run(Request::from_parts(parts, body)).await,
    };
    if is_change && let Some(session) = &session {
        audit::record(
            &site.service.store,
            site.service.clock.now(),
            &session.who,
            source,
            &method,
            &path,
            response.status(),
        )
        .await;
    }
    finish(response, session.as_ref())
}

/// Whether a request was sent by a page of this origin, as far as the browser says. Every browser since 2023 says it.
fn is_from_here(parts: &Parts) -> bool {
    let text = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(&HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    match (text(&header::ORIGIN), text(&header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from == host),
        (Some(_), None) => false,
        // No browser: there is no cookie that was sent unasked.
        (None, _) => true,
    }
}

/// Puts the frame around a refusal, and the headers on everything.
fn finish(mut response: Response, session: Option<&Session>) -> Response {
    if let Some(refused) = response.extensions_mut().remove::<Refused>() {
        response = refused.page(session);
    }
    let headers = response.headers_mut();
    let always = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), usb=()"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
