//! Rollouts: a list, one of them, and beginning one: nothing is begun that was not tried on paper first.

use super::Site;
use super::error::Refused;
use super::forms::{Fields, Posted};
use super::layout::{Frame, Live, page, token};
use super::parts::{counted, escape, further, span};
use super::rollout_form::{self, Choices, OWN_FIELDS};
use super::rollout_view::{self as view, Titled};
use super::session::{Operator, Session, Viewer};
use super::sight::{mac, names};
use crate::engine::Order;
use crate::id::{random, sha256_hex};
use crate::service::ServiceError;
use crate::service::events::EventFilter;
use crate::service::once::Once;
use crate::service::releases::Before;
use crate::service::rollouts::{After, DryAssigned, DryRun, RolloutRequest};
use crate::service::tokens::Role;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use rootcast_wire::NodeId;
use rootcast_wire::text::Hex;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Rollouts shown at once.
const ROLLOUTS: u32 = 30;
/// Nodes of a rollout shown at once.
const NODES: u32 = 100;
/// Nodes of a dry run named in each wave.
const NAMED: usize = 100;
/// Releases to choose from.
const RELEASES: u32 = 100;
/// Events shown with a rollout.
const EVENTS: u32 = 50;

/// Every rollout.
pub async fn list(
    State(site): State<Site>,
    Viewer(session): Viewer,
    Query(mut wish): Query<Before>,
) -> Result<Response, Refused> {
    wish.limit = Some(ROLLOUTS);
    let found = site.service.rollouts(&wish).await?;
    let mut rollouts = Vec::new();
    for rollout in found.items {
        rollouts.push(Titled::of(&site, rollout).await?);
    }
    let now = site.service.clock.now();
    let is_open = rollouts.iter().any(|rollout| rollout.view.ended_at.is_none());
    let next = found.next.map(|next| format!("/rollouts?before={}", escape(&next)));
    let content = html! {
        div.title-row {
            h1 { "Rollouts" }
            @if session.may(Role::Operator) { a.button.primary href="/rollouts/new" { "New rollout" } }
        }
        div #rollouts data-live {
            @if rollouts.is_empty() { p.empty { "None yet." } }
            ul.rows { @for rollout in &rollouts { (view::line(rollout, now)) } }
            (further(next, "Older rollouts"))
        }
    };
    let live = Live { rollout: None, every: if is_open { 3 } else { 30 } };
    Ok(page(&Frame::new("Rollouts", Some(&session)).section("Rollouts").live(live), &content))
}

/// Which nodes.
#[derive(Deserialize)]
pub struct Wish {
    after: Option<i64>,
}

/// One rollout.
pub async fn show(
    State(site): State<Site>,
    Viewer(session): Viewer,
    Path(id): Path<String>,
    Query(wish): Query<Wish>,
) -> Result<Response, Refused> {
    let rollout = Titled::of(&site, site.service.rollout(&id).await?).await?;
    let updates = site.service.updates(&id, &After { after: wish.after, limit: Some(NODES) }).await?;
    let failed = site.service.failed_updates(&id, NODES).await?;
    let filter = EventFilter { after: None, limit: Some(EVENTS), rollout: Some(id.clone()), newest: true };
    let events = site.service.events(&filter).await?.items;
    let (names, now) = (names(&site).await?, site.service.clock.now());
    let next =
        updates.next.map(|next| format!("/rollouts/{}?after={}#nodes-title", escape(&id), escape(&next)));
    let content = html! {
        p.crumbs { a href="/rollouts" { "Rollouts" } }
        h1 { (rollout.label()) }
        div #summary data-live { (view::summary(&rollout, now)) }
        @if session.may(Role::Operator) { div #actions data-live { (view::actions(&rollout.view, &session)) } }
        section aria-labelledby="waves-title" {
            h2 #waves-title { "Waves" }
            div #waves data-live { (view::waves(&rollout.view)) }
        }
        div #failed data-live {
            @if !failed.is_empty() {
                section aria-labelledby="failed-title" {
                    h2 #failed-title { "Did not make it" }
                    (view::updates(&failed, &names, now, "Nodes that did not make it"))
                }
            }
        }
        section aria-labelledby="nodes-title" {
            h2 #nodes-title { "Nodes" }
            div #nodes data-live { (view::updates(&updates.items, &names, now, "Nodes")) (further(next, "Further nodes")) }
        }
        section aria-labelledby="events-title" {
            h2 #events-title { "What happened" }
            div #events data-live { ol.log { @for event in events.iter().rev() { (super::events::line(event, &names, false)) } } }
        }
        (view::asked(&rollout.view))
    };
    let is_open = rollout.view.ended_at.is_none();
    let live = Live { rollout: Some(&id), every: if is_open { 1 } else { 30 } };
    let title = format!("{}: {}", rollout.label(), rollout.view.phase);
    Ok(page(&Frame::new(&title, Some(&session)).section("Rollouts").live(live), &content))
}

