//! A report as JSON, as published on MQTT.

use super::{Detail, Report};
use crate::{
    ErrorCode, NodeId, NodeType, SliceWriter, TooSmall, UpdateState,
    json::{JsonError, JsonText, JsonTextError, JsonWriter, Object, Value},
    text::{Hex, cut_format, from_hex},
};
use core::fmt::{self, Write};
use heapless::String;

const TYPE: &str = "ota_status";

/// Why a message is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Not a JSON object.
    #[error("the message is not a JSON object: {0}")]
    NotJson(#[from] JsonError),
    /// Its `type` is not `ota_status`.
    #[error("the message's type is not \"{TYPE}\"")]
    NotAReport,
    /// A field that must be there is not.
    #[error("the report's field \"{0}\" is missing")]
    MissingField(&'static str),
    /// A field has a value that cannot be.
    #[error("the report's field \"{0}\" is malformed")]
    Field(&'static str),
    /// A field appears twice; which one is meant cannot be known.
    #[error("the report's field \"{0}\" appears twice")]
    DuplicateField(&'static str),
}

impl Report {
    /// Writes the report's JSON. Absent values are `null`, `sharedBytes` is left out if 0; at most [`super::MAX_REPORT_JSON_BYTES`].
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        let present = |text: &'_ str| -> bool { !text.is_empty() };
        let mut json = JsonWriter::open(out)?;
        json.text("type", TYPE)?;
        json.plain("deviceId", self.device)?;
        json.text("nodeType", &self.node_type)?;
        json.text("state", self.state)?;
        json.plain("progress", self.progress)?;
        json.text("running", Hex(&self.running))?;
        json.text_or_null("target", self.target.as_ref().map(|target| Hex(target)))?;
        json.text_or_null("version", Some(&self.version).filter(|text| present(text)))?;
        json.text_or_null("error", self.error)?;
        json.text_or_null("detail", Some(&self.detail).filter(|text| present(text)))?;
        json.plain("attempt", self.attempt)?;
        json.text_or_null("rollout", Some(&self.rollout).filter(|text| present(text)))?;
        json.plain("meshLayer", self.layer)?;
        json.plain_or_null("parentId", self.parent.known())?;
        json.plain("bytes", self.bytes)?;
        if self.shared_bytes > 0 {
            json.plain("sharedBytes", self.shared_bytes)?;
        }
        json.text_or_null("fromVersion", self.from_version.as_ref())?;
        json.text_or_null("toVersion", self.to_version.as_ref())?;
        json.plain("unsignedAllowed", self.unsigned_allowed)?;
        json.close()
    }

    /// Writes the report's JSON into a buffer and returns its length.
    pub fn to_json(&self, buffer: &mut [u8]) -> Result<usize, TooSmall> {
        let mut out = SliceWriter::new(buffer);
        self.write_json(&mut out)?;
        Ok(out.used())
    }

    /// Reads a report. Unknown fields are skipped; an error code of a newer version becomes [`ErrorCode::Unknown`],
    /// with its name at the beginning of the detail.
    pub fn parse_json(message: &[u8]) -> Result<Report, ReportError> {
        let mut report = Report::new(
            NodeId::NONE,
            NodeType::from_name("unknown").unwrap_or_default(),
            UpdateState::Accepted,
        );
        let mut unknown_error: Option<String<32>> = None;
        let mut seen = 0u32;
        let mut is_report = false;
        let mut object = Object::open(message)?;
        while let Some((key, value)) = object.next()? {
            let Some(at) = FIELDS.iter().position(|field| key.is(field)) else { continue };
            let field = FIELDS[at];
            if seen & 1 << at != 0 {
                return Err(ReportError::DuplicateField(field));
            }
            seen |= 1 << at;
            if value == Value::Null {
                seen &= !(1 << at);
                continue;
            }
            let malformed = ReportError::Field(field);
            match field {
                "type" => is_report = text(value).is_some_and(|text| text.is(TYPE)),
                "deviceId" => report.device = node(value).ok_or(malformed)?,
                "nodeType" => {
                    let name: String<16> = copy(value).ok_or(malformed)?;
                    report.node_type = NodeType::from_name(&name).ok_or(malformed)?;
                }
                "state" => {
                    let name: String<16> = copy(value).ok_or(malformed)?;
                    report.state = UpdateState::from_name(&name).ok_or(malformed)?;
                }
                "progress" => {
                    report.progress = number(value).filter(|&percent| percent <= 100).ok_or(malformed)?
                }
                "running" => report.running = digest(value).ok_or(malformed)?,
                "target" => report.target = Some(digest(value).ok_or(malformed)?),
                "version" => report.version = copy(value).ok_or(malformed)?,
                "error" => {
                    let name: String<32> = copy(value).ok_or(malformed)?;
                    let code = ErrorCode::from_name(&name).unwrap_or(ErrorCode::Unknown);
                    report.error = Some(code);
                    unknown_error = (code == ErrorCode::Unknown && name != code.name()).then_some(name);
                }
                "detail" => report.detail = copy_cut(text(value).ok_or(malformed)?),
                "attempt" => report.attempt = number(value).ok_or(malformed)?,
                "rollout" => report.rollout = copy(value).ok_or(malformed)?,
                "meshLayer" => report.layer = number(value).ok_or(malformed)?,
                "parentId" => report.parent = node(value).ok_or(malformed)?,
                "bytes" => report.bytes = number(value).ok_or(malformed)?,
                "sharedBytes" => report.shared_bytes = number(value).ok_or(malformed)?,
                "fromVersion" => report.from_version = Some(copy(value).ok_or(malformed)?),
                "toVersion" => report.to_version = Some(copy(value).ok_or(malformed)?),
                _ => {
                    let Value::Bool(allowed) = value else { return Err(malformed) };
                    report.unsigned_allowed = allowed;
                }
            }
        }
        if !is_report {
            return Err(ReportError::NotAReport);
        }
        for required in ["deviceId", "state", "running"] {
            let at = FIELDS.iter().position(|field| *field == required).unwrap_or(0);
            if seen & 1 << at == 0 {
                return Err(ReportError::MissingField(required));
            }
        }
        if let Some(name) = unknown_error {
            report.detail = match report.detail.as_str() {
                "" => cut_format(format_args!("{name}")),
                detail => cut_format(format_args!("{name}: {detail}")),
            };
        }
        Ok(report)
    }
}

/// In the order of the bits that say which were seen.
const FIELDS: [&str; 19] = [
    "type",
    "deviceId",
    "nodeType",
    "state",
    "progress",
    "running",
    "target",
    "version",
    "error",
    "detail",
    "attempt",
    "rollout",
    "meshLayer",
    "parentId",
    "bytes",
    "sharedBytes",
    "fromVersion",
    "toVersion",
    "unsignedAllowed",
];

fn text(value: Value<'_>) -> Option<JsonText<'_>> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn copy<const N: usize>(value: Value<'_>) -> Option<String<N>> {
    text(value)?.copy().ok()
}

/// Text for people, from whoever sent it: cut rather than refused, lone surrogates left out.
fn copy_cut(text: JsonText<'_>) -> Detail {
    match text.copy() {
        Ok(detail) => detail,
        Err(JsonTextError::TooLong(_) | JsonTextError::LoneSurrogate) => {
            struct Decoded<'a>(JsonText<'a>);
            impl fmt::Display for Decoded<'_> {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.chars().flatten().try_for_each(|c| f.write_char(c))
                }
            }
            cut_format(format_args!("{}", Decoded(text)))
        }
    }
}

fn digest(value: Value<'_>) -> Option<[u8; 32]> {
    from_hex(&copy::<64>(value)?)
}

fn number<T: TryFrom<u64>>(value: Value<'_>) -> Option<T> {
    match value {
        Value::Number(number) => number.as_u64()?.try_into().ok(),
        _ => None,
    }
}

fn node(value: Value<'_>) -> Option<NodeId> {
    number(value).map(NodeId).filter(|&id| id <= NodeId::MAX)
}
