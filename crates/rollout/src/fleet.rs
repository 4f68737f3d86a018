//! The fleet as known: what reports and status messages say, put together. Ids are station MACs here; the aliases of
//! the original dialects are resolved by whoever fills this in.

use crate::Moment;
use rootcast_wire::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// All nodes and meshes.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Nodes by id.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Meshes by name; one that is absent here has the defaults.
    pub meshes: BTreeMap<String, Mesh>,
    /// Since when everything that nodes say is heard; `None` while there is no connection to the broker. Silence before
    /// that is not the nodes'.
    pub listening_since: Option<Moment>,
    /// Where several processes share the work: the meshes that another one decides about. Their nodes count, and nothing is
    /// done about them here.
    pub elsewhere: BTreeSet<String>,
    /// Another process decides about rollouts as wholes: when they begin, go on to the next wave, stop and end.
    pub follows: bool,
}

impl Fleet {
    /// Whether another process decides about a node. One that nobody has heard of is whoever's decides about the whole.
    pub(crate) fn is_elsewhere(&self, id: NodeId) -> bool {
        match self.nodes.get(&id) {
            Some(node) => self.elsewhere.contains(&node.mesh),
            None => self.follows,
        }
    }
}

/// A mesh: one root, its topics below one prefix.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    /// Its time zone by its IANA name, `Europe/Warsaw`; `None` = UTC.
    pub zone: Option<String>,
}

/// A node as known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its mesh's name.
    pub mesh: String,
    /// What it is: `switch`, `relay8`, …
    pub node_type: String,
    /// ESP-IDF's number of its chip; unmodified nodes do not say.
    pub chip: Option<u16>,
    /// The running image's version.
    pub version: Option<String>,
    /// The running image.
    pub running: Option<Running>,
    /// Whether it is its mesh's root.
    pub is_root: bool,
    /// Its parent; the root's is itself.
    pub parent: Option<NodeId>,
    /// Its distance from the router, 1 for the root.
    pub layer: Option<u8>,
    /// When anything was last heard of it.
    pub last_seen: Moment,
    /// Whether it counts as present: heard of lately, and no last will since.
    pub online: bool,
    /// What the operator marked it with.
    pub tags: BTreeSet<String>,
    /// Bytes of its update slot, where known.
    pub slot_bytes: Option<u64>,
    /// The name of another rollout that is updating it now.
    pub busy_with: Option<String>,
}

/// What is known of the image that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Its image hash.
    Image([u8; 32]),
    /// The first 16 bytes of its `app_elf_sha256`: the first original dialect says no more.
    Elf([u8; 16]),
}
