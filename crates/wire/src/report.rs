//! Reports: one message for each step of an update on a node (DESIGN §4.2).

mod compact;
mod json;

pub use json::ReportError;

use crate::{
    ErrorCode, NodeId, NodeType, UpdateState,
    trigger::{RolloutId, Version},
};
use heapless::String;

/// The longest detail, in bytes.
pub const MAX_DETAIL_BYTES: usize = 96;
/// The longest report as JSON, in bytes, every character of every text escaped at its longest.
pub const MAX_REPORT_JSON_BYTES: usize = 2304;

/// Words for people about a step or an error; cut with a marker where it does not fit ([`crate::text::cut`]).
pub type Detail = String<MAX_DETAIL_BYTES>;

/// One step of an update on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The node.
    pub device: NodeId,
    /// What it is.
    pub node_type: NodeType,
    /// The step.
    pub state: UpdateState,
    /// How much of the step is done, 0 to 100.
    pub progress: u8,
    /// The hash of the image that runs *now* (DESIGN §4.7), read from the running slot: what counts as evidence.
    pub running: [u8; 32],
    /// The hash of the image to be installed, once known.
    pub target: Option<[u8; 32]>,
    /// The running image's version; empty if it has none.
    pub version: Version,
    /// Why it failed, was refused or rolled back; also the cause of a retry while waiting.
    pub error: Option<ErrorCode>,
    /// Words for people; empty if there are none.
    pub detail: Detail,
    /// Which attempt this is, from 1.
    pub attempt: u8,
    /// The rollout that the trigger named; empty if none.
    pub rollout: RolloutId,
    /// The node's layer in the mesh, 1 for the root.
    pub layer: u8,
    /// The node's parent; the root's is itself.
    pub parent: NodeId,
    /// Bytes that came for this update so far, from the server or from neighbours.
    pub bytes: u32,
    /// How many of these came from neighbours.
    pub shared_bytes: u32,
    /// The version before the update, if known.
    pub from_version: Option<Version>,
    /// The version that the update brings, if known.
    pub to_version: Option<Version>,
    /// The node's policy: true if it accepts unsigned images.
    pub unsigned_allowed: bool,
}

impl Report {
    /// A report with nothing but who and what; fill in the rest.
    pub fn new(device: NodeId, node_type: NodeType, state: UpdateState) -> Self {
        Report {
            device,
            node_type,
            state,
            progress: 0,
            running: [0; 32],
            target: None,
            version: Version::new(),
            error: None,
            detail: Detail::new(),
            attempt: 0,
            rollout: RolloutId::new(),
            layer: 0,
            parent: NodeId::NONE,
            bytes: 0,
            shared_bytes: 0,
            from_version: None,
            to_version: None,
            unsigned_allowed: false,
        }
    }
}
