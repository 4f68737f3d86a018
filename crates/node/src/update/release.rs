//! A URL that leads to a signed release instead of an image: read it, believe it or not, and follow it.

use super::*;
use crate::spread::{Description, MAX_LIST_PAGES};
use heapless::{String, Vec};
use rootcast_trust::release::uri::MAX_URI_BYTES;
use rootcast_trust::release::{
    self, Action, MAX_RELEASE_BYTES, MAX_TRUST_RECORD_BYTES, NodeClasses, Release,
};

/// First two bytes of a SUIT envelope: CBOR tag 107 (draft-ietf-suit-manifest, "SUIT_Envelope_Tagged").
const ENVELOPE_TAG: [u8; 2] = [0xD8, 0x6B];

/// A release being read.
pub(super) type ReleaseBytes = Vec<u8, MAX_RELEASE_BYTES>;

/// What a release says about the file for this node.
pub(super) struct Plan {
    /// As it stands in the release: a URL, or relative to the release's own.
    pub uri: String<MAX_URI_BYTES>,
    /// SHA-256 over the file.
    pub sha256: [u8; 32],
    /// Bytes of the file.
    pub size: u32,
    /// The digests of its page list's pages, one after the other; none if the release has none, or more than can be
    /// spread.
    pub lists: Vec<u8, { 16 * MAX_LIST_PAGES }>,
    /// A patch from the running image.
    pub patch: Option<PatchPlan>,
}

impl Plan {
    /// Whether what neighbours offer can be the file that the release means: by its size, and page by page where the
    /// release has digests of the pages.
    pub(super) fn allows(&self, offer: &Description) -> bool {
        let offered = offer.lists.iter().flat_map(|digest| digest.0);
        offer.size == self.size && (self.lists.is_empty() || self.lists.iter().copied().eq(offered))
    }
}

/// What a release says about the patch for this node.
pub(super) struct PatchPlan {
    /// As it stands in the release.
    pub uri: String<MAX_URI_BYTES>,
    /// Bytes of the patch.
    pub size: u32,
}

/// What is known of where a job's image comes from.
#[expect(clippy::large_enum_variant, reason = "one per job, and there is no allocator to box with")]
pub(super) enum Origin {
    /// The URL has not been asked yet, or names the image itself.
    Trigger,
    /// The URL gives a release, whose bytes are coming in.
    ReleaseArriving,
    /// An earlier life followed a release: it has to be read again.
    ReleaseAgain,
    /// The release's choice for this node.
    Release(Plan),
}

impl Origin {
    pub(super) const fn is_release(&self) -> bool {
        !matches!(self, Self::Trigger)
    }

    pub(super) const fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Release(plan) => Some(plan),
            _ => None,
        }
    }
}

#[expect(clippy::result_large_err, reason = "there is no allocator to box a failure with")]
impl Updater {
    /// Looks at the first bytes of what the trigger's URL gives. `true` when they are not (yet) the image's.
    pub(super) fn divert<P: Platform>(
        &mut self,
        bytes: &[u8],
        context: &mut Context<'_, P>,
    ) -> Result<bool, Failure> {
        let Some(job) = &mut self.job else { return Ok(false) };
        match job.origin {
            Origin::ReleaseArriving => {}
            Origin::Release(_) => return Ok(false),
            Origin::Trigger | Origin::ReleaseAgain if job.received > 0 || self.page_fill > 0 => {
                return Ok(false);
            }
            Origin::Trigger | Origin::ReleaseAgain => {
                if bytes.first() == Some(&ENVELOPE_TAG[0]) {
                    job.origin = Origin::ReleaseArriving;
                    self.reading = Reading::Release(ReleaseBytes::new());
                } else {
                    release::decide_bare_image(context.settings.release_policy)
                        .map_err(|refusal| release_refusal(refusal.code(), &refusal))?;
                    job.origin = Origin::Trigger;
                    if shares(&job.trigger, context.settings) && !job.asked_neighbours {
                        // A bare image: the neighbours have it, or will.
                        self.close_stream = true;
                        self.start_sharing(context.now);
                        return Ok(true);
                    }
                    return Ok(false);
                }
            }
        }
        let Reading::Release(release) = &mut self.reading else { return Ok(false) };
        release.extend_from_slice(bytes).map_err(|_| {
            let detail = detail!("longer than {MAX_RELEASE_BYTES} bytes");
            Failure::refusal(ErrorCode::ReleaseMalformed, detail)
        })?;
        Ok(true)
    }

