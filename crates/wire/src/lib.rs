//! The words that Rootcast's nodes, brokers and operators exchange: parsed into types at the border, written from types.
//! The crate knows what a message *is*, and nothing of what anyone does with it. No I/O, no allocation, no panic on any
//! input.
//!
//! The way of the data, and where to find each step:
//!
//! | module | what | from → to |
//! |---|---|---|
//! | [`trigger`], [`command`] | "update to this URL", "abort" | operator → MQTT → root |
//! | [`cast`] | the same, compact, in fragments, put together again | root → mesh → node |
//! | [`frame`] | the frames of the mesh that carry all of it | node ↔ node |
//! | [`report`], [`UpdateState`], [`ErrorCode`] | each step of an update, with its reason | node → root → MQTT → operator |
//! | [`status`] | what a node is and how it fares | node → root → MQTT |
//! | [`topic`] | where on MQTT | |
//! | [`dialect`] | the frames of the two original firmwares | |
//! | [`text`] | bounded text, hexadecimal | |
//!
//! Start with [`parse_command`] and [`Report`]:
//!
//! ```
//! use rootcast_wire::{Command, ErrorCode, NodeId, NodeType, Report, UpdateState, parse_command};
//!
//! let message = br#"{"type":"ota_trigger","url":"https:\/\/server\/fw.bin","targets":["relay"]}"#;
//! let Ok(Command::Trigger(trigger)) = parse_command(message) else { panic!() };
//! assert_eq!(trigger.url, "https://server/fw.bin");
//! assert!(trigger.targets.include(NodeId(1), &NodeType::Relay8, false));
//!
//! let mut report = Report::new(NodeId(1), NodeType::Relay8, UpdateState::Failed);
//! report.error = Some(ErrorCode::HttpNotFound);
//! let mut json = String::new();
//! report.write_json(&mut json).unwrap();
//! assert_eq!(Report::parse_json(json.as_bytes()), Ok(report));
//! println!("{}", ErrorCode::HttpNotFound.advice());
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod bytes;
pub mod cast;
pub mod command;
pub mod dialect;
mod error_code;
pub mod frame;
mod id;
mod json;
pub mod report;
mod state;
pub mod status;
pub mod text;
mod time;
pub mod topic;
pub mod trigger;

pub use command::{
    Abort, Command, MAX_COMMAND_BYTES, Parsed, TriggerError, parse_command, parse_command_into,
};
pub use error_code::ErrorCode;
pub use frame::{Body, Frame, FrameError, MAX_FRAME_BYTES};
pub use id::{MAX_NODE_TYPE_BYTES, NodeId, NodeIdError, NodeType};
pub use json::{JsonError, SliceWriter, TooSmall};
pub use report::Report;
pub use state::UpdateState;
pub use status::NodeStatus;
pub use topic::Topics;
pub use trigger::{Mode, Target, Targets, Trigger};

/// CRC-32/ISO-HDLC, without a table: casts are rare and flash is scarce.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
}
