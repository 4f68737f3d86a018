//! Nodes as heard of, from MQTT alone: both original dialects and ours.
//!
//! A node's id is its station MAC. The later original dialect tells the SoftAP MAC, from which it follows; the first dialect
//! tells the low 32 bits only: they stand for a known node that has them, or for a node of that number until one is known.

use crate::clock::{from_db, to_db};
use crate::mqtt::Heard;
use crate::store::node::NodeRow;
use rootcast_rollout::fleet::{Mesh, Node};
use rootcast_rollout::{Fleet, Moment, Observation};
use rootcast_wire::status::{Dialect, Firmware};
use rootcast_wire::text::Hex;
use rootcast_wire::{NodeId, NodeStatus, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Nodes that are kept; what more there are is not taken up.
pub const MAX_NODES: usize = 50_000;
/// Meshes that are kept.
pub const MAX_MESHES: usize = 2_000;
/// Nodes of one mesh that are kept: twice what a root can have.
const MAX_NODES_OF_A_MESH: usize = 1_024;

/// After so long without a word a node counts as away: five of its statuses.
pub const fn silence() -> Duration {
    Duration::from_secs(75)
}

/// Every node heard of.
#[derive(Debug, Default)]
pub struct Registry {
    nodes: BTreeMap<NodeId, NodeRow>,
    by_low32: BTreeMap<u32, NodeId>,
    mesh_sizes: BTreeMap<String, usize>,
    dirty: BTreeSet<NodeId>,
    forgotten: Vec<i64>,
    /// Nodes that were not taken up because there are too many.
    pub refused: u64,
}

/// What was heard, put to the node that it is about.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The node.
    pub node: NodeId,
    /// What a rollout makes of it.
    pub observation: Observation,
    /// What the report was about, if it was one: the rollout's token, and the progress.
    pub report: Option<(String, u8)>,
    /// Whether the node was not known before.
    pub is_new: bool,
}

impl Registry {
    /// The registry as stored.
    pub fn from_rows(rows: Vec<NodeRow>) -> Self {
        let mut registry = Self::default();
        for row in rows {
            registry.insert(row);
        }
        registry
    }

    fn insert(&mut self, row: NodeRow) {
        let id = node_id(row.id);
        self.by_low32.insert(id.low32(), id);
        if self.nodes.get(&id).is_none_or(|old| old.mesh != row.mesh) {
            *self.mesh_sizes.entry(row.mesh.clone()).or_insert(0) += 1;
        }
        if let Some(old) = self.nodes.insert(id, row)
            && self.nodes.get(&id).is_some_and(|new| new.mesh != old.mesh)
        {
            self.leave_mesh(&old.mesh);
        }
    }

