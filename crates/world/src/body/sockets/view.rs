//! What there is to see of a node.

use crate::machine::Machine;
use rootcast_image::ImageHash;
use rootcast_node::{Colour, MeshState};
use rootcast_wire::{ErrorCode, NodeId, NodeType, UpdateState};
use std::time::Duration;
use tokio::time::Instant;

/// How a node is, electrically.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PowerView {
    /// Without power.
    #[default]
    Off,
    /// In a reset.
    Resetting,
    /// Running.
    Running,
    /// Hung; the watchdog has not bitten yet.
    Hung,
    /// It has power, and nothing runs, for this reason.
    Dead(String),
}

/// How a root stands with its broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BrokerView {
    /// It has none, or is not in the mesh.
    #[default]
    None,
    /// It is trying, and last failed for this reason.
    Trying(String),
    /// It is connected.
    Connected,
}

/// A node at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    /// Who.
    pub id: NodeId,
    /// What.
    pub node_type: NodeType,
    /// Whether it is the root.
    pub is_root: bool,
    /// How it is.
    pub power: PowerView,
    /// Whether it is in the mesh.
    pub joined: bool,
    /// Its distance from the router, 1 for the root; 0 while it has no place.
    pub layer: u8,
    /// Its parent; [`NodeId::NONE`] while it has none.
    pub parent: NodeId,
    /// How it stands with the broker, if it is the root.
    pub broker: BrokerView,
    /// What its LED shows.
    pub led: Option<Colour>,
    /// The step of the update that was last reported.
    pub state: Option<UpdateState>,
    /// The error that was last reported.
    pub error: Option<ErrorCode>,
    /// Share of the file on flash, 0 to 100.
    pub percent: u8,
    /// Bytes of the file on flash.
    pub bytes: u32,
    /// Bytes of the whole file, once known.
    pub size: Option<u32>,
    /// Bytes a second that have come in lately.
    pub bytes_per_s: u32,
    /// Which download this is, from 1; 0 before the first.
    pub attempt: u8,
    /// Whether the running image has still to prove itself.
    pub on_trial: bool,
    /// The running image.
    pub running: Option<ImageHash>,
    /// Its version.
    pub version: String,
    /// How often the node has started.
    pub starts: u32,
    /// How often its power went.
    pub power_cuts: u32,
    /// How many of those were inside a flash operation.
    pub cuts_in_flash: u32,
    /// Rules that the node broke on its flash: must be 0.
    pub violations: u64,
}

impl NodeView {
    pub(super) fn new(machine: &Machine) -> Self {
        let settings = machine.settings();
        Self {
            id: settings.id,
            node_type: settings.node_type.clone(),
            is_root: settings.is_root,
            power: PowerView::Off,
            joined: false,
            layer: 0,
            parent: NodeId::NONE,
            broker: BrokerView::None,
            led: None,
            state: None,
            error: None,
            percent: 0,
            bytes: 0,
            size: None,
            bytes_per_s: 0,
            attempt: 0,
            on_trial: false,
            running: None,
            version: String::new(),
            starts: 0,
            power_cuts: 0,
            cuts_in_flash: 0,
            violations: 0,
        }
    }

    /// Takes over what the core says of itself.
    pub(super) fn look(&mut self, machine: &Machine, mesh: MeshState, meter: &mut Meter) {
        self.violations = machine.board.flash.violation_count();
        (self.joined, self.layer, self.parent) = (mesh.joined, mesh.layer, mesh.parent);
        let Some(node) = machine.node() else { return };
        let progress = node.progress();
        // A core that has just started has nothing to say about what was reported before.
        if progress.state.is_some() {
            (self.state, self.error) = (progress.state, progress.error);
        }
        (self.percent, self.bytes, self.size) = (progress.percent, progress.bytes, progress.size);
        self.attempt = progress.attempt;
        self.bytes_per_s = meter.measure(progress.bytes);
        self.on_trial = node.is_on_trial();
        if let Some(running) = progress.running {
            self.running = Some(running.hash);
            if self.version != running.version.as_str() {
                self.version = running.version.as_str().to_owned();
            }
        }
    }
}

/// How fast a number of bytes rises.
#[derive(Debug)]
pub(super) struct Meter {
    since: Instant,
    bytes: u32,
    rate: u32,
}

/// How long is measured before the rate changes.
const MEASURE: Duration = Duration::from_millis(250);

impl Meter {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), bytes: 0, rate: 0 }
    }

    fn measure(&mut self, bytes: u32) -> u32 {
        let elapsed = self.since.elapsed();
        if bytes < self.bytes {
            *self = Self { bytes, ..Self::new() };
        } else if elapsed >= MEASURE {
            self.rate = (f64::from(bytes - self.bytes) / elapsed.as_secs_f64()) as u32;
            (self.since, self.bytes) = (Instant::now(), bytes);
        }
        self.rate
    }
}
