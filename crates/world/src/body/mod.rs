//! What surrounds the node core: clock, mesh, broker, servers.
//!
//! | module | what it is |
//! |---|---|
//! | [`mesh`] | the tree of a mesh: who hears what, after how long, and what is lost |
//! | [`http`] | an HTTP server in memory, with the manners of bad ones |
//! | [`virtual_time`] | a whole world in one thread and no time at all, the same for the same seed |

pub mod http;
pub mod mesh;
pub mod virtual_time;