    fn leave_mesh(&mut self, mesh: &str) {
        if let Some(size) = self.mesh_sizes.get_mut(mesh) {
            *size = size.saturating_sub(1);
            if *size == 0 {
                self.mesh_sizes.remove(mesh);
            }
        }
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, &NodeRow)> {
        self.nodes.iter()
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> Option<&NodeRow> {
        self.nodes.get(&id)
    }

    /// Gives a node a name and tags, and returns its row. `None` if there is no such node.
    pub fn mark(
        &mut self,
        id: NodeId,
        name: Option<Option<String>>,
        tags: Option<&BTreeSet<String>>,
    ) -> Option<NodeRow> {
        let row = self.nodes.get_mut(&id)?;
        if let Some(name) = name {
            row.name = name;
        }
        if let Some(tags) = tags {
            row.tags = serde_json::to_string(tags).unwrap_or_else(|_| "[]".to_owned());
        }
        self.dirty.insert(id);
        Some(row.clone())
    }

    /// Forgets a node; it comes back when it is heard of again. False if there is no such node.
    pub fn forget(&mut self, id: NodeId) -> bool {
        let Some(row) = self.nodes.remove(&id) else { return false };
        self.leave_mesh(&row.mesh);
        if self.by_low32.get(&id.low32()) == Some(&id) {
            self.by_low32.remove(&id.low32());
        }
        self.dirty.remove(&id);
        self.forgotten.push(row.id);
        true
    }

    /// What changed since this was last asked, of the meshes that `is_ours` holds for; the rest stays for later.
    pub fn take_changes(&mut self, is_ours: impl Fn(&str) -> bool) -> (Vec<NodeRow>, Vec<i64>) {
        let dirty = std::mem::take(&mut self.dirty);
        let mut rows = Vec::new();
        for id in dirty {
            match self.nodes.get(&id) {
                Some(row) if is_ours(&row.mesh) => rows.push(row.clone()),
                Some(_) => _ = self.dirty.insert(id),
                None => {}
            }
        }
        (rows, std::mem::take(&mut self.forgotten))
    }

    /// The meshes that nodes were heard of in.
    pub fn meshes(&self) -> BTreeSet<String> {
        self.mesh_sizes.keys().cloned().collect()
    }

    /// Takes over names and tags as the store has them, and drops nodes that it does not have and that were not heard of
    /// since `since`: another process forgot them.
    pub fn take_marks(&mut self, marks: Vec<(i64, Option<String>, String)>, since: Moment) {
        let mut gone: BTreeSet<NodeId> =
            self.nodes.iter().filter(|(_, row)| from_db(row.last_seen) < since).map(|(id, _)| *id).collect();
        for (id, name, tags) in marks {
            let id = node_id(id);
            gone.remove(&id);
            if let Some(row) = self.nodes.get_mut(&id) {
                (row.name, row.tags) = (name, tags);
            }
        }
        for id in gone {
            self.forget(id);
            self.forgotten.pop();
        }
    }

    /// Puts changes back that could not be written.
    pub fn put_back(&mut self, rows: &[NodeRow], forgotten: Vec<i64>) {
        self.dirty.extend(rows.iter().map(|row| node_id(row.id)));
        self.forgotten.extend(forgotten);
    }

    /// The id of a node that calls itself `id` in this dialect.
    fn canonical(&self, dialect: Dialect, id: NodeId) -> NodeId {
        dialect.station(id).unwrap_or_else(|| {
            let low32 = u32::try_from(id.0).ok();
            low32.and_then(|low32| self.by_low32.get(&low32).copied()).unwrap_or(id)
        })
    }

    /// Takes note of something heard.
    pub fn hear(&mut self, mesh: &str, heard: &Heard, retained: bool, now: Moment) -> Option<Noted> {
        let (dialect, said) = match heard {
            Heard::Status(status) => (status.dialect, status.device),
            Heard::Presence(presence) => (presence.dialect, presence.device),
            Heard::Report(report) => (Dialect::Rootcast, report.device),
        };
        let id = self.canonical(dialect, said);
        self.join_with_alias(id);
        let is_new = !self.nodes.contains_key(&id);
        if is_new && !self.may_take_up(mesh) {
            self.refused += 1;
            return None;
        }
        let mut row = self.nodes.get(&id).cloned().unwrap_or_else(|| new_row(id, mesh, now));
        mesh.clone_into(&mut row.mesh);
        dialect_name(dialect).clone_into(&mut row.dialect);
        if !retained {
            row.last_seen = to_db(now);
            row.gone = 0;
        }
        let mut observation = Observation { at: now, ..Observation::default() };
        let mut report_of = None;
        match heard {
            Heard::Status(status) => {
                take_status(&mut row, status, |parent| self.canonical(dialect, parent));
                observation.uptime = status.uptime.map(|seconds| Duration::from_secs(seconds.into()));
                observation.step = status.state;
            }
            Heard::Presence(presence) => {
                // Only a root says so of itself.
                row.is_root = 1;
                row.gone = i64::from(!presence.is_connected);
            }
            Heard::Report(report) => {
                take_report(&mut row, report);
                observation.step = Some(report.state);
                observation.error = report.error.map(|error| error.name().to_owned());
                observation.detail = report.detail.to_string();
                report_of = Some((report.rollout.to_string(), report.progress));
            }
        }
        observation.running = super::running_of(row.running.as_deref(), row.elf.as_deref());
        self.insert(row);
        self.dirty.insert(id);
        Some(Noted { node: id, observation, report: report_of, is_new })
    }

    fn may_take_up(&self, mesh: &str) -> bool {
        let of_mesh = self.mesh_sizes.get(mesh).copied().unwrap_or(0);
        self.nodes.len() < MAX_NODES
            && of_mesh < MAX_NODES_OF_A_MESH
            && (of_mesh > 0 || self.mesh_sizes.len() < MAX_MESHES)
    }

    /// A node that was known by the low half of its id only is the one that now says its whole id: its name and tags go
    /// over to it.
    fn join_with_alias(&mut self, id: NodeId) {
        let alias = NodeId(id.low32().into());
        if alias == id || self.nodes.contains_key(&id) {
            return;
        }
        if let Some(mut row) = self.nodes.get(&alias).cloned().filter(|row| row.dialect == "first") {
            self.forget(alias);
            row.id = db_id(id);
            self.insert(row);
            self.dirty.insert(id);
        }
    }

    /// The fleet as the planner sees it.
    pub fn fleet(
        &self,
        meshes: &BTreeMap<String, crate::store::node::MeshRow>,
        busy: &BTreeMap<NodeId, String>,
        listening_since: Option<Moment>,
        now: Moment,
    ) -> Fleet {
        let node = |(id, row): (&NodeId, &NodeRow)| {
            let last_seen = from_db(row.last_seen);
            let node = Node {
                mesh: row.mesh.clone(),
                node_type: row.node_type.clone(),
                chip: row.chip.and_then(|chip| u16::try_from(chip).ok()),
                version: row.version.clone(),
                running: super::running_of(row.running.as_deref(), row.elf.as_deref()),
                is_root: row.is_root != 0,
                parent: row.parent.map(node_id),
                layer: row.layer.and_then(|layer| u8::try_from(layer).ok()),
                last_seen,
                online: row.gone == 0 && now.since(last_seen) <= silence(),
                tags: serde_json::from_str(&row.tags).unwrap_or_default(),
                slot_bytes: row.slot_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
                busy_with: busy.get(id).cloned(),
            };
            (*id, node)
        };
        let mesh = |(name, row): (&String, &crate::store::node::MeshRow)| {
            (name.clone(), Mesh { zone: row.zone.clone() })
        };
        Fleet {
            nodes: self.nodes.iter().map(node).collect(),
            meshes: meshes.iter().map(mesh).collect(),
            listening_since,
            ..Fleet::default()
        }
    }
}

/// An id as the store keeps it. Ids have 48 bits.
pub fn db_id(id: NodeId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

/// An id from the store.
pub fn node_id(id: i64) -> NodeId {
    NodeId(u64::try_from(id).unwrap_or(0))
}

fn dialect_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::First => "first",
        Dialect::Later => "later",
        Dialect::Rootcast => "rootcast",
    }
}

