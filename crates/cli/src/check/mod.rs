//! The check of a URL, as commands offer it: which nodes to check for, and how the result is shown.
//!
//! | module | what it knows |
//! |---|---|
//! | `nodes` | the arguments that say what the nodes are like |
//! | `shown` | a report for people and for machines |

mod nodes;
mod shown;

pub use nodes::Nodes;
pub use shown::{Passed, Shown};
