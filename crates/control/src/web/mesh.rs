//! A mesh as a tree, with its LEDs.

use super::Site;
use super::error::Refused;
use super::forms::{Fields, Posted};
use super::layout::{Frame, Live, page, token};
use super::parts::{escape, mesh_label, node_state, tally};
use super::session::{Operator, Session, Viewer};
use super::sight::{Light, Sight, Tally, sights};
use crate::service::nodes::{MeshChange, MeshView};
use crate::service::tokens::Role;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The deepest that a tree is drawn; what hangs lower stands beside it.
const MAX_DEPTH: usize = 64;

/// Which mesh.
#[derive(Deserialize)]
pub struct Which {
    #[serde(default)]
    name: String,
}

/// The mesh.
pub async fn show(
    State(site): State<Site>,
    Viewer(session): Viewer,
    Query(which): Query<Which>,
) -> Result<Response, Refused> {
    let mesh = site.service.meshes().await?.into_iter().find(|mesh| mesh.name == which.name);
    let mesh =
        mesh.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "No node of such a mesh was heard of."))?;
    let sights = sights(&site, Some(&mesh.name)).await?;
    let total = Tally::of(sights.iter());
    let label = mesh_label(&mesh.name, mesh.title.as_deref()).to_owned();
    let is_busy = total.count(Light::Blue) > 0;
    let content = html! {
        p.crumbs { a href="/" { "Fleet" } }
        h1 { (label) }
        p.dim {
            "Topics: " code { @if mesh.name.is_empty() { "/switch/…" } @else { (mesh.name) "/switch/…" } }
            " · Time zone: " (mesh.zone.as_deref().unwrap_or("UTC"))
        }
        div #tree data-live { (tally(&total)) (Drawing::of(&sights).draw()) }
        @if session.may(Role::Operator) { (settings(&session, &mesh)) }
    };
    let live = Live { rollout: None, every: if is_busy { 1 } else { 5 } };
    Ok(page(&Frame::new(&label, Some(&session)).section("Fleet").live(live), &content))
}

/// Who hangs below whom, as the nodes say.
struct Drawing<'a> {
    by_id: BTreeMap<u64, &'a Sight>,
    below: BTreeMap<u64, Vec<u64>>,
    tops: Vec<u64>,
    /// Nodes that no way from a root leads to.
    loose: Vec<u64>,
}

impl<'a> Drawing<'a> {
    fn of(sights: &'a [Sight]) -> Self {
        let by_id: BTreeMap<u64, &Sight> = sights.iter().map(|sight| (sight.node.id, sight)).collect();
        let tops: Vec<u64> = sights.iter().filter(|it| it.node.root).map(|it| it.node.id).collect();
        let mut below: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for node in sights.iter().map(|sight| &sight.node).filter(|node| !node.root) {
            let said = node.parent.filter(|parent| *parent != node.id && by_id.contains_key(parent));
            // Whose parent is not known hangs on the root, as the planner has it.
            if let Some(parent) = said.or(tops.first().copied()) {
                below.entry(parent).or_default().push(node.id);
            }
        }
        let (mut reached, mut next) = (BTreeSet::new(), tops.clone());
        for _ in 0..MAX_DEPTH {
            next = next
                .into_iter()
                .filter(|id| reached.insert(*id))
                .flat_map(|id| below.get(&id).into_iter().flatten().copied())
                .collect();
        }
        let loose = by_id.keys().copied().filter(|id| !reached.contains(id)).collect();
        Self { by_id, below, tops, loose }
    }

    fn draw(&self) -> Markup {
        html! {
            @if !self.tops.is_empty() {
                ul.tree aria-label="Nodes by parent" { @for id in &self.tops { (self.node(*id, 0)) } }
            }
            @if !self.loose.is_empty() {
                h2 { "Without a way to a root" }
                ul.tree { @for id in &self.loose { @if let Some(sight) = self.by_id.get(id) { li { (entry(sight)) } } } }
            }
        }
    }

