//! Logging in with a token, and out again.

use super::Site;
use super::error::Refused;
use super::forms::{self, Posted};
use super::layout::{Frame, page};
use super::session::{Session, Viewer, cookie};
use crate::api::audit;
use crate::metrics::Metrics;
use axum::extract::{Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

/// Where to go when it is done.
#[derive(Deserialize)]
pub struct Then {
    #[serde(default)]
    next: String,
}

/// A path of ours and nothing that a browser takes for another host.
fn inside(next: &str) -> &str {
    let leads_out = next.get(1..).is_some_and(|rest| rest.starts_with(['/', '\\']));
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic());
    if next.starts_with('/') && !leads_out && is_plain { next } else { "/" }
}

fn show(next: &str, wrong: Option<&str>) -> Response {
    let content = html! {
        div.login {
            h1 { "Log in" }
            @if let Some(wrong) = wrong { p.notice.bad role="alert" #wrong { (wrong) } }
            form.card method="post" action="/login" {
                input type="hidden" name="next" value=(next);
                label for="token" { "Token" }
                input #token type="password" name="token" autocomplete="current-password" required
                    autofocus aria-describedby="token-hint" placeholder="rc_…" spellcheck="false";
                p #token-hint .hint {
                    "The one that " code { "rootcast serve" } " printed at its first start, or one that was made with "
                    code { "rootcast token create" } "."
                }
                button.primary { "Log in" }
            }
        }
    };
    let status = if wrong.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, page(&Frame::new("Log in", None), &content)).into_response()
}

/// The form.
pub async fn form(Query(then): Query<Then>) -> Response {
    show(inside(&then.next), None)
}

/// Opens a session.
pub async fn login(State(site): State<Site>, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let source = audit::source_of(&parts);
    let fields = forms::read(Request::from_parts(parts, body), &site).await?;
    let next = inside(fields.get("next")).to_owned();
    let Some((secret, who)) = site.service.open_session(fields.get("token")).await? else {
        Metrics::count(&site.service.metrics.unauthorized);
        tracing::info!(%source, "a log-in without a valid token");
        return Ok(show(&next, Some("This token is not valid: it is misspelt, or it was revoked.")));
    };
    let (store, now) = (&site.service.store, site.service.clock.now());
    audit::record(store, now, &who, source, &Method::POST, "/login", StatusCode::SEE_OTHER).await;
    let cookie = cookie(&secret, site.is_secure);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response())
}

/// Ends the session.
pub async fn logout(
    State(site): State<Site>,
    Viewer(session): Viewer,
    _: Posted,
) -> Result<Response, Refused> {
    let Session { secret, .. } = session;
    site.service.close_session(&secret).await?;
    Ok(([(header::SET_COOKIE, cookie("", site.is_secure))], Redirect::to("/login")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_leads_nowhere_else() {
        for next in ["/", "/rollouts/r1", "/mesh?name=a%20b"] {
            assert_eq!(inside(next), next);
        }
        for next in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "javascript:alert(1)"]
        {
            assert_eq!(inside(next), "/", "{next}");
        }
    }
}
