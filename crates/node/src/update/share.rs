//! The update's side of spreading: pages that come from neighbours, and pages handed on to them.

use super::*;
use crate::spread::{Description, PageStore};

/// Silence of all neighbours, in milliseconds, after which a node asks the root what to do.
const STALLED_MS: u64 = 60_000;

/// The slot as a spreading node sees it, for the length of one call.
pub(crate) struct SlotPages<'a, 'b, P: Platform> {
    pub updater: &'a mut Updater,
    pub context: &'a mut Context<'b, P>,
    /// The pages are those of the running image, not of the one being brought in.
    pub from_running: bool,
}

impl<P: Platform> PageStore for SlotPages<'_, '_, P> {
    fn read(&mut self, page: u16, offset: usize, into: &mut [u8]) -> bool {
        let layout = self.updater.layout;
        let region = if self.from_running {
            Some(layout.running_region)
        } else {
            layout.staging.map(|(_, slot)| slot)
        };
        let at = u32::from(page) * PAGE + offset as u32;
        region.is_some_and(|region| region.read(self.context.platform.flash(), at, into).is_ok())
    }

    fn write(&mut self, page: u16, bytes: &[u8; PAGE_BYTES]) -> bool {
        self.updater.take_shared_page(page, bytes, self.context)
    }
}

impl Updater {
    /// Whether pages from neighbours are awaited.
    pub(crate) const fn is_sharing(&self) -> bool {
        matches!(self.stage, Stage::Sharing { .. })
    }

    /// Whether neighbours have brought nothing for so long that the root is asked whether it still has the image.
    pub(crate) fn shares_nothing(&self, now: Instant) -> bool {
        matches!(&self.stage, Stage::Sharing { moved } if now.since(*moved) >= STALLED_MS)
    }

    /// Goes after neighbours' pages instead of the server's.
    pub(super) fn start_sharing(&mut self, now: Instant) {
        self.stage = Stage::Sharing { moved: now };
    }

    /// An object is offered that may be what this update waits for. `true` when it is.
    pub(crate) fn accepts_offer<P: Platform>(
        &mut self,
        offer: &Description,
        context: &mut Context<'_, P>,
    ) -> bool {
        let (Stage::Sharing { moved }, Some(job)) = (&mut self.stage, &mut self.job) else { return false };
        let plan = job.origin.plan();
        if offer.cast_id != job.cast_id
            || offer.chip != context.settings.chip
            || plan.is_some_and(|plan| !plan.allows(offer))
        {
            return false;
        }
        *moved = context.now;
        let wanted = job.trigger.size.filter(|_| plan.is_none());
        let Some((_, slot)) = self.layout.staging else { return false };
        if offer.size > slot.size {
            let (code, detail) = too_large(offer.size, slot.size);
            self.end(UpdateState::Refused, code, detail, context);
            return false;
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted != offer.size) {
            let detail = detail!("file has {} bytes, not {wanted}", offer.size);
            self.end(UpdateState::Refused, ErrorCode::SizeMismatch, detail, context);
            return false;
        }
        job.size = Some(offer.size);
        job.tried = job.tried.saturating_add(1);
        job.received = 0;
        if job.journal != JournalUse::Ours {
            job.pages = 0;
        }
        job.etag = None;
        // Neighbours are believed page by page, the whole only when it is verified: if it is not, the server decides.
        job.pieced = true;
        true
    }

    /// A verified page has come from a neighbour, or stands on flash already.
    fn take_shared_page<P: Platform>(
        &mut self,
        page: u16,
        bytes: &[u8; PAGE_BYTES],
        context: &mut Context<'_, P>,
    ) -> bool {
        let (Stage::Sharing { moved }, Some(job)) = (&mut self.stage, &mut self.job) else { return false };
        let (Some(size), offset) = (job.size, u32::from(page) * PAGE) else { return false };
        if offset >= size {
            return false;
        }
        *moved = context.now;
        job.received = offset;
        self.page.copy_from_slice(bytes);
        self.page_fill = (size - offset).min(PAGE) as usize;
        let pages = job.pages;
        match self.complete_page(context) {
            Ok(()) => {
                if let Some(job) = &mut self.job
                    && job.pages > pages
                {
                    job.shared = job.shared.saturating_add(PAGE);
                }
                true
            }
            Err(failure) => {
                self.page_fill = 0;
                let state = if failure.refused { UpdateState::Refused } else { UpdateState::Failed };
                self.end(state, failure.error.code, failure.detail, context);
                false
            }
        }
    }

    /// Every page of the object is here.
    pub(crate) fn sharing_done<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        if let (true, Some(job)) = (self.is_sharing(), &mut self.job) {
            job.received = job.size.unwrap_or(0);
            self.start_verifying(context);
        }
    }

    /// Puts a step into the reports.
    pub(crate) fn tell_progress<P: Platform>(&self, state: UpdateState, context: &mut Context<'_, P>) {
        self.tell(state, context);
    }

    /// Nothing has moved for too long: the server is asked after all.
    pub(super) fn give_up_sharing<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        self.stage = Stage::Waiting;
        if let Some(job) = &mut self.job {
            job.asked_neighbours = true;
        }
        let detail = detail!("no neighbour has it, asking the server");
        self.push(UpdateState::Waiting, Some(ErrorCode::SpreadNoSource), detail, context);
    }

    /// Bytes of the file that stand verified in the slot, for whoever shares it.
    pub(crate) fn shared_size(&self) -> Option<u32> {
        self.job.as_ref().filter(|_| self.is_installed()).and_then(|job| job.size)
    }

    /// The update that ended because the running image is the one asked for, and the file's size.
    pub(crate) fn take_same_as_running(&mut self) -> Option<(CastId, u32)> {
        self.same_as_running.take()
    }

    /// One page of the staging or the running slot, padded as it stands on flash.
    pub(crate) fn read_page<P: Platform>(
        &self,
        page: u16,
        from_running: bool,
        into: &mut [u8; PAGE_BYTES],
        platform: &mut P,
    ) -> bool {
        let region =
            if from_running { Some(self.layout.running_region) } else { self.slot().map(|(_, slot)| slot) };
        region.is_some_and(|region| region.read(platform.flash(), u32::from(page) * PAGE, into).is_ok())
    }
}
