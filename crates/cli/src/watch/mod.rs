//! Watching an update: what nodes report, as a picture that moves, as lines, or as JSON.
//!
//! | module | what it does |
//! |---|---|
//! | [`fleet`] | which nodes there are, and whether all have come to their end; pure |
//! | [`node`] | what is known of a node, from its reports and statuses; pure |
//! | [`follow`] | from the trigger to the end |
//! | [`tree`] | the nodes in the order of the mesh |
//! | [`picture`] | the fleet as lines of a given width and height; pure |
//! | [`screen`] | draws a picture over the one before |
//! | [`summary`] | the table and the sentence at the end, and the JSON object |
//! | [`view`] | picture, lines or JSON, whichever is wanted |

mod fleet;
mod follow;
mod node;
mod picture;
mod screen;
mod summary;
#[cfg(test)]
mod tests;
mod tree;
mod view;

pub use fleet::Fleet;
pub use follow::{End, follow};
pub use node::{Led, Sight};
pub use summary::Summary;
pub use view::{View, now};