fn new_row(id: NodeId, mesh: &str, now: Moment) -> NodeRow {
    NodeRow {
        id: db_id(id),
        mesh: mesh.to_owned(),
        node_type: "unknown".to_owned(),
        dialect: String::new(),
        chip: None,
        version: None,
        running: None,
        elf: None,
        slot: None,
        slot_bytes: None,
        is_root: 0,
        parent: None,
        layer: None,
        rssi: None,
        uptime_s: None,
        state: None,
        progress: None,
        error: None,
        detail: None,
        unsigned_allowed: None,
        first_seen: to_db(now),
        last_seen: 0,
        gone: 0,
        name: None,
        tags: "[]".to_owned(),
    }
}

fn take_status(row: &mut NodeRow, status: &NodeStatus, canonical: impl Fn(NodeId) -> NodeId) {
    row.is_root = status.is_root.into();
    if let Some(node_type) = &status.node_type {
        row.node_type = node_type.name().to_owned();
    } else if row.node_type == "unknown" && status.is_root {
        row.node_type = "switch".to_owned();
    }
    row.parent = status.parent.map(|parent| db_id(canonical(parent)));
    row.layer = status.layer.map(i64::from);
    row.rssi = status.rssi.map(i64::from);
    row.uptime_s = status.uptime.map(i64::from);
    row.chip = status.chip.map(i64::from).or(row.chip);
    row.slot = status.slot.as_ref().map(ToString::to_string).or(row.slot.take());
    row.slot_bytes = status.slot_bytes.map(i64::from).or(row.slot_bytes);
    row.unsigned_allowed = status.unsigned_allowed.map(i64::from).or(row.unsigned_allowed);
    row.version = status.version.as_ref().map(ToString::to_string).or(row.version.take());
    row.state = status.state.map(|state| state.name().to_owned());
    match status.dialect {
        Dialect::Rootcast => {
            row.running = status.running.map(|hash| Hex(&hash).to_string()).or(row.running.take())
        }
        // What an original firmware runs is not what was reported before it was flashed.
        _ => row.running = None,
    }
    row.elf = match status.firmware {
        Some(Firmware::ElfHash(hash)) => Some(Hex(&hash).to_string()),
        _ => None,
    };
}

