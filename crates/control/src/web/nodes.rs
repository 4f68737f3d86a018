//! Nodes: a list to search in, and one of them.

use super::Site;
use super::error::Refused;
use super::forms::{Fields, Posted};
use super::layout::{Frame, Live, page, token};
use super::parts::{ago, bytes, counted, escape, further, hash, mesh_link, node_state, span, words};
use super::session::{Operator, Session, Viewer};
use super::sight::{Light, Sight, sights};
use crate::service::nodes::{NodeChange, NodeView, parse_id};
use crate::service::tokens::Role;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use rootcast_image::ChipId;
use rootcast_rollout::Moment;
use rootcast_wire::NodeId;

/// Nodes shown at once.
const NODES: usize = 200;

/// Nodes by what they are.
pub async fn list(
    State(site): State<Site>,
    Viewer(session): Viewer,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let wish = Fields::read(query.unwrap_or_default().as_bytes());
    let (all, meshes) = (sights(&site, None).await?, site.service.meshes().await?);
    let title = |name: &str| {
        meshes
            .iter()
            .find(|mesh| mesh.name == name)
            .and_then(|mesh| mesh.title.as_deref())
            .unwrap_or_default()
    };
    let after: u64 = wish.get("after").parse().unwrap_or(0);
    let (text, light) = (wish.get("q").to_lowercase(), wish.get("led"));
    let found: Vec<&Sight> = all
        .iter()
        .filter(|sight| light.is_empty() || sight.light.colour() == light)
        .filter(|sight| {
            text.is_empty() || matches(sight, &text) || title(&sight.node.mesh).to_lowercase().contains(&text)
        })
        .collect();
    let shown: Vec<&&Sight> = found.iter().filter(|sight| sight.node.id > after).take(NODES).collect();
    let is_more = found.last().map(|sight| sight.node.id) > shown.last().map(|sight| sight.node.id);
    let next = shown.last().filter(|_| is_more).map(|last| {
        format!("/nodes?q={}&led={}&after={}", escape(wish.get("q")), escape(light), last.node.id)
    });
    let now = site.service.clock.now();
    let content = html! {
        h1 { "Nodes" }
        form.filter method="get" action="/nodes" role="search" {
            label for="q" { "Search" }
            input #q type="search" name="q" value=(wish.get("q")) placeholder="name, MAC, type, version, tag, mesh";
            label for="led" { "LED" }
            select #led name="led" {
                option value="" { "any" }
                @for each in Light::ALL {
                    option value=(each.colour()) selected[each.colour() == light] { (each.colour()) ", " (each.meaning()) }
                }
            }
            button { "Show" }
        }
        div #nodes data-live {
            p.dim { (counted(found.len(), "node")) }
            table.stack role="table" aria-label="Nodes" {
                thead role="rowgroup" {
                    tr role="row" {
                        @for title in ["Node", "State", "Mesh", "Type", "Version", "Last heard"] {
                            th scope="col" role="columnheader" { (title) }
                        }
                    }
                }
                tbody role="rowgroup" {
                    @for sight in &shown { (row(sight, title(&sight.node.mesh), now)) }
                }
            }
            (further(next, "Further nodes"))
        }
    };
    let live = Live { rollout: None, every: 10 };
    Ok(page(&Frame::new("Nodes", Some(&session)).section("Nodes").live(live), &content))
}

fn matches(sight: &Sight, text: &str) -> bool {
    let node = &sight.node;
    let has = |value: &str| value.to_lowercase().contains(text);
    has(&node.mac)
        || has(&node.node_type)
        || has(&node.mesh)
        || has(&node.id.to_string())
        || node.name.as_deref().is_some_and(has)
        || node.version.as_deref().is_some_and(has)
        || node.tags.iter().any(|tag| has(tag))
}

fn row(sight: &Sight, title: &str, now: Moment) -> Markup {
    let node = &sight.node;
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                a href={ "/nodes/" (node.id) } { (sight.label()) }
                @if node.root { " " span.tag { "root" } }
                @for tag in &node.tags { " " span.tag.own { (tag) } }
            }
            td role="cell" data-label="State" { (node_state(sight)) }
            td role="cell" data-label="Mesh" { (mesh_link(&node.mesh, Some(title))) }
            td role="cell" data-label="Type" { (node.node_type) }
            td role="cell" data-label="Version" { (node.version.as_deref().unwrap_or("?")) }
            td role="cell" data-label="Last heard" { (ago(&node.last_seen, now)) }
        }
    }
}

async fn find(site: &Site, id: NodeId) -> Result<Sight, Refused> {
    let mesh = site.service.node(id).await?.mesh;
    let found = sights(site, Some(&mesh)).await?.into_iter().find(|sight| sight.node.id == id.0);
    found.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "There is no such node any more."))
}

