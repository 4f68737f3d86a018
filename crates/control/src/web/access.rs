//! Tokens, and the audit log: for administrators.

use super::Site;
use super::error::Refused;
use super::forms::Posted;
use super::layout::{Frame, page, token};
use super::parts::{ago, at, escape, further};
use super::session::{Admin, Session};
use crate::service::tokens::{MadeToken, NewToken, Role};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

/// Lines of the audit log shown at once.
const LINES: u32 = 100;

/// Which lines.
#[derive(Deserialize)]
pub struct Wish {
    before: Option<i64>,
}

/// Who changed what, when and from where; newest first.
pub async fn audit(
    State(site): State<Site>,
    Admin(session): Admin,
    Query(wish): Query<Wish>,
) -> Result<Response, Refused> {
    let found = site.service.newest_audit(wish.before, LINES).await?;
    let next = found.next.map(|next| format!("/audit?before={next}"));
    let content = html! {
        h1 { "Audit log" }
        p.dim { "Every request that could change something, and how it ended. Nothing is ever taken out." }
        @if found.items.is_empty() { p.empty { "Nothing yet." } }
        table.stack role="table" aria-label="Audit log" {
            thead role="rowgroup" {
                tr role="row" {
                    @for title in ["When", "Who", "What", "Answer", "From"] { th scope="col" role="columnheader" { (title) } }
                }
            }
            tbody role="rowgroup" {
                @for line in &found.items {
                    tr role="row" {
                        td role="cell" data-label="When" { (at(&line.at)) }
                        td role="cell" data-label="Who" { (line.who) span.dim { " " (line.role) } }
                        td.break role="cell" data-label="What" { code { (line.method) " " (line.path) } }
                        td role="cell" data-label="Answer" { (line.status) @if line.status >= 400 { span.dim { " refused" } } }
                        td role="cell" data-label="From" { (line.source) }
                    }
                }
            }
        }
        (further(next, "Older lines"))
    };
    Ok(page(&Frame::new("Audit log", Some(&session)).section("Audit"), &content))
}

/// Every token.
pub async fn tokens(State(site): State<Site>, Admin(session): Admin) -> Result<Response, Refused> {
    show(&site, &session, None, None).await
}

async fn show(
    site: &Site,
    session: &Session,
    made: Option<&MadeToken>,
    wrong: Option<&Refused>,
) -> Result<Response, Refused> {
    let tokens = site.service.tokens().await?;
    let now = site.service.clock.now();
    let content = html! {
        h1 { "Tokens" }
        @if let Some(made) = made {
            div.notice.good role="status" {
                p { "The token of " b { (made.view.name) } ". It is shown this once: copy it now." }
                p.break { code #made { (made.token) } }
            }
        }
        section.card aria-labelledby="make-title" {
            h2 #make-title { "Make a token" }
            @if let Some(wrong) = wrong { p.notice.bad role="alert" { (wrong.text()) } }
            form.grid method="post" action="/tokens" {
                (token(session))
                div {
                    label for="name" { "For whom or what" }
                    input #name name="name" maxlength="100" required;
                }
                div {
                    label for="role" { "Role" }
                    select #role name="role" {
                        option value="viewer" { "viewer: looks" }
                        option value="operator" { "operator: uploads, runs rollouts" }
                        option value="admin" { "admin: tokens and audit log too" }
                    }
                }
                div.wide { button.primary { "Make" } }
            }
        }
        ul.rows {
            @for it in &tokens {
                li.row {
                    div.row-main {
                        b { (it.name) } " " span.tag { (it.role.name()) }
                        span.dim { " · " code { (it.id) } " · made " (ago(&it.created_at, now)) }
                        @if let Some(revoked) = &it.revoked_at { span.dim { " · revoked " (ago(revoked, now)) } }
                        @else if it.id == session.who.token { span.dim { " · you are logged in with it" } }
                    }
                    @if it.revoked_at.is_none() {
                        form method="post" action={ "/tokens/" (escape(&it.id)) "/revoke" } {
                            (token(session))
                            button.danger { "Revoke" span.unseen { " the token of " (it.name) } }
                        }
                    }
                }
            }
        }
    };
    let status = wrong.map_or(StatusCode::OK, Refused::status);
    Ok((status, page(&Frame::new("Tokens", Some(session)).section("Tokens"), &content)).into_response())
}

/// Makes a token and shows it, once.
pub async fn create(
    State(site): State<Site>,
    Admin(session): Admin,
    Posted(fields): Posted,
) -> Result<Response, Refused> {
    let Some(role) = Role::from_name(fields.get("role")) else {
        let wrong = Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "There is no such role.");
        return show(&site, &session, None, Some(&wrong)).await;
    };
    match site.service.create_token(NewToken { name: fields.get("name").to_owned(), role }).await {
        Ok(made) => show(&site, &session, Some(&made), None).await,
        Err(error) => show(&site, &session, None, Some(&error.into())).await,
    }
}

/// Revokes a token.
pub async fn revoke(
    State(site): State<Site>,
    Admin(_): Admin,
    Path(id): Path<String>,
    _: Posted,
) -> Result<Response, Refused> {
    site.service.revoke_token(&id).await?;
    Ok(Redirect::to("/tokens").into_response())
}
