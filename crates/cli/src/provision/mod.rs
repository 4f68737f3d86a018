//! Provisioning on the operator's side: where secrets come from, and the lines that flash a board.

mod lines;
mod secret;

pub use lines::Lines;
pub use secret::{Source, mesh_key, secret};