/// Which release.
#[derive(Deserialize)]
pub struct Of {
    #[serde(default)]
    release: String,
}

async fn choices(site: &Site) -> Result<Choices, ServiceError> {
    let releases = site.service.releases(&Before { before: None, limit: Some(RELEASES) }).await?.items;
    let types: BTreeSet<String> =
        site.service.all_nodes().await?.into_iter().map(|node| node.node_type).collect();
    Ok(Choices { releases, meshes: site.service.meshes().await?, types: types.into_iter().collect() })
}

/// The form to begin one.
pub async fn new(
    State(site): State<Site>,
    Operator(session): Operator,
    Query(of): Query<Of>,
) -> Result<Response, Refused> {
    show_form(&site, &session, &rollout_form::fresh(&of.release), Ok(None)).await
}

async fn show_form(
    site: &Site,
    session: &Session,
    fields: &Fields,
    tried: Result<Option<DryRun>, Refused>,
) -> Result<Response, Refused> {
    let (choices, names) = (choices(site).await?, names(site).await?);
    let status = tried.as_ref().err().map_or(StatusCode::OK, Refused::status);
    let content = html! {
        p.crumbs { a href="/rollouts" { "Rollouts" } }
        h1 { "New rollout" }
        @match &tried {
            Err(wrong) => { p.notice.bad role="alert" { (wrong.text()) } (rollout_form::render(fields, &choices, session)) }
            Ok(None) if choices.releases.is_empty() => {
                p.empty { "There is no release yet: " a href="/releases" { "upload one" } " first." }
            }
            Ok(None) => (rollout_form::render(fields, &choices, session)),
            Ok(Some(plan)) => {
                (preview(plan, fields, &choices, &names, session)?)
                details { summary { "Change it" } (rollout_form::render(fields, &choices, session)) }
            }
        }
    };
    Ok((status, page(&Frame::new("New rollout", Some(session)).section("Rollouts"), &content))
        .into_response())
}

