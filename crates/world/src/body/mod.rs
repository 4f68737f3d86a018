//! What surrounds the node core: clock, mesh, broker, servers.
//!
//! | module | what it is |
//! |---|---|
//! | [`mesh`] | the tree of a mesh: who hears what, after how long, and what is lost |
//! | [`radio`] | who is in the mesh, and what each node hears |
//! | [`behaviour`] | what images do, good and bad |
//! | [`http`] | an HTTP server in memory, with the manners of bad ones |
//! | [`virtual_time`] | a whole world in one thread and no time at all, the same for the same seed |
//! | [`sockets`] | nodes on a Tokio runtime, with real TCP, TLS, MQTT and UDP |

pub mod behaviour;
pub mod http;
pub mod mesh;
pub mod radio;
pub mod sockets;
pub mod virtual_time;
mod wish;
