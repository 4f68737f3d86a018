//! What an earlier life of this node left in a journal: pages, interrupted updates, the outcome of the last one.

use super::*;

impl Updater {
    /// Uses the pages that an earlier try for the same file left in the slot.
    pub(super) fn adopt_pages<P: Platform>(&mut self, slot: Region, context: &mut Context<'_, P>) {
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
            if head.of_release {
                job.origin = Origin::ReleaseAgain;
            }
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
            origin: if head.of_release { Origin::ReleaseAgain } else { Origin::Trigger },
            patch: PatchUse::No,
            fetched: 0,
            shared: 0,
            asked_neighbours: false,
            journal: JournalUse::Ours,
            pieced: pages > 0,
            failures: 0,
            tried: 0,
            told_percent: 0,
            image: None,
        };
        self.stage = Stage::Waiting;
        if shares(&job.trigger, context.settings) && self.trust.release_keys.is_empty() {
            self.start_sharing(context.now);
        }
        if let Some(installed) = installed {
            job.size = Some(installed.file_len);
            job.image = Some(installed);
            job.received = installed.file_len;
            self.stage = Stage::Verifying { verifier: ImageVerifier::new(), offset: 0 };
        }
        self.job = Some(job);
        Ok(true)
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
            shared_bytes: 0,
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
