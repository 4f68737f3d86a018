//! The node core behind a C interface, so that an ESP-IDF project in C gets the whole updater: it passes in mesh frames,
//! MQTT messages and the bytes of a connection, and serves flash, NVS, light and restart by callbacks.
//!
//! `include/rootcast.h` is the interface (made from this crate, kept true by a test), `component/` the ESP-IDF component
//! around it, `example/` an application on ESP-WIFI-MESH. Nothing is decided here: each function turns C's values into
//! those of `rootcast-node` and back.
//!
//! | module | what it is |
//! |---|---|
//! | [`context`] | the one struct, in memory that the caller gives, and what it is started with |
//! | [`platform`] | the caller's functions: flash, NVS, chance, and what the core wants done |
//! | [`input`] | what the caller tells |
//! | [`run`] | doing what is due; how far the update is |
//!
//! Start with [`context::rootcast_start`].
#![cfg_attr(not(feature = "std"), no_std)]

pub mod context;
pub mod input;
pub mod platform;
pub mod run;

#[cfg(all(not(feature = "std"), feature = "abort-on-panic"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        // C11 §7.22.4.1.
        safe fn abort() -> !;
    }
    abort()
}
