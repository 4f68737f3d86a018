//! The frame around every page.

use super::assets::{ICON_AT, SCRIPT_AT, STYLE_AT};
use super::forms::TOKEN_FIELD;
use super::session::Session;
use crate::service::tokens::Role;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// What the frame has to know.
pub struct Frame<'a> {
    title: &'a str,
    session: Option<&'a Session>,
    section: &'a str,
    live: Option<Live<'a>>,
}

/// How an open page is kept up to date.
#[derive(Clone, Copy)]
pub struct Live<'a> {
    /// Events of this rollout only.
    pub rollout: Option<&'a str>,
    /// Seconds after which it is looked at again although nothing was said: LEDs and progress are no events.
    pub every: u32,
}

impl<'a> Frame<'a> {
    /// A frame around a page that stays as it is.
    pub fn new(title: &'a str, session: Option<&'a Session>) -> Self {
        Self { title, session, section: "", live: None }
    }

    /// Which entry of the navigation the page belongs to.
    #[must_use]
    pub fn section(mut self, section: &'a str) -> Self {
        self.section = section;
        self
    }

    /// The page's marked parts (`data-live`) are kept up to date.
    #[must_use]
    pub fn live(mut self, live: Live<'a>) -> Self {
        self.live = Some(live);
        self
    }
}

/// A whole page.
pub fn page(frame: &Frame<'_>, content: &Markup) -> Response {
    let markup = render(frame, content).into_string();
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], markup).into_response()
}

const SECTIONS: [(&str, &str, Role); 8] = [
    ("Fleet", "/", Role::Viewer),
    ("Nodes", "/nodes", Role::Viewer),
    ("Releases", "/releases", Role::Viewer),
    ("Rollouts", "/rollouts", Role::Viewer),
    ("Events", "/events", Role::Viewer),
    ("Audit", "/audit", Role::Admin),
    ("Tokens", "/tokens", Role::Admin),
    ("Webhooks", "/webhooks", Role::Admin),
];

/// The same as markup.
pub fn render(frame: &Frame<'_>, content: &Markup) -> Markup {
    let live = frame.live;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " · Rootcast" }
                link rel="icon" type="image/svg+xml" href=(*ICON_AT);
                link rel="stylesheet" href=(*STYLE_AT);
                @if live.is_some() { script src=(*SCRIPT_AT) defer {} }
            }
            body data-live-every=[live.map(|live| live.every)] data-live-rollout=[live.and_then(|live| live.rollout)] {
                a.skip href="#content" { "Skip to content" }
                header.top {
                    div.wrap {
                        a.brand href="/" { (mark()) "Rootcast" }
                        @if let Some(session) = frame.session { (navigation(frame.section, session)) }
                    }
                }
                main #content tabindex="-1" { div.wrap { (content) } }
                footer.bottom {
                    div.wrap {
                        @if let Some(session) = frame.session { (who(session)) }
                        a href="/api/docs" { "API" }
                        @if live.is_some() { span #live-state .dim {} }
                    }
                }
                @if live.is_some() { p #announcer .unseen role="status" {} }
            }
        }
    }
}

fn navigation(section: &str, session: &Session) -> Markup {
    html! {
        nav aria-label="Main" {
            ul {
                @for (name, path, least) in SECTIONS.iter().filter(|(_, _, least)| session.may(*least)) {
                    @let _ = least;
                    li { a href=(path) aria-current=[(*name == section).then_some("page")] { (name) } }
                }
            }
        }
    }
}

fn who(session: &Session) -> Markup {
    html! {
        form.who method="post" action="/logout" {
            (token(session))
            span { (session.who.name) span.dim { " · " (session.who.role.name()) } }
            button.plain { "Log out" }
        }
    }
}

/// The field that shows that a form is ours.
pub fn token(session: &Session) -> Markup {
    html! { input type="hidden" name=(TOKEN_FIELD) value=(session.form_token); }
}

/// The mark: a root and what it reaches.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
            path d="M12 5.5 5.5 17M12 5.5 18.5 17M12 5.5V17" fill="none" stroke="currentColor" stroke-width="1.6" {}
            circle cx="12" cy="5.5" r="3.2" fill="currentColor" {}
            circle cx="5" cy="18.5" r="2.4" fill="currentColor" {}
            circle cx="12" cy="18.5" r="2.4" fill="currentColor" {}
            circle cx="19" cy="18.5" r="2.4" fill="currentColor" {}
        }
    }
}
