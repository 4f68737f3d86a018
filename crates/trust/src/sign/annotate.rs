//! A release as an annotated hex dump: each byte once, in order, with what it means.

use core::fmt::Write;
use std::format;
use std::string::{String, ToString};

use crate::release::cbor::{ARRAY, BYTES, CborFault, MAP, NINT, Reader, TAG, TEXT, UINT};
use crate::release::{Part, ReleaseError, label};

/// What an item is, which decides what the items inside it are called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Envelope,
    Authentication,
    Digest,
    Sign1,
    Headers,
    Manifest,
    Common,
    Components,
    Sequence,
    TryEach,
    Parameters,
    FetchArguments,
    Patches,
    Patch,
    Languages,
    Texts,
    ComponentTexts,
    KeyChanges,
    KeyChange,
    Plain,
}

/// A name, a kind, and whether the item is wrapped in a byte string.
type Meaning = (String, Kind, bool);

fn named(name: &str, kind: Kind) -> Meaning {
    (name.to_string(), kind, false)
}

fn wrapped(name: &str, kind: Kind) -> Meaning {
    (name.to_string(), kind, true)
}

/// Bytes of hexadecimal in a line.
const LINE_BYTES: usize = 16;

/// The release's bytes with their meaning beside them.
///
/// Works on whatever is deterministic CBOR, signed or not; where it is not, the dump ends and says why.
pub fn annotate(release: &[u8]) -> String {
    let mut dump = Dump { out: String::new() };
    let mut reader = Reader::new(release, Part::Envelope);
    let outcome =
        dump.item(&mut reader, 0, named("SUIT envelope", Kind::Envelope)).and_then(|()| reader.end());
    if let Err(error) = outcome {
        let _ = writeln!(dump.out, "here it ends: {error}");
    }
    dump.out
}

struct Dump {
    out: String,
}

impl Dump {
    fn line(&mut self, bytes: &[u8], depth: usize, comment: &str) {
        let mut chunks = bytes.chunks(LINE_BYTES);
        let first = chunks.next().unwrap_or_default();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let width = 2 * LINE_BYTES;
        let line = format!("{:width$}  {:indent$}{comment}", hex(first), "", indent = 2 * depth);
        let _ = writeln!(self.out, "{}", line.trim_end());
        for chunk in chunks {
            let _ = writeln!(self.out, "{}", hex(chunk));
        }
    }

    fn item(&mut self, reader: &mut Reader<'_>, depth: usize, meaning: Meaning) -> Result<(), ReleaseError> {
        let (name, kind, is_wrapped) = meaning;
        let before = reader.rest();
        // Simple values have no argument to speak of.
        if !matches!(reader.peek()?, UINT..=TAG) {
            let item = reader.item()?;
            let value = match item {
                [0xF4] => "false",
                [0xF5] => "true",
                [0xF6] => "null",
                _ => "undefined",
            };
            self.line(item, depth, &format!("{name}: {value}"));
            return Ok(());
        }
        let (major, argument) = reader.head()?;
        let head = before.get(..before.len() - reader.rest().len()).unwrap_or_default();
        match major {
            UINT => self.line(head, depth, &format!("{name}: {argument}")),
            NINT => self.line(head, depth, &format!("{name}: {}", -1 - i128::from(argument))),
            BYTES => {
                let content = reader.take(argument)?;
                if is_wrapped {
                    self.line(head, depth, &format!("{name}: {argument} bytes, in which"));
                    let mut inner = Reader::new(content, Part::Envelope);
                    self.item(&mut inner, depth + 1, (name, kind, false))?;
                    inner.end()?;
                } else {
                    self.line(head, depth, &format!("{name}: {argument} bytes"));
                    if !content.is_empty() {
                        self.line(content, depth + 1, "");
                    }
                }
            }
            TEXT => {
                let content = reader.take(argument)?;
                let text = core::str::from_utf8(content).map_err(|_| reader.fault(CborFault::NotUtf8))?;
                self.line(head, depth, &format!("{name}: text of {argument} bytes"));
                self.line(content, depth + 1, &format!("{text:?}"));
            }
            ARRAY => {
                self.line(head, depth, &format!("{name}: array of {argument}"));
                let mut previous = None;
                for index in 0..argument {
                    let number = Reader::new(reader.rest(), Part::Envelope).int().ok();
                    let meaning = array_item(kind, index, number, previous);
                    previous = number;
                    self.item(reader, depth + 1, meaning)?;
                }
            }
            MAP => {
                self.line(head, depth, &format!("{name}: map of {argument}"));
                for _ in 0..argument {
                    let mut ahead = *reader;
                    let key = ahead.int().ok();
                    let (key_name, value) = map_entry(kind, key);
                    match key {
                        Some(key) => {
                            let bytes = reader.item()?;
                            self.line(bytes, depth + 1, &format!("{key} = {key_name}"));
                        }
                        None => self.item(reader, depth + 1, named(&key_name, Kind::Components))?,
                    }
                    self.item(reader, depth + 2, value)?;
                }
            }
            _ => {
                self.line(head, depth, &format!("tag {argument}"));
                self.item(reader, depth, (name, kind, is_wrapped))?;
            }
        }
        Ok(())
    }
}

