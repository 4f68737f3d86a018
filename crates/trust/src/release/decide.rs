//! The rules by which a node takes or refuses a release: a pure function of release, node and record.
//!
//! All of it is decided before the first byte of flash is erased.

use core::fmt;

use rootcast_image::ImageHash;

use super::trust_record::{KeyChangeError, TrustRecord};
use super::uri;
use super::uuid::{ClassId, VendorId};
use super::variant::{Patch, Variant};
use super::verify::Release;
use super::version::{Version, VersionMatch};

/// How far a release's own time may be ahead of the node's clock, in seconds: clocks differ, and a release from the
/// future would push the time floor where nothing fresh can reach it.
pub const MAX_CLOCK_DIFFERENCE: u64 = 24 * 3600;

/// What a node was provisioned to accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReleasePolicy {
    /// Refuse bare images: only signed releases.
    pub require_release: bool,
    /// Refuse a release that may have expired while there is no trusted time.
    pub require_time: bool,
}

/// What the rules need to know about a node.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Whose firmware it takes.
    pub vendor: VendorId,
    /// What it answers to ([`ClassId::of_node`]).
    pub classes: &'a [ClassId],
    /// Revision of its chip: major · 100 + minor.
    pub chip_revision: u16,
    /// Bytes of the slot that would be written.
    pub slot_size: u32,
    /// The image that runs.
    pub running: ImageHash,
    /// The version text of the image that runs.
    pub running_version: &'a str,
    /// The trusted time in seconds since 1970, if there is one.
    pub clock: Option<u64>,
    /// Where the release was fetched from.
    pub release_url: &'a str,
}

/// What to do about a release that is accepted.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Fetch and install this variant, by the patch if there is one and it works out.
    Install {
        /// The image.
        variant: Variant<'a>,
        /// The patch from the image that runs.
        patch: Option<Patch<'a>>,
        /// The whole image in compressed form, for a node that fetches it for itself.
        packed: Option<Patch<'a>>,
    },
    /// The node runs this image already.
    AlreadyRunning {
        /// The image.
        variant: Variant<'a>,
    },
    /// The release changes keys and brings nothing for this node.
    KeysOnly,
}

/// Why a release that is believed is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Only signed releases are taken here, and this is a bare image.
    ReleaseRequired,
    /// It is another vendor's.
    WrongVendor {
        /// The release's vendor.
        found: VendorId,
    },
    /// Its only image is for another class of node.
    WrongClass {
        /// The class it is for.
        found: ClassId,
    },
    /// None of its images is for this chip and node type.
    NoVariant {
        /// How many there are.
        variants: usize,
    },
    /// A newer release was accepted before.
    Downgrade {
        /// Its sequence number.
        found: u64,
        /// The highest accepted so far.
        newest: u64,
    },
    /// Another release with the same sequence number was accepted before.
    SequenceReused {
        /// The sequence number.
        found: u64,
    },
    /// Its time is over. Seconds since 1970.
    Expired {
        /// The first moment at which it may not be used.
        not_after: u64,
        /// Now, or a moment before.
        now: u64,
    },
    /// It was signed after now, by the clock here. Seconds since 1970.
    FromTheFuture {
        /// When it was signed, by its own word.
        signed_at: u64,
        /// Now.
        now: u64,
    },
    /// It has a time limit, and the time is not known here.
    ClockNotSet,
    /// It is not for this revision of the chip (major · 100 + minor).
    ChipRevision {
        /// The first and the last revision it is for.
        supported: (u16, u16),
        /// The chip's.
        found: u16,
    },
    /// It is larger than the slot. Bytes.
    TooLarge {
        /// Its size.
        size: u32,
        /// The slot's.
        slot: u32,
    },
    /// It wants another version to run first.
    RunningVersion {
        /// What it wants.
        needed: VersionMatch,
        /// What runs; `None` if that version is not one that can be compared.
        running: Option<Version>,
    },
    /// Its image lies behind http although the release came by https.
    LeavesHttps,
    /// Its changes of keys cannot be made.
    KeyChange(KeyChangeError),
}

