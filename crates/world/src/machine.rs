//! A board with its bootloader and, while it has power, the node core running on it. No clock and no wires: bodies
//! ([`crate::body`]) bring those.

use crate::board::Board;
use crate::bootloader::{BootFailure, Booted, Bootloader, ImageCache};
use rootcast_node::install::LayoutError;
use rootcast_node::{BootInfo, Input, Instant, Node, Output, Platform, ResetReason, Settings};
use std::fmt;

/// A virtual node.
pub struct Machine {
    /// The hardware.
    pub board: Board,
    loader: Bootloader,
    settings: Settings,
    running: Option<Running>,
}

struct Running {
    node: Box<Node>,
    booted: Booted,
}

/// Why a machine that has power does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartFailure {
    /// The bootloader found nothing to run, or the chip failed it.
    #[error(transparent)]
    Boot(#[from] BootFailure),
    /// The application runs, but the core cannot work on this flash.
    #[error("the node core cannot work on this flash: {0:?}")]
    Layout(LayoutError),
}

impl StartFailure {
    /// Whether the device is lost to everything but a cable.
    #[must_use]
    pub const fn is_brick(&self) -> bool {
        matches!(self, Self::Boot(BootFailure::NothingBoots | BootFailure::PartitionTable(_)))
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = self.booted().map(|booted| booted.slot);
        f.debug_struct("Machine").field("id", &self.settings.id).field("slot", &slot).finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine without power.
    #[must_use]
    pub const fn new(board: Board, loader: Bootloader, settings: Settings) -> Self {
        Self { board, loader, settings, running: None }
    }

    /// A reset: the bootloader, then the core of the image that it starts, as the very first thing.
    ///
    /// # Errors
    /// [`StartFailure`]; power may also go in the middle, see [`Machine::has_power`].
    pub fn start(
        &mut self,
        now: Instant,
        reset: ResetReason,
        images: &mut ImageCache,
    ) -> Result<(), StartFailure> {
        let booted = self.boot(images)?;
        self.start_core(now, reset, booted)
    }

    /// The first half of a reset: the bootloader alone.
    ///
    /// # Errors
    /// [`StartFailure::Boot`].
    pub fn boot(&mut self, images: &mut ImageCache) -> Result<Booted, StartFailure> {
        self.running = None;
        if !self.board.flash().is_powered() {
            self.board.flash().power_on();
        }
        Ok(self.loader.start(&mut self.board.flash, images)?)
    }

    /// The second half of a reset: the core.
    ///
    /// # Errors
    /// [`StartFailure::Layout`].
    pub fn start_core(
        &mut self,
        now: Instant,
        reset: ResetReason,
        booted: Booted,
    ) -> Result<(), StartFailure> {
        self.board.mount(&booted.table);
        let boot = BootInfo { code_address: booted.code_address, reset };
        let node =
            Node::boot(self.settings.clone(), boot, now, &mut self.board).map_err(StartFailure::Layout)?;
        self.running = Some(Running { node: Box::new(node), booted });
        Ok(())
    }

    /// Takes the power away.
    pub fn stop(&mut self) {
        self.running = None;
        self.board.flash.power_off();
    }

    /// Stops the core, with power on: what a chip does at the beginning of a reset.
    pub fn reset(&mut self) {
        self.running = None;
    }

    /// Whether there is power; an armed cut of the flash takes it away.
    #[must_use]
    pub const fn has_power(&self) -> bool {
        self.board.flash.is_powered()
    }

    /// What it was provisioned as.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// For the next start.
    pub const fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// For the next start.
    pub const fn bootloader_mut(&mut self) -> &mut Bootloader {
        &mut self.loader
    }

    /// What was booted, while it runs.
    #[must_use]
    pub fn booted(&self) -> Option<&Booted> {
        self.running.as_ref().map(|running| &running.booted)
    }

    /// The core, while it runs.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.running.as_ref().map(|running| &*running.node)
    }

    /// Tells the core; nothing happens without one.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if let Some(running) = &mut self.running {
            running.node.handle(now, input, &mut self.board);
        }
    }

    /// Tells the core that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            running.node.handle_timeout(now, &mut self.board);
        }
    }

    /// When the core wants to hear that time has passed.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.running.as_ref()?.node.deadline(now)
    }

    /// What the core wants done.
    pub fn poll(&mut self, now: Instant) -> Option<Output<'_>> {
        self.running.as_mut()?.node.poll(now, &mut self.board)
    }
}
