//! The compact form of a command.
//!
//! ```text
//! format u8 = 1 | command u8 (1 trigger, 2 abort) | fields … | CRC-32 u32 over all before
//! field: tag u8 | length u16 | value
//! ```
//!
//! All numbers little-endian; CRC-32 is the usual one (ISO-HDLC, as in zip and PNG). A field whose tag has bit 7 set
//! may be skipped by a node that does not know it; an unknown tag without bit 7 changes what the command means, so such
//! a node refuses the command ([`CastError::UnknownField`]).
//!
//! | tag | field | value |
//! |---|---|---|
//! | 1 | url | text |
//! | 2 | sha256 | 32 bytes |
//! | 3 | size | u32 |
//! | 4 | targets | per entry: 1, u64 id; or 2, length u8, node type; or 3 (the root) |
//! | 5 | mode | u8: 1 direct, 2 spread |
//! | 6 | not_before | u64, Unix seconds |
//! | 7 | force | u8 = 1 |
//! | 8 | rollout | text |
//! | 0x81 | version | text |
//! | 0x82 | max_parallel | u16 |

use crate::{
    Abort, ErrorCode, Mode, NodeId, NodeType, Parsed, Target, Targets, TooSmall, Trigger,
    bytes::{Reader, Short, Writer},
    trigger::check_url,
};
use heapless::String;

/// The largest encoded command. A trigger with the longest of everything takes 2,804 bytes.
pub const MAX_CAST_BYTES: usize = 2816;

const FORMAT: u8 = 1;
const TRIGGER: u8 = 1;
const ABORT: u8 = 2;

const URL: u8 = 1;
const SHA256: u8 = 2;
const SIZE: u8 = 3;
const TARGETS: u8 = 4;
const MODE: u8 = 5;
const NOT_BEFORE: u8 = 6;
const FORCE: u8 = 7;
const ROLLOUT: u8 = 8;
const VERSION: u8 = 0x81;
const MAX_PARALLEL: u8 = 0x82;
const MAY_SKIP: u8 = 0x80;

const TARGET_NODE: u8 = 1;
const TARGET_TYPE: u8 = 2;
const TARGET_ROOT: u8 = 3;

/// Why an encoded command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CastError {
    /// Ends before its fields do.
    #[error("the cast is truncated")]
    Truncated,
    /// The checksum is wrong: fragments of different casts were mixed, or bytes changed.
    #[error("the cast's checksum is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// Computed over the bytes.
        expected: u32,
        /// At the end of the cast.
        found: u32,
    },
    /// A format that this version does not know.
    #[error("the cast has format {0}, known is {FORMAT}")]
    Format(u8),
    /// A field that must be understood and is not.
    #[error("the cast has a field {0} that this version does not know")]
    UnknownField(u8),
    /// A field's value is malformed, too long, or there twice.
    #[error("the cast's field {0} is malformed")]
    Field(u8),
}

impl CastError {
    /// The code under which this reaches the operator.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::TriggerInvalid
    }
}

impl From<Short> for CastError {
    fn from(_: Short) -> Self {
        CastError::Truncated
    }
}

impl From<Short> for TooSmall {
    fn from(_: Short) -> Self {
        TooSmall
    }
}

/// Encodes a trigger and returns how many bytes it took; [`MAX_CAST_BYTES`] are always enough.
pub fn encode_trigger(trigger: &Trigger, buffer: &mut [u8]) -> Result<usize, TooSmall> {
    let mut out = Writer::new(buffer);
    out.put(&[FORMAT, TRIGGER])?;
    field(&mut out, URL, trigger.url.as_bytes())?;
    if let Some(sha256) = &trigger.sha256 {
        field(&mut out, SHA256, sha256)?;
    }
    if let Some(size) = trigger.size {
        field(&mut out, SIZE, &size.to_le_bytes())?;
    }
    if !trigger.targets.is_all() {
        encode_targets(&trigger.targets, &mut out)?;
    }
    if let Some(mode) = trigger.mode {
        field(&mut out, MODE, &[mode as u8])?;
    }
    if let Some(not_before) = trigger.not_before {
        field(&mut out, NOT_BEFORE, &not_before.to_le_bytes())?;
    }
    if trigger.force {
        field(&mut out, FORCE, &[1])?;
    }
    if let Some(rollout) = &trigger.rollout {
        field(&mut out, ROLLOUT, rollout.as_bytes())?;
    }
    if let Some(version) = &trigger.version {
        field(&mut out, VERSION, version.as_bytes())?;
    }
    if let Some(max_parallel) = trigger.max_parallel {
        field(&mut out, MAX_PARALLEL, &max_parallel.to_le_bytes())?;
    }
    seal(out)
}

/// Encodes an abort and returns how many bytes it took.
pub fn encode_abort(abort: &Abort, buffer: &mut [u8]) -> Result<usize, TooSmall> {
    let mut out = Writer::new(buffer);
    out.put(&[FORMAT, ABORT])?;
    if let Some(rollout) = &abort.rollout {
        field(&mut out, ROLLOUT, rollout.as_bytes())?;
    }
    seal(out)
}

fn seal(mut out: Writer<'_>) -> Result<usize, TooSmall> {
    let crc = crate::crc32(out.written());
    out.u32(crc)?;
    Ok(out.used())
}

fn field(out: &mut Writer<'_>, tag: u8, value: &[u8]) -> Result<(), TooSmall> {
    out.u8(tag)?;
    out.u16(u16::try_from(value.len()).map_err(|_| TooSmall)?)?;
    Ok(out.put(value)?)
}