/// One node.
pub async fn show(
    State(site): State<Site>,
    Viewer(session): Viewer,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let sight = find(&site, parse_id(&id)?).await?;
    let meshes = site.service.meshes().await?;
    let title =
        meshes.iter().find(|mesh| mesh.name == sight.node.mesh).and_then(|mesh| mesh.title.as_deref());
    let node = &sight.node;
    let now = site.service.clock.now();
    let content = html! {
        p.crumbs { a href="/" { "Fleet" } " / " (mesh_link(&node.mesh, title)) }
        h1 { (sight.label()) @if node.root { " " span.tag { "root" } } }
        div #node data-live {
            p.lead { (node_state(&sight)) }
            @if let Some(error) = &node.error {
                p.notice.bad { b { "Its last update failed: " code { (error) } } @if let Some(detail) = &node.detail { " · " (detail) } }
            }
            (facts(node, now))
        }
        @if session.may(Role::Operator) { (forms(&session, node)) }
    };
    let every = if sight.light == Light::Blue { 1 } else { 10 };
    let live = Live { rollout: None, every };
    Ok(page(&Frame::new(sight.label(), Some(&session)).section("Nodes").live(live), &content))
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn facts(node: &NodeView, now: Moment) -> Markup {
    let chip = node
        .chip
        .map(|chip| u16::try_from(chip).map_or_else(|_| chip.to_string(), |chip| ChipId(chip).to_string()));
    let or_unknown = |text: Option<&str>| html! { @if let Some(text) = text { (text) } @else { span.dim { "not known" } } };
    let dialect = match node.dialect.as_str() {
        "rootcast" => "Rootcast",
        "first" => "the original's first dialect",
        _ => "the original's later dialect",
    };
    html! {
        dl.facts {
            (fact("MAC", &html! { code { (node.mac) } }))
            (fact("Id", &html! { code { (node.id) } }))
            (fact("Type", &html! { (node.node_type) }))
            (fact("Chip", &or_unknown(chip.as_deref())))
            (fact("Version", &or_unknown(node.version.as_deref())))
            (fact("Running image", &html! {
                @if let Some(running) = &node.running { (hash(running)) }
                @else if let Some(elf) = &node.elf { "ELF " (hash(elf)) }
                @else { span.dim { "not known" } }
            }))
            @if let Some(slot) = &node.slot { (fact("Slot", &html! { (slot) })) }
            @if let Some(size) = node.slot_bytes { (fact("Room for an image", &html! { (bytes(size)) })) }
            @if let Some(layer) = node.layer { (fact("Layer", &html! { (layer) })) }
            @if let Some(parent) = node.parent.filter(|_| !node.root) {
                (fact("Parent", &html! { a href={ "/nodes/" (parent) } { (super::sight::mac(NodeId(parent))) } }))
            }
            @if let Some(rssi) = node.rssi { (fact("Signal", &html! { (rssi) " dBm" })) }
            @if let Some(uptime) = node.uptime_s { (fact("Up for", &html! { (span(uptime)) })) }
            @if let Some(state) = &node.state { (fact("Last step", &html! { (words(state)) })) }
            @if let Some(unsigned) = node.unsigned_allowed {
                (fact("Unsigned images", &html! { @if unsigned { "accepted" } @else { "refused" } }))
            }
            (fact("Speaks", &html! { (dialect) }))
            (fact("Last heard", &ago(&node.last_seen, now)))
            (fact("First heard", &ago(&node.first_seen, now)))
            @if !node.tags.is_empty() {
                (fact("Tags", &html! { @for tag in &node.tags { span.tag.own { (tag) } " " } }))
            }
        }
    }
}

fn forms(session: &Session, node: &NodeView) -> Markup {
    let tags: Vec<&str> = node.tags.iter().map(String::as_str).collect();
    html! {
        details.card {
            summary { "Name and tags" }
            form method="post" action={ "/nodes/" (node.id) } {
                (token(session))
                label for="name" { "Name" }
                input #name name="name" maxlength="100" value=[node.name.as_deref()];
                label for="tags" { "Tags" }
                input #tags name="tags" value=(tags.join(", ")) aria-describedby="tags-hint";
                p #tags-hint .hint { "Separated by commas. A rollout can be for the nodes with a tag." }
                button { "Save" }
            }
        }
        details.card {
            summary { "Forget this node" }
            form method="post" action={ "/nodes/" (node.id) "/forget" } {
                (token(session))
                p { "It comes back, without name and tags, when it is heard of again." }
                button.danger { "Forget" }
            }
        }
    }
}

/// Gives a node a name and tags.
pub async fn change(
    State(site): State<Site>,
    Operator(_): Operator,
    Path(id): Path<String>,
    Posted(fields): Posted,
) -> Result<Response, Refused> {
    let id = parse_id(&id)?;
    let tags = fields.get("tags").split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned);
    let change = NodeChange { name: Some(fields.get("name").to_owned()), tags: Some(tags.collect()) };
    site.service.change_node(id, change).await?;
    Ok(Redirect::to(&format!("/nodes/{}", id.0)).into_response())
}

/// Forgets a node.
pub async fn forget(
    State(site): State<Site>,
    Operator(_): Operator,
    Path(id): Path<String>,
    _: Posted,
) -> Result<Response, Refused> {
    site.service.forget_node(parse_id(&id)?).await?;
    Ok(Redirect::to("/nodes").into_response())
}
