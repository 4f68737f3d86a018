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

use crate::PAGE_BYTES;
use crate::bad_images::BadImages;
use crate::errors::{flash_code, image_code, signature_code};
use crate::fetch::{EntityTag, Fetch, FetchError, FetchStep, FileInfo, StreamAction, Url, url_error_code};
use crate::install::{
    BootRecord, FlashFault, ImageFacts, InstalledImage, Journal, JournalHead, Layout, Region,
};
use crate::platform::Platform;
use crate::settings::Settings;
use crate::step::{Step, Steps};
use crate::time::Instant;
use core::fmt::Write;
use embedded_storage::nor_flash::NorFlash;
use rootcast_image::{AppImage, ImageVerifier, check_header};
use rootcast_trust::verify_image_signature;
use rootcast_wire::cast::{CastId, decode, encode_trigger};
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
}

#[expect(
    clippy::large_enum_variant,
    reason = "one stage exists per node, and there is no allocator to box with"
)]
enum Stage {
    Idle,
    /// Nobody has said go yet.
    Waiting,
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
    journal: JournalUse,
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

/// Formats a detail; what does not fit is cut, as it is for people only.
macro_rules! detail {
    ($($argument:tt)*) => {{
        let mut detail = Detail::new();
        let _ = write!(detail, $($argument)*);
        detail
    }};
}

/// What the caller lends for one call.
pub(crate) struct Context<'a, P: Platform> {
    pub now: Instant,
    pub platform: &'a mut P,
    pub settings: &'a Settings,
    pub running: Option<&'a ImageFacts>,
    pub steps: &'a mut Steps,
}

