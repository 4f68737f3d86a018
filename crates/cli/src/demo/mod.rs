//! A whole installation in this process: broker, firmware host with its own CA, and a virtual mesh, on free ports of this
//! machine, with its flash in memory.
//!
//! | module | what it does |
//! |---|---|
//! | [`images`] | the image that runs and the one to be installed, made and signed on the spot |
//! | [`stage`] | starts broker, host and mesh |
//! | [`evidence`] | looks at the flash of every node afterwards, and keeps it if asked |

mod evidence;
mod images;
mod stage;

pub use evidence::{Evidence, keep};
pub use images::Images;
pub use stage::{Stage, Wishes};
