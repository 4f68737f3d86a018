//! What a release says to people (draft-ietf-suit-manifest §8.4.4).

use super::cbor::{ARRAY, CborFault, Reader};
use super::{Part, ReleaseError, label};

/// The longest version text, in bytes: what an ESP-IDF app descriptor holds.
pub const MAX_VERSION_TEXT_BYTES: usize = 32;

/// Version and description, in the first language of the release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Texts<'a> {
    /// The version that the release brings.
    pub version: Option<&'a str>,
    /// What it changes.
    pub description: Option<&'a str>,
}

impl<'a> Texts<'a> {
    pub(crate) const fn none() -> Self {
        Self { version: None, description: None }
    }

    /// `{ + language => { numbers => text, component => { numbers => text } } }`; unknown numbers are skipped, for no
    /// text decides anything.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ReleaseError> {
        let mut reader = Reader::new(bytes, Part::Text);
        let mut texts = Self::none();
        let mut languages = reader.map()?;
        let mut first = true;
        while let Some(language) = languages.next_raw(&mut reader)? {
            Reader::new(language, Part::Text).text()?;
            let mut found = Self::none();
            let mut keys = reader.map()?;
            while let Some(key) = keys.next_raw(&mut reader)? {
                let mut key = Reader::new(key, Part::Text);
                if key.peek() == Ok(ARRAY) {
                    read_component(&mut reader, &mut found)?;
                } else if key.int()? == label::TEXT_UPDATE_DESCRIPTION {
                    found.description = Some(reader.text()?);
                } else {
                    reader.text()?;
                }
            }
            if first {
                (texts, first) = (found, false);
            }
        }
        reader.end()?;
        Ok(texts)
    }
}

fn read_component<'a>(reader: &mut Reader<'a>, texts: &mut Texts<'a>) -> Result<(), ReleaseError> {
    let mut keys = reader.map()?;
    while let Some(key) = keys.next(reader)? {
        let text = reader.text()?;
        if key == label::TEXT_COMPONENT_VERSION {
            if text.len() > MAX_VERSION_TEXT_BYTES {
                return Err(reader.fault(CborFault::LengthTooLarge { claimed: text.len() as u64 }));
            }
            texts.version = Some(text);
        }
    }
    Ok(())
}