impl Refusal {
    /// The stable name under which operators meet this refusal, the same as in node reports.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ReleaseRequired => "release_required",
            Self::WrongVendor { .. } => "release_wrong_vendor",
            Self::WrongClass { .. } => "release_wrong_class",
            Self::NoVariant { .. } => "release_no_variant",
            Self::Downgrade { .. } | Self::SequenceReused { .. } => "release_downgrade",
            Self::Expired { .. } | Self::FromTheFuture { .. } => "release_expired",
            Self::ClockNotSet => "clock_not_set",
            Self::ChipRevision { .. } => "chip_revision",
            Self::TooLarge { .. } => "image_too_large",
            Self::RunningVersion { .. } => "release_version_too_low",
            Self::LeavesHttps => "release_uri_invalid",
            Self::KeyChange(_) => "release_untrusted_key",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReleaseRequired => {
                f.write_str("this node takes signed releases only, and this is a bare image")
            }
            Self::WrongVendor { found } => write!(f, "the release is by the vendor {found}, not this node's"),
            Self::WrongClass { found } => write!(f, "the release is for the class {found}, not this node's"),
            Self::NoVariant { variants } => {
                write!(f, "none of the release's {variants} images is for this chip and node type")
            }
            Self::Downgrade { found, newest } => {
                write!(f, "the release has sequence number {found}, and {newest} was accepted before")
            }
            Self::SequenceReused { found } => {
                write!(f, "another release with sequence number {found} was accepted before")
            }
            Self::Expired { not_after, now } => {
                write!(f, "the release was good until {not_after}, now is {now} (seconds since 1970)")
            }
            Self::FromTheFuture { signed_at, now } => {
                write!(f, "the release was signed at {signed_at}, now is only {now} (seconds since 1970)")
            }
            Self::ClockNotSet => f.write_str("the release has a time limit, and the time is not known here"),
            Self::ChipRevision { supported: (first, last), found } => {
                write!(f, "the image is for chip revisions {first} to {last}, this chip has {found}")
            }
            Self::TooLarge { size, slot } => write!(f, "the image has {size} bytes, the slot {slot}"),
            Self::RunningVersion { needed, running: Some(running) } => {
                write!(f, "the release needs a running version {needed}, {running} runs")
            }
            Self::RunningVersion { needed, running: None } => {
                write!(
                    f,
                    "the release needs a running version {needed}, and the running one cannot be compared"
                )
            }
            Self::LeavesHttps => f.write_str("the release came by https and names an image behind http"),
            Self::KeyChange(error) => write!(f, "the release's keys cannot be taken over: {error}"),
        }
    }
}

impl core::error::Error for Refusal {}

/// Whether a bare image, without a release, is taken.
pub fn decide_bare_image(policy: ReleasePolicy) -> Result<(), Refusal> {
    if policy.require_release { Err(Refusal::ReleaseRequired) } else { Ok(()) }
}

