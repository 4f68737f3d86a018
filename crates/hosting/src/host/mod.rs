//! The built-in HTTPS host.
//!
//! | module | purpose |
//! |---|---|
//! | `serve` | connections: accepted, bounded, shaken hands with, ended |
//! | `respond` | from a request to its answer |
//! | `range` | `Range`, `If-Range` and the conditional headers |
//! | `body` | the content on its way out |
//! | `limits` | bandwidth in all and per mesh |
//! | `events` | counters and events |
//! | `upload` | `PUT` with a token, for `rootcast publish` |
//! | `reload` | certificate files that change |

mod body;
mod events;
mod limits;
mod options;
mod range;
mod reload;
mod respond;
mod running;
mod serve;
mod upload;

pub use events::{HostCounters, HostEvent, RequestEvent};
pub use limits::MeshKey;
pub use options::HostOptions;
pub use running::{FirmwareHost, Meter};
pub use upload::{UploadGate, UploadToken, Uploads};
