//! CBOR, COSE and SUIT structures, written. Everything comes out in its deterministic encoding: minicbor writes the
//! shortest forms, and [`map`] puts keys in order.

use std::collections::BTreeMap;
use std::vec::Vec;

use minicbor::Encoder;

use super::{SignError, SigningKey};
use crate::release::key_change::{ADD, ADD_IMAGE_KEY, KeyChange, REMOVE_IMAGE_KEY, RETIRE, REVOKE};
use crate::release::version::{Version, VersionMatch};
use crate::release::{UnverifiedRelease, label};

/// The one component of every release: the app.
const COMPONENT: &[u8] = b"app";
/// Report success and failure, with what is known of the system (reporting policy, four bits).
const REPORT_ALL: u64 = 15;
/// Report failure, as the draft's examples do for fetching.
const REPORT_FAILURE: u64 = 2;

/// One item by minicbor. Writing to a vector does not fail.
fn item(write: impl FnOnce(&mut Encoder<Vec<u8>>)) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder);
    encoder.into_writer()
}

pub(crate) fn uint(value: u64) -> Vec<u8> {
    item(|out| drop(out.u64(value)))
}

fn int(value: i64) -> Vec<u8> {
    item(|out| drop(out.i64(value)))
}

pub(crate) fn bytes(value: &[u8]) -> Vec<u8> {
    item(|out| drop(out.bytes(value)))
}

pub(crate) fn tstr(value: &str) -> Vec<u8> {
    item(|out| drop(out.str(value)))
}

/// An array of encoded items.
pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = item(|out| drop(out.array(items.len() as u64)));
    out.extend(items.iter().flatten());
    out
}

/// A map of encoded values, its keys in the order of their encodings (RFC 8949 §4.2.1).
pub(crate) fn map(members: &BTreeMap<i64, Vec<u8>>) -> Vec<u8> {
    let sorted: BTreeMap<Vec<u8>, &Vec<u8>> = members.iter().map(|(key, value)| (int(*key), value)).collect();
    let mut out = item(|out| drop(out.map(sorted.len() as u64)));
    for (key, value) in sorted {
        out.extend(key);
        out.extend(value);
    }
    out
}

/// `SUIT_Digest` of SHA-256.
pub(crate) fn digest(sha256: &[u8; 32]) -> Vec<u8> {
    array(&[int(crate::release::SHA_256), bytes(sha256)])
}

/// The list of components: one, with one segment.
pub(crate) fn components() -> Vec<u8> {
    array(&[component()])
}

fn component() -> Vec<u8> {
    array(&[bytes(COMPONENT)])
}

/// A version as numbers, if nothing of the text is lost by it.
pub(crate) fn exact_version(text: &str) -> Option<Vec<u8>> {
    use std::string::ToString;
    let version = Version::parse(text)?;
    (version.to_string() == text.trim_start_matches('v')).then(|| version_numbers(&version))
}

fn version_numbers(version: &Version) -> Vec<u8> {
    let numbers: Vec<Vec<u8>> = version.numbers().iter().map(|number| int((*number).into())).collect();
    array(&numbers)
}

pub(crate) fn version_match(needed: &VersionMatch) -> Vec<u8> {
    array(&[uint(needed.comparison as u64), version_numbers(&needed.version)])
}

/// `SUIT_Text_Map` in English; `None` if there is nothing to say.
pub(crate) fn text(version: &str, description: Option<&str>) -> Option<Vec<u8>> {
    let mut entries: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    if let Some(description) = description {
        entries.insert(int(label::TEXT_UPDATE_DESCRIPTION), tstr(description));
    }
    if !version.is_empty() {
        entries.insert(component(), map(&BTreeMap::from([(label::TEXT_COMPONENT_VERSION, tstr(version))])));
    }
    if entries.is_empty() {
        return None;
    }
    let mut out = item(|out| drop(out.map(1)));
    out.extend(tstr("en"));
    out.extend(item(|out| drop(out.map(entries.len() as u64))));
    for (key, value) in entries {
        out.extend(key);
        out.extend(value);
    }
    Some(out)
}

