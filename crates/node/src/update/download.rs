//! From the first byte of the file to the last page on flash.

use super::release::Plan;
use super::*;
use crate::mutation::{self, Mutation};

#[expect(clippy::result_large_err, reason = "there is no allocator to box a failure with")]
impl Updater {
    pub(super) fn start_fetch<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        let Some(job) = &mut self.job else { return };
        job.tried = job.tried.saturating_add(1);
        job.pages_before = job.pages;
        self.page_fill = 0;
        if job.patch == PatchUse::Applying {
            job.patch = PatchUse::No;
        }
        if matches!(job.origin, Origin::ReleaseArriving) {
            job.origin = Origin::ReleaseAgain;
        }
        // What follows a release is known only when the release is: it is fetched first, and whole.
        if matches!(job.origin, Origin::ReleaseAgain) {
            job.received = 0;
            let Ok(url) = Url::parse(&job.trigger.url) else { return };
            self.stage = Stage::Fetching(Fetch::start(url, None, context.settings.stall_ms, context.now));
            self.tell(UpdateState::Downloading, context);
            return;
        }
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
        let mut resume = match &job.etag {
            Some(etag) if job.pages > 0 => Some((job.pages * PAGE, etag.clone())),
            _ => None,
        };
        job.received = resume.as_ref().map_or(0, |(offset, _)| *offset);
        // The trigger's URL was checked when the update began; a release's reference may still lead nowhere.
        let base = Url::parse(&job.trigger.url);
        let mut planned_patch = false;
        let url = match job.origin.plan() {
            Some(Plan { patch: Some(patch), .. }) if job.patch != PatchUse::Failed => {
                resume = None;
                planned_patch = true;
                base.and_then(|base| base.join(&patch.uri))
            }
            Some(plan) => base.and_then(|base| base.join(&plan.uri)),
            None => base,
        };
        let Ok(url) = url else {
            self.end(UpdateState::Refused, ErrorCode::ReleaseUriInvalid, Detail::new(), context);
            return;
        };
        if planned_patch {
            self.start_patch(context.running);
        }
        self.stage = Stage::Fetching(Fetch::start(url, resume, context.settings.stall_ms, context.now));
        self.tell(UpdateState::Downloading, context);
    }

    /// What the connection needs, if anything.
    pub(crate) fn poll_stream(&mut self, now: Instant) -> Option<StreamAction> {
        match &mut self.stage {
            Stage::Fetching(fetch) => {
                self.close_stream = false;
                fetch.poll(now, &mut self.page)
            }
            _ => core::mem::take(&mut self.close_stream).then_some(StreamAction::Close),
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
        if matches!(job.origin, Origin::ReleaseAgain) {
            return Ok(());
        }
        let expected = match job.origin.plan() {
            Some(Plan { patch: Some(patch), .. }) if job.patch != PatchUse::Failed => Some(patch.size),
            Some(plan) => Some(plan.size),
            None => None,
        };
        if let (Some(size), Some(expected)) = (info.size, expected)
            && size != expected
        {
            let detail = detail!("file has {size} bytes, the release says {expected}");
            let refused = job.patch != PatchUse::Applying;
            return Err(Failure { error: ErrorCode::ReleaseSizeMismatch.into(), detail, refused });
        }
        if job.patch == PatchUse::Applying {
            // What follows is checked when the image comes out of it.
            return Ok(());
        }
        // A file that is too large is not refused before its first page: an image for another chip is called that.
        if let Some(size) = info.size.filter(|size| *size <= slot.size)
            && let Some(wanted) =
                job.trigger.size.filter(|wanted| *wanted != size && job.origin.plan().is_none())
        {
            return Err(Failure::refusal(
                ErrorCode::SizeMismatch,
                detail!("file has {size} bytes, not {wanted}"),
            ));
        }
        if info.start == 0 {
            // The whole file comes. Pages already on flash are compared with it, byte by byte.
            job.received = 0;
            job.pieced = false;
            if info.etag.is_none() || info.etag != job.etag {
                job.pages = 0;
                job.pages_before = 0;
                if job.journal != JournalUse::Foreign {
                    job.journal = JournalUse::Foreign;
                }
            }
            let planned = job.origin.plan().map(|plan| plan.size);
            job.size = info.size.or(planned).or(job.trigger.size);
            job.etag = info.etag;
        } else if info.size.is_some() && job.size.is_some() && info.size != job.size {
            return Err(self.forget_pages(ErrorCode::FileChanged));
        } else {
            job.pieced = true;
            job.size = info.size.or(job.size);
        }
        Ok(())
    }

    /// What is on flash belongs to another file than the server's: from the first byte again.
    pub(super) fn forget_pages(&mut self, code: ErrorCode) -> Failure {
        if let Some(job) = &mut self.job {
            job.etag = None;
            job.pages = 0;
            job.received = 0;
            job.pieced = false;
            job.journal = JournalUse::Foreign;
        }
        code.into()
    }

    fn on_data<P: Platform>(
        &mut self,
        mut bytes: &[u8],
        context: &mut Context<'_, P>,
    ) -> Result<(), Failure> {
        if let Some(job) = &mut self.job {
            job.fetched = job.fetched.saturating_add(bytes.len() as u32);
        }
        if self.divert(bytes, context)? {
            return Ok(());
        }
        let fresh = self.page_fill == 0 && self.job.as_ref().is_some_and(|job| job.received == 0);
        if fresh && Self::is_patch(bytes) && !self.is_patching() {
            self.start_patch(context.running);
        }
        if self.is_patching() {
            return self.on_patch_data(bytes, context);
        }
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
        if self.job.as_ref().is_some_and(|job| matches!(job.origin, Origin::ReleaseArriving)) {
            return self.follow_release(context);
        }
        if self.is_patching() {
            self.end_patch()?;
        }
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
    pub(super) fn complete_page<P: Platform>(&mut self, context: &mut Context<'_, P>) -> Result<(), Failure> {
        let Some((_, slot)) = self.layout.staging else { return Err(ErrorCode::NoUpdateSlot.into()) };
        let length = core::mem::take(&mut self.page_fill);
        let Some(job) = &mut self.job else { return Ok(()) };
        let page = job.received / PAGE;
        if page >= slot.pages() {
            let (code, detail) = too_large(job.received.saturating_add(length as u32), slot.size);
            return Err(Failure { error: code.into(), detail, refused: false });
        }
        if page == 0 {
            let first = self.page.get(..length).unwrap_or(&[]);
            let checked = check_first_page(first, job, &self.bad_images, &self.layout, context);
            match (checked, job.size.filter(|size| *size > slot.size)) {
                (Err(failure), Some(_)) if failure.error.code == ErrorCode::WrongChip => return Err(failure),
                (_, Some(size)) => {
                    let (code, detail) = too_large(size, slot.size);
                    return Err(Failure::refusal(code, detail));
                }
                (checked, None) => checked?,
            }
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
            // After a fallback of the bootloader the record names this very slot. Left so, the image would boot as soon
            // as its last page is written, unverified and without a trial.
            BootRecord::of(&self.layout).hold_running(flash)?;
            journal.erase(flash)?;
            if mutation::is_on(Mutation::RunningSlotErased) {
                self.layout.running_region.erase_page(flash, 0)?;
            }
        }
        if job.journal == JournalUse::Ours && page >= journal.pages_beside() {
            job.journal = JournalUse::Impossible;
        }
        if mutation::is_on(Mutation::JournalTrusted) && job.journal == JournalUse::Ours {
            journal.mark_page(flash, page)?;
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
            journal.begin(
                flash,
                job.cast_id.0,
                job.size,
                job.etag.as_ref(),
                job.origin.is_release(),
                command,
            )?;
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
