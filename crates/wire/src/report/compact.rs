//! A report's compact form, the body of a frame. It always fits: see the order of the fields.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | state |
//! | 1 | progress |
//! | 1 | flags: 0 target follows, 1 target = running, 2 unsigned allowed, 3 from = version, 4 to = version, 5 from follows, 6 to follows |
//! | 2 | error, 0 = none |
//! | 1 | attempt |
//! | 1 | layer |
//! | 8 | parent |
//! | 4 | bytes |
//! | 32 | running |
//! | 32 | target, if flag 0 |
//! | 1 + n | node type |
//! | 1 + n | version |
//! | 1 + n | rollout |
//! | 1 + n | from, if flag 5 |
//! | 1 + n | to, if flag 6 |
//! | 1 + n | detail, cut to the room that is left |
//! | 4 | shared bytes; absent if 0 |
//!
//! The node is the frame's source. At their longest, the fields up to rollout take 202 of 218 bytes. The optional
//! versions are left out where they have no room beside a detail of at least [`DETAIL_FLOOR`] bytes (or its whole
//! length): the reason of a failure is worth more, and the control plane knows the versions from the release.

use super::{Detail, Report};
use crate::{
    ErrorCode, NodeId, UpdateState,
    bytes::{Reader, Short, Writer},
    frame::{FrameError, node, read_node_type, read_text, write_text},
    text::{cut_format, cut_to},
    trigger::Version,
};
use heapless::String;

const TARGET: u8 = 1;
const TARGET_IS_RUNNING: u8 = 1 << 1;
const UNSIGNED_ALLOWED: u8 = 1 << 2;
const FROM_IS_VERSION: u8 = 1 << 3;
const TO_IS_VERSION: u8 = 1 << 4;
const FROM: u8 = 1 << 5;
const TO: u8 = 1 << 6;

/// What stands before the number of a code that this version does not know, in the detail.
const FOREIGN: &str = "error ";

/// How much of the detail is kept before an optional version is.
const DETAIL_FLOOR: usize = 48;

impl Report {
    pub(crate) fn write_compact(&self, out: &mut Writer<'_>) -> Result<(), Short> {
        let mut flags = if self.unsigned_allowed { UNSIGNED_ALLOWED } else { 0 };
        let target = self.target.filter(|target| *target != self.running);
        flags |= match (&target, &self.target) {
            (Some(_), _) => TARGET,
            (None, Some(_)) => TARGET_IS_RUNNING,
            (None, None) => 0,
        };
        let shared = if self.shared_bytes > 0 { 4 } else { 0 };
        let fixed = 51 + target.map_or(0, |t| t.len()) + shared;
        let texts = 3 + self.node_type.name().len() + self.version.len() + self.rollout.len();
        let mut room = out.room().checked_sub(fixed + texts + 1).ok_or(Short)?;
        let (error, detail) = self.error_number();
        let floor = detail.len().min(DETAIL_FLOOR);
        let mut optional = |version: &Option<Version>, same: u8, follows: u8| match version {
            None => 0,
            Some(version) if *version == self.version => same,
            Some(version) if room >= floor + 1 + version.len() => {
                room -= 1 + version.len();
                follows
            }
            Some(_) => 0,
        };
        // The version that comes matters more than the one that goes: it is asked first.
        flags |= optional(&self.to_version, TO_IS_VERSION, TO);
        flags |= optional(&self.from_version, FROM_IS_VERSION, FROM);

        out.put(&[self.state.number(), self.progress, flags])?;
        out.u16(error)?;
        out.put(&[self.attempt, self.layer])?;
        out.u64(self.parent.0)?;
        out.u32(self.bytes)?;
        out.put(&self.running)?;
        if let Some(target) = target {
            out.put(&target)?;
        }
        write_text(out, self.node_type.name())?;
        write_text(out, &self.version)?;
        write_text(out, &self.rollout)?;
        if flags & FROM != 0 {
            write_text(out, self.from_version.as_deref().unwrap_or_default())?;
        }
        if flags & TO != 0 {
            write_text(out, self.to_version.as_deref().unwrap_or_default())?;
        }
        let detail = cut_to::<{ super::MAX_DETAIL_BYTES }>(detail, room);
        write_text(out, &detail)?;
        if self.shared_bytes > 0 { out.u32(self.shared_bytes) } else { Ok(()) }
    }

    /// The error's number, 0 for none, and the detail without it. A code that this version does not know was read into
    /// the detail: it goes on as the number that it came as.
    fn error_number(&self) -> (u16, &str) {
        let whole = (self.error.map_or(0, ErrorCode::number), self.detail.as_str());
        if self.error != Some(ErrorCode::Unknown) {
            return whole;
        }
        let named = self.detail.strip_prefix(FOREIGN).and_then(|rest| rest.split_once(": "));
        match named.and_then(|(number, rest)| Some((number.parse().ok()?, rest))) {
            Some((number, rest)) if number != 0 && ErrorCode::from_number(number).is_none() => (number, rest),
            _ => whole,
        }
    }

    pub(crate) fn read_compact(device: NodeId, reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let state = UpdateState::from_number(reader.u8()?).ok_or(FrameError::Field("state"))?;
        let progress = reader.u8()?;
        if progress > 100 {
            return Err(FrameError::Field("progress"));
        }
        let flags = reader.u8()?;
        let number = reader.u16()?;
        let (attempt, layer) = (reader.u8()?, reader.u8()?);
        let parent = node(reader, "parent")?;
        let bytes = reader.u32()?;
        let running: [u8; 32] = reader.array()?;
        let target = match flags & (TARGET | TARGET_IS_RUNNING) {
            0 => None,
            TARGET => Some(reader.array()?),
            _ => Some(running),
        };
        let node_type = read_node_type(reader)?;
        let version: Version = text(reader, "version")?;
        let rollout = text(reader, "rollout")?;
        let mut optional = |same: u8, follows: u8| -> Result<Option<Version>, FrameError> {
            Ok(match flags & (same | follows) {
                0 => None,
                found if found & follows != 0 => Some(text(reader, "version")?),
                _ => Some(version.clone()),
            })
        };
        let from_version = optional(FROM_IS_VERSION, FROM)?;
        let to_version = optional(TO_IS_VERSION, TO)?;
        let mut detail: Detail = text(reader, "detail")?;
        let shared_bytes = reader.u32().unwrap_or(0);
        let error = (number != 0).then(|| {
            ErrorCode::from_number(number).unwrap_or_else(|| {
                // A code of a newer version: the number is what a reader can look up.
                detail = cut_format(format_args!("{FOREIGN}{number}: {detail}"));
                ErrorCode::Unknown
            })
        });
        Ok(Report {
            device,
            node_type,
            state,
            progress,
            running,
            target,
            from_version,
            to_version,
            version,
            error,
            detail,
            attempt,
            rollout,
            layer,
            parent,
            bytes,
            shared_bytes,
            unsigned_allowed: flags & UNSIGNED_ALLOWED != 0,
        })
    }
}

fn text<const N: usize>(reader: &mut Reader<'_>, field: &'static str) -> Result<String<N>, FrameError> {
    String::try_from(read_text(reader, field)?).map_err(|_| FrameError::Field(field))
}