pub(crate) fn key_changes(changes: &[KeyChange]) -> Vec<u8> {
    let items: Vec<Vec<u8>> = changes
        .iter()
        .map(|change| match change {
            KeyChange::Add { key, purposes } => {
                array(&[uint(ADD), bytes(&key.0), uint(purposes.bits().into())])
            }
            KeyChange::Retire { key, last } => array(&[uint(RETIRE), bytes(&key.0), uint(*last)]),
            KeyChange::Revoke { key } => array(&[uint(REVOKE), bytes(&key.0)]),
            KeyChange::AddImageKey { key } => array(&[uint(ADD_IMAGE_KEY), bytes(&key.0)]),
            KeyChange::RemoveImageKey { key } => array(&[uint(REMOVE_IMAGE_KEY), bytes(&key.0)]),
        })
        .collect();
    array(&items)
}

/// A command sequence in the making.
pub(crate) struct Sequence(Vec<Vec<u8>>);

impl Sequence {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn condition(self, label: i64) -> Self {
        self.command(label, uint(REPORT_ALL))
    }

    pub(crate) fn directive(self, label: i64) -> Self {
        self.command(label, uint(REPORT_FAILURE))
    }

    pub(crate) fn override_parameters(self, parameters: &BTreeMap<i64, Vec<u8>>) -> Self {
        self.command(label::OVERRIDE_PARAMETERS, map(parameters))
    }

    pub(crate) fn try_each(self, alternatives: impl Iterator<Item = Self>) -> Self {
        let alternatives: Vec<Vec<u8>> = alternatives.map(|it| bytes(&it.encoded())).collect();
        self.command(label::TRY_EACH, array(&alternatives))
    }

    pub(crate) fn command(mut self, label: i64, argument: Vec<u8>) -> Self {
        self.0.extend([int(label), argument]);
        self
    }

    pub(crate) fn encoded(&self) -> Vec<u8> {
        array(&self.0)
    }
}

/// COSE_Sign1 over a SUIT_Digest, with the key's short id among the protected headers.
pub(crate) fn sign(payload: &[u8], key: &SigningKey) -> Result<Vec<u8>, SignError> {
    let kid = key.release_key().ok_or(SignError::NotAReleaseKey)?.id().short();
    let protected = map(&BTreeMap::from([(1, int(crate::release::ES256)), (4, bytes(&kid))]));
    let to_be_signed = array(&[tstr("Signature1"), bytes(&protected), bytes(&[]), bytes(payload)]);
    let signature = key.sign_es256(&to_be_signed)?;
    let mut out = item(|out| drop(out.tag(minicbor::data::Tag::new(18))));
    out.extend(array(&[
        bytes(&protected),
        map(&BTreeMap::new()),
        item(|out| drop(out.null())),
        bytes(&signature),
    ]));
    Ok(out)
}

pub(crate) fn envelope(wrapper: &[u8], manifest: &[u8], text: Option<&[u8]>) -> Vec<u8> {
    let mut members = BTreeMap::from([(2, bytes(wrapper)), (3, bytes(manifest))]);
    if let Some(text) = text {
        members.insert(label::TEXT, bytes(text));
    }
    let mut out = item(|out| drop(out.tag(minicbor::data::Tag::new(107))));
    out.extend(map(&members));
    out
}

/// The same release with one signature more.
pub(crate) fn with_signature(release: &UnverifiedRelease<'_>, signature: Vec<u8>) -> Vec<u8> {
    let mut wrapper = std::vec![bytes(release.signed())];
    wrapper.extend(release.signatures_encoded().map(bytes));
    wrapper.push(bytes(&signature));
    envelope(&array(&wrapper), release.manifest(), release.severed_text())
}
