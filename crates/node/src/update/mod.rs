//! One node's update: download, page by page onto flash, read back, verify, switch.
//!
//! ```text
//!          granted           all bytes          verified           allowed
//! Waiting ────────▶ Fetching ─────────▶ Verifying ────────▶ Installed ───────▶ Switched ──▶ restart
//!                    │    ▲                 │
//!                    ▼    │ backoff         │ refused or failed, at any point before the switch:
//!                   Paused┘                 ▼ the running image's record is as it was
//!                                         Idle
//! ```

/// Formats a detail; what does not fit is cut, as it is for people only.
macro_rules! detail {
    ($($argument:tt)*) => {{
        let mut detail = Detail::new();
        let _ = write!(detail, $($argument)*);
        detail
    }};
}

mod download;
mod finish;
mod patch;
mod recall;
mod release;
mod share;

pub(crate) use share::SlotPages;

use crate::PAGE_BYTES;
use crate::bad_images::BadImages;
use crate::errors::{flash_code, image_code, signature_code};
use crate::fetch::{EntityTag, Fetch, FetchError, FetchStep, FileInfo, StreamAction, Url, url_error_code};
use crate::install::{
    BootRecord, FlashFault, ImageFacts, InstalledImage, Journal, JournalHead, Layout, Region,
};
use crate::platform::{Platform, SettingKey};
use crate::settings::Settings;
use crate::step::{Step, Steps};
use crate::time::Instant;
use core::fmt::Write;
use embedded_storage::nor_flash::NorFlash;
use patch::PatchUse;
use release::{Origin, ReleaseBytes};
use rootcast_image::{AppImage, ImageVerifier, check_header};
use rootcast_patch::Decoder;
use rootcast_trust::release::{MAX_TRUST_RECORD_BYTES, TrustRecord};
use rootcast_trust::verify_image_signature;
use rootcast_wire::cast::{CastId, decode, encode_trigger};
use rootcast_wire::frame::StartPurpose;
use rootcast_wire::report::Detail;
use rootcast_wire::{ErrorCode, Parsed, Trigger, UpdateState};

const PAGE: u32 = PAGE_BYTES as u32;

/// How long a node waits for its last report to be acknowledged before it restarts, in milliseconds.
const FAREWELL_MS: u64 = 3_000;

/// The update engine of a node.
pub(crate) struct Updater {
    layout: Layout,
    stage: Stage,
    job: Option<Job>,
    page: [u8; PAGE_BYTES],
    page_fill: usize,
    bad_images: BadImages,
    /// Keys, and the newest release accepted.
    trust: TrustRecord,
    reading: Reading,
    /// A connection that nobody wants any more is still open.
    close_stream: bool,
    /// The file of this cast, of this size, was found to be the running image.
    same_as_running: Option<(CastId, u32)>,
}

/// What is being read that is no image. Never both: the release that names a patch is followed before the patch comes.
#[expect(clippy::large_enum_variant, reason = "the two share their memory, which is the point")]
enum Reading {
    Nothing,
    Release(ReleaseBytes),
    Patch(Decoder),
}

#[expect(
    clippy::large_enum_variant,
    reason = "one stage exists per node, and there is no allocator to box with"
)]
enum Stage {
    Idle,
    /// Nobody has said go yet.
    Waiting,
    /// Pages come from neighbours; the last time that one did.
    Sharing {
        moved: Instant,
    },
    Fetching(Fetch),
    /// Trying again at the moment given.
    Paused(Instant),
    Verifying {
        verifier: ImageVerifier,
        offset: u32,
    },
    /// Verified; the image may be made bootable when the node allows it.
    Installed,
    /// The boot record points to the new image.
    Switched {
        restart_at: Instant,
    },
    Restarting,
}

/// What is known of the file being brought in.
struct Job {
    trigger: Trigger,
    cast_id: CastId,
    /// Bytes of the file, once somebody said it.
    size: Option<u32>,
    etag: Option<EntityTag>,
    /// Offset in the file of the next byte to arrive.
    received: u32,
    /// Pages from the first on that stand on flash.
    pages: u32,
    /// Pages at the beginning of the current try.
    pages_before: u32,
    origin: Origin,
    patch: PatchUse,
    /// Bytes that came over the air for this job from the server.
    fetched: u32,
    /// The same from neighbours.
    shared: u32,
    /// The neighbours had their turn.
    asked_neighbours: bool,
    journal: JournalUse,
    /// Some of the pages on flash came with an earlier answer than the rest: only their tag vouches for them.
    pieced: bool,
    failures: u8,
    tried: u8,
    told_percent: u8,
    image: Option<InstalledImage>,
}

