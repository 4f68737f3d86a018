//! Nodes on a Tokio runtime, with real TCP, TLS, MQTT and UDP.
//!
//! | module | what it knows |
//! |---|---|
//! | [`swarm`](Swarm) | a whole mesh in this process, its radios included |
//! | [`runner`](NodeRunner) | one node: its lives, its resets, what it is told and wants done |
//! | [`view`](NodeView) | what there is to see of a node |
//! | [`tls`](Trust) | whose certificates a server may have; one code for each reason to refuse |
//! | [`mqtt`](BrokerAddress) | the root's connection to the broker |
//! | [`udp`] | a mesh of processes: frames over UDP on this machine |
//! | `stream` | a connection to a firmware server |
//! | `air` | the radios of a mesh in this process |
//!
//! Start with [`Swarm::start`], or with [`NodeRunner::new`] for a node that is a process.

mod air;
mod mqtt;
mod options;
mod port;
mod runner;
mod stream;
mod swarm;
mod tls;
pub mod udp;
mod view;

pub use mqtt::{BrokerAddress, BrokerAddressError};
pub use options::NodeOptions;
pub use port::MeshPort;
pub use runner::{Command, NodeHandle, NodeRunner};
pub use swarm::Swarm;
pub use tls::{Trust, TrustError, certificate_code};
pub use view::{BrokerView, NodeView, PowerView};
