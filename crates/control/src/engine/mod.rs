//! The engine: hears nodes, asks the planner, writes down, publishes. One task owns the registry and the open rollouts;
//! everything else asks it ([`EngineHandle`]).
//!
//! ```text
//!  MQTT ──▶ registry ──▶ evidence ──┐
//!  API ───▶ orders ─────────────────┼──▶ every half second: planner ──▶ one transaction ──▶ publish
//!  time ────────────────────────────┘
//! ```
//!
//! What is about to be published is written first, with its update's new state. A process that is killed between the two has
//! published nothing, and the node, which does not answer, is triggered again after its time; a process that is killed after
//! publishing finds the state in the store and triggers nothing twice. What was heard in the last half second before a kill
//! is heard again: nodes repeat what they run every 15 seconds.
//!
//! Who judges silence has to listen: what came while a round took its time is heard, as of when it came, before the next
//! one decides, however long that was; and a time in which not everything could be heard is not counted (`listening`).
//!
//! | module | what it knows |
//! |---|---|
//! | [`registry`] | nodes as heard of |
//! | [`run`](Run) | an open rollout between store and planner |
//! | `share` | other processes on the same database |
//! | [`handle`](EngineHandle) | what others may ask of the engine |
//! | `work` | the loop |
//! | `listening` | since when everything that nodes say is heard |
//! | `hear`, `round`, `decide`, `orders` | its parts, in the order above |
//! | `publish` | the connection to the broker |

mod decide;
mod handle;
mod hear;
mod listening;
mod orders;
mod publish;
mod registry;
mod round;
mod run;
mod share;
mod work;

pub use handle::{EngineHandle, NewRollout, Order, OrderError, Standing, Tried};
pub use publish::connect;
pub use registry::{MAX_MESHES, MAX_NODES, Registry, db_id, node_id, silence};
pub use run::{Run, planner_release, running_of};
pub use work::{Engine, EngineParts, Wires};
