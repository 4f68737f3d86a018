//! The command sequences of a manifest, followed.
//!
//! SUIT's manifest processor in miniature (draft-ietf-suit-manifest §6.4): one component, parameters, conditions, one
//! try-each in a sequence. Nothing is carried out here; following a sequence yields what it would fetch, and under
//! which conditions.
//!
//! Whom a sequence is for (vendor, class) decides which alternative of a try-each is taken. The conditions of time and
//! version are noted and judged afterwards, so that a node says "needs version 2 first" and not "nothing for me".

use super::cbor::{CborFault, Reader};
use super::envelope::parse_digest;
use super::uuid::{ClassId, VendorId};
use super::version::VersionMatch;
use super::{MAX_IMAGE_BYTES, MAX_VARIANTS, Part, ReleaseError, label, uri};

/// Reporting policies are four bits (§8.4.7); nothing is done with them here.
const MAX_REPORTING_POLICY: u64 = 15;

/// Parameters set and conditions met so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State<'a> {
    pub vendor: Option<VendorId>,
    pub class: Option<ClassId>,
    pub digest: Option<&'a [u8; 32]>,
    pub size: Option<u32>,
    pub uri: Option<&'a str>,
    pub fetch_arguments: Option<&'a [u8]>,
    use_before: Option<u64>,
    version: Option<VersionMatch>,

    pub vendor_checked: bool,
    pub class_checked: bool,
    pub fetched: bool,
    /// The image was compared with its digest after it was fetched.
    pub matched: bool,
    /// The release is not to be used from this time on, in seconds since 1970.
    pub not_after: Option<u64>,
    pub version_needed: Option<VersionMatch>,

    branched: bool,
}

impl<'a> State<'a> {
    /// As it stands when the validation sequence begins: the shared sequence has set the digest.
    pub(crate) fn with_digest(digest: &'a [u8; 32]) -> Self {
        Self { digest: Some(digest), ..Self::default() }
    }
}

/// Which alternative of a try-each is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice<'c> {
    /// The first whose vendor and class are these.
    For(VendorId, &'c [ClassId]),
    /// The one with this index, whoever it is for.
    Nth(u64),
    /// None: what holds for every variant.
    Outside,
}

/// Where a sequence stands, which decides what may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Shared,
    Install,
    Validate,
}

/// How a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// It is not for whom [`Choice`] asked.
    NotMeant,
}

/// Follows a sequence to its end.
pub(crate) fn follow<'a>(
    sequence: &'a [u8],
    place: Place,
    choice: Choice<'_>,
    state: &mut State<'a>,
) -> Result<End, ReleaseError> {
    state.branched = false;
    follow_level(sequence, place, choice, state, Level::Outer)
}

/// How many alternatives the try-each of a sequence has; 1 without one.
pub(crate) fn count_alternatives(sequence: &[u8]) -> Result<u64, ReleaseError> {
    let mut reader = Reader::new(sequence, Part::Commands);
    let mut left = reader.array()?;
    while left >= 2 {
        let command = reader.int()?;
        if command == label::TRY_EACH {
            return alternatives(&mut reader);
        }
        reader.item()?;
        left -= 2;
    }
    Ok(1)
}

/// A try-each has at least two alternatives (draft CDDL), and a release at most [`MAX_VARIANTS`].
fn alternatives(reader: &mut Reader<'_>) -> Result<u64, ReleaseError> {
    match reader.array()? {
        found @ 0..=1 => Err(reader.fault(CborFault::WrongCount { found })),
        found if found > MAX_VARIANTS as u64 => Err(ReleaseError::TooManyVariants { found }),
        found => Ok(found),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Outer,
    Alternative,
}

fn follow_level<'a>(
    sequence: &'a [u8],
    place: Place,
    choice: Choice<'_>,
    state: &mut State<'a>,
    level: Level,
) -> Result<End, ReleaseError> {
    let mut reader = Reader::new(sequence, Part::Commands);
    let items = reader.array()?;
    if items == 0 || items % 2 != 0 {
        return Err(reader.fault(CborFault::WrongCount { found: items }));
    }
    for _ in 0..items / 2 {
        let command = reader.int()?;
        let unsupported = Err(ReleaseError::UnsupportedCommand { label: command });
        match (command, place) {
            (label::SET_COMPONENT_INDEX, _) => {
                if reader.uint()? != 0 {
                    return Err(reader.fault(CborFault::WrongValue));
                }
            }
            (label::IMAGE_MATCH, Place::Install | Place::Validate) => {
                policy(&mut reader)?;
                needed(state.digest, label::IMAGE_DIGEST)?;
                state.matched |= state.fetched && place == Place::Install;
            }
            (_, Place::Validate) => return unsupported,
            (label::OVERRIDE_PARAMETERS, _) => override_parameters(&mut reader, state)?,
            (label::VENDOR, _) => {
                policy(&mut reader)?;
                let vendor = needed(state.vendor, label::VENDOR)?;
                state.vendor_checked = true;
                if matches!(choice, Choice::For(meant, _) if meant != vendor) {
                    return Ok(End::NotMeant);
                }
            }
            (label::CLASS, _) => {
                policy(&mut reader)?;
                let class = needed(state.class, label::CLASS)?;
                state.class_checked = true;
                if matches!(choice, Choice::For(_, meant) if !meant.contains(&class)) {
                    return Ok(End::NotMeant);
                }
            }
            (label::USE_BEFORE, _) => {
                policy(&mut reader)?;
                let limit = needed(state.use_before, label::USE_BEFORE)?;
                state.not_after = Some(state.not_after.map_or(limit, |other| other.min(limit)));
            }
            (label::VERSION, _) => {
                policy(&mut reader)?;
                state.version_needed = Some(needed(state.version, label::VERSION)?);
            }
            (label::FETCH, Place::Install) => {
                policy(&mut reader)?;
                needed(state.uri, label::URI)?;
                needed(state.digest, label::IMAGE_DIGEST)?;
                needed(state.size, label::IMAGE_SIZE)?;
                (state.fetched, state.matched) = (true, false);
            }
            (label::TRY_EACH, _) if level == Level::Outer && !state.branched => {
                if try_each(&mut reader, place, choice, state)? == End::NotMeant {
                    return Ok(End::NotMeant);
                }
                state.branched = true;
            }
            _ => return unsupported,
        }
    }
    reader.end()?;
    Ok(End::Done)
}

