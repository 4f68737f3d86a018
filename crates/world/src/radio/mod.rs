//! The radio: a mesh on one channel, in virtual time, repeatable by its seed.
//!
//! The world of [`crate::body`] asks whether updates come out right; this one asks how long they take and how much of
//! the channel. It drives the production protocol ([`rootcast_node::spread`]), not a model of it.
//!
//! | module | what it is |
//! |---|---|
//! | [`phy`] | airtime of frames, and how many are lost at which signal |
//! | [`links`] | positions, path loss and shadowing; who is how many hops away |
//! | [`medium`] | the channel: carrier sense, collisions, capture, queues, bursts of loss |
//! | [`image`] | what is spread, and a node's slot |
//! | [`spreading`] | a mesh of the production protocol on that channel |
//! | [`hostile`] | nodes that mean ill |
//! | [`rivals`] | direct downloads, relaying and `mupgrade` on the same channel |
//! | [`scenario`] | meshes as TOML files |
//! | [`fleet`] | a mesh from the list of its nodes |
//! | [`drawing`] | plans and curves as SVG |
//! | [`traffic`] | button presses meanwhile |
//! | [`outcome`] | what a run shows, and the least that any protocol could need |
//!
//! Start with [`spreading::Mesh`].

pub mod drawing;
pub mod fleet;
pub mod hostile;
pub mod image;
pub mod links;
pub mod medium;
pub mod outcome;
pub mod phy;
pub mod rivals;
pub mod scenario;
pub mod spreading;
pub mod traffic;
