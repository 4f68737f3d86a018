//! Webhooks: for administrators.

use super::Site;
use super::error::Refused;
use super::forms::{Fields, Posted};
use super::layout::{Frame, page, token};
use super::parts::{ago, badge, escape};
use super::session::{Admin, Session};
use crate::service::webhooks::{
    Kind, Kinds, MadeWebhook, NewWebhook, TestOutcome, WebhookChange, WebhookView,
};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use rootcast_rollout::Moment;

/// What there is to say about something that was just done.
enum Said {
    Made(Box<MadeWebhook>),
    Tested(String, TestOutcome),
    Wrong(Refused),
}

/// Every webhook.
pub async fn list(State(site): State<Site>, Admin(session): Admin) -> Result<Response, Refused> {
    show(&site, &session, None, &Fields::default()).await
}

/// Makes one and shows its secret, once.
pub async fn create(
    State(site): State<Site>,
    Admin(session): Admin,
    Posted(fields): Posted,
) -> Result<Response, Refused> {
    let new = NewWebhook {
        url: fields.get("url").to_owned(),
        kinds: fields.all("kind").filter_map(Kind::from_name).collect(),
        ca: Some(fields.get("ca").to_owned()).filter(|ca| !ca.is_empty()),
        plain_http: fields.has("plain_http"),
    };
    match site.service.create_webhook(new, &session.who.name).await {
        Ok(made) => show(&site, &session, Some(Said::Made(Box::new(made))), &Fields::default()).await,
        Err(error) => show(&site, &session, Some(Said::Wrong(error.into())), &fields).await,
    }
}

/// Tries one, switches it on or off, or removes it.
pub async fn order(
    State(site): State<Site>,
    Admin(session): Admin,
    Path((id, order)): Path<(String, String)>,
    Posted(fields): Posted,
) -> Result<Response, Refused> {
    let switch =
        |on| WebhookChange { on: Some(on), skip_missed: fields.has("skip"), ..WebhookChange::default() };
    let by = &session.who.name;
    match order.as_str() {
        "test" => {
            let outcome = site.service.test_webhook(&id).await?;
            return show(&site, &session, Some(Said::Tested(id, outcome)), &Fields::default()).await;
        }
        "on" => drop(site.service.change_webhook(&id, &switch(true), by).await?),
        "off" => drop(site.service.change_webhook(&id, &switch(false), by).await?),
        "remove" => site.service.remove_webhook(&id).await?,
        _ => return Err(Refused::new(StatusCode::NOT_FOUND, "There is no such order.")),
    }
    Ok(Redirect::to("/webhooks").into_response())
}

async fn show(
    site: &Site,
    session: &Session,
    said: Option<Said>,
    fields: &Fields,
) -> Result<Response, Refused> {
    let webhooks = site.service.webhooks().await?;
    let now = site.service.clock.now();
    let content = html! {
        h1 { "Webhooks" }
        p.dim {
            "Each event is sent to these addresses as it happens, signed in the form of Standard Webhooks, and again until it is taken. "
            a href="/api/docs" { "More about it" } "."
        }
        @if let Some(said) = &said { (news(said)) }
        @if webhooks.is_empty() { p.empty { "None yet." } }
        ul.rows { @for it in &webhooks { (row(it, session, now)) } }
        (form(session, fields))
    };
    let status = match &said {
        Some(Said::Wrong(refused)) => refused.status(),
        _ => StatusCode::OK,
    };
    Ok((status, page(&Frame::new("Webhooks", Some(session)).section("Webhooks"), &content)).into_response())
}

fn news(said: &Said) -> Markup {
    html! {
        @match said {
            Said::Made(made) => div.notice.good role="status" {
                p { "The secret with which " b { (made.view.url) } " checks signatures. It is shown this once: copy it now." }
                p.break { code #secret { (made.secret) } }
            },
            Said::Tested(id, outcome) => @match &outcome.error {
                None => p.notice.good role="status" { "Webhook " code { (id) } " took the test message, in " (outcome.took_ms) " ms." },
                Some(error) => p.notice.bad role="alert" { "Webhook " code { (id) } " did not take the test message: " (error) "." },
            },
            Said::Wrong(refused) => p.notice.bad role="alert" { (refused.text()) },
        }
    }
}

fn row(it: &WebhookView, session: &Session, now: Moment) -> Markup {
    let button = |order: &str, class: &str, name: &str| {
        html! {
            form method="post" action={ "/webhooks/" (escape(&it.id)) "/" (order) } {
                (token(session))
                button class=(class) { (name) span.unseen { " " (it.url) } }
            }
        }
    };
    html! {
        li.row {
            div.row-main {
                b.break { (it.url) } " "
                @for kind in it.kinds.iter() { span.tag { (kind.name()) } " " }
                div.small {
                    @match (&it.off, it.failures) {
                        (Some(why), _) => { (badge("off")) " " (why) },
                        (None, 0) => (badge("on")),
                        (None, failures) => {
                            (badge("failing")) " " (failures) " in a row"
                            @if let Some(since) = &it.failing_since { ", the first " (ago(since, now)) }
                            @if let Some(error) = &it.error { ": " (error) }
                            @if let Some(next) = &it.next_try_at { "; next try " (ago(next, now)) }
                        },
                    }
                    span.dim {
                        " · " (it.delivered) " taken · " code { (it.id) } " · made " (ago(&it.created_at, now)) " by " (it.created_by)
                    }
                }
            }
            (button("test", "plain", "Test"))
            @if it.off.is_some() { (button("on", "plain", "Switch on")) } @else { (button("off", "plain", "Switch off")) }
            (button("remove", "danger", "Remove"))
        }
    }
}

fn form(session: &Session, fields: &Fields) -> Markup {
    let is_filled = !fields.get("url").is_empty();
    let usual = Kinds::default();
    let is_ticked = |kind: Kind| match is_filled {
        true => fields.all("kind").any(|name| name == kind.name()),
        false => usual.has(kind.name()),
    };
    html! {
        section.card aria-labelledby="make-title" {
            h2 #make-title { "Add a webhook" }
            form.grid method="post" action="/webhooks" {
                (token(session))
                div.wide {
                    label for="url" { "URL" }
                    input #url name="url" type="url" maxlength="2048" placeholder="https://" value=(fields.get("url")) required;
                }
                fieldset.choice.all.wide {
                    legend { "Events" }
                    @for kind in Kind::ALL {
                        label.tick {
                            input type="checkbox" name="kind" value=(kind.name()) checked[is_ticked(kind)];
                            " " (kind.name()) span.dim { ": " (kind.meaning()) }
                        }
                    }
                }
                div.wide {
                    label for="ca" { "Certificates of its authority (PEM), if it is one of your own" }
                    textarea #ca name="ca" rows="2" { (fields.get("ca")) }
                }
                div.wide {
                    label.tick {
                        input type="checkbox" name="plain_http" checked[fields.has("plain_http")];
                        " Allow plain http to another machine: everybody on the way can read along"
                    }
                }
                div.wide { button.primary { "Add" } }
            }
        }
    }
}
