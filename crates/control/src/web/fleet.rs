//! How everything stands.

use super::Site;
use super::error::Refused;
use super::layout::{Frame, Live, page};
use super::parts::{counted, further, mesh_link, tally};
use super::rollout_view::{Titled, line};
use super::session::Viewer;
use super::sight::{Light, Sight, Tally, sights};
use crate::engine::Standing;
use crate::service::nodes::MeshView;
use crate::service::releases::Before;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Rollouts shown here.
const ROLLOUTS: u32 = 5;
/// Meshes shown at once.
const MESHES: usize = 200;
/// Problems shown at once.
const PROBLEMS: usize = 20;

struct Mesh<'a> {
    view: &'a MeshView,
    tally: Tally,
    problems: Vec<String>,
}

/// The fleet.
pub async fn show(State(site): State<Site>, Viewer(session): Viewer) -> Result<Response, Refused> {
    let (all, meshes) = (sights(&site, None).await?, site.service.meshes().await?);
    let standing = site.service.standing().await?;
    let newest = Before { before: None, limit: Some(ROLLOUTS) };
    let mut rollouts = Vec::new();
    for rollout in site.service.rollouts(&newest).await?.items {
        rollouts.push(Titled::of(&site, rollout).await?);
    }
    let mut by_mesh: BTreeMap<&str, Vec<&Sight>> = BTreeMap::new();
    for sight in &all {
        by_mesh.entry(&sight.node.mesh).or_default().push(sight);
    }
    let mut meshes: Vec<Mesh<'_>> = meshes.iter().map(|view| look(view, &by_mesh)).collect();
    // Those with problems first; otherwise by name, as they are.
    meshes.sort_by_key(|mesh| mesh.problems.is_empty());
    let total = Tally::of(all.iter());
    let now = site.service.clock.now();
    let content = html! {
        h1 { "Fleet" }
        div #standing data-live { (headline(&standing, &total, meshes.len())) (notices(&standing, &meshes)) }
        div.columns {
            section aria-labelledby="meshes-title" {
                h2 #meshes-title { "Meshes" }
                div #meshes data-live { (list(&meshes)) }
            }
            section aria-labelledby="rollouts-title" {
                h2 #rollouts-title { "Latest rollouts" }
                div #rollouts data-live {
                    @if rollouts.is_empty() {
                        p.empty { "None yet. Upload a " a href="/releases" { "release" } " and roll it out." }
                    }
                    ul.rows { @for rollout in &rollouts { (line(rollout, now)) } }
                    @if !rollouts.is_empty() { (further(Some("/rollouts".to_owned()), "All rollouts")) }
                }
            }
        }
    };
    let live = Live { rollout: None, every: if is_busy(&total, &rollouts) { 2 } else { 10 } };
    Ok(page(&Frame::new("Fleet", Some(&session)).section("Fleet").live(live), &content))
}

fn look<'a>(view: &'a MeshView, by_mesh: &BTreeMap<&str, Vec<&Sight>>) -> Mesh<'a> {
    let sights = by_mesh.get(view.name.as_str()).map(Vec::as_slice).unwrap_or_default();
    let tally = Tally::of(sights.iter().copied());
    Mesh { view, tally, problems: problems(sights, &tally) }
}

fn is_busy(total: &Tally, rollouts: &[Titled]) -> bool {
    total.count(Light::Blue) > 0 || rollouts.iter().any(|rollout| rollout.view.ended_at.is_none())
}

/// What is not as it should be with a mesh.
fn problems(sights: &[&Sight], tally: &Tally) -> Vec<String> {
    let present: Vec<&&Sight> = sights.iter().filter(|sight| sight.node.root && sight.node.online).collect();
    let mut problems = Vec::new();
    match present.as_slice() {
        _ if sights.is_empty() => {}
        [] => problems.push("no root is present: nobody can be triggered".to_owned()),
        [_] => {}
        several => problems.push(format!("it has split: {} roots are present", several.len())),
    }
    let away = tally.count(Light::Red);
    if away > 0 {
        problems.push(format!("{} away", counted(away, "node")));
    }
    let cut_off = tally.count(Light::Yellow);
    if cut_off > 0 && !present.is_empty() {
        problems.push(format!("{} without a way to the root", counted(cut_off, "node")));
    }
    let failed = sights.iter().filter(|sight| sight.node.error.is_some()).count();
    if failed > 0 {
        problems.push(format!("the last update of {} failed", counted(failed, "node")));
    }
    problems
}

fn headline(standing: &Standing, total: &Tally, meshes: usize) -> Markup {
    html! {
        dl.figures {
            div { dt { "Nodes" } dd { (total.total()) } }
            div { dt { "Meshes" } dd { (meshes) } }
            div { dt { "Open rollouts" } dd { (standing.open_rollouts) } }
            div { dt { "Updates going on" } dd { (standing.in_flight) } }
            div.wide { dt { "LEDs" } dd {
                @if total.total() == 0 { span.dim { "nobody yet" } } @else { (tally(total)) }
            } }
        }
    }
}

fn notices(standing: &Standing, meshes: &[Mesh<'_>]) -> Markup {
    let bad: Vec<&Mesh<'_>> = meshes.iter().filter(|mesh| !mesh.problems.is_empty()).collect();
    html! {
        @if !standing.is_connected {
            p.notice.bad role="alert" { b { "There is no connection to the broker." } " Nothing is heard and nobody is triggered until it is back." }
        }
        @if !bad.is_empty() {
            div.notice.warn {
                h2 { "Problems" }
                ul {
                    @for mesh in bad.iter().take(PROBLEMS) {
                        li {
                            (mesh_link(&mesh.view.name, mesh.view.title.as_deref())) ": " (mesh.problems.join("; "))
                        }
                    }
                    @if bad.len() > PROBLEMS { li { "and " (counted(bad.len() - PROBLEMS, "mesh")) " more" } }
                }
            }
        }
    }
}

fn list(meshes: &[Mesh<'_>]) -> Markup {
    html! {
        @if meshes.is_empty() {
            div.empty {
                p { "No node was heard of yet. Nodes appear as soon as their root talks to the broker." }
                p { "To see it with a virtual mesh: " code { "rootcast demo --attach" } }
            }
        }
        ul.rows {
            @for mesh in meshes.iter().take(MESHES) {
                li.row {
                    div.row-main {
                        (mesh_link(&mesh.view.name, mesh.view.title.as_deref()))
                        span.dim { " " (counted(mesh.view.nodes, "node")) }
                    }
                    (tally(&mesh.tally))
                }
            }
        }
        @if meshes.len() > MESHES {
            p.dim { (meshes.len() - MESHES) " more meshes: " code { "GET /api/v1/meshes" } }
        }
    }
}
