//! One node of a virtual world, with its power, its place in the mesh and its connection.

use super::options::FlashTiming;
use super::stream::Stream;
use crate::body::behaviour::Behaviour;
use crate::flash::Tally;
use crate::machine::{Machine, StartFailure};
use rootcast_node::{Colour, MeshState};
use rootcast_wire::NodeId;

/// How a node is, electrically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Power {
    /// Without power.
    Off,
    /// In a reset.
    Resetting,
    /// Running.
    Running,
    /// Running, and deaf: the watchdog has not bitten yet.
    Hung,
    /// It has power, and nothing runs.
    Dead(StartFailure),
}

/// A node and everything about it.
pub struct Station {
    /// The machine.
    pub machine: Machine,
    /// How it is.
    pub power: Power,
    /// Its place in the mesh, as it was told.
    pub mesh: MeshState,
    /// What its LED shows.
    pub led: Option<Colour>,
    /// Whether its connection to the broker stands.
    pub mqtt: bool,
    /// How often it has started.
    pub starts: u64,
    pub(super) id: NodeId,
    /// Counts resets and power cuts: events of an earlier life do not happen.
    pub(super) life: u64,
    pub(super) behaviour: Behaviour,
    pub(super) stream: Option<Stream>,
    pub(super) connections: u64,
    /// The time of the wake-up that is scheduled.
    pub(super) wake_at: Option<u64>,
    /// Until when the flash holds the processor up.
    pub(super) busy_until: u64,
    pub(super) flash_work: Tally,
}

impl Station {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            id: machine.settings().id,
            flash_work: machine.board.flash.tally(),
            machine,
            power: Power::Off,
            mesh: MeshState::default(),
            led: None,
            mqtt: false,
            starts: 0,
            life: 0,
            behaviour: Behaviour::Healthy,
            stream: None,
            connections: 0,
            wake_at: None,
            busy_until: 0,
        }
    }

    /// Who it is.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Whether it runs and listens.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.power == Power::Running
    }

    /// Ends this life: whatever is under way for it does not arrive.
    pub(super) fn end_life(&mut self, power: Power) {
        self.life += 1;
        self.power = power;
        self.mesh = MeshState::default();
        self.led = None;
        self.mqtt = false;
        self.stream = None;
        self.wake_at = None;
    }

    /// Lets the flash work since the last call take its time.
    pub(super) fn account_flash(&mut self, now_ms: u64, timing: Option<FlashTiming>) {
        let tally = self.machine.board.flash.tally();
        let before = std::mem::replace(&mut self.flash_work, tally);
        let Some(timing) = timing else { return };
        let us = (tally.erases - before.erases) * u64::from(timing.erase_us)
            + (tally.bytes_programmed - before.bytes_programmed).div_ceil(256)
                * u64::from(timing.program_page_us)
            + (tally.bytes_read - before.bytes_read) * u64::from(timing.read_sector_us) / 4096;
        self.busy_until = self.busy_until.max(now_ms) + us / 1000;
    }
}
