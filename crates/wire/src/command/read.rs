//! Reading a command message: what kind it is first, then its fields.

use super::{Abort, Command, MAX_COMMAND_BYTES, Parsed, TriggerError};
use crate::{
    NodeId,
    json::{JsonText, JsonTextError, Object, Value},
    text::from_hex,
    time::{MAX_UNIX_SECONDS, parse_rfc3339},
    trigger::{
        MAX_ROLLOUT_BYTES, MAX_URL_BYTES, MAX_VERSION_BYTES, Mode, Target, Targets, Trigger, UrlError,
        check_url,
    },
};
use heapless::String;

/// Reads a command message. For hosts: a node uses [`parse_command_into`].
pub fn parse_command(message: &[u8]) -> Result<Command, TriggerError> {
    let mut trigger = Trigger::new();
    Ok(match parse_command_into(message, &mut trigger)? {
        Parsed::Trigger => Command::Trigger(trigger),
        Parsed::Abort(abort) => Command::Abort(abort),
        Parsed::Ignored => Command::Ignored,
    })
}

/// Reads a command message; a trigger is written into `trigger`. After an error `trigger` is cleared or as it was.
///
/// Fields and types that Rootcast does not know are skipped, whatever shape they have.
pub fn parse_command_into(message: &[u8], trigger: &mut Trigger) -> Result<Parsed, TriggerError> {
    match find_type(message)? {
        Type::Unknown => Ok(Parsed::Ignored),
        _ if message.len() > MAX_COMMAND_BYTES => Err(TriggerError::TooLarge(message.len())),
        Type::Trigger => {
            trigger.clear();
            let result = read_trigger(message, trigger);
            if result.is_err() {
                trigger.clear();
            }
            result.map(|()| Parsed::Trigger)
        }
        Type::Abort => read_abort(message).map(Parsed::Abort),
    }
}

enum Type {
    Trigger,
    Abort,
    Unknown,
}

/// The message's type. Also checks the whole of it, except of a message that is too large anyway: there, only the
/// first [`MAX_COMMAND_BYTES`] are looked at, to tell a foreign message (ignored) from a trigger (refused).
fn find_type(message: &[u8]) -> Result<Type, TriggerError> {
    let too_large = message.len() > MAX_COMMAND_BYTES;
    let visible = message.get(..MAX_COMMAND_BYTES).unwrap_or(message);
    let visible = match core::str::from_utf8(visible) {
        // The cut went through a character: leave that character out.
        Err(error) if too_large && error.error_len().is_none() => &visible[..error.valid_up_to()],
        _ => visible,
    };
    let mut found = None;
    let outcome = (|| {
        let mut object = Object::open(visible)?;
        while let Some((key, value)) = object.next()? {
            if key.is("type") {
                if found.is_some() {
                    return Err(TriggerError::DuplicateField("type"));
                }
                let Value::Text(name) = value else {
                    return Err(TriggerError::WrongType { field: "type", expected: "a text" });
                };
                found = Some(if name.is("ota_trigger") || name.is("ota") {
                    Type::Trigger
                } else if name.is("ota_abort") {
                    Type::Abort
                } else {
                    Type::Unknown
                });
            }
        }
        Ok(())
    })();
    match (outcome, found) {
        (Err(TriggerError::NotJson(_)), Some(Type::Unknown)) if too_large => Ok(Type::Unknown),
        (Err(_), _) if too_large => Err(TriggerError::TooLarge(message.len())),
        (Err(error), _) => Err(error),
        (Ok(()), Some(found)) => Ok(found),
        (Ok(()), None) => Err(TriggerError::MissingField("type")),
    }
}

/// Remembers which fields were there, to refuse a second one.
#[derive(Default)]
struct Seen(u32);

/// The fields of a trigger, in the order of the bits in [`Seen`].
const FIELDS: [&str; 10] =
    ["url", "sha256", "size", "version", "targets", "mode", "max_parallel", "not_before", "rollout", "force"];

