//! Chips as they leave the factory, and a mesh to show.

mod chip;
mod compact;
mod fleet;
mod topology;

pub use chip::{Factory, FactoryError};
pub use compact::CompactTable;
pub use fleet::{Fleet, FleetError};
pub use topology::{Member, Topology};
