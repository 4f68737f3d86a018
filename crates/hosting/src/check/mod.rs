//! The check before a trigger: what a node will see at a URL, step by step, and what to do about it.
//!
//! ```text
//!  url ─▶ dns ─▶ tcp ─▶ tls ─▶ chain, domain, validity, trust ─▶ head ─▶ content ─▶ resume ─▶ image ─▶ estimate
//!          ▲                                                       │
//!          └───────────────────── redirect ────────────────────────┘
//! ```
//! It agrees with the nodes because it runs their code: their URL rules and HTTP client ([`rootcast_node::fetch`]), their image verifier and
//! their certificate verification. Where a node would give up, the check notes the node's error code and goes on as far as it can, so that one
//! run shows everything that is wrong.
//!
//! | module | purpose |
//! |---|---|
//! | `options`, `report` | what to check for; what was found |
//! | `connect`, `tls` | name, connection, handshake as a node's stack does it |
//! | `chain`, `names` | certificates |
//! | `download`, `head` | HTTP as a node does it; what the answer's head says |
//! | `image`, `release` | the content |
//! | `estimate` | how long a mesh will take |

mod chain;
mod codes;
mod connect;
mod download;
mod estimate;
mod head;
mod image;
mod names;
mod options;
mod release;
mod report;
mod run;
mod tls;

pub use codes::{certificate_code, image_code, signature_code};
pub use estimate::{Estimate, estimate};
pub use options::{CheckOptions, TrustStore};
pub use release::{ReleaseFacts, VariantFacts, read_release_key};
pub use report::{CheckReport, Outcome, Step, StepId, Transfer, warning};
pub use run::check;