impl Seen {
    fn note(&mut self, key: JsonText<'_>) -> Result<Option<&'static str>, TriggerError> {
        let Some(at) = FIELDS.iter().position(|field| key.is(field)) else { return Ok(None) };
        if self.0 & 1 << at != 0 {
            return Err(TriggerError::DuplicateField(FIELDS[at]));
        }
        self.0 |= 1 << at;
        Ok(Some(FIELDS[at]))
    }
}

fn read_trigger(message: &[u8], trigger: &mut Trigger) -> Result<(), TriggerError> {
    let mut object = Object::open(message)?;
    let mut seen = Seen::default();
    while let Some((key, value)) = object.next()? {
        let Some(field) = seen.note(key)? else { continue };
        if value == Value::Null {
            continue;
        }
        match field {
            "url" => read_url(value, &mut trigger.url)?,
            "sha256" => trigger.sha256 = Some(read_digest(value)?),
            "size" => trigger.size = Some(read_number(field, value, "a number from 1 to 4294967295")?),
            "version" => trigger.version = Some(read_text::<MAX_VERSION_BYTES>(field, value)?),
            "targets" => read_targets(value, &mut trigger.targets)?,
            "mode" => {
                let name = read_text::<MAX_VERSION_BYTES>(field, value).map_err(|error| match error {
                    TriggerError::TooLong { .. } => TriggerError::UnknownMode,
                    other => other,
                })?;
                trigger.mode = Some(Mode::from_name(&name).ok_or(TriggerError::UnknownMode)?);
            }
            "max_parallel" => {
                trigger.max_parallel = Some(read_number(field, value, "a number from 1 to 65535")?)
            }
            "not_before" => trigger.not_before = Some(read_time(value)?),
            "rollout" => trigger.rollout = Some(read_text::<MAX_ROLLOUT_BYTES>(field, value)?),
            _ => {
                let Value::Bool(force) = value else {
                    return Err(TriggerError::WrongType { field: "force", expected: "true or false" });
                };
                trigger.force = force;
            }
        }
    }
    if trigger.url.is_empty() { Err(TriggerError::MissingField("url")) } else { Ok(()) }
}

fn read_abort(message: &[u8]) -> Result<Abort, TriggerError> {
    let mut object = Object::open(message)?;
    let mut seen = Seen::default();
    let mut abort = Abort::default();
    while let Some((key, value)) = object.next()? {
        if seen.note(key)? == Some("rollout") && value != Value::Null {
            abort.rollout = Some(read_text::<MAX_ROLLOUT_BYTES>("rollout", value)?);
        }
    }
    Ok(abort)
}

fn text_of<'a>(field: &'static str, value: Value<'a>) -> Result<JsonText<'a>, TriggerError> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(TriggerError::WrongType { field, expected: "a text" }),
    }
}

fn text_error(field: &'static str, limit: usize) -> impl Fn(JsonTextError) -> TriggerError {
    move |error| match error {
        JsonTextError::TooLong(found) => TriggerError::TooLong { field, limit, found },
        JsonTextError::LoneSurrogate => TriggerError::LoneSurrogate(field),
    }
}

fn read_text<const N: usize>(field: &'static str, value: Value<'_>) -> Result<String<N>, TriggerError> {
    text_of(field, value)?.copy().map_err(text_error(field, N))
}

fn read_url(value: Value<'_>, url: &mut String<MAX_URL_BYTES>) -> Result<(), TriggerError> {
    match text_of("url", value)?.copy_to(url) {
        Ok(()) => Ok(check_url(url)?),
        Err(JsonTextError::TooLong(found)) => Err(UrlError::TooLong(found).into()),
        Err(JsonTextError::LoneSurrogate) => Err(TriggerError::LoneSurrogate("url")),
    }
}

fn read_digest(value: Value<'_>) -> Result<[u8; 32], TriggerError> {
    let wrong = TriggerError::OutOfRange { field: "sha256", expected: "64 hexadecimal digits" };
    let digits: String<64> = text_of("sha256", value)?.copy().map_err(|_| wrong)?;
    from_hex(&digits).ok_or(wrong)
}

/// A whole number that is not 0.
fn read_number<T: TryFrom<u64>>(
    field: &'static str,
    value: Value<'_>,
    expected: &'static str,
) -> Result<T, TriggerError> {
    let Value::Number(number) = value else { return Err(TriggerError::WrongType { field, expected }) };
    let number = number.as_u64().filter(|&number| number != 0);
    number.and_then(|number| number.try_into().ok()).ok_or(TriggerError::OutOfRange { field, expected })
}

fn read_time(value: Value<'_>) -> Result<u64, TriggerError> {
    let (field, expected) = ("not_before", "an RFC 3339 time or a number of Unix seconds");
    let time = match value {
        Value::Number(number) => number.as_u64().filter(|&seconds| seconds <= MAX_UNIX_SECONDS),
        Value::Text(text) => text.copy::<40>().ok().and_then(|text| parse_rfc3339(&text)),
        _ => return Err(TriggerError::WrongType { field, expected }),
    };
    time.ok_or(TriggerError::OutOfRange { field, expected })
}

fn read_targets(value: Value<'_>, targets: &mut Targets) -> Result<(), TriggerError> {
    let (field, expected) = ("targets", "a list of node ids and node types");
    let Value::Array(array) = value else { return Err(TriggerError::WrongType { field, expected }) };
    for element in array.elements() {
        let target = match element {
            Value::Number(number) => {
                let id = number.as_u64().filter(|&id| id <= NodeId::MAX.0);
                Target::Node(NodeId(id.ok_or(TriggerError::OutOfRange { field, expected })?))
            }
            Value::Text(text) => {
                let text: String<32> = text.copy().map_err(text_error(field, 32))?;
                text.parse().map_err(|_| TriggerError::OutOfRange { field, expected })?
            }
            _ => return Err(TriggerError::WrongType { field, expected }),
        };
        targets.push(target).map_err(|_| TriggerError::TooManyTargets(array.elements().count()))?;
    }
    if targets.is_all() { Err(TriggerError::NoTargets) } else { Ok(()) }
}
