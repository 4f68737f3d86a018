//! A whole world in one thread and no time at all: nodes, mesh, broker and servers in virtual time, from one seed.
//!
//! | module | what it knows |
//! |---|---|
//! | [`world`](World) | the world: runs events in their order, does what the nodes want done |
//! | [`options`](WorldOptions) | how long things take |
//! | [`event`] | what happens when |
//! | [`station`](Station) | one node with its power, its place in the mesh and its connection |
//! | [`broker`](Broker) | what was published |

mod broker;
mod event;
mod options;
mod station;
mod stream;
mod world;

pub use broker::{Broker, Published};
pub use options::{FlashTiming, WorldOptions};
pub use station::{Power, Station};
pub use world::World;