/// What the slot's journal is to this job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JournalUse {
    /// It is not written yet, or another update's: the first page erases it.
    Foreign,
    /// An earlier try for the same URL left it: its pages count, and the next page makes it ours.
    Adopted,
    /// It is this job's.
    Ours,
    /// The image needs its sector.
    Impossible,
}

/// How an attempt went wrong.
struct Failure {
    error: FetchError,
    detail: Detail,
    /// Whether the file was turned down by its first page, before anything was erased.
    refused: bool,
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self { error: code.into(), detail: Detail::new(), refused: false }
    }
}

impl From<FlashFault> for Failure {
    fn from(fault: FlashFault) -> Self {
        flash_code(fault).into()
    }
}

impl Failure {
    fn refusal(code: ErrorCode, detail: Detail) -> Self {
        Self { error: code.into(), detail, refused: true }
    }
}

/// What the caller lends for one call.
pub(crate) struct Context<'a, P: Platform> {
    pub now: Instant,
    pub platform: &'a mut P,
    pub settings: &'a Settings,
    pub running: Option<&'a ImageFacts>,
    /// Seconds since 1970, if the time is known.
    pub unix_s: Option<u64>,
    pub steps: &'a mut Steps,
}

impl Updater {
    #[inline(always)]
    pub(crate) fn new(layout: Layout, settings: &Settings, platform: &mut impl Platform) -> Self {
        Self {
            layout,
            stage: Stage::Idle,
            job: None,
            page: [0xFF; PAGE_BYTES],
            page_fill: 0,
            bad_images: BadImages::load(platform),
            trust: load_trust(settings, platform),
            reading: Reading::Nothing,
            close_stream: false,
            same_as_running: None,
        }
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether the LED is to say that an update is going on.
    pub(crate) const fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting)
    }

    pub(crate) const fn is_installed(&self) -> bool {
        matches!(self.stage, Stage::Installed)
    }

    /// Whether the update would be taken up again after a power failure, by what stands in its journal.
    pub(crate) fn has_journal(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.journal == JournalUse::Ours)
    }

    /// The page's buffer, unless a page is on its way.
    pub(crate) fn spare_page(&mut self) -> Option<&mut [u8; PAGE_BYTES]> {
        (self.page_fill == 0).then_some(&mut self.page)
    }

    /// Whether the update can no longer be dropped.
    pub(crate) const fn is_switched(&self) -> bool {
        matches!(self.stage, Stage::Switched { .. } | Stage::Restarting)
    }

    /// For what the root's leave is needed. Whoever trusts release keys has to ask the URL before it is known what
    /// neighbours may be believed: there may be a release behind it.
    pub(crate) fn purpose(&self) -> StartPurpose {
        let unknown =
            |job: &Job| job.origin.plan().is_none() && !job.asked_neighbours && job.trigger.spreads();
        if self.is_installed() {
            StartPurpose::Restart
        } else if self.is_waiting()
            && !self.trust.release_keys.is_empty()
            && self.job.as_ref().is_some_and(unknown)
        {
            StartPurpose::Release
        } else {
            StartPurpose::Download
        }
    }

    /// The first two bytes of the SHA-256 of the file that a release tells this node to install; 0 if none does.
    pub(crate) fn planned_file(&self) -> u16 {
        let plan = self.job.as_ref().and_then(|job| job.origin.plan());
        plan.map_or(0, |plan| u16::from_le_bytes([plan.sha256[0], plan.sha256[1]]))
    }

    pub(crate) fn trigger(&self) -> Option<&Trigger> {
        self.job.as_ref().map(|job| &job.trigger)
    }

    pub(crate) fn cast_id(&self) -> Option<CastId> {
        self.job.as_ref().map(|job| job.cast_id)
    }

    /// Bytes of the file that stand on flash.
    pub(crate) fn bytes(&self) -> u32 {
        self.job.as_ref().map_or(0, |job| job.received.max(job.pages * PAGE))
    }

    pub(crate) fn size(&self) -> Option<u32> {
        self.job.as_ref().and_then(|job| job.size)
    }

    pub(crate) fn attempt(&self) -> u8 {
        self.job.as_ref().map_or(0, |job| job.tried)
    }

    pub(crate) fn target(&self) -> Option<InstalledImage> {
        self.job.as_ref().and_then(|job| job.image)
    }

    pub(crate) fn url(&self) -> Option<&Url> {
        match &self.stage {
            Stage::Fetching(fetch) => Some(fetch.url()),
            _ => None,
        }
    }

    fn slot(&self) -> Option<(u8, Region)> {
        self.layout.staging
    }

    // ----- beginning and ending ------------------------------------------------------------------

    /// Takes on an update. What can be refused at once is refused here.
    pub(crate) fn begin<P: Platform>(
        &mut self,
        trigger: &Trigger,
        cast_id: CastId,
        context: &mut Context<'_, P>,
    ) {
        if self.is_switched() {
            return;
        }
        if self.job.is_some() {
            self.end(UpdateState::Failed, ErrorCode::Superseded, Detail::new(), context);
        }
        self.job = Some(Job {
            trigger: trigger.clone(),
            cast_id,
            size: trigger.size,
            etag: None,
            received: 0,
            pages: 0,
            pages_before: 0,
            origin: Origin::Trigger,
            patch: PatchUse::No,
            fetched: 0,
            shared: 0,
            asked_neighbours: false,
            journal: JournalUse::Foreign,
            pieced: false,
            failures: 0,
            tried: 0,
            told_percent: 0,
            image: None,
        });
        let Some((_, slot)) = self.slot() else {
            self.end(UpdateState::Refused, ErrorCode::NoUpdateSlot, Detail::new(), context);
            return;
        };
        let refusal = match Url::parse(&trigger.url) {
            Err(error) => Some((url_error_code(error), Detail::new())),
            Ok(_) => trigger.size.filter(|size| *size > slot.size).map(|size| too_large(size, slot.size)),
        };
        if let Some((code, detail)) = refusal {
            self.end(UpdateState::Refused, code, detail, context);
            return;
        }
        self.adopt_pages(slot, context);
        self.stage = Stage::Waiting;
        // A node that trusts release keys looks at the URL first: what it leads to decides what neighbours are believed.
        if shares(trigger, context.settings) && self.trust.release_keys.is_empty() {
            self.start_sharing(context.now);
        }
        self.tell(UpdateState::Accepted, context);
    }

    /// The root, or patience at its end, says go.
    pub(crate) fn grant<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        if self.is_waiting() || self.is_sharing() {
            if let Some(job) = &mut self.job {
                job.asked_neighbours |= matches!(self.stage, Stage::Sharing { .. });
            }
            self.start_fetch(context);
        }
    }

    /// Drops the update unless the boot record already points to the new image.
    pub(crate) fn abort<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        if self.job.is_some() && !self.is_switched() {
            self.end(UpdateState::Failed, ErrorCode::Aborted, Detail::new(), context);
        }
    }

    fn end<P: Platform>(
        &mut self,
        state: UpdateState,
        code: ErrorCode,
        detail: Detail,
        context: &mut Context<'_, P>,
    ) {
        self.push(state, Some(code), detail, context);
        if let (Some((_, slot)), Some(job)) = (self.slot(), &self.job)
            && job.journal == JournalUse::Ours
        {
            // A journal that cannot be closed is worn flash; the start counter still bounds what it can cause.
            let _ = Journal::of(slot).close(context.platform.flash());
        }
        if code == ErrorCode::SameImage {
            let shared = self.job.as_ref().filter(|job| job.trigger.spreads());
            self.same_as_running = shared.and_then(|job| Some((job.cast_id, job.size?)));
        }
        self.close_stream |= matches!(self.stage, Stage::Fetching(_));
        self.stage = Stage::Idle;
        self.job = None;
        self.page_fill = 0;
    }

    fn push<P: Platform>(
        &self,
        state: UpdateState,
        error: Option<ErrorCode>,
        detail: Detail,
        context: &mut Context<'_, P>,
    ) {
        context.steps.push(Step {
            state,
            error,
            detail,
            progress: self.percent(),
            target: self.target().map(|image| image.hash),
            bytes: self.job.as_ref().map_or(0, |job| job.fetched.saturating_add(job.shared)),
            shared_bytes: self.job.as_ref().map_or(0, |job| job.shared),
            attempt: self.attempt(),
            rollout: self.job.as_ref().and_then(|job| job.trigger.rollout.clone()).unwrap_or_default(),
        });
    }

    fn tell<P: Platform>(&self, state: UpdateState, context: &mut Context<'_, P>) {
        self.push(state, None, Detail::new(), context);
    }

    /// Share of the file on flash, 0 to 100.
    pub(crate) fn percent(&self) -> u8 {
        match (&self.stage, self.size()) {
            (Stage::Verifying { .. } | Stage::Installed | Stage::Switched { .. } | Stage::Restarting, _) => {
                100
            }
            (_, Some(size)) if size > 0 => (u64::from(self.bytes().min(size)) * 100 / u64::from(size)) as u8,
            _ => 0,
        }
    }

    fn on_failure<P: Platform>(&mut self, failure: Failure, context: &mut Context<'_, P>) {
        let Failure { error, mut detail, refused } = failure;
        if detail.is_empty()
            && let Some(number) = error.number
        {
            let _ = write!(detail, "HTTP status {number}");
        }
        self.page_fill = 0;
        if error.code == ErrorCode::FileChanged {
            let _ = self.forget_pages(error.code);
        }
        if !refused && self.falls_back_to_full_image(error.code) {
            let _ = self.forget_pages(error.code);
            let _ = write!(detail, "{}taking the full image", if detail.is_empty() { "" } else { ", " });
            self.push(UpdateState::Waiting, Some(error.code), detail, context);
            self.start_fetch(context);
            return;
        }
        let Some(job) = &mut self.job else { return };
        if job.pages > job.pages_before {
            job.failures = 0;
        }
        job.failures = job.failures.saturating_add(1);
        if refused {
            self.end(UpdateState::Refused, error.code, detail, context);
        } else if !error.code.may_pass() || job.failures >= context.settings.retry.attempts {
            self.end(UpdateState::Failed, error.code, detail, context);
        } else {
            let random = context.platform.random();
            let backoff = context.settings.retry.delay_ms(job.failures, random);
            let asked = u64::from(error.retry_after_s.unwrap_or(0))
                .min(context.settings.retry.longest_ms as u64 / 1000)
                * 1000;
            let delay = backoff.max(asked);
            if detail.is_empty() {
                detail = detail!("trying again in {} s", delay.div_ceil(1000));
            } else {
                let _ = write!(detail, ", trying again in {} s", delay.div_ceil(1000));
            }
            self.stage = Stage::Paused(context.now.after(delay));
            self.push(UpdateState::Waiting, Some(error.code), detail, context);
        }
    }
}