#[expect(clippy::result_large_err, reason = "there is no allocator to box a failure with")]
impl Updater {
    pub(crate) fn new(layout: Layout, platform: &mut impl Platform) -> Self {
        Self {
            layout,
            stage: Stage::Idle,
            job: None,
            page: [0xFF; PAGE_BYTES],
            page_fill: 0,
            bad_images: BadImages::load(platform),
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

    /// Whether the update can no longer be dropped.
    pub(crate) const fn is_switched(&self) -> bool {
        matches!(self.stage, Stage::Switched { .. } | Stage::Restarting)
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
            journal: JournalUse::Foreign,
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
        self.tell(UpdateState::Accepted, context);
    }

    /// Uses the pages that an earlier try for the same file left in the slot.
    fn adopt_pages<P: Platform>(&mut self, slot: Region, context: &mut Context<'_, P>) {
        let journal = Journal::of(slot);
        let flash = context.platform.flash();
        let Ok(Some(head)) = journal.read(flash, &mut self.page) else { return };
        let Some(earlier) = self.page.get(..head.command_bytes).and_then(decode_trigger) else { return };
        let Some(job) = &mut self.job else { return };
        let same = earlier.url == job.trigger.url && earlier.sha256 == job.trigger.sha256;
        if same
            && head.etag.is_some()
            && let Ok(pages) = journal.pages_from_start(flash)
        {
            job.etag = head.etag;
            job.size = job.size.or(head.size);
            job.pages = pages;
            job.journal = JournalUse::Adopted;
        }
    }

    /// Takes up an update that a restart interrupted. `true` when there was one.
    pub(crate) fn resume<P: Platform>(
        &mut self,
        interrupted_switch: bool,
        context: &mut Context<'_, P>,
    ) -> bool {
        let Some((_, slot)) = self.slot() else { return false };
        let journal = Journal::of(slot);
        match self.find_interrupted(journal, interrupted_switch, context) {
            Ok(true) => {
                self.tell(UpdateState::Accepted, context);
                true
            }
            Ok(false) | Err(_) => {
                self.job = None;
                self.stage = Stage::Idle;
                false
            }
        }
    }

    fn find_interrupted<P: Platform>(
        &mut self,
        journal: Journal,
        interrupted_switch: bool,
        context: &mut Context<'_, P>,
    ) -> Result<bool, FlashFault> {
        let flash = context.platform.flash();
        let Some(head) = journal.read(flash, &mut self.page)? else { return Ok(false) };
        let installed = journal.installed(flash)?;
        let again = interrupted_switch || (installed.is_none() || journal.switches(flash)? == 0);
        if journal.is_closed(flash)? || !again || !journal.count_start(flash)? {
            return Ok(false);
        }
        let Some(trigger) = self.page.get(..head.command_bytes).and_then(decode_trigger) else {
            return Ok(false);
        };
        let pages = journal.pages_from_start(flash)?;
        let mut job = Job {
            size: head.size.or(trigger.size),
            trigger,
            cast_id: CastId(head.cast_id),
            etag: head.etag,
            received: 0,
            pages,
            pages_before: pages,
            journal: JournalUse::Ours,
            failures: 0,
            tried: 0,
            told_percent: 0,
            image: None,
        };
        self.stage = Stage::Waiting;
        if let Some(installed) = installed {
            job.size = Some(installed.file_len);
            job.received = installed.file_len;
            self.stage = Stage::Verifying { verifier: ImageVerifier::new(), offset: 0 };
        }
        self.job = Some(job);
        Ok(true)
    }

    /// The root, or patience at its end, says go.
    pub(crate) fn grant<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        if self.is_waiting() {
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
            bytes: self.bytes(),
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

    // ----- downloading ---------------------------------------------------------------------------

    fn start_fetch<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        let Some(job) = &mut self.job else { return };
        job.tried = job.tried.saturating_add(1);
        job.pages_before = job.pages;
        self.page_fill = 0;
        let complete = job.size.is_some_and(|size| job.pages > 0 && size.div_ceil(PAGE) == job.pages);
        if complete && job.etag.is_some() && job.journal == JournalUse::Ours {
            job.received = job.size.unwrap_or(0);
            self.start_verifying(context);
            return;
        }
        // The last page may be a part of one: fetched again, so that there is always a byte to ask for.
        if complete {
            job.pages -= 1;
        }
        let resume = match &job.etag {
            Some(etag) if job.pages > 0 => Some((job.pages * PAGE, etag.clone())),
            _ => None,
        };
        job.received = resume.as_ref().map_or(0, |(offset, _)| *offset);
        // Checked when the update began.
        let Ok(url) = Url::parse(&job.trigger.url) else { return };
        self.stage = Stage::Fetching(Fetch::start(url, resume, context.settings.stall_ms, context.now));
        self.tell(UpdateState::Downloading, context);
    }

    /// What the connection needs, if anything.
    pub(crate) fn poll_stream(&mut self, now: Instant) -> Option<StreamAction> {
        match &mut self.stage {
            Stage::Fetching(fetch) => fetch.poll(now, &mut self.page),
            _ => None,
        }
    }

    /// The first bytes of the scratch page, to be sent.
    pub(crate) fn outgoing(&self, length: usize) -> &[u8] {
        self.page.get(..length).unwrap_or(&[])
    }

    pub(crate) fn connected(&mut self, now: Instant) {
        if let Stage::Fetching(fetch) = &mut self.stage {
            fetch.connected(now);
        }
    }

    /// Bytes from the connection, in any slices.
    pub(crate) fn received<P: Platform>(&mut self, mut input: &[u8], context: &mut Context<'_, P>) {
        while let Stage::Fetching(fetch) = &mut self.stage {
            let step = fetch.received(context.now, input, &mut self.page);
            let used = match &step {
                FetchStep::Used(count) | FetchStep::Head(count, _) | FetchStep::Data(count) => *count,
                _ => 0,
            };
            let (taken, rest) = input.split_at(used.min(input.len()));
            let outcome = match step {
                FetchStep::Used(_) => Ok(()),
                FetchStep::Head(_, info) => self.on_file(info, context),
                FetchStep::Data(_) => self.on_data(taken, context),
                FetchStep::End => self.on_end(context),
                FetchStep::Redirected => return,
                FetchStep::Failed(error) => Err(Failure { error, detail: Detail::new(), refused: false }),
            };
            input = rest;
            if let Err(failure) = outcome {
                self.on_failure(failure, context);
                return;
            }
            if input.is_empty() {
                // Once more with nothing: a counted body may be complete.
                if let Stage::Fetching(fetch) = &mut self.stage
                    && fetch.received(context.now, &[], &mut self.page) == FetchStep::End
                    && let Err(failure) = self.on_end(context)
                {
                    self.on_failure(failure, context);
                }
                return;
            }
        }
    }

    /// The connection is gone.
    pub(crate) fn closed<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        let Stage::Fetching(fetch) = &mut self.stage else { return };
        let outcome = match fetch.closed() {
            FetchStep::End => self.on_end(context),
            FetchStep::Failed(error) => {
                let short = self.job.as_ref().is_some_and(|job| job.size.is_some() && job.received > 0);
                let detail = match &self.job {
                    Some(job) if short => {
                        detail!("{} of {} bytes arrived", job.received, job.size.unwrap_or(0))
                    }
                    _ => Detail::new(),
                };
                Err(Failure { error, detail, refused: false })
            }
            _ => Ok(()),
        };
        if let Err(failure) = outcome {
            self.on_failure(failure, context);
        }
    }

    /// The body could not connect, or TLS failed.
    pub(crate) fn stream_failed<P: Platform>(&mut self, code: ErrorCode, context: &mut Context<'_, P>) {
        if matches!(self.stage, Stage::Fetching(_)) {
            let detail = self.url().map(|url| detail!("{}:{}", url.host(), url.port())).unwrap_or_default();
            self.on_failure(Failure { error: code.into(), detail, refused: false }, context);
        }
    }

    fn on_file<P: Platform>(&mut self, info: FileInfo, _context: &mut Context<'_, P>) -> Result<(), Failure> {
        let Some((_, slot)) = self.layout.staging else { return Err(ErrorCode::NoUpdateSlot.into()) };
        let Some(job) = &mut self.job else { return Ok(()) };
        if let Some(size) = info.size {
            if size > slot.size {
                let (code, detail) = too_large(size, slot.size);
                return Err(Failure::refusal(code, detail));
            }
            if let Some(wanted) = job.trigger.size.filter(|wanted| *wanted != size) {
                return Err(Failure::refusal(
                    ErrorCode::SizeMismatch,
                    detail!("file has {size} bytes, not {wanted}"),
                ));
            }
        }
        if info.start == 0 {
            // The whole file comes. Pages already on flash are compared with it, byte by byte.
            job.received = 0;
            if info.etag.is_none() || info.etag != job.etag {
                job.pages = 0;
                job.pages_before = 0;
                if job.journal != JournalUse::Foreign {
                    job.journal = JournalUse::Foreign;
                }
            }
            job.size = info.size.or(job.trigger.size);
            job.etag = info.etag;
        } else if info.size.is_some() && job.size.is_some() && info.size != job.size {
            return Err(self.forget_pages(ErrorCode::FileChanged));
        } else {
            job.size = info.size.or(job.size);
        }
        Ok(())
    }

    /// What is on flash belongs to another file than the server's: from the first byte again.
    fn forget_pages(&mut self, code: ErrorCode) -> Failure {
        if let Some(job) = &mut self.job {
            job.etag = None;
            job.pages = 0;
            job.received = 0;
            job.journal = JournalUse::Foreign;
        }
        code.into()
    }

    fn on_data<P: Platform>(
        &mut self,
        mut bytes: &[u8],
        context: &mut Context<'_, P>,
    ) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let room = self.page.get_mut(self.page_fill..).unwrap_or_default();
            let count = room.len().min(bytes.len());
            let (now, later) = bytes.split_at(count);
            room.get_mut(..count).unwrap_or_default().copy_from_slice(now);
            self.page_fill += count;
            bytes = later;
            if self.page_fill == PAGE_BYTES {
                self.complete_page(context)?;
            }
        }
        Ok(())
    }

    fn on_end<P: Platform>(&mut self, context: &mut Context<'_, P>) -> Result<(), Failure> {
        if self.page_fill > 0 {
            self.complete_page(context)?;
        }
        let Some(job) = &mut self.job else { return Ok(()) };
        match job.size {
            Some(size) if size != job.received => {
                return Err(Failure {
                    error: ErrorCode::HttpLengthMismatch.into(),
                    detail: detail!("{} of {size} bytes arrived", job.received),
                    refused: false,
                });
            }
            _ => job.size = Some(job.received),
        }
        if job.received == 0 {
            return Err(Failure::refusal(ErrorCode::NotAnImage, detail!("the file is empty")));
        }
        self.start_verifying(context);
        Ok(())
    }

    /// A page (or the file's end) stands in RAM: onto flash with it.
    fn complete_page<P: Platform>(&mut self, context: &mut Context<'_, P>) -> Result<(), Failure> {
        let Some((_, slot)) = self.layout.staging else { return Err(ErrorCode::NoUpdateSlot.into()) };
        let length = core::mem::take(&mut self.page_fill);
        let Some(job) = &mut self.job else { return Ok(()) };
        let page = job.received / PAGE;
        if page >= slot.pages() {
            let (code, detail) = too_large(job.received.saturating_add(length as u32), slot.size);
            return Err(Failure { error: code.into(), detail, refused: false });
        }
        if page == 0 {
            check_first_page(
                self.page.get(..length).unwrap_or(&[]),
                job,
                &self.bad_images,
                &self.layout,
                context,
            )?;
        }
        self.page.get_mut(length..).unwrap_or_default().fill(0xFF);
        self.write_page(slot, page, context)?;
        let Some(job) = &mut self.job else { return Ok(()) };
        job.received += length as u32;
        job.pages = job.pages.max(page + 1);
        let percent = self.percent();
        let Some(job) = &mut self.job else { return Ok(()) };
        if percent / 10 > job.told_percent / 10 {
            job.told_percent = percent;
            self.tell(UpdateState::Downloading, context);
        }
        Ok(())
    }

    fn write_page<P: Platform>(
        &mut self,
        slot: Region,
        page: u32,
        context: &mut Context<'_, P>,
    ) -> Result<(), Failure> {
        let Some(job) = &mut self.job else { return Ok(()) };
        let journal = Journal::of(slot);
        let flash = context.platform.flash();
        let known = job.pages;
        let same = slot.holds(flash, page * PAGE, &self.page)?;
        let needed = job.size.map_or(page + 1, |size| size.div_ceil(PAGE));
        // What the journal says must be true at every moment: it is erased before a page that it vouches for,
        // or that belongs to another file, is touched.
        let replaces = match job.journal {
            JournalUse::Foreign | JournalUse::Adopted => true,
            JournalUse::Ours => page < known && !same,
            JournalUse::Impossible => false,
        };
        if replaces {
            journal.erase(flash)?;
        }
        if job.journal == JournalUse::Ours && page >= journal.pages_beside() {
            job.journal = JournalUse::Impossible;
        }
        if !same {
            slot.erase_page(flash, page)?;
            slot.write(flash, page * PAGE, &self.page)?;
            if !slot.holds(flash, page * PAGE, &self.page)? {
                return Err(ErrorCode::ReadBackMismatch.into());
            }
        }
        if needed > journal.pages_beside() {
            job.journal = JournalUse::Impossible;
        } else if replaces {
            // The page is on flash, so its buffer is free to encode the command in.
            let length = encode_trigger(&job.trigger, &mut self.page).map_err(|_| ErrorCode::Internal)?;
            let command = self.page.get(..length).unwrap_or(&[]);
            journal.begin(flash, job.cast_id.0, job.size, job.etag.as_ref(), command)?;
            journal.count_start(flash)?;
            let vouched = if job.journal == JournalUse::Adopted { known.max(page) } else { page };
            for earlier in 0..vouched {
                journal.mark_page(flash, earlier)?;
            }
            job.journal = JournalUse::Ours;
            job.pages = vouched;
        }
        if job.journal == JournalUse::Ours {
            journal.mark_page(flash, page)?;
        }
        Ok(())
    }

    // ----- failing and trying again --------------------------------------------------------------

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

    // ----- verifying and switching ---------------------------------------------------------------

    fn start_verifying<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        self.stage = Stage::Verifying { verifier: ImageVerifier::new(), offset: 0 };
        self.tell(UpdateState::Verifying, context);
    }

    /// When [`Updater::on_timeout`] wants to be called.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        match &self.stage {
            Stage::Fetching(fetch) => fetch.deadline(),
            Stage::Paused(until) => Some(*until),
            Stage::Verifying { .. } => Some(now),
            Stage::Switched { restart_at } => Some(*restart_at),
            Stage::Idle | Stage::Waiting | Stage::Installed | Stage::Restarting => None,
        }
    }

    /// Does what is due: a bounded piece of work, at most a page.
    pub(crate) fn on_timeout<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        match &mut self.stage {
            Stage::Fetching(fetch) => {
                if fetch.stalled(context.now) {
                    self.on_failure(ErrorCode::DownloadStalled.into(), context);
                }
            }
            Stage::Paused(until) if context.now >= *until => self.start_fetch(context),
            Stage::Verifying { .. } => {
                if let Err(failure) = self.verify_page(context) {
                    self.on_failure(failure, context);
                }
            }
            _ => {}
        }
    }

    fn verify_page<P: Platform>(&mut self, context: &mut Context<'_, P>) -> Result<(), Failure> {
        let Some((_, slot)) = self.layout.staging else { return Err(ErrorCode::NoUpdateSlot.into()) };
        let Stage::Verifying { verifier, offset } = &mut self.stage else { return Ok(()) };
        let Some(size) = self.job.as_ref().and_then(|job| job.size) else {
            return Err(ErrorCode::Internal.into());
        };
        if *offset < size {
            // Whole words are read; what lies beyond the file's end is not looked at.
            let count = (size - *offset).min(PAGE);
            let padded = (count.next_multiple_of(4)) as usize;
            slot.read(context.platform.flash(), *offset, self.page.get_mut(..padded).unwrap_or_default())?;
            verifier
                .push(self.page.get(..count as usize).unwrap_or(&[]))
                .map_err(|error| self.damaged(&error))?;
            let Stage::Verifying { offset, .. } = &mut self.stage else { return Ok(()) };
            *offset += count;
            return Ok(());
        }
        let Stage::Verifying { verifier, .. } = core::mem::replace(&mut self.stage, Stage::Installed) else {
            return Ok(());
        };
        let image = verifier.finish().map_err(|error| self.damaged(&error))?;
        self.judge_image(&image, slot, context)?;
        let installed = InstalledImage { hash: image.hash, image_len: image.image_len, file_len: size };
        let Some(job) = &mut self.job else { return Ok(()) };
        job.image = Some(installed);
        if job.journal == JournalUse::Ours {
            Journal::of(slot).note_installed(context.platform.flash(), &installed)?;
        }
        self.stage = Stage::Installed;
        self.tell(UpdateState::Installed, context);
        Ok(())
    }

    fn damaged(&self, error: &rootcast_image::ImageError) -> Failure {
        Failure { error: image_code(error).into(), detail: detail!("{error}"), refused: false }
    }

    /// Everything that must hold of a whole image, in the order in which a person would want to hear of it.
    fn judge_image<P: Platform>(
        &mut self,
        image: &AppImage,
        slot: Region,
        context: &mut Context<'_, P>,
    ) -> Result<(), Failure> {
        let Some(job) = &self.job else { return Ok(()) };
        let target = context.settings.target(slot.size);
        check_header(&image.header, Some(&image.descriptor), &target).map_err(|error| Failure {
            error: image_code(&error).into(),
            detail: detail!("{error}"),
            refused: false,
        })?;
        if !image.hash_appended {
            return Err(Failure {
                error: ErrorCode::ImageMalformed.into(),
                detail: detail!("no SHA-256 is appended"),
                refused: false,
            });
        }
        if job.trigger.sha256.is_some_and(|wanted| wanted != image.file_sha256) {
            return Err(ErrorCode::DigestMismatch.into());
        }
        self.check_signature(image, slot, context)?;
        let Some(job) = &self.job else { return Ok(()) };
        if !job.trigger.force {
            if context.running.is_some_and(|running| running.hash == image.hash) {
                return Err(Failure::refusal(ErrorCode::SameImage, Detail::new()));
            }
            if self.bad_images.holds_hash(&image.hash) {
                return Err(Failure::refusal(ErrorCode::KnownBadImage, Detail::new()));
            }
        }
        Ok(())
    }

    fn check_signature<P: Platform>(
        &mut self,
        image: &AppImage,
        slot: Region,
        context: &mut Context<'_, P>,
    ) -> Result<(), Failure> {
        if context.settings.trusted_keys.is_empty() {
            return if context.settings.allow_unsigned {
                Ok(())
            } else {
                Err(Failure {
                    error: ErrorCode::SignatureMissing.into(),
                    detail: detail!("no key is trusted here"),
                    refused: false,
                })
            };
        }
        let Some(digest) = image.signed_digest.filter(|_| image.signed_len < image.file_len) else {
            return Err(ErrorCode::SignatureMissing.into());
        };
        let length = (image.file_len - image.signed_len).min(PAGE);
        let padded = (length.next_multiple_of(4)) as usize;
        slot.read(
            context.platform.flash(),
            image.signed_len,
            self.page.get_mut(..padded).unwrap_or_default(),
        )?;
        let sector = self.page.get(..length as usize).unwrap_or(&[]);
        verify_image_signature(&digest, sector, &context.settings.trusted_keys)
            .map(|_| ())
            .map_err(|error| signature_code(&error).into())
    }

    /// Makes the verified image the one that boots. The node restarts when its reports are out, or a little later.
    pub(crate) fn switch<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        if !self.is_installed() {
            return;
        }
        let Some((index, slot)) = self.slot() else { return };
        let result = self.switch_record(index, slot, context);
        match result {
            Ok(()) => {
                self.stage = Stage::Switched { restart_at: context.now.after(FAREWELL_MS) };
                self.tell(UpdateState::Restarting, context);
            }
            Err(_) => self.end(UpdateState::Failed, ErrorCode::OtadataFailed, Detail::new(), context),
        }
    }

    fn switch_record<P: Platform>(
        &mut self,
        index: u8,
        slot: Region,
        context: &mut Context<'_, P>,
    ) -> Result<(), FlashFault> {
        let flash = context.platform.flash();
        if self.job.as_ref().is_some_and(|job| job.journal == JournalUse::Ours) {
            Journal::of(slot).count_switch(flash)?;
        }
        BootRecord::of(&self.layout).switch_to(flash, index)
    }

    /// Whether it is time to restart: all reports are out, or the farewell has lasted long enough. Says so once.
    pub(crate) fn take_restart(&mut self, now: Instant, reports_out: bool) -> bool {
        match self.stage {
            Stage::Switched { restart_at } if reports_out || now >= restart_at => {
                self.stage = Stage::Restarting;
                true
            }
            _ => false,
        }
    }

    /// What a journal says about the update that it belongs to.
    pub(crate) fn read_journal<F: NorFlash>(
        &mut self,
        journal: Journal,
        flash: &mut F,
    ) -> Option<(JournalHead, Option<Trigger>)> {
        let head = journal.read(flash, &mut self.page).ok().flatten()?;
        let trigger = self.page.get(..head.command_bytes).and_then(decode_trigger);
        Some((head, trigger))
    }

    /// The old image is back: remembers the one that failed, and why its update is over.
    pub(crate) fn note_rollback<P: Platform>(&mut self, code: ErrorCode, context: &mut Context<'_, P>) {
        let Some((_, slot)) = self.slot() else { return };
        let journal = Journal::of(slot);
        let flash = context.platform.flash();
        let installed = journal.installed(flash).ok().flatten();
        let rollout = self.read_journal(journal, flash).and_then(|(_, trigger)| trigger?.rollout);
        if !matches!(code, ErrorCode::BootInterrupted | ErrorCode::BootFallback)
            && let Ok(Some(facts)) = ImageFacts::read(flash, &slot)
        {
            // Forgetting it costs one more trial, not the node.
            let _ = self.bad_images.remember(&facts, context.platform);
        }
        context.steps.push(Step {
            state: UpdateState::RolledBack,
            error: Some(code),
            detail: Detail::new(),
            progress: 100,
            target: installed.map(|image| image.hash),
            bytes: installed.map_or(0, |image| image.file_len),
            attempt: 1,
            rollout: rollout.unwrap_or_default(),
        });
    }

    /// The outcome of the last update has been acknowledged: it need not be told again after a restart.
    pub(crate) fn close_reported<P: Platform>(&mut self, platform: &mut P) {
        if let Some((_, slot)) = self.slot() {
            // Told twice is better than never: a flash that refuses this tells it again after the next start.
            let _ = Journal::of(slot).close(platform.flash());
        }
    }
}

