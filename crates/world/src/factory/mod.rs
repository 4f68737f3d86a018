//! Chips as they leave the factory, and a mesh to show.

mod chip;
mod topology;

pub use chip::{Factory, FactoryError};
pub use topology::{Member, Topology};