pub(crate) fn decode_trigger(encoded: &[u8]) -> Option<Trigger> {
    let mut trigger = Trigger::new();
    matches!(decode(encoded, &mut trigger), Ok(Parsed::Trigger)).then_some(trigger)
}

/// What the node remembers about trust. The keys that it was provisioned with count until a release is accepted: from
/// then on releases say which keys are trusted, and one that was taken away does not come back with a restart.
fn load_trust(settings: &Settings, platform: &mut impl Platform) -> TrustRecord {
    let mut bytes = [0; MAX_TRUST_RECORD_BYTES];
    let stored = platform.load(SettingKey::Trust, &mut bytes).and_then(|length| bytes.get(..length));
    let mut record = stored.and_then(|bytes| TrustRecord::decode(bytes).ok()).unwrap_or_else(|| {
        let mut record = TrustRecord::default();
        record.release_keys.extend(settings.release_keys.iter().copied());
        record
    });
    if record.sequence_number == 0 {
        for key in &settings.trusted_keys {
            if !record.image_keys.contains(key) {
                // There is room: both hold few keys, and provisioning comes first.
                let _ = record.image_keys.push(*key);
            }
        }
    }
    record
}

/// Whether a node takes this update's pages from its neighbours. The root never does: it is where they come from.
fn shares(trigger: &Trigger, settings: &Settings) -> bool {
    settings.can_spread && !settings.is_root && trigger.spreads()
}

fn too_large(size: u32, slot: u32) -> (ErrorCode, Detail) {
    (ErrorCode::ImageTooLarge, detail!("file has {size} bytes, slot {slot}"))
}
