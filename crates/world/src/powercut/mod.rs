//! Power cuts inside every flash operation of an update, and what the node makes of each.
//!
//! A power cut leaves nothing but the flash. So a scene is played once, with the chip's content noted before each
//! operation; then every operation is cut, in many ways, on a copy of that content, and the node is started from what
//! is left. It has to come to rest by itself on an image that is whole, without having broken a rule, and it has to be
//! able to take the next update.
//!
//! | module | what it knows |
//! |---|---|
//! | [`scene`] | where a node starts from, and what happens to it |
//! | `rig` | one node, its server and broker, in virtual time |
//! | [`campaign`] | all scenes, all cuts, and the table of what came of them |

pub mod campaign;
mod rig;
pub mod scene;

pub use campaign::{Campaign, Outcomes, Report, Row};
pub use scene::{Scene, Start, Story};