fn encode_targets(targets: &Targets, out: &mut Writer<'_>) -> Result<(), TooSmall> {
    let length: usize = targets
        .entries()
        .iter()
        .map(|target| match target {
            Target::Node(_) => 9,
            Target::Type(node_type) => 2 + node_type.name().len(),
            Target::Root => 1,
        })
        .sum();
    out.u8(TARGETS)?;
    out.u16(u16::try_from(length).map_err(|_| TooSmall)?)?;
    for target in targets.entries() {
        match target {
            Target::Node(id) => {
                out.u8(TARGET_NODE)?;
                out.u64(id.0)?;
            }
            Target::Type(node_type) => {
                // A node type's name is at most 16 bytes by its type.
                out.put(&[TARGET_TYPE, node_type.name().len() as u8])?;
                out.put(node_type.name().as_bytes())?;
            }
            Target::Root => out.u8(TARGET_ROOT)?,
        }
    }
    Ok(())
}

/// Decodes a command; a trigger is written into `trigger`, which is cleared after an error.
///
/// Checks what [`crate::parse_command`] checks: a node believes its root no more than the root believed MQTT.
pub fn decode(encoded: &[u8], trigger: &mut Trigger) -> Result<Parsed, CastError> {
    let (content, crc) = encoded.split_last_chunk::<4>().ok_or(CastError::Truncated)?;
    let (expected, found) = (crate::crc32(content), u32::from_le_bytes(*crc));
    if expected != found {
        return Err(CastError::Checksum { expected, found });
    }
    let mut content = Reader(content);
    let format = content.u8()?;
    if format != FORMAT {
        return Err(CastError::Format(format));
    }
    match content.u8()? {
        TRIGGER => {
            trigger.clear();
            let result = decode_trigger(content, trigger);
            if result.is_err() {
                trigger.clear();
            }
            result.map(|()| Parsed::Trigger)
        }
        ABORT => decode_abort(content).map(Parsed::Abort),
        _ => Ok(Parsed::Ignored),
    }
}

fn next_field<'a>(content: &mut Reader<'a>) -> Result<(u8, &'a [u8]), CastError> {
    let tag = content.u8()?;
    let length = content.u16()?;
    Ok((tag, content.take(usize::from(length))?))
}

fn decode_trigger(mut content: Reader<'_>, trigger: &mut Trigger) -> Result<(), CastError> {
    let mut url_seen = false;
    while !content.is_empty() {
        let (tag, value) = next_field(&mut content)?;
        let malformed = CastError::Field(tag);
        match tag {
            URL if !url_seen => {
                url_seen = true;
                let url = core::str::from_utf8(value).map_err(|_| malformed)?;
                check_url(url).map_err(|_| malformed)?;
                trigger.url.push_str(url).map_err(|_| malformed)?;
            }
            SHA256 => set(&mut trigger.sha256, value.try_into().ok(), malformed)?,
            SIZE => set(&mut trigger.size, number(value).filter(|&n| n != 0), malformed)?,
            TARGETS if trigger.targets.is_all() => {
                decode_targets(value, &mut trigger.targets).ok_or(malformed)?;
            }
            MODE => set(&mut trigger.mode, number(value).and_then(Mode::from_number), malformed)?,
            NOT_BEFORE => {
                set(&mut trigger.not_before, value.try_into().ok().map(u64::from_le_bytes), malformed)?
            }
            FORCE if !trigger.force && value == [1] => trigger.force = true,
            ROLLOUT => set(&mut trigger.rollout, text(value), malformed)?,
            VERSION => set(&mut trigger.version, text(value), malformed)?,
            MAX_PARALLEL => set(&mut trigger.max_parallel, number(value).filter(|&n| n != 0), malformed)?,
            URL | TARGETS | FORCE => return Err(malformed),
            other if other & MAY_SKIP == 0 => return Err(CastError::UnknownField(other)),
            _ => {}
        }
    }
    if url_seen { Ok(()) } else { Err(CastError::Field(URL)) }
}

fn decode_abort(mut content: Reader<'_>) -> Result<Abort, CastError> {
    let mut abort = Abort::default();
    while !content.is_empty() {
        let (tag, value) = next_field(&mut content)?;
        match tag {
            ROLLOUT => set(&mut abort.rollout, text(value), CastError::Field(tag))?,
            other if other & MAY_SKIP == 0 => return Err(CastError::UnknownField(other)),
            _ => {}
        }
    }
    Ok(abort)
}

/// Fills a field that must be empty with a value that must be there.
fn set<T>(field: &mut Option<T>, value: Option<T>, malformed: CastError) -> Result<(), CastError> {
    if field.is_some() || value.is_none() {
        return Err(malformed);
    }
    *field = value;
    Ok(())
}

fn text<const N: usize>(value: &[u8]) -> Option<String<N>> {
    String::try_from(core::str::from_utf8(value).ok()?).ok()
}

/// A little-endian number of exactly the size of `T`.
fn number<T: TryFrom<u64>>(value: &[u8]) -> Option<T> {
    if value.len() != size_of::<T>() {
        return None;
    }
    let wide = value.iter().rev().fold(0u64, |wide, byte| wide << 8 | u64::from(*byte));
    T::try_from(wide).ok()
}

fn decode_targets(value: &[u8], targets: &mut Targets) -> Option<()> {
    let mut value = Reader(value);
    while !value.is_empty() {
        let target = match value.u8().ok()? {
            TARGET_NODE => Target::Node(NodeId(value.u64().ok().filter(|&id| id <= NodeId::MAX.0)?)),
            TARGET_TYPE => {
                let length = value.u8().ok()?;
                let name = core::str::from_utf8(value.take(usize::from(length)).ok()?).ok()?;
                Target::Type(NodeType::from_name(name)?)
            }
            TARGET_ROOT => Target::Root,
            _ => return None,
        };
        targets.push(target).ok()?;
    }
    if targets.is_all() { None } else { Some(()) }
}
