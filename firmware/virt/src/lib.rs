//! The emulated board: QEMU's riscv32 `virt` machine as an ESP32-like chip with 4 MB of flash.
//!
//! | module | what it drives |
//! |---|---|
//! | [`start`] | the first instructions, traps, panics: a crash ends in a reset with its reason noted |
//! | [`uart`] | the log |
//! | [`clock`] | time, the watchdog, sleep |
//! | [`reset`] | restarting, and why the last start ended |
//! | [`flash`] | the flash chip |
//! | [`virtio`] | network devices and random numbers |
//! | [`retained`] | what survives a reset but not a power failure |
//!
//! Two programs: `virt-boot`, which follows ESP-IDF's second-stage bootloader, and `virt-app`, the node.
//!
//! What differs from a chip, and why it does not matter here: code runs from RAM, so the boot stub tells the application
//! which slot it came from; the watchdog is the machine timer's interrupt; the wall clock is the machine's.
#![no_std]

extern crate alloc;

pub mod clock;
pub mod flash;
pub mod reset;
pub mod retained;
pub mod start;
pub mod uart;
pub mod virtio;