fn array_item(kind: Kind, index: u64, number: Option<i64>, previous: Option<i64>) -> Meaning {
    match (kind, index) {
        (Kind::Authentication, 0) => wrapped("SUIT_Digest, which is signed", Kind::Digest),
        (Kind::Authentication, _) => wrapped("COSE_Sign1", Kind::Sign1),
        (Kind::Digest, 0) => named("algorithm (-16: SHA-256)", Kind::Plain),
        (Kind::Digest, _) => named("digest", Kind::Plain),
        (Kind::Sign1, 0) => wrapped("protected headers", Kind::Headers),
        (Kind::Sign1, 1) => named("unprotected headers", Kind::Headers),
        (Kind::Sign1, 2) => named("payload, detached", Kind::Plain),
        (Kind::Sign1, _) => named("signature: r, s", Kind::Plain),
        (Kind::Components, _) => named("component", Kind::Components),
        (Kind::Sequence, index) if index % 2 == 0 => named(command_name(number), Kind::Plain),
        (Kind::Sequence, _) => match previous {
            Some(label::OVERRIDE_PARAMETERS) => named("parameters", Kind::Parameters),
            Some(label::TRY_EACH) => named("alternatives", Kind::TryEach),
            _ => named("reporting policy", Kind::Plain),
        },
        (Kind::TryEach, index) => wrapped(&format!("variant {index}"), Kind::Sequence),
        (Kind::Patches, index) => named(&format!("patch {index}"), Kind::Patch),
        (Kind::Patch, index) => {
            let names = ["from image", "URI", "SHA-256", "size"];
            named(names.get(index as usize).unwrap_or(&"?"), Kind::Plain)
        }
        (Kind::KeyChanges, index) => named(&format!("change {index}"), Kind::KeyChange),
        (Kind::KeyChange, 0) => {
            named("what (1 add, 2 retire, 3 revoke, 4 add, 5 remove image key)", Kind::Plain)
        }
        (Kind::KeyChange, 1) => named("key", Kind::Plain),
        (Kind::KeyChange, _) => named("purposes, or last sequence number", Kind::Plain),
        _ => named("item", Kind::Plain),
    }
}

fn command_name(number: Option<i64>) -> &'static str {
    match number {
        Some(label::VENDOR) => "condition vendor identifier",
        Some(label::CLASS) => "condition class identifier",
        Some(label::IMAGE_MATCH) => "condition image match",
        Some(label::USE_BEFORE) => "condition use before",
        Some(label::VERSION) => "condition version",
        Some(label::SET_COMPONENT_INDEX) => "directive set component index",
        Some(label::TRY_EACH) => "directive try each",
        Some(label::OVERRIDE_PARAMETERS) => "directive override parameters",
        Some(label::FETCH) => "directive fetch",
        _ => "unknown command",
    }
}

