//! Reading back, verifying, switching the boot slot.

use super::*;
use crate::mutation::{self, Mutation};

#[expect(clippy::result_large_err, reason = "there is no allocator to box a failure with")]
impl Updater {
    pub(super) fn start_verifying<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        self.stage = Stage::Verifying { verifier: ImageVerifier::new(), offset: 0 };
        self.tell(UpdateState::Verifying, context);
        if mutation::is_on(Mutation::SwitchBeforeVerification)
            && let Some((index, slot)) = self.slot()
        {
            let _ = self.switch_record(index, slot, context);
        }
        if mutation::is_on(Mutation::JournalTrusted)
            && let (Some((_, slot)), Some(job)) = (self.slot(), &mut self.job)
            && let Ok(Some(facts)) = ImageFacts::read(context.platform.flash(), &slot)
        {
            let (hash, image_len) = (facts.hash, facts.image_len);
            let installed = InstalledImage { hash, image_len, file_len: job.size.unwrap_or(image_len) };
            job.image = Some(installed);
            let _ = Journal::of(slot).note_installed(context.platform.flash(), &installed);
            self.stage = Stage::Installed;
        }
    }

    /// When [`Updater::on_timeout`] wants to be called.
    pub(crate) fn deadline(&self, now: Instant, settings: &Settings) -> Option<Instant> {
        match &self.stage {
            Stage::Fetching(fetch) => fetch.deadline(),
            Stage::Paused(until) => Some(*until),
            Stage::Sharing { moved } => Some(moved.after(settings.spread_patience_ms.into())),
            Stage::Verifying { .. } => Some(now),
            Stage::Switched { restart_at } => Some(*restart_at),
            Stage::Idle | Stage::Waiting | Stage::Installed | Stage::Restarting => None,
        }
    }

    /// Does what is due: a bounded piece of work, at most a page.
    pub(crate) fn on_timeout<P: Platform>(&mut self, context: &mut Context<'_, P>) {
        match &mut self.stage {
            Stage::Fetching(fetch) => {
                let stalled = fetch.stalled(context.now);
                if stalled {
                    self.on_failure(ErrorCode::DownloadStalled.into(), context);
                }
            }
            Stage::Paused(until) if context.now >= *until => self.start_fetch(context),
            Stage::Sharing { moved }
                if context.now >= moved.after(context.settings.spread_patience_ms.into()) =>
            {
                self.give_up_sharing(context);
            }
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
        self.push(UpdateState::Installed, None, self.came_by(), context);
        Ok(())
    }

    /// How the image came, for people, where it was not simply fetched.
    fn came_by(&self) -> Detail {
        match (&self.reading, self.job.as_ref().map(|job| job.patch)) {
            (Reading::Patch(decoder), Some(PatchUse::Applying)) => {
                detail!("made from a patch of {} bytes", decoder.patch_position())
            }
            (_, Some(PatchUse::Failed)) => detail!("full image, the patch did not lead to it"),
            _ => Detail::new(),
        }
    }

    fn damaged(&self, error: &rootcast_image::ImageError) -> Failure {
        Failure { error: self.blame(image_code(error)).into(), detail: detail!("{error}"), refused: false }
    }

    /// A server that gives two files one tag can make us piece them together. Then the download is to blame, and
    /// another one from the first byte tells.
    fn blame(&self, code: ErrorCode) -> ErrorCode {
        let pieced = self.job.as_ref().is_some_and(|job| job.pieced);
        if pieced && !mutation::is_on(Mutation::ChangedFileSpliced) { ErrorCode::FileChanged } else { code }
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
        match job.origin.plan() {
            Some(plan) if plan.sha256 != image.file_sha256 => {
                return Err(self.blame(ErrorCode::ReleaseDigestMismatch).into());
            }
            None if job.trigger.sha256.is_some_and(|wanted| wanted != image.file_sha256) => {
                return Err(self.blame(ErrorCode::DigestMismatch).into());
            }
            _ => {}
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
        if self.trust.image_keys.is_empty() {
            // The release that named the image has vouched for it, in this life or before the restart.
            let vouched = self.job.as_ref().is_some_and(|job| {
                job.origin.plan().is_some()
                    || (job.origin.is_release() && job.image.is_some_and(|known| known.hash == image.hash))
            });
            return if context.settings.allow_unsigned || vouched {
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
        verify_image_signature(&digest, sector, &self.trust.image_keys)
            .map(|_| ())
            .map_err(|error| self.blame(signature_code(&error)).into())
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
}