fn take_report(row: &mut NodeRow, report: &Report) {
    row.node_type = report.node_type.name().to_owned();
    if row.running.as_deref() != Some(&Hex(&report.running).to_string()) {
        row.running = Some(Hex(&report.running).to_string());
        row.elf = None;
    }
    if !report.version.is_empty() {
        row.version = Some(report.version.to_string());
    }
    if report.layer > 0 {
        row.layer = Some(report.layer.into());
    }
    if let Some(parent) = report.parent.known() {
        row.parent = Some(db_id(parent));
    }
    row.state = Some(report.state.name().to_owned());
    row.progress = Some(report.progress.into());
    row.error = report.error.map(|error| error.name().to_owned());
    row.detail = Some(report.detail.to_string()).filter(|detail| !detail.is_empty());
    row.unsigned_allowed = Some(report.unsigned_allowed.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::hear;

    const STATES: &str = "home/switch/state/root";

    fn status(registry: &mut Registry, json: &str) -> Option<NodeId> {
        let (mesh, heard) = hear(STATES, json.as_bytes()).unwrap();
        registry.hear(&mesh, &heard, false, Moment(1_000_000)).map(|noted| noted.node)
    }

    #[test]
    fn unmodified_nodes_of_both_dialects_show_up_and_their_firmware_is_kept() {
        let mut registry = Registry::default();
        let elf = "00112233445566778899aabbccddeeff";
        let first = status(
            &mut registry,
            &format!(r#"{{"deviceId":3268666623,"type":"switch","parentId":5,"firmware":"{elf}"}}"#),
        );
        assert_eq!(first, Some(NodeId(3_268_666_623)));
        assert_eq!(registry.node(first.unwrap()).unwrap().elf.as_deref(), Some(elf));
        // The SoftAP MAC a0:b1:c2:d3:e4:00 belongs to the station a0:b1:c2:d3:e4:ff, whose low half is the number above.
        let later = status(
            &mut registry,
            r#"{"deviceId":176685338321920,"type":"relay8","isRoot":1,"firmware":1700000000,"meshLayer":1}"#,
        );
        let station = NodeId::from_mac([0xa0, 0xb1, 0xc2, 0xd3, 0xe4, 0xff]);
        assert_eq!(later, Some(station));
        assert_eq!(registry.nodes().count(), 1, "it is one node, by two names");
        assert_eq!(registry.node(station).unwrap().is_root, 1);
    }

    #[test]
    fn a_flood_of_ids_is_bounded() {
        let mut registry = Registry::default();
        for id in 1..=2_000 {
            status(&mut registry, &format!(r#"{{"deviceId":{id},"type":"switch","rootcast":1}}"#));
        }
        assert_eq!(registry.nodes().count(), MAX_NODES_OF_A_MESH);
        assert_eq!(registry.refused, 2_000 - MAX_NODES_OF_A_MESH as u64);
        assert!(
            status(&mut registry, r#"{"deviceId":1,"type":"switch","rootcast":1}"#).is_some(),
            "known ones go on"
        );
    }

    #[test]
    fn a_message_kept_by_the_broker_does_not_make_a_node_present_and_a_last_will_makes_it_gone() {
        let mut registry = Registry::default();
        let now = Moment(1_000_000);
        let connected = hear(STATES, br#"{"status":"connected","device_id":7,"rootcast":1}"#).unwrap().1;
        registry.hear("home", &connected, true, now);
        let online = |registry: &Registry| {
            registry.fleet(&BTreeMap::new(), &BTreeMap::new(), Some(now), now).nodes[&NodeId(7)].online
        };
        assert!(!online(&registry));
        registry.hear("home", &connected, false, now);
        assert!(online(&registry));
        let gone = hear(STATES, br#"{"status":"disconnected","device_id":7,"rootcast":1}"#).unwrap().1;
        registry.hear("home", &gone, false, now);
        assert!(!online(&registry));
    }
}
