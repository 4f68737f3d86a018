//! The node core in a firmware of one's own: what a chip has to lend, and the loop around it.
//!
//! [`Drivers`] stands for the project's radio and network; nothing here allocates or needs `std`.

#![no_std]

use core::mem::MaybeUninit;
use embedded_storage::nor_flash::NorFlash;
use rootcast_image::ChipId;
use rootcast_node::{BootInfo, Input, Instant, Node, Output, Platform, SettingKey, SettingLost, Settings};
use rootcast_wire::{NodeId, NodeType};

/// What the core borrows for each call.
pub struct Chip<F> {
    /// The flash chip.
    pub flash: F,
    /// A hardware random number.
    pub random: fn() -> u32,
}

impl<F: NorFlash> Platform for Chip<F> {
    type Flash = F;

    fn flash(&mut self) -> &mut F {
        &mut self.flash
    }

    fn random(&mut self) -> u32 {
        (self.random)()
    }

    // A firmware that keeps no settings forgets bad images at a restart, and takes no signed releases.
    fn load(&mut self, _: SettingKey, _: &mut [u8]) -> Option<usize> {
        None
    }

    fn store(&mut self, _: SettingKey, _: &[u8]) -> Result<(), SettingLost> {
        Err(SettingLost)
    }
}

/// The project's drivers: what has happened since the last call, and what the core wants done.
pub trait Drivers {
    /// A frame, a message, bytes of the connection.
    fn next_event(&mut self) -> Option<Input<'_>>;
    /// Sends, connects, shows, restarts.
    fn carry_out(&mut self, wish: Output<'_>);
    /// Sleeps until the moment or the next event; gives the time.
    fn sleep_until(&mut self, moment: Option<Instant>) -> Instant;
}

/// Runs the node; returns only when this flash cannot be updated.
pub fn run<F: NorFlash>(mut chip: Chip<F>, drivers: &mut impl Drivers, boot: BootInfo, mac: u64) {
    // As a leaf: no table of peers. In a `static` on a chip.
    let mut place = MaybeUninit::<Node<1>>::uninit();
    let settings = Settings::new(NodeId(mac), NodeType::Switch, ChipId::ESP32C3);
    let mut now = drivers.sleep_until(None);
    // Before anything that can fail: this counts the starts of an image on trial, and goes back if it has had its chance.
    let Ok(node) = Node::boot_in(&mut place, settings, boot, now, &mut chip) else { return };
    loop {
        while let Some(event) = drivers.next_event() {
            node.handle(now, event, &mut chip);
        }
        node.handle_timeout(now, &mut chip);
        while let Some(wish) = node.poll(now, &mut chip) {
            drivers.carry_out(wish);
        }
        now = drivers.sleep_until(node.deadline(now));
    }
}
