//! A whole installation in this process: broker, firmware host with its own CA, and a virtual mesh, on free ports of this
//! machine, with its flash in memory.
//!
//! | module | what it does |
//! |---|---|
//! | [`images`] | the image that runs and the one to be installed, made and signed on the spot |
//! | [`release`] | the same as signed releases: for a mixed mesh, or with a patch |
//! | [`stage`] | starts broker, host and mesh |
//! | [`attached`] | a mesh around a control plane that runs already |
//! | [`chaos`] | lets everything go wrong |
//! | [`evidence`] | looks at the flash of every node afterwards, and keeps it if asked |

mod attached;
mod chaos;
mod evidence;
mod images;
mod release;
mod stage;

pub use attached::{Attached, Place};
pub use chaos::{LOSS, Plan, Survived};
pub use evidence::{Evidence, keep};
pub use images::Images;
pub use stage::{Stage, Wishes};
