//! What the first instructions after a reset have to decide: is the running image on trial, has its trial
//! failed, or is this the old image, back again?
//!
//! ```text
//!                       record of the running slot
//!          VALID, UNDEFINED          NEW, PENDING_VERIFY, torn          none, or not the active one
//!                │                      │                                     │
//!                │             first start, or power failed                   │
//!                │             in fewer than 3 starts? ── no ─▶ GiveUp        │
//!                ▼                      ▼ yes                                 ▼
//!             Settled ◀── healthy ── OnTrial ── deadline ─▶ GiveUp         Settled
//!                │
//!     journal of the other slot: switched to, never confirmed?  ─▶ CameBack(verdict) or Interrupted
//! ```
//!
//! This works with both kinds of ESP-IDF bootloader. One with rollback turns NEW into PENDING_VERIFY and
//! ABORTED by itself and grants one start; one without leaves NEW alone for ever, and then the starts
//! are counted here, in the record's sector. A power failure is no verdict about an image: up to
//! [`MAX_TRIAL_STARTS`] starts are granted when nothing but power ended them.

use crate::install::{BootRecord, FlashFault, ImageFacts, Journal, Layout, SlotRecord, holds_sound_image};
use crate::platform::ResetReason;
use embedded_storage::nor_flash::NorFlash;
use rootcast_image::{OtaState, SlotId};
use rootcast_wire::ErrorCode;

/// Starts that an image on trial gets when power failures ended the earlier ones, and switches to an image
/// whose trial power cut short.
pub const MAX_TRIAL_STARTS: u32 = 3;

/// What the node wakes up as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// The running image is the one to run.
    Settled,
    /// The running image has to prove itself.
    OnTrial {
        /// Whether the bootloader would roll back by itself (it wrote PENDING_VERIFY).
        bootloader_rolls_back: bool,
    },
    /// The running image has had its chance: back to the slot named, for the reason named.
    GiveUp {
        /// Where a sound old image stands.
        back_to: SlotId,
        /// Why.
        reason: ErrorCode,
    },
    /// The old image runs again after a switch to a new one.
    CameBack {
        /// Why the new one was given up.
        reason: ErrorCode,
    },
    /// The old image runs because power cut the switch or the trial short; the new image is whole and deserves another start.
    Interrupted,
}

/// Judges the situation and counts a start on trial. To be called once after a reset, before anything else.
pub(crate) fn judge<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    running: Option<&ImageFacts>,
    reset: ResetReason,
) -> Result<Situation, FlashFault> {
    let record = BootRecord::of(layout);
    // A record of ours is never UNDEFINED: a bootloader that was cut while it wrote PENDING_VERIFY can leave it so.
    let own_journal = Journal::of(layout.running_region).installed(flash)?;
    let ours = own_journal.is_some_and(|image| running.is_some_and(|running| running.hash == image.hash));
    let mut own = record.record_of(flash, layout.running)?;
    if own.is_none() && ours && record.renew_torn(flash)? {
        own = record.record_of(flash, layout.running)?;
    }
    if let Some(own) = own
        && own.active
        && own.state != OtaState::Valid
        && (ours || own.state != OtaState::Undefined)
    {
        return judge_trial(flash, layout, &record, own, running, reset);
    }
    judge_return(flash, layout, &record, running, reset)
}

fn judge_trial<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    record: &BootRecord,
    own: SlotRecord,
    running: Option<&ImageFacts>,
    reset: ResetReason,
) -> Result<Situation, FlashFault> {
    let starts = record.trial_starts(flash, own.index)?;
    let ended_by_power = reset == ResetReason::PowerOn && starts < MAX_TRIAL_STARTS;
    if starts > 0 && !ended_by_power {
        let reason = match reset {
            ResetReason::PowerOn => ErrorCode::BootInterrupted,
            ResetReason::Watchdog => ErrorCode::TrialWatchdog,
            ResetReason::Software | ResetReason::Panic => ErrorCode::TrialCrashed,
        };
        if let Some(back_to) = way_back(flash, layout)? {
            return Ok(Situation::GiveUp { back_to, reason });
        }
        // Nothing sound to return to: an image that starts is better than none.
    }
    if starts == 0 {
        close_older_update(flash, layout, running)?;
    }
    record.count_trial_start(flash, own.index)?;
    Ok(Situation::OnTrial { bootloader_rolls_back: own.state == OtaState::PendingVerify })
}

/// The slot to return to, if a whole image stands there.
pub(crate) fn way_back<F: NorFlash>(flash: &mut F, layout: &Layout) -> Result<Option<SlotId>, FlashFault> {
    if let Some((index, region)) = layout.staging
        && holds_sound_image(flash, &region)?
    {
        return Ok(Some(SlotId::Ota(index)));
    }
    match layout.factory {
        Some(region) if holds_sound_image(flash, &region)? => Ok(Some(SlotId::Factory)),
        _ => Ok(None),
    }
}

/// The journal of the slot that the old image stands in tells of the update that once brought it there.
/// That one is over; left open it would later read like an interrupted switch, back to an older image.
pub(crate) fn close_older_update<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    running: Option<&ImageFacts>,
) -> Result<(), FlashFault> {
    let Some((_, region)) = layout.staging else { return Ok(()) };
    let journal = Journal::of(region);
    match journal.installed(flash)? {
        Some(installed)
            if running.is_none_or(|running| running.hash != installed.hash)
                && !journal.is_closed(flash)? =>
        {
            journal.close(flash)
        }
        _ => Ok(()),
    }
}

fn judge_return<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    record: &BootRecord,
    running: Option<&ImageFacts>,
    reset: ResetReason,
) -> Result<Situation, FlashFault> {
    let Some((index, region)) = layout.staging else { return Ok(Situation::Settled) };
    let journal = Journal::of(region);
    let Some(installed) = journal.installed(flash)? else { return Ok(Situation::Settled) };
    if journal.is_closed(flash)? || running.is_some_and(|running| running.hash == installed.hash) {
        return Ok(Situation::Settled);
    }
    let switches = journal.switches(flash)?;
    if switches == 0 {
        return Ok(Situation::Settled);
    }
    let ended_by_power = reset == ResetReason::PowerOn && switches < MAX_TRIAL_STARTS;
    let reason = match record.record_of(flash, SlotId::Ota(index))? {
        Some(other) if matches!(other.state, OtaState::Invalid | OtaState::Aborted) => {
            match record.rejection(flash, other.index)? {
                Some(reason) => reason,
                // The bootloader ended the trial. The reset that made it do so is the one we woke up from.
                None if ended_by_power => return Ok(Situation::Interrupted),
                None if reset == ResetReason::PowerOn => ErrorCode::BootInterrupted,
                None if reset == ResetReason::Watchdog => ErrorCode::TrialWatchdog,
                None => ErrorCode::TrialCrashed,
            }
        }
        Some(other) if other.active => ErrorCode::BootFallback,
        // Its record stands, but a higher one took its place: the update before this one, long confirmed.
        Some(_) => return Ok(Situation::Settled),
        // The record was cut while it was being rewritten.
        None if switches < MAX_TRIAL_STARTS => return Ok(Situation::Interrupted),
        None => ErrorCode::BootInterrupted,
    };
    Ok(Situation::CameBack { reason })
}