pub(crate) fn decode_trigger(encoded: &[u8]) -> Option<Trigger> {
    let mut trigger = Trigger::new();
    matches!(decode(encoded, &mut trigger), Ok(Parsed::Trigger)).then_some(trigger)
}

fn too_large(size: u32, slot: u32) -> (ErrorCode, Detail) {
    (ErrorCode::ImageTooLarge, detail!("file has {size} bytes, slot {slot}"))
}

/// What the first page tells is checked before the first byte is erased.
#[expect(clippy::result_large_err, reason = "there is no allocator to box a failure with")]
fn check_first_page<P: Platform>(
    page: &[u8],
    job: &Job,
    bad_images: &BadImages,
    layout: &Layout,
    context: &mut Context<'_, P>,
) -> Result<(), Failure> {
    let refuse = |error: &rootcast_image::ImageError| Failure::refusal(image_code(error), detail!("{error}"));
    let mut verifier = ImageVerifier::new();
    verifier.push(page).map_err(|error| refuse(&error))?;
    let Some(header) = verifier.header() else {
        return Err(Failure::refusal(ErrorCode::Truncated, Detail::new()));
    };
    let target = context.settings.target(layout.staging.map_or(0, |(_, slot)| slot.size));
    check_header(header, verifier.descriptor(), &target).map_err(|error| refuse(&error))?;
    let Some(descriptor) = verifier.descriptor() else {
        return Err(Failure::refusal(ErrorCode::Truncated, Detail::new()));
    };
    if job.trigger.force {
        return Ok(());
    }
    if bad_images.holds_elf(&descriptor.elf_sha256) {
        return Err(Failure::refusal(ErrorCode::KnownBadImage, Detail::new()));
    }
    // The ELF's hash stands in the first page: two builds that share this page are one. An image without it is
    // only compared when it is whole.
    let told_apart = descriptor.elf_sha256.iter().any(|byte| *byte != 0);
    let whole = page.len() == PAGE_BYTES;
    if told_apart && whole && layout.running_region.holds(context.platform.flash(), 0, page)? {
        return Err(Failure::refusal(ErrorCode::SameImage, Detail::new()));
    }
    Ok(())
}