    /// Whether no key is trusted for images.
    pub(crate) fn trusts_no_image_key(&self) -> bool {
        self.trust.image_keys.is_empty()
    }

    /// Whether a time from outside may be right: it is not before the newest time that a release was signed at.
    pub(crate) fn may_be_now(&self, unix_s: u64) -> bool {
        self.trust.may_be_now(unix_s)
    }

    /// The release is whole: it is verified, decided on and remembered, and only then followed.
    pub(super) fn follow_release<P: Platform>(
        &mut self,
        context: &mut Context<'_, P>,
    ) -> Result<(), Failure> {
        let Some(job) = &mut self.job else { return Ok(()) };
        let settings = context.settings;
        let Reading::Release(bytes) = &self.reading else { return Ok(()) };
        let release =
            Release::verify(bytes, &self.trust).map_err(|error| release_refusal(error.code(), &error))?;
        let classes: NodeClasses = release::ClassId::of_node(
            settings.vendor,
            settings.chip,
            settings.node_type.name(),
            settings.hardware_revision.as_deref(),
        );
        let running = context.running;
        let node = release::Node {
            vendor: settings.vendor,
            classes: &classes,
            chip_revision: settings.chip_revision,
            slot_size: self.layout.staging.map_or(0, |(_, slot)| slot.size),
            running: running.map_or(rootcast_image::ImageHash([0; 32]), |running| running.hash),
            running_version: running.map_or("", |running| running.version.as_str()),
            clock: context.unix_s,
            release_url: &job.trigger.url,
        };
        let action = release::decide(&release, &node, settings.release_policy, &self.trust)
            .map_err(|refusal| release_refusal(refusal.code(), &refusal))?;
        let record = release::accepted(&release, &self.trust);
        if record != self.trust {
            let mut bytes = [0; MAX_TRUST_RECORD_BYTES];
            let encoded = record.encode(&mut bytes);
            context.platform.store(SettingKey::Trust, encoded).map_err(|_| Failure {
                error: ErrorCode::FlashFailed.into(),
                detail: detail!("the release could not be noted"),
                refused: false,
            })?;
            self.trust = record;
        }
        match action {
            Action::Install { variant, patch, packed } => {
                if let Some(hash) = variant.image_hash
                    && !job.trigger.force
                    && self.bad_images.holds_hash(&hash)
                {
                    return Err(Failure::refusal(ErrorCode::KnownBadImage, Detail::new()));
                }
                let uri = String::try_from(variant.uri).map_err(|_| ErrorCode::ReleaseUriInvalid)?;
                // From neighbours the image comes as it is.
                let neighbours = shares(&job.trigger, context.settings) && !job.asked_neighbours;
                let patch = patch.or(packed.filter(|_| !neighbours)).and_then(|patch| {
                    Some(PatchPlan { uri: String::try_from(patch.uri).ok()?, size: patch.size })
                });
                let patched = patch.is_some();
                let lists = variant.pages.map_or(&[][..], |pages| pages.as_bytes());
                let lists = Vec::from_slice(lists).unwrap_or_default();
                let (sha256, size) = (*variant.sha256, variant.size);
                job.origin = Origin::Release(Plan { uri, sha256, size, lists, patch });
                job.size = Some(variant.size);
                if job.pages == 0 {
                    job.etag = None;
                }
                // Reading the release was no try of its own.
                job.tried = job.tried.saturating_sub(1);
                if !patched && neighbours {
                    self.close_stream = true;
                    self.start_sharing(context.now);
                } else {
                    self.start_fetch(context);
                }
                Ok(())
            }
            Action::AlreadyRunning { .. } => Err(Failure::refusal(ErrorCode::SameImage, Detail::new())),
            Action::KeysOnly => Err(Failure::refusal(ErrorCode::ReleaseKeysOnly, Detail::new())),
        }
    }
}

fn release_refusal(code: &str, reason: &dyn core::fmt::Display) -> Failure {
    let code = ErrorCode::from_name(code).unwrap_or(ErrorCode::ReleaseMalformed);
    Failure::refusal(code, rootcast_wire::text::cut_format(format_args!("{reason}")))
}
