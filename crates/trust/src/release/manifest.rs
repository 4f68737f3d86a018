//! The manifest (draft-ietf-suit-manifest §8.4), as far as this profile goes.

use super::cbor::{CborFault, Reader};
use super::command::{Choice, End, Place, State, count_alternatives, follow};
use super::envelope::{Envelope, digest_of_wrapped, is_bytes, parse_digest};
use super::key_change::KeyChanges;
use super::text::Texts;
use super::uuid::{ClassId, VendorId};
use super::variant::Variant;
use super::version::Version;
use super::{Part, ReleaseError, label};

/// A manifest whose every variant was read once and is whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manifest<'a> {
    pub sequence_number: u64,
    pub set_version: Option<Version>,
    pub texts: Texts<'a>,
    pub key_changes: KeyChanges<'a>,
    pub replaces_up_to: Option<u64>,
    pub signed_at: Option<u64>,
    pub variant_count: u64,
    shared: &'a [u8],
    install: &'a [u8],
}

impl<'a> Manifest<'a> {
    pub(crate) fn parse(envelope: &Envelope<'a>) -> Result<Self, ReleaseError> {
        let mut reader = Reader::new(envelope.manifest, Part::Manifest);
        let mut keys = reader.map()?;

        // Before anything else: a manifest of another version may mean other things by the same numbers (§6.1).
        match keys.next(&mut reader)? {
            Some(label::MANIFEST_VERSION) => match reader.uint()? {
                1 => {}
                version => return Err(ReleaseError::UnsupportedVersion { version }),
            },
            _ => return Err(ReleaseError::MissingMember { label: label::MANIFEST_VERSION }),
        }
        let (mut sequence_number, mut shared, mut install) = (None, None, None);
        let (mut set_version, mut texts, mut key_changes) = (None, Texts::none(), KeyChanges::none());
        let (mut replaces_up_to, mut signed_at, mut text_seen) = (None, None, false);
        while let Some(member) = keys.next(&mut reader)? {
            match member {
                label::SEQUENCE_NUMBER => sequence_number = Some(reader.uint()?),
                label::COMMON => shared = Some(shared_sequence(reader.bytes()?)?),
                // Where to find the whole manifest again: of use to management systems, not here.
                label::REFERENCE_URI => drop(reader.text()?),
                label::SET_VERSION => {
                    let mut inner = Reader::new(reader.bytes()?, Part::Manifest);
                    set_version = Some(Version::read(&mut inner)?);
                    inner.end()?;
                }
                label::VALIDATE => {
                    // Image match and nothing else, and that is what every install here does anyway.
                    let validate = reader.bytes()?;
                    let mut state = State::with_digest(&[0; 32]);
                    follow(validate, Place::Validate, Choice::Nth(0), &mut state)?;
                }
                label::INSTALL => install = Some(reader.bytes()?),
                label::TEXT => {
                    text_seen = true;
                    texts = read_texts(&mut reader, envelope)?;
                }
                label::KEY_CHANGES => key_changes = KeyChanges::parse(reader.bytes()?)?,
                label::REPLACES_UP_TO => replaces_up_to = Some(reader.uint()?),
                label::SIGNED_AT => signed_at = Some(reader.uint()?),
                label => return Err(ReleaseError::UnsupportedMember { label }),
            }
        }
        reader.end()?;
        // Text in the envelope that the manifest does not know of is nobody's.
        if envelope.text.is_some() && !text_seen {
            return Err(ReleaseError::TextChanged);
        }
        let missing = |label| ReleaseError::MissingMember { label };
        let mut manifest = Self {
            sequence_number: sequence_number.ok_or(missing(label::SEQUENCE_NUMBER))?,
            set_version,
            texts,
            key_changes,
            replaces_up_to,
            signed_at,
            variant_count: 0,
            shared: shared.ok_or(missing(label::COMMON))?,
            install: &[],
        };
        match install {
            Some(install) => manifest.install = install,
            // A release that only changes keys installs nothing.
            None if !manifest.key_changes.is_empty() => return Ok(manifest),
            None => return Err(missing(label::INSTALL)),
        }
        manifest.variant_count = manifest.count_variants()?;
        // Each variant is read, not only the one for this node: a release is right or wrong as a whole.
        for index in 0..manifest.variant_count {
            manifest.variant(index)?;
        }
        Ok(manifest)
    }

