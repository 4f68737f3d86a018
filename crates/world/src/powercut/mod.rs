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
//! | `examine` | what is asked of a node after a cut |
//! | [`campaign`] | all scenes, all cuts |
//! | [`outcomes`] | what came of them, as a table |

pub mod campaign;
mod examine;
pub mod outcomes;
mod rig;
pub mod scene;

pub use campaign::Campaign;
pub use outcomes::{Outcomes, Report, Row};
pub use scene::{Images, Scene, Start, Story};
