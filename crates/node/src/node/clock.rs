//! What happens as time passes: the trial, patience, the restart.

use super::*;
use crate::mutation::{self, Mutation};

/// How often a root that has its image looks whether it may restart, in milliseconds.
const ROOT_LOOK_MS: u64 = 250;

impl<const PEERS: usize> Node<PEERS> {
    pub(super) fn look_after_trial<P: Platform>(&mut self, now: Instant, platform: &mut P) {
        let Some(trial) = &self.trial else { return };
        let reached = if self.settings.is_root { self.mqtt_connected } else { self.root_heard };
        let healthy = self.mesh.joined && reached && self.application_healthy && !trial.unhealthy;
        if (healthy && now >= trial.earliest) || mutation::is_on(Mutation::ConfirmUnproved) {
            let layout = *self.updater.layout();
            if BootRecord::of(&layout).confirm(platform.flash()).is_ok() {
                self.trial = None;
                self.push_outcome(UpdateState::Confirmed, None);
            }
        } else if trial.unhealthy || now >= trial.deadline {
            let reason = if trial.unhealthy { ErrorCode::TrialUnhealthy } else { ErrorCode::TrialTimeout };
            let layout = *self.updater.layout();
            match trial::way_back(platform.flash(), &layout) {
                Ok(Some(back_to)) => self.give_up(back_to, reason, platform),
                // Nothing sound to return to: an image that runs is better than none. Asked again later.
                _ => {
                    let again = now.after(self.settings.trial_deadline_ms.into());
                    self.trial = Some(Trial { earliest: now, deadline: again, unhealthy: false });
                }
            }
        }
    }

    pub(crate) fn give_up<P: Platform>(&mut self, back_to: SlotId, reason: ErrorCode, platform: &mut P) {
        let layout = *self.updater.layout();
        if BootRecord::of(&layout).reject(platform.flash(), back_to, reason).is_ok() {
            self.restart = true;
        }
    }

    /// When [`Node::handle_timeout`] wants to be called, at the latest.
    ///
    /// As long as nothing happens, the answer does not move with `now`: a body that keeps it and one that asks each time
    /// come to the same.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let trial = self
            .trial
            .as_ref()
            .map(|trial| if self.looked_at < trial.earliest { trial.earliest } else { trial.deadline });
        let mut deadline = earliest(self.updater.deadline(now, &self.settings), trial);
        if self.settings.is_root {
            deadline = earliest(deadline, self.root.deadline(now, self.looked_at, &self.settings));
            if self.updater.is_installed() {
                deadline = earliest(deadline, Some(self.looked_at.after(ROOT_LOOK_MS)));
            }
        } else {
            deadline = earliest(deadline, self.in_flight.as_ref().map(|in_flight| in_flight.repeat_at));
            deadline = earliest(deadline, self.mesh.joined.then_some(self.hello_at));
            if self.updater.is_waiting() {
                let patience = self.waiting_since.after(self.settings.grant_patience_ms.into());
                deadline = earliest(deadline, Some(patience));
            }
            if self.asks_to_go_on(now) {
                deadline = earliest(deadline, Some(self.request_at));
            }
            if let Some(installed) = self.installed_at {
                deadline = earliest(deadline, Some(installed.after(self.settings.root_patience_ms.into())));
            }
        }
        deadline = earliest(deadline, self.spread_deadline(now));
        // A root without a broker has nobody to tell.
        let tells = self.mesh.joined && (self.mqtt_connected || !self.settings.is_root);
        earliest(deadline, tells.then_some(self.status_at))
    }

    /// Time has passed: does what is due, at most a page's worth of work at a time.
    pub fn handle_timeout<P: Platform>(&mut self, now: Instant, platform: &mut P) {
        self.looked_at = now;
        self.with_updater(now, platform, |updater, context| updater.on_timeout(context));
        self.look_after_trial(now, platform);
        self.look_after_kept_cast(now, platform);
        if self.updater.is_waiting() {
            let patience = self.waiting_since.after(self.settings.grant_patience_ms.into());
            let root_goes = self.settings.is_root && !self.root.is_held(self.unix_now(now));
            if root_goes || (!self.settings.is_root && now >= patience) {
                self.with_updater(now, platform, |updater, context| updater.grant(context));
            }
        }
        self.become_source(now, platform);
        if !self.updater.is_installed() {
            self.installed_at = None;
            return;
        }
        if self.installed_at.is_none() {
            self.request_at = now;
            self.requests = 0;
        }
        let installed = *self.installed_at.get_or_insert(now);
        // The root goes last, leaves when the root says so: whoever restarts takes the way of those behind it along.
        let go = if self.settings.is_root {
            self.source.is_none() && self.root.may_restart(now, &self.settings)
        } else {
            now.since(installed) >= self.settings.root_patience_ms.into()
        };
        if go {
            self.with_updater(now, platform, |updater, context| updater.switch(context));
        }
    }

    /// Whether the root has to be asked: for a download, for want of an offer, or for a restart.
    pub(super) fn asks_to_go_on(&self, now: Instant) -> bool {
        self.updater.is_waiting()
            || (self.updater.is_sharing()
                && (self.spread.description().is_none() || self.updater.shares_nothing(now)))
            || self.updater.is_installed()
    }
}
