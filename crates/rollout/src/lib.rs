//! The planner of rollouts: *a rollout, the fleet as known, now → actions with reasons*. A pure function: no clock, no
//! database, no network. Whoever runs it (the control plane) does what it says and asks again.
//!
//! The way of an update, and where to find each step:
//!
//! | module | what |
//! |---|---|
//! | [`spec`] | what an operator asks for: selection, waves, soak, thresholds, limits, times |
//! | [`fleet`] | the fleet as known: nodes and meshes |
//! | [`release`] | a release: one image per chip and node type, and which of them a node gets |
//! | [`assign`](mod@assign) | who gets what in which wave, and who not, and why (the dry run is exactly this) |
//! | [`bandwidth`] | bytes a second: what limits leave to be started |
//! | [`tree`] | the mesh as a tree: who is healthy, how deep, whose leaves come first |
//! | [`window`] | maintenance windows in a mesh's time zone |
//! | [`update`] | one node's part: its states, drawn |
//! | [`evidence`] | what a report or a sighting proves about an update |
//! | [`plan`](mod@plan) | the next actions |
//! | [`retry`] | the failed ones again |
//!
//! Start with [`plan()`]. Every action and every end state carries a [`reason`](update::Move::reason) for people.
#![forbid(unsafe_code)]

pub mod assign;
pub mod bandwidth;
pub mod evidence;
pub mod fleet;
mod moment;
pub mod plan;
pub mod release;
pub mod retry;
pub mod rollout;
pub mod spec;
pub mod tree;
pub mod update;
pub mod version;
pub mod window;

pub use assign::{Assigned, Assignment, Unassigned, assign};
pub use evidence::{Observation, Step, observe};
pub use fleet::{Fleet, Mesh, Node, Running};
pub use moment::Moment;
pub use plan::{Action, Plan, plan};
pub use release::{Expected, Release, Variant};
pub use rollout::{Phase, Rollout};
pub use spec::{Limits, Selection, Spec, SpecError, Wave, WaveSize};
pub use update::{Move, State, Update};