    fn node(&self, id: u64, depth: usize) -> Markup {
        let below = self.below.get(&id).map(Vec::as_slice).unwrap_or_default();
        html! {
            @if let Some(sight) = self.by_id.get(&id) {
                li {
                    (entry(sight))
                    @if !below.is_empty() && depth < MAX_DEPTH {
                        ul { @for id in below { (self.node(*id, depth + 1)) } }
                    }
                }
            }
        }
    }
}

fn entry(sight: &Sight) -> Markup {
    let node = &sight.node;
    html! {
        div.node {
            span.node-name {
                a href={ "/nodes/" (node.id) } { (sight.label()) }
                @if node.root { " " span.tag { "root" } }
            }
            span.node-what { (node.node_type) @if let Some(version) = &node.version { " " (version) } }
            span.node-state { (node_state(sight)) }
            @if let Some(rssi) = node.rssi { span.node-signal.dim { (rssi) " dBm" } }
            @if sight.light == Light::Blue && node.state.as_deref() == Some("downloading") && let Some(progress) = node.progress {
                progress max="100" value=(progress) aria-label={ "Progress of " (sight.label()) } {}
            }
        }
    }
}

fn settings(session: &Session, mesh: &MeshView) -> Markup {
    html! {
        details.card {
            summary { "Title and time zone" }
            form method="post" action="/mesh" {
                (token(session))
                input type="hidden" name="name" value=(mesh.name);
                label for="title" { "Title" }
                input #title name="title" maxlength="100" value=[mesh.title.as_deref()];
                label for="zone" { "Time zone" }
                input #zone name="zone" value=[mesh.zone.as_deref()] placeholder="Europe/Warsaw" aria-describedby="zone-hint";
                p #zone-hint .hint { "Maintenance windows of rollouts are in this zone. Empty: UTC." }
                button { "Save" }
            }
        }
    }
}

/// Gives a mesh a title and a time zone.
pub async fn change(
    State(site): State<Site>,
    Operator(_): Operator,
    Posted(fields): Posted,
) -> Result<Response, Refused> {
    let text =
        |fields: &Fields, name: &str| Some(fields.get(name).to_owned()).filter(|text| !text.is_empty());
    let name = fields.get("name").to_owned();
    if !site.service.meshes().await?.iter().any(|mesh| mesh.name == name) {
        return Err(Refused::new(StatusCode::NOT_FOUND, "No node of such a mesh was heard of."));
    }
    let to = format!("/mesh?name={}", escape(&name));
    let change = MeshChange { title: text(&fields, "title"), zone: text(&fields, "zone"), name };
    site.service.change_mesh(change).await?;
    Ok(Redirect::to(&to).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::nodes::NodeView;
    use crate::store::node::NodeRow;
    use rootcast_rollout::Moment;

    fn sight(id: i64, parent: i64) -> Sight {
        let row = NodeRow {
            id,
            parent: Some(parent),
            is_root: i64::from(id == 1),
            name: Some(format!("<script>{id}")),
            tags: "[]".to_owned(),
            ..NodeRow::default()
        };
        Sight { node: NodeView::of(row, Moment(0)), light: Light::Green, why: None }
    }

    #[test]
    fn a_tree_shows_each_node_once_even_where_parents_are_a_circle() {
        let sights: Vec<Sight> = [(1, 1), (2, 1), (3, 2), (4, 5), (5, 4), (6, 6), (7, 99)]
            .map(|(id, parent)| sight(id, parent))
            .into();
        let drawing = Drawing::of(&sights);
        assert_eq!(drawing.loose, [4, 5]);
        let drawn = drawing.draw().into_string();
        for id in 1..=7 {
            assert_eq!(drawn.matches(&format!("href=\"/nodes/{id}\"")).count(), 1, "{id}: {drawn}");
        }
        assert!(!drawn.contains("<script>") && drawn.contains("&lt;script&gt;1"), "{drawn}");
    }
}
