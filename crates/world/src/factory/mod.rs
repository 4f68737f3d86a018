//! Chips as they leave the factory, and a mesh to show.

mod chip;
mod compact;
mod topology;

pub use chip::{Factory, FactoryError};
pub use compact::CompactTable;
pub use topology::{Member, Topology};
