//! Nodes and meshes.

use super::page::{check_text, cut, page_size};
use super::{Service, ServiceError};
use crate::clock::{from_db, rfc3339};
use crate::engine::{db_id, node_id, silence};
use crate::store::node::{MeshRow, NodeRow};
use rootcast_rollout::Moment;
use rootcast_wire::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::{IntoParams, ToSchema};

/// The longest name or tag, in bytes.
const MAX_NAME_BYTES: usize = 100;
/// The most tags of a node.
const MAX_TAGS: usize = 32;

/// A node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its id: the station MAC as a number.
    pub id: u64,
    /// The same as a MAC address.
    pub mac: String,
    /// Its ids in the original's first and later dialect.
    pub aliases: [u64; 2],
    /// What the operator calls it.
    pub name: Option<String>,
    /// What the operator marked it with.
    pub tags: BTreeSet<String>,
    /// Its mesh: what stands before its topics.
    pub mesh: String,
    /// What it is.
    #[serde(rename = "type")]
    pub node_type: String,
    /// Which firmware family it speaks: `rootcast`, `first` or `later`.
    pub dialect: String,
    /// ESP-IDF's number of its chip.
    pub chip: Option<i64>,
    /// The running image's version.
    pub version: Option<String>,
    /// The running image's hash.
    pub running: Option<String>,
    /// The first half of the running image's `app_elf_sha256`.
    pub elf: Option<String>,
    /// The slot it runs from.
    pub slot: Option<String>,
    /// Whether it is its mesh's root.
    pub root: bool,
    /// Its parent.
    pub parent: Option<u64>,
    /// Its layer, 1 for the root.
    pub layer: Option<i64>,
    /// Signal of its parent or router in dBm.
    pub rssi: Option<i64>,
    /// Seconds since it started, when it last said so.
    pub uptime_s: Option<i64>,
    /// The step of its last update.
    pub state: Option<String>,
    /// How far that step is, 0 to 100.
    pub progress: Option<i64>,
    /// Its last error.
    pub error: Option<String>,
    /// Words to that.
    pub detail: Option<String>,
    /// Bytes of the slot that an update goes into; a larger image is not rolled out to it.
    pub slot_bytes: Option<i64>,
    /// Whether it takes unsigned images.
    pub unsigned_allowed: Option<bool>,
    /// Whether it is present: heard of lately, and no last will since.
    pub online: bool,
    /// The colour of its LED, as far as can be told: `red` away, `blue` updating, `green` well.
    pub led: String,
    /// When it was first heard of.
    pub first_seen: String,
    /// When it was last heard of.
    pub last_seen: String,
}

impl NodeView {
    /// A node as it is to be seen at this moment.
    pub fn of(row: NodeRow, now: Moment) -> Self {
        let id = node_id(row.id);
        let [a, b, c, d, e, f] = id.mac();
        let online = row.gone == 0 && now.since(from_db(row.last_seen)) <= silence();
        let is_updating = row.state.as_deref().is_some_and(|state| {
            rootcast_wire::UpdateState::from_name(state).is_some_and(|state| !state.is_final())
        });
        let led = match (online, is_updating) {
            (false, _) => "red",
            (true, true) => "blue",
            (true, false) => "green",
        };
        Self {
            id: id.0,
            mac: format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
            aliases: [id.low32().into(), id.soft_ap().0],
            name: row.name,
            tags: serde_json::from_str(&row.tags).unwrap_or_default(),
            mesh: row.mesh,
            node_type: row.node_type,
            dialect: row.dialect,
            chip: row.chip,
            version: row.version,
            running: row.running,
            elf: row.elf,
            slot: row.slot,
            root: row.is_root != 0,
            parent: row.parent.map(|parent| node_id(parent).0),
            layer: row.layer,
            rssi: row.rssi,
            uptime_s: row.uptime_s,
            state: row.state,
            progress: row.progress,
            error: row.error,
            detail: row.detail,
            slot_bytes: row.slot_bytes,
            unsigned_allowed: row.unsigned_allowed.map(|allowed| allowed != 0),
            online,
            led: led.to_owned(),
            first_seen: rfc3339(row.first_seen),
            last_seen: rfc3339(row.last_seen),
        }
    }
}

/// A page of nodes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NodePage {
    /// The nodes, by id.
    pub items: Vec<NodeView>,
    /// Give this as `after` for the next page; absent on the last one.
    pub next: Option<String>,
}

/// Which nodes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NodeFilter {
    /// Only those after this id.
    #[param(minimum = 0)]
    pub after: Option<u64>,
    /// Items of the page: 1 to 1,000, 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Only of this mesh.
    pub mesh: Option<String>,
    /// Only of this type.
    #[serde(rename = "type")]
    pub node_type: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only those that run this version.
    pub version: Option<String>,
    /// Only those that are present, or are not.
    pub online: Option<bool>,
}

/// What to change about a node; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeChange {
    /// What to call it; an empty text takes the name away.
    pub name: Option<String>,
    /// What to mark it with, in place of what it is marked with now; one that is said twice counts once.
    #[schema(value_type = Option<Vec<String>>)]
    pub tags: Option<BTreeSet<String>>,
}

