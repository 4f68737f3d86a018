//! What a node is and how it fares: the status messages of both original dialects and Rootcast's own, and the root's
//! "connected" and last will.
//!
//! Rootcast's status has every key of the later dialect, so that software made for the original goes on working, and
//! its own keys after them. Reading is tolerant: but for the node's id, what is missing or unusable is `None`.

mod compact;
mod json;
mod presence;

pub use json::{StatusError, StatusMessage, parse_status};
pub use presence::{Presence, Reason};

use crate::{NodeId, NodeType, UpdateState, text::Hex, trigger::Version};
use core::fmt;
use heapless::String;

/// The longest status as JSON, in bytes, every character of every text escaped at its longest.
pub const MAX_STATUS_JSON_BYTES: usize = 1024;

/// Which firmware family a status speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The original's first dialect: `deviceId` is the low 32 bits of the station MAC.
    First,
    /// The original's later dialect: `deviceId` is the SoftAP MAC.
    Later,
    /// Rootcast's own: `deviceId` is the station MAC.
    Rootcast,
}

/// What a status says about the running image, in the key `firmware`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Firmware {
    /// The first 16 bytes of `app_elf_sha256` (first dialect: 32 hexadecimal digits).
    ElfHash([u8; 16]),
    /// The build time as a number (later dialect).
    BuildTime(u64),
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Firmware::ElfHash(hash) => Hex(hash).fmt(f),
            Firmware::BuildTime(time) => time.fmt(f),
        }
    }
}

/// The status of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeStatus {
    /// The id by which the node calls itself; [`NodeStatus::station`] makes it Rootcast's.
    pub device: NodeId,
    /// Who speaks.
    pub dialect: Dialect,
    /// True if it is the root.
    pub is_root: bool,
    /// What it is; the first dialect's root does not say.
    pub node_type: Option<NodeType>,
    /// Its parent, in the same kind of id; the root's is itself.
    pub parent: Option<NodeId>,
    /// Its layer in the mesh, 1 for the root.
    pub layer: Option<u8>,
    /// How many nodes the root knows.
    pub peer_count: Option<u16>,
    /// Free heap in bytes.
    pub free_heap: Option<u32>,
    /// Seconds since it started.
    pub uptime: Option<u32>,
    /// What it runs, as the original dialects say it.
    pub firmware: Option<Firmware>,
    /// Signal strength of its parent or router in dBm.
    pub rssi: Option<i8>,
    /// Button presses since it started.
    pub clicks: Option<u32>,
    /// How often it lost its parent.
    pub disconnects: Option<u32>,
    /// How often the free heap was low.
    pub low_heap: Option<u32>,
    /// How many outputs a relay has.
    pub outputs: Option<u8>,
    /// Rootcast: the running image's version.
    pub version: Option<Version>,
    /// Rootcast: the running image's hash.
    pub running: Option<[u8; 32]>,
    /// Rootcast: ESP-IDF's number for its chip.
    pub chip: Option<u16>,
    /// Rootcast: the slot it runs from, `factory` or `ota_0`…
    pub slot: Option<String<8>>,
    /// Rootcast: how far its update is.
    pub state: Option<UpdateState>,
    /// Rootcast: true if it accepts unsigned images.
    pub unsigned_allowed: Option<bool>,
    /// Rootcast: true if it takes signed releases only, and no bare image.
    pub releases_only: Option<bool>,
    /// Rootcast: bytes of the slot that an update goes into.
    pub slot_bytes: Option<u32>,
}

impl NodeStatus {
    /// A status with nothing but the node's id.
    pub const fn new(device: NodeId, dialect: Dialect) -> Self {
        NodeStatus {
            device,
            dialect,
            is_root: false,
            node_type: None,
            parent: None,
            layer: None,
            peer_count: None,
            free_heap: None,
            uptime: None,
            firmware: None,
            rssi: None,
            clicks: None,
            disconnects: None,
            low_heap: None,
            outputs: None,
            version: None,
            running: None,
            chip: None,
            slot: None,
            state: None,
            unsigned_allowed: None,
            releases_only: None,
            slot_bytes: None,
        }
    }

    /// The node's station MAC as Rootcast's id. `None` for the first dialect, which tells the low 32 bits only: compare
    /// them with [`NodeId::low32`].
    pub const fn station(&self) -> Option<NodeId> {
        self.dialect.station(self.device)
    }
}

impl Dialect {
    /// The station MAC that belongs to an id of this dialect.
    pub const fn station(self, id: NodeId) -> Option<NodeId> {
        match self {
            Dialect::First => None,
            Dialect::Later => Some(NodeId::from_soft_ap(id.0)),
            Dialect::Rootcast => Some(id),
        }
    }
}