/// What the dry run says, and the button that begins it.
fn preview(
    plan: &DryRun,
    fields: &Fields,
    choices: &Choices,
    names: &BTreeMap<u64, String>,
    session: &Session,
) -> Result<Markup, ServiceError> {
    let once: [u8; 16] = random()?;
    let release = choices.releases.iter().find(|release| release.id == fields.get("release"));
    let name = |node: u64| names.get(&node).cloned().unwrap_or_else(|| mac(NodeId(node)));
    let mut waves: BTreeMap<usize, Vec<&DryAssigned>> = BTreeMap::new();
    for it in &plan.assigned {
        waves.entry(it.wave).or_default().push(it);
    }
    let mut left_out: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for it in &plan.unassigned {
        left_out.entry(&it.reason).or_default().push(it.node);
    }
    Ok(html! {
        section.card #plan aria-labelledby="plan-title" {
            h2 #plan-title { "Dry run" }
            p.lead {
                b { (counted(plan.assigned.len(), "node")) } " would get "
                @if let Some(release) = release { (release.project) " " (release.version) } @else { "it" } ", " b { (plan.unassigned.len()) } " would not. Nothing was done."
            }
            @if let Some(seconds) = plan.least_s.filter(|seconds| *seconds > 0) {
                p {
                    "The limit on bytes a second spreads the starts over at least "
                    b { (span(i64::try_from(seconds).unwrap_or(i64::MAX))) } "."
                    @if rollout_form::read(fields).is_ok_and(|request| seconds > request.spec.life_s.into()) {
                        " That is longer than the rollout lives: whose turn does not come is left out."
                    }
                }
            }
            @for (wave, nodes) in &waves {
                h3 { "Wave " (wave) @if *wave == 1 && waves.len() > 1 { " · canary" } span.dim { " · " (counted(nodes.len(), "node")) } }
                ul.chips {
                    @for it in nodes.iter().take(NAMED) {
                        li {
                            a href={ "/nodes/" (it.node) } { (name(it.node)) }
                            @if it.by_patch { span.dim { " by patch" } }
                            @if let Some(note) = &it.note { span.dim { " " (note) } }
                        }
                    }
                    @if nodes.len() > NAMED { li.dim { "and " (nodes.len() - NAMED) " more" } }
                }
            }
            @if !left_out.is_empty() {
                h3 { "Would not" }
                ul {
                    @for (reason, nodes) in &left_out {
                        li {
                            b { (nodes.len()) } ": " (reason)
                            details { summary { "Which" } ul.chips {
                                @for node in nodes.iter().take(NAMED) { li { a href={ "/nodes/" (node) } { (name(*node)) } } }
                                @if nodes.len() > NAMED { li.dim { "and " (nodes.len() - NAMED) " more" } }
                            } }
                        }
                    }
                }
            }
            @if !plan.assigned.is_empty() {
                form method="post" action="/rollouts/new" {
                    (token(session))
                    input type="hidden" name="do" value="start";
                    input type="hidden" name="once" value=(Hex(&once));
                    @for (key, value) in fields.without(&OWN_FIELDS) { input type="hidden" name=(key) value=(value); }
                    button.primary { "Start the rollout" }
                }
            }
        }
    })
}

/// Tries a rollout on paper, or begins it.
pub async fn create(
    State(site): State<Site>,
    Operator(session): Operator,
    Posted(fields): Posted,
) -> Result<Response, Refused> {
    let wrong = |text| Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text);
    let request = match rollout_form::read(&fields) {
        Ok(request) => request,
        Err(text) => return show_form(&site, &session, &fields, Err(wrong(text))).await,
    };
    if fields.get("do") == "start" {
        return match start(&site, &session, request, fields.get("once")).await {
            Ok(id) => Ok(Redirect::to(&format!("/rollouts/{}", escape(&id))).into_response()),
            Err(error) => show_form(&site, &session, &fields, Err(error.into())).await,
        };
    }
    let tried = site.service.dry_run(request).await.map(Some).map_err(Refused::from);
    show_form(&site, &session, &fields, tried).await
}

/// Begins a rollout, once for each form: a button pressed twice leads to the same one, however fast.
async fn start(
    site: &Site,
    session: &Session,
    request: RolloutRequest,
    once: &str,
) -> Result<String, ServiceError> {
    let (service, who) = (&site.service, &session.who);
    let key = format!("web-{}", sha256_hex(once.as_bytes()));
    let asked = sha256_hex(serde_json::to_string(&request).unwrap_or_default().as_bytes());
    let status = StatusCode::SEE_OTHER.as_u16().into();
    let begin = async { Ok::<_, ServiceError>(service.create_rollout(request, &who.name).await?.id) };
    match service.once((&who.token, &key), asked, status, begin).await? {
        Once::Answer(id) => Ok(id),
        Once::Taken => Err(ServiceError::Conflict(
            "this form was sent before, for another rollout: begin anew".to_owned(),
        )),
    }
}

/// Pauses, resumes, aborts or retries one.
pub async fn order(
    State(site): State<Site>,
    Operator(session): Operator,
    Path((id, order)): Path<(String, String)>,
    Posted(fields): Posted,
) -> Result<Response, Refused> {
    let order = match order.as_str() {
        "pause" => Order::Pause,
        "resume" => Order::Resume,
        "abort" => Order::Abort,
        "retry" => Order::Retry { force: fields.has("force") },
        _ => return Err(Refused::new(StatusCode::NOT_FOUND, "There is no such order.")),
    };
    site.service.order(&id, order, None, &session.who.name).await?;
    Ok(Redirect::to(&format!("/rollouts/{}", escape(&id))).into_response())
}