fn map_entry(kind: Kind, key: Option<i64>) -> (String, Meaning) {
    let (name, value): (&str, Meaning) = match (kind, key) {
        (Kind::Envelope, Some(2)) => {
            ("authentication wrapper", wrapped("authentication wrapper", Kind::Authentication))
        }
        (Kind::Envelope, Some(3)) => ("manifest", wrapped("manifest", Kind::Manifest)),
        (Kind::Envelope, Some(label::TEXT)) => ("text, severed", wrapped("text", Kind::Languages)),
        (Kind::Headers, Some(1)) => ("algorithm", named("algorithm (-7: ES256)", Kind::Plain)),
        (Kind::Headers, Some(4)) => ("key id", named("key id", Kind::Plain)),
        (Kind::Manifest, Some(label::MANIFEST_VERSION)) => {
            ("manifest version", named("version", Kind::Plain))
        }
        (Kind::Manifest, Some(label::SEQUENCE_NUMBER)) => ("sequence number", named("number", Kind::Plain)),
        (Kind::Manifest, Some(label::COMMON)) => ("common", wrapped("common", Kind::Common)),
        (Kind::Manifest, Some(label::REFERENCE_URI)) => ("reference URI", named("URI", Kind::Plain)),
        (Kind::Manifest, Some(label::SET_VERSION)) => ("set version", wrapped("version", Kind::Plain)),
        (Kind::Manifest, Some(label::VALIDATE)) => ("validate", wrapped("validate", Kind::Sequence)),
        (Kind::Manifest, Some(label::INSTALL)) => ("install", wrapped("install", Kind::Sequence)),
        (Kind::Manifest, Some(label::TEXT)) => ("text", text_or_digest()),
        (Kind::Manifest, Some(label::KEY_CHANGES)) => {
            ("key changes", wrapped("key changes", Kind::KeyChanges))
        }
        (Kind::Manifest, Some(label::REPLACES_UP_TO)) => ("replaces up to", named("number", Kind::Plain)),
        (Kind::Manifest, Some(label::SIGNED_AT)) => ("signed at", named("seconds since 1970", Kind::Plain)),
        (Kind::Common, Some(label::COMPONENTS)) => ("components", named("components", Kind::Components)),
        (Kind::Common, Some(label::SHARED_SEQUENCE)) => {
            ("shared sequence", wrapped("shared sequence", Kind::Sequence))
        }
        (Kind::Parameters, Some(label::VENDOR)) => ("vendor id", named("UUID", Kind::Plain)),
        (Kind::Parameters, Some(label::CLASS)) => ("class id", named("UUID", Kind::Plain)),
        (Kind::Parameters, Some(label::IMAGE_DIGEST)) => {
            ("image digest", wrapped("SUIT_Digest", Kind::Digest))
        }
        (Kind::Parameters, Some(label::USE_BEFORE)) => {
            ("use before", named("seconds since 1970", Kind::Plain))
        }
        (Kind::Parameters, Some(label::IMAGE_SIZE)) => ("image size", named("bytes", Kind::Plain)),
        (Kind::Parameters, Some(label::URI)) => ("URI", named("URI", Kind::Plain)),
        (Kind::Parameters, Some(label::FETCH_ARGUMENTS)) => {
            ("fetch arguments", wrapped("fetch arguments", Kind::FetchArguments))
        }
        (Kind::Parameters, Some(label::VERSION)) => {
            ("version", wrapped("comparison and version", Kind::Plain))
        }
        (Kind::FetchArguments, Some(label::ARG_IMAGE_HASH)) => ("image hash", named("hash", Kind::Plain)),
        (Kind::FetchArguments, Some(label::ARG_PAGE_DIGESTS)) => {
            ("page digests", named("of list pages", Kind::Plain))
        }
        (Kind::FetchArguments, Some(label::ARG_PAGE_LIST_URI)) => {
            ("page list URI", named("URI", Kind::Plain))
        }
        (Kind::FetchArguments, Some(label::ARG_CHIP_REVISIONS)) => {
            ("chip revisions", named("first, last", Kind::Plain))
        }
        (Kind::FetchArguments, Some(label::ARG_PATCHES)) => ("patches", named("patches", Kind::Patches)),
        (Kind::FetchArguments, Some(label::HINT_CLASS_NAME)) => {
            ("class name (hint)", named("name", Kind::Plain))
        }
        (Kind::Languages, _) => ("language", named("texts", Kind::Texts)),
        (Kind::Texts, Some(label::TEXT_UPDATE_DESCRIPTION)) => {
            ("update description", named("text", Kind::Plain))
        }
        (Kind::Texts, None) => ("component", named("texts of the component", Kind::ComponentTexts)),
        (Kind::ComponentTexts, Some(label::TEXT_COMPONENT_VERSION)) => {
            ("component version", named("text", Kind::Plain))
        }
        _ => ("entry", named("value", Kind::Plain)),
    };
    (name.to_string(), value)
}

/// A wrapped text map where the next item is a byte string, a digest where it is an array: [`Kind::Languages`] is only
/// looked at in the first case, and an array of algorithm and digest explains itself.
fn text_or_digest() -> Meaning {
    wrapped("text, or its digest", Kind::Languages)
}