/// A mesh.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MeshView {
    /// What stands before its topics; empty for the mesh that has the original's topics.
    pub name: String,
    /// What the operator calls it.
    pub title: Option<String>,
    /// Its time zone by IANA name; absent = UTC.
    pub zone: Option<String>,
    /// Its roots; more than one is a mesh that has split.
    pub roots: Vec<u64>,
    /// Nodes.
    pub nodes: usize,
    /// Of them, present.
    pub online: usize,
}

/// What to say about a mesh.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeshChange {
    /// Which.
    pub name: String,
    /// What to call it.
    pub title: Option<String>,
    /// Its time zone by IANA name, `Europe/Warsaw`.
    pub zone: Option<String>,
}

/// A node's id as people write it: a number or a MAC address.
pub fn parse_id(id: &str) -> Result<NodeId, ServiceError> {
    let read: Result<NodeId, _> = id.parse();
    read.map_err(|error| ServiceError::Malformed(format!("{id:?} is no node id: {error}")))
}

impl Service {
    /// Nodes that were heard of.
    pub async fn nodes(&self, filter: &NodeFilter) -> Result<NodePage, ServiceError> {
        let size = page_size(filter.limit)?;
        if let Some(after) = filter.after.filter(|after| i64::try_from(*after).is_err()) {
            return Err(ServiceError::Malformed(format!("\"after\" is {after}, which is no node's id")));
        }
        let now = self.clock.now();
        let wanted = |it: &NodeView| {
            filter.after.is_none_or(|after| it.id > after)
                && filter.mesh.as_ref().is_none_or(|mesh| it.mesh == *mesh)
                && filter.node_type.as_ref().is_none_or(|node_type| it.node_type == *node_type)
                && filter.tag.as_ref().is_none_or(|tag| it.tags.contains(tag))
                && filter.version.as_ref().is_none_or(|version| it.version.as_ref() == Some(version))
                && filter.online.is_none_or(|online| it.online == online)
        };
        let views = self.store.nodes().await?.into_iter().map(|row| NodeView::of(row, now));
        let found: Vec<NodeView> = views.filter(wanted).take(size + 1).collect();
        let (items, next) = cut(found, size, |node| node.id.to_string());
        Ok(NodePage { items, next })
    }

    /// Every node that was heard of.
    pub async fn all_nodes(&self) -> Result<Vec<NodeView>, ServiceError> {
        let now = self.clock.now();
        Ok(self.store.nodes().await?.into_iter().map(|row| NodeView::of(row, now)).collect())
    }

    /// One node.
    pub async fn node(&self, id: NodeId) -> Result<NodeView, ServiceError> {
        let row = self.store.node(db_id(id)).await?;
        row.map(|row| NodeView::of(row, self.clock.now()))
            .ok_or_else(|| ServiceError::NotFound(format!("node {id}")))
    }

    /// Gives a node a name or tags.
    pub async fn change_node(&self, id: NodeId, change: NodeChange) -> Result<NodeView, ServiceError> {
        if let Some(name) = &change.name {
            check_text("name", name, MAX_NAME_BYTES)?;
        }
        if let Some(tags) = &change.tags {
            if tags.len() > MAX_TAGS {
                return Err(ServiceError::Invalid(format!("a node has at most {MAX_TAGS} tags")));
            }
            tags.iter().try_for_each(|tag| check_text("tags", tag, MAX_NAME_BYTES))?;
        }
        let name = change.name.map(|name| Some(name).filter(|name| !name.is_empty()));
        self.engine.mark(id, name, change.tags).await?;
        self.node(id).await
    }

    /// Forgets a node; it comes back when it is heard of again.
    pub async fn forget_node(&self, id: NodeId) -> Result<(), ServiceError> {
        Ok(self.engine.forget(id).await?)
    }

    /// Every mesh that was heard of.
    pub async fn meshes(&self) -> Result<Vec<MeshView>, ServiceError> {
        let empty = |name: &str| MeshView {
            name: name.to_owned(),
            title: None,
            zone: None,
            roots: Vec::new(),
            nodes: 0,
            online: 0,
        };
        let mut meshes: BTreeMap<String, MeshView> = BTreeMap::new();
        for node in self.all_nodes().await? {
            let mesh = meshes.entry(node.mesh.clone()).or_insert_with(|| empty(&node.mesh));
            mesh.nodes += 1;
            mesh.online += usize::from(node.online);
            if node.root {
                mesh.roots.push(node.id);
            }
        }
        for row in self.store.meshes().await? {
            let mesh = meshes.entry(row.name.clone()).or_insert_with(|| empty(&row.name));
            (mesh.title, mesh.zone) = (row.title, row.zone);
        }
        Ok(meshes.into_values().collect())
    }

    /// Gives a mesh a title and a time zone.
    pub async fn change_mesh(&self, change: MeshChange) -> Result<(), ServiceError> {
        rootcast_wire::Topics::new(&change.name).map_err(|error| ServiceError::Invalid(error.to_string()))?;
        if let Some(title) = &change.title {
            check_text("title", title, MAX_NAME_BYTES)?;
        }
        if let Some(zone) = change.zone.as_ref().filter(|zone| rootcast_rollout::window::zone(zone).is_none())
        {
            let text = format!("there is no time zone {zone:?}; an example is Europe/Warsaw");
            return Err(ServiceError::Invalid(text));
        }
        let row = MeshRow { name: change.name, title: change.title, zone: change.zone };
        Ok(self.engine.put_mesh(row).await?)
    }
}