    /// The alternatives of the shared sequence, or of the install sequence; if both branch, they branch alike.
    fn count_variants(&self) -> Result<u64, ReleaseError> {
        let shared = count_alternatives(self.shared)?;
        let install = count_alternatives(self.install)?;
        match (shared, install) {
            (1, count) | (count, 1) => Ok(count),
            (shared, install) if shared == install => Ok(shared),
            (_, found) => {
                Err(ReleaseError::Malformed { part: Part::Commands, fault: CborFault::WrongCount { found } })
            }
        }
    }

    /// The variant with this index.
    pub(crate) fn variant(&self, index: u64) -> Result<Variant<'a>, ReleaseError> {
        let mut state = State::default();
        let variant = match self.follow(Choice::Nth(index), &mut state)? {
            End::Done => Some(Variant::from_state(&state)?),
            End::NotMeant => None,
        };
        let fault = CborFault::WrongCount { found: index };
        variant.ok_or(ReleaseError::Malformed { part: Part::Commands, fault })
    }

    /// The first variant for one of these classes.
    pub(crate) fn variant_for(
        &self,
        vendor: VendorId,
        classes: &[ClassId],
    ) -> Result<Option<Variant<'a>>, ReleaseError> {
        if self.variant_count == 0 {
            return Ok(None);
        }
        let mut state = State::default();
        match self.follow(Choice::For(vendor, classes), &mut state)? {
            End::Done => Variant::from_state(&state).map(Some),
            End::NotMeant => Ok(None),
        }
    }

    /// The vendor and the time limit that hold for every variant: those of the shared sequence.
    pub(crate) fn shared_state(&self) -> Result<State<'a>, ReleaseError> {
        let mut state = State::default();
        follow(self.shared, Place::Shared, Choice::Outside, &mut state)?;
        Ok(state)
    }

    fn follow(&self, choice: Choice<'_>, state: &mut State<'a>) -> Result<End, ReleaseError> {
        match follow(self.shared, Place::Shared, choice, state)? {
            End::Done => follow(self.install, Place::Install, choice, state),
            End::NotMeant => Ok(End::NotMeant),
        }
    }
}

/// The shared sequence of the common part, which names one component.
fn shared_sequence(common: &[u8]) -> Result<&[u8], ReleaseError> {
    let mut reader = Reader::new(common, Part::Common);
    let mut keys = reader.map()?;
    let (mut component, mut shared) = (false, None);
    while let Some(member) = keys.next(&mut reader)? {
        match member {
            label::COMPONENTS => {
                let found = reader.array()?;
                if found != 1 {
                    return Err(ReleaseError::TooManyComponents { found });
                }
                for _ in 0..reader.array()? {
                    reader.bytes()?;
                }
                component = true;
            }
            label::SHARED_SEQUENCE => shared = Some(reader.bytes()?),
            label => return Err(ReleaseError::UnsupportedMember { label }),
        }
    }
    reader.end()?;
    if !component {
        return Err(ReleaseError::MissingMember { label: label::COMPONENTS });
    }
    shared.ok_or(ReleaseError::MissingMember { label: label::SHARED_SEQUENCE })
}

/// The texts: in the manifest, or severed from it and then beside it or nowhere.
fn read_texts<'a>(reader: &mut Reader<'a>, envelope: &Envelope<'a>) -> Result<Texts<'a>, ReleaseError> {
    if is_bytes(reader) {
        let texts = reader.bytes()?;
        return if envelope.text.is_none() { Texts::parse(texts) } else { Err(ReleaseError::TextChanged) };
    }
    let expected = parse_digest(reader)?;
    match envelope.text {
        Some(text) if digest_of_wrapped(text) == *expected => Texts::parse(text),
        Some(_) => Err(ReleaseError::TextChanged),
        None => Ok(Texts::none()),
    }
}