/// What a node does about a verified release.
///
/// On `Ok` the node first stores [`accepted`]`(release, record)`, then acts: a release that was accepted stays accepted,
/// and the same release may be triggered again.
pub fn decide<'a>(
    release: &Release<'a>,
    node: &Node<'_>,
    policy: ReleasePolicy,
    record: &TrustRecord,
) -> Result<Action<'a>, Refusal> {
    if release.vendor() != node.vendor {
        return Err(Refusal::WrongVendor { found: release.vendor() });
    }
    check_order(release, record)?;
    check_time(release.signed_at(), release.not_after(), node.clock, policy, record)?;
    try_key_changes(release, record)?;

    let Some(variant) = release.variant_for(node.vendor, node.classes) else {
        // A change of keys is for every node of the vendor, whether or not there is an image for it.
        if !release.changes().is_empty() {
            return Ok(Action::KeysOnly);
        }
        return Err(match (release.variant_count(), release.variants().next()) {
            (1, Some(only)) => Refusal::WrongClass { found: only.class },
            (variants, _) => Refusal::NoVariant { variants },
        });
    };
    check_time(None, variant.not_after, node.clock, policy, record)?;
    if let Some(supported) = variant.chip_revisions
        && !(supported.0..=supported.1).contains(&node.chip_revision)
    {
        return Err(Refusal::ChipRevision { supported, found: node.chip_revision });
    }
    if variant.image_hash == Some(node.running) {
        return Ok(Action::AlreadyRunning { variant });
    }
    if let Some(needed) = variant.version_needed {
        let running = Version::parse(node.running_version);
        if !running.is_some_and(|running| needed.is_met_by(&running)) {
            return Err(Refusal::RunningVersion { needed, running });
        }
    }
    if variant.size > node.slot_size {
        return Err(Refusal::TooLarge { size: variant.size, slot: node.slot_size });
    }
    if uri::leaves_https(node.release_url, variant.uri) {
        return Err(Refusal::LeavesHttps);
    }
    let stays = |it: &Patch<'_>| !uri::leaves_https(node.release_url, it.uri);
    let patch = variant.patch_from(&node.running).filter(stays);
    let packed = variant.packed().filter(stays);
    Ok(Action::Install { variant, patch, packed })
}

/// The record of a node that has accepted this release. To be stored as one, before anything is done about it.
pub fn accepted(release: &Release<'_>, record: &TrustRecord) -> TrustRecord {
    let mut next = record.clone();
    for change in release.key_changes() {
        // `decide` has tried them all.
        let _ = next.apply(&change);
    }
    // A wanted downgrade takes the place of the number it steps back from: the release it replaces cannot return.
    next.sequence_number = record.sequence_number.max(release.sequence_number());
    next.manifest_digest = *release.manifest_digest();
    next.time_floor = record.time_floor.max(release.signed_at().unwrap_or(0));
    next
}

fn check_order(release: &Release<'_>, record: &TrustRecord) -> Result<(), Refusal> {
    let (found, newest) = (release.sequence_number(), record.sequence_number);
    let same = *release.manifest_digest() == record.manifest_digest;
    let wanted = release.replaces_up_to().is_some_and(|limit| newest <= limit);
    if found > newest || same || wanted {
        Ok(())
    } else if found == newest {
        Err(Refusal::SequenceReused { found })
    } else {
        Err(Refusal::Downgrade { found, newest })
    }
}

fn check_time(
    signed_at: Option<u64>,
    not_after: Option<u64>,
    clock: Option<u64>,
    policy: ReleasePolicy,
    record: &TrustRecord,
) -> Result<(), Refusal> {
    // The floor is no clock, but what ended before it has ended.
    let now = record.time_at_least(clock);
    if let (Some(clock), Some(signed_at)) = (clock, signed_at)
        && signed_at > clock.saturating_add(MAX_CLOCK_DIFFERENCE)
    {
        return Err(Refusal::FromTheFuture { signed_at, now: clock });
    }
    match not_after {
        Some(not_after) if now >= not_after => Err(Refusal::Expired { not_after, now }),
        Some(_) if clock.is_none() && policy.require_time => Err(Refusal::ClockNotSet),
        _ => Ok(()),
    }
}

/// Whether the changes of keys can be made to this record, and leave somebody who can sign.
///
/// # Errors
/// [`Refusal::KeyChange`].
pub fn try_key_changes(release: &Release<'_>, record: &TrustRecord) -> Result<(), Refusal> {
    if release.changes().is_empty() {
        return Ok(());
    }
    let mut next = record.clone();
    for change in release.key_changes() {
        next.apply(&change).map_err(Refusal::KeyChange)?;
    }
    let newest = record.sequence_number.max(release.sequence_number());
    if next.has_signers_after(newest) { Ok(()) } else { Err(Refusal::KeyChange(KeyChangeError::LockOut)) }
}
