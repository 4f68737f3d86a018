//! An image that comes as a patch on the running one (or compressed, as a patch on nothing).

use super::*;
use rootcast_patch::{Decoder, MAGIC, OldImage, OldImageError, PatchError};

/// What part a patch plays in a job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchUse {
    /// None, so far.
    No,
    /// What arrives is a patch.
    Applying,
    /// A patch was tried and did not lead to the image: the full image is taken.
    Failed,
}

/// Both images as the decoder sees them: the old one in the running slot, the new one as far as it is written.
struct Images<'a, F> {
    flash: &'a mut F,
    old: Region,
    new: Region,
}

impl<F: NorFlash> OldImage for Images<'_, F> {
    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), OldImageError> {
        self.old.read_any(self.flash, offset, into).map_err(|_| OldImageError)
    }

    fn read_back(&mut self, offset: u32, into: &mut [u8]) -> Result<(), OldImageError> {
        self.new.read_any(self.flash, offset, into).map_err(|_| OldImageError)
    }
}

#[expect(clippy::result_large_err, reason = "there is no allocator to box a failure with")]
impl Updater {
    /// Whether this is a patch by its first byte; an image begins with another.
    pub(super) fn is_patch(bytes: &[u8]) -> bool {
        bytes.first() == MAGIC.first()
    }

    pub(super) fn is_patching(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.patch == PatchUse::Applying)
    }

    /// What arrives from now on is a patch.
    pub(super) fn start_patch(&mut self, running: Option<&ImageFacts>) {
        let Some(job) = &mut self.job else { return };
        job.patch = PatchUse::Applying;
        // Pages are made, not fetched: no tag vouches for them, and the whole is verified anyway.
        job.etag = None;
        job.pieced = true;
        job.received = 0;
        let limit = self.layout.staging.map_or(0, |(_, slot)| slot.size);
        let base = running.map_or([0; 32], |running| running.hash.0);
        // Started where it is: it is too large for a stack.
        self.reading = Reading::Patch(Decoder::IDLE);
        if let Reading::Patch(decoder) = &mut self.reading {
            decoder.start(base, limit);
        }
    }

    pub(super) fn on_patch_data<P: Platform>(
        &mut self,
        mut bytes: &[u8],
        context: &mut Context<'_, P>,
    ) -> Result<(), Failure> {
        let Some((_, slot)) = self.layout.staging else { return Err(ErrorCode::NoUpdateSlot.into()) };
        loop {
            let Reading::Patch(decoder) = &mut self.reading else { return Ok(()) };
            let mut images =
                Images { flash: context.platform.flash(), old: self.layout.running_region, new: slot };
            let progress = decoder.decode(bytes, &mut images, &mut self.page, self.page_fill);
            let progress = progress.map_err(|error| patch_failure(&error))?;
            bytes = bytes.get(progress.consumed..).unwrap_or_default();
            self.page_fill += progress.produced;
            if let Some(job) = &mut self.job {
                job.size = decoder.new_len();
            }
            if self.page_fill == PAGE_BYTES {
                self.complete_page(context)?;
            } else if progress.done || (progress.consumed == 0 && progress.produced == 0) {
                return Ok(());
            }
        }
    }

    pub(super) fn end_patch(&self) -> Result<(), Failure> {
        let Reading::Patch(decoder) = &self.reading else { return Ok(()) };
        decoder.finish().map_err(|error| patch_failure(&error))
    }

    /// Whether a patch was being tried, cannot succeed by trying again, and a full image can be taken instead.
    pub(super) fn falls_back_to_full_image(&mut self, code: ErrorCode) -> bool {
        let Some(job) = &mut self.job else { return false };
        let planned = job.origin.plan().is_some_and(|plan| plan.patch.is_some());
        if job.patch != PatchUse::Applying || !planned || (code.may_pass() && code != ErrorCode::FileChanged)
        {
            return false;
        }
        job.patch = PatchUse::Failed;
        true
    }
}

fn patch_failure(error: &PatchError) -> Failure {
    let code = match error {
        PatchError::NotAPatch => ErrorCode::NotAnImage,
        PatchError::WrongBase { .. } => ErrorCode::PatchWrongBase,
        PatchError::TooLong { .. } => ErrorCode::ImageTooLarge,
        PatchError::WrongResult { .. } | PatchError::OldImage { .. } => ErrorCode::PatchFailed,
        _ => ErrorCode::PatchMalformed,
    };
    Failure { error: code.into(), detail: detail!("{error}"), refused: false }
}
