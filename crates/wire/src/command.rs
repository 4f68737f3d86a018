//! What a root takes from MQTT: triggers, aborts, and everything else, which it ignores.

mod read;

pub use read::{parse_command, parse_command_into};

use crate::{
    ErrorCode,
    json::{JsonError, JsonWriter},
    trigger::{MAX_TARGETS, RolloutId, Trigger, UrlError},
};
use core::fmt::{self, Write};

/// The largest command message, in bytes: a trigger with the longest of everything fits, slashes and control characters
/// escaped.
pub const MAX_COMMAND_BYTES: usize = 8192;

/// A message that the root understood.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "for hosts; a node keeps one Trigger and uses parse_command_into"
)]
pub enum Command {
    /// Update.
    Trigger(Trigger),
    /// Drop what has not switched yet.
    Abort(Abort),
    /// Well formed, but of a type that Rootcast does not know: leave it alone, without an error.
    Ignored,
}

/// What [`parse_command_into`] or [`crate::cast::decode`] found; a trigger is in the buffer that was passed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A trigger: now in the buffer.
    Trigger,
    /// An abort; the buffer is unchanged.
    Abort(Abort),
    /// Of a type that Rootcast does not know; the buffer is unchanged.
    Ignored,
}

/// Tells every node that has not yet switched to drop the update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abort {
    /// Only the update of this rollout; `None` = whatever runs.
    pub rollout: Option<RolloutId>,
}

impl Abort {
    /// True if an update that belongs to `rollout` is meant.
    pub fn means(&self, rollout: Option<&str>) -> bool {
        self.rollout.as_deref().is_none_or(|own| Some(own) == rollout)
    }

    /// Writes the JSON that [`parse_command`] reads.
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        let mut json = JsonWriter::open(out)?;
        json.text("type", "ota_abort")?;
        if let Some(rollout) = &self.rollout {
            json.text("rollout", rollout)?;
        }
        json.close()
    }
}

/// Why a command message is refused. Nothing was changed and nothing was cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TriggerError {
    /// Larger than [`MAX_COMMAND_BYTES`].
    #[error("the message has {0} bytes, at most {MAX_COMMAND_BYTES} are taken")]
    TooLarge(usize),
    /// Not a JSON object.
    #[error("the message is not a JSON object: {0}")]
    NotJson(#[from] JsonError),
    /// A field that must be there is not.
    #[error("the field \"{0}\" is missing")]
    MissingField(&'static str),
    /// A field appears twice; which one is meant cannot be known.
    #[error("the field \"{0}\" appears twice")]
    DuplicateField(&'static str),
    /// A field has a value of another kind.
    #[error("the field \"{field}\" is not {expected}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A field has the right kind but a value that makes no sense.
    #[error("the field \"{field}\" is not {expected}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A text has more bytes than fit. It is never cut.
    #[error("the field \"{field}\" has {found} bytes, at most {limit} are allowed")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Bytes allowed.
        limit: usize,
        /// Bytes found.
        found: usize,
    },
    /// A text contains half of a UTF-16 surrogate pair.
    #[error("the field \"{0}\" contains half a surrogate pair (\\ud800 to \\udfff)")]
    LoneSurrogate(&'static str),
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// `mode` is a text, but neither `direct` nor `spread`.
    #[error("the field \"mode\" is neither \"direct\" nor \"spread\"")]
    UnknownMode,
    /// `targets` is an empty list. All nodes are meant when the field is absent; a list that came out empty was
    /// probably meant to update nobody.
    #[error("the field \"targets\" is an empty list; leave it out to mean every node")]
    NoTargets,
    /// `targets` has too many entries.
    #[error("the field \"targets\" has {0} entries, at most {MAX_TARGETS} are allowed")]
    TooManyTargets(usize),
}

impl TriggerError {
    /// The code under which this reaches the operator.
    pub const fn code(&self) -> ErrorCode {
        match self {
            TriggerError::TooLarge(_) => ErrorCode::TriggerTooLarge,
            TriggerError::Url(UrlError::TooLong(_)) => ErrorCode::UrlTooLong,
            TriggerError::Url(UrlError::Invalid(_)) => ErrorCode::UrlInvalid,
            TriggerError::Url(UrlError::Scheme) => ErrorCode::UrlSchemeUnsupported,
            TriggerError::UnknownMode => ErrorCode::ModeUnsupported,
            _ => ErrorCode::TriggerInvalid,
        }
    }
}