fn try_each<'a>(
    reader: &mut Reader<'a>,
    place: Place,
    choice: Choice<'_>,
    state: &mut State<'a>,
) -> Result<End, ReleaseError> {
    let mut taken = None;
    for index in 0..alternatives(reader)? {
        let sequence = reader.bytes()?;
        let candidate = match choice {
            Choice::Nth(nth) => nth == index,
            Choice::For(..) => taken.is_none(),
            Choice::Outside => false,
        };
        if candidate {
            // An alternative that is not meant leaves nothing behind.
            let mut inner = *state;
            if follow_level(sequence, place, choice, &mut inner, Level::Alternative)? == End::Done {
                taken = Some(inner);
            }
        }
    }
    match taken {
        Some(inner) => {
            *state = inner;
            Ok(End::Done)
        }
        None if matches!(choice, Choice::Outside) => Ok(End::Done),
        None => Ok(End::NotMeant),
    }
}

fn override_parameters<'a>(reader: &mut Reader<'a>, state: &mut State<'a>) -> Result<(), ReleaseError> {
    let place = core::mem::replace(&mut reader.part, Part::Parameters);
    let mut keys = reader.map()?;
    if keys.left() == 0 {
        return Err(reader.fault(CborFault::WrongCount { found: 0 }));
    }
    while let Some(parameter) = keys.next(reader)? {
        match parameter {
            label::VENDOR => state.vendor = Some(VendorId(*reader.array_of()?)),
            label::CLASS => state.class = Some(ClassId(*reader.array_of()?)),
            label::IMAGE_DIGEST => {
                let mut digest = Reader::new(reader.bytes()?, reader.part);
                state.digest = Some(parse_digest(&mut digest)?);
                digest.end()?;
            }
            label::USE_BEFORE => state.use_before = Some(reader.uint()?),
            label::IMAGE_SIZE => state.size = Some(checked_size(reader.uint()?)?),
            label::URI => state.uri = Some(checked_uri(reader.text()?)?),
            label::FETCH_ARGUMENTS => state.fetch_arguments = Some(reader.bytes()?),
            label::VERSION => {
                let bytes = reader.bytes()?;
                state.version = Some(VersionMatch::parse(bytes, reader.part)?);
            }
            label => return Err(ReleaseError::UnsupportedParameter { label }),
        }
    }
    reader.part = place;
    Ok(())
}

fn policy(reader: &mut Reader<'_>) -> Result<(), ReleaseError> {
    if reader.uint()? <= MAX_REPORTING_POLICY { Ok(()) } else { Err(reader.fault(CborFault::WrongValue)) }
}

fn needed<T>(value: Option<T>, label: i64) -> Result<T, ReleaseError> {
    value.ok_or(ReleaseError::MissingParameter { label })
}

/// Sizes that a file for flash can have.
pub(crate) fn checked_size(found: u64) -> Result<u32, ReleaseError> {
    match u32::try_from(found) {
        Ok(size @ 1..=MAX_IMAGE_BYTES) => Ok(size),
        _ => Err(ReleaseError::AbsurdSize { found }),
    }
}

pub(crate) fn checked_uri(text: &str) -> Result<&str, ReleaseError> {
    if uri::is_usable(text) { Ok(text) } else { Err(ReleaseError::InvalidUri) }
}
