//! What every board that runs `rootcast-node` needs around it, and no board in particular: the emulated one and the
//! ESP32-C3 are a few hundred lines each on top of this.
//!
//! | module | what it is |
//! |---|---|
//! | [`board`] | what a board has to be able to do |
//! | [`body`] | the loop between board and node core |
//! | [`mesh`] | a tree, a clock and encrypted frames over a radio without routing |
//! | [`mqtt`] | an MQTT 3.1.1 client |
//! | [`net`] | DHCP, DNS, TCP by smoltcp |
//! | [`stream`] | connections, plain and TLS, for download and broker |
//! | [`tls`] | the verifier that decides whom TLS believes |
//! | [`settings`] | what the node was provisioned with |
//! | [`sntp`] | the time of day |
//!
//! Start with [`board::Board`]; then `body::boot` as the first thing an application does, and `body::run` as the last.
//! `alloc` is used: TLS and TCP buffers live as long as a connection does.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod board;
pub mod body;
pub mod mesh;
pub mod mqtt;
pub mod net;
pub mod settings;
pub mod sntp;
pub mod stream;
pub mod tls;
