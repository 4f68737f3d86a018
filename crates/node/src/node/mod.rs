//! A node: who it is after a reset, what it hears, what it does about it, what it says.

mod clock;
mod hear;
mod keep;
mod say;
mod spreading;

use crate::install::{BootRecord, ImageFacts, Journal, Layout, LayoutError, Region};
use crate::io::{BootInfo, Colour, Destination, Input, MeshState, Output, Progress};
use crate::platform::Platform;
use crate::root::{MAX_PEERS, Root, RootWish};
use crate::settings::Settings;
use crate::spread::Spread;
use crate::step::{Step, Steps};
use crate::time::{Instant, earliest};
use crate::trial::{self, Situation};
use crate::update::{Context, Updater, decode_trigger};
use core::mem::MaybeUninit;
use heapless::Deque;
use rootcast_image::SlotId;
use rootcast_wire::cast::{Accepted, CastId, CastReassembly, encode_trigger, fragment};
use rootcast_wire::frame::Hello;
use rootcast_wire::report::{Detail, MAX_REPORT_JSON_BYTES};
use rootcast_wire::status::{Dialect, Presence};
use rootcast_wire::topic::Topic;
use rootcast_wire::trigger::{RolloutId, Version};
use rootcast_wire::{
    Body, Command, ErrorCode, Frame, MAX_FRAME_BYTES, NodeId, NodeStatus, Parsed, Report, SliceWriter,
    Trigger, UpdateState, parse_command,
};
use spreading::Source;

struct Trial {
    earliest: Instant,
    deadline: Instant,
    /// The application says no.
    unhealthy: bool,
}

/// A report on its way to the root.
struct InFlight {
    sequence: u32,
    repeat_at: Instant,
    tries: u8,
}

/// The one type of this crate: a node, root or leaf. See the crate's documentation for how to drive it.
///
/// `PEERS` is how many nodes it keeps track of as a root, 32 bytes each. A mesh may have more: those beyond are cast to
/// and their reports passed on, but they begin a download of their own without the root's leave.
pub struct Node<const PEERS: usize = MAX_PEERS> {
    settings: Settings,
    running: Option<ImageFacts>,
    updater: Updater,
    steps: Steps,
    booted: Instant,
    trial: Option<Trial>,
    mesh: MeshState,
    mqtt_connected: bool,
    subscribe: bool,
    greet: bool,
    root_heard: bool,
    application_healthy: bool,
    unix_s: Option<(u64, Instant)>,
    shown: Option<Colour>,
    restart: bool,
    last: (Option<UpdateState>, Option<ErrorCode>),
    /// The rollout that the running image came with.
    rollout: RolloutId,
    cast: CastReassembly,
    /// The newest cast that this node has acted on, in this life or the one before the restart.
    done_cast: CastId,
    heard_cast: CastId,
    /// The cast stands in NVS ([`SettingKey::Cast`](crate::platform::SettingKey::Cast)).
    keeps_cast: bool,
    root: Root<PEERS>,
    acks: Deque<(NodeId, u32), 4>,
    forward: Option<Report>,
    forward_status: Option<NodeStatus>,
    spread: Spread,
    /// The pages handed on are those of the running image.
    spread_from_running: bool,
    source: Option<Source>,
    installed_at: Option<Instant>,
    /// The last time that [`Node::handle_timeout`] looked what is due.
    looked_at: Instant,
    sequence: u32,
    in_flight: Option<InFlight>,
    hello_at: Instant,
    status_at: Instant,
    request_at: Instant,
    requests: u8,
    waiting_since: Instant,
    frame: [u8; MAX_FRAME_BYTES],
    payload: [u8; MAX_REPORT_JSON_BYTES],
    topic: Topic,
}

/// What a start finds on flash.
struct Found {
    layout: Layout,
    running: Option<ImageFacts>,
    situation: Situation,
}

impl Found {
    fn on_flash<P: Platform>(boot: BootInfo, platform: &mut P) -> Result<Self, LayoutError> {
        let layout = Layout::read(platform.flash(), boot.code_address)?;
        let running = ImageFacts::read(platform.flash(), &layout.running_region)?;
        let situation = trial::judge(platform.flash(), &layout, running.as_ref(), boot.reset)?;
        Ok(Self { layout, running, situation })
    }
}

/// First and longest pause between repetitions of an unacknowledged frame, in milliseconds.
const REPEAT_MS: (u64, u64) = (400, 10_000);

impl<const PEERS: usize> Node<PEERS> {
    /// Starts the core after a reset. To be called as early as possible: it counts the starts of an image on trial.
    ///
    /// # Errors
    /// [`LayoutError`] when this flash cannot be updated at all; the application can run without the core then.
    pub fn boot<P: Platform>(
        settings: Settings,
        boot: BootInfo,
        now: Instant,
        platform: &mut P,
    ) -> Result<Self, LayoutError> {
        let found = Found::on_flash(boot, platform)?;
        let mut node = Self::asleep(settings, &found, now, platform);
        node.take_stock(found.layout, found.situation, now, platform);
        Ok(node)
    }

    /// Starts the core as [`Node::boot`] does, where it is to stay: a chip's stack has no room for a node.
    ///
    /// # Errors
    /// As [`Node::boot`].
    pub fn boot_in<'a, P: Platform>(
        place: &'a mut MaybeUninit<Self>,
        settings: Settings,
        boot: BootInfo,
        now: Instant,
        platform: &mut P,
    ) -> Result<&'a mut Self, LayoutError> {
        let found = Found::on_flash(boot, platform)?;
        let node = place.write(Self::asleep(settings, &found, now, platform));
        node.take_stock(found.layout, found.situation, now, platform);
        Ok(node)
    }

    /// A node that knows what stands on flash and has not acted on it yet.
    ///
    /// Never inlined, while everything that it calls for its larger parts is: so the compiler builds the node at the
    /// caller's place, and none of its tables passes over the stack.
    #[inline(never)]
    fn asleep<P: Platform>(settings: Settings, found: &Found, now: Instant, platform: &mut P) -> Self {
        Self {
            running: found.running.clone(),
            updater: Updater::new(found.layout, &settings, platform),
            steps: Steps::default(),
            booted: now,
            trial: None,
            mesh: MeshState::default(),
            mqtt_connected: false,
            subscribe: false,
            greet: false,
            root_heard: false,
            application_healthy: !settings.needs_application_health,
            unix_s: None,
            shown: None,
            restart: false,
            last: (None, None),
            rollout: RolloutId::new(),
            cast: CastReassembly::new(),
            done_cast: CastId::NONE,
            heard_cast: CastId::NONE,
            keeps_cast: false,
            root: Root::new(),
            acks: Deque::new(),
            forward: None,
            forward_status: None,
            spread: Spread::new(settings.id, settings.pace),
            spread_from_running: false,
            source: None,
            installed_at: None,
            looked_at: now,
            sequence: platform.random() & 0x3FFF_FFFF,
            in_flight: None,
            hello_at: now,
            status_at: now,
            request_at: now,
            requests: 0,
            waiting_since: now,
            frame: [0; MAX_FRAME_BYTES],
            payload: [0; MAX_REPORT_JSON_BYTES],
            topic: Topic::new(),
            settings,
        }
    }

    fn take_stock<P: Platform>(
        &mut self,
        layout: Layout,
        situation: Situation,
        now: Instant,
        platform: &mut P,
    ) {
        let came_by_update = self.recall_update(layout.running_region, platform);
        match situation {
            Situation::OnTrial { .. } => {
                self.trial = Some(Trial {
                    earliest: now.after(self.settings.trial_minimum_ms.into()),
                    deadline: now.after(self.settings.trial_deadline_ms.into()),
                    unhealthy: false,
                });
                self.push_outcome(UpdateState::Trial, None);
            }
            Situation::GiveUp { back_to, reason } => self.give_up(back_to, reason, platform),
            Situation::CameBack { reason } => {
                self.recall_cast(layout, platform);
                self.with_updater(now, platform, |updater, context| updater.note_rollback(reason, context));
            }
            Situation::Interrupted => self.resume(layout, true, now, platform),
            Situation::Settled => {
                if came_by_update {
                    self.push_outcome(UpdateState::Confirmed, None);
                }
                self.recall_cast(layout, platform);
                self.resume(layout, false, now, platform);
            }
        }
    }

    /// Whether the running image was brought by an update of ours, whose rollout and cast are then recalled.
    fn recall_update<P: Platform>(&mut self, running: Region, platform: &mut P) -> bool {
        let journal = Journal::of(running);
        let flash = platform.flash();
        let installed = journal.installed(flash).ok().flatten();
        let ours = installed
            .is_some_and(|image| self.running.as_ref().is_some_and(|running| running.hash == image.hash));
        if ours && let Some((head, trigger)) = self.updater.read_journal(journal, flash) {
            self.done_cast = CastId(head.cast_id);
            self.heard_cast = self.done_cast;
            self.rollout = trigger.and_then(|trigger| trigger.rollout).unwrap_or_default();
        }
        ours
    }

    /// The cast of an update that ended in the other slot has been acted on, too.
    fn recall_cast<P: Platform>(&mut self, layout: Layout, platform: &mut P) {
        let Some((_, staging)) = layout.staging else { return };
        if let Some((head, _)) = self.updater.read_journal(Journal::of(staging), platform.flash())
            && CastId(head.cast_id).is_newer_than(self.done_cast)
        {
            self.done_cast = CastId(head.cast_id);
            self.heard_cast = self.done_cast;
        }
    }

    fn resume<P: Platform>(
        &mut self,
        layout: Layout,
        interrupted_switch: bool,
        now: Instant,
        platform: &mut P,
    ) {
        self.recall_cast(layout, platform);
        let resumed =
            self.with_updater(now, platform, |updater, context| updater.resume(interrupted_switch, context));
        self.waiting_since = now;
        if resumed && self.settings.is_root {
            self.cast_again(now);
        }
        if self.settings.is_root {
            self.recall_kept_cast(now, platform);
        }
    }

    /// A root that restarts in the middle of its own update takes up the cast, too.
    fn cast_again(&mut self, now: Instant) {
        let (Some(trigger), Some(id)) = (self.updater.trigger(), self.updater.cast_id()) else { return };
        let Ok(length) = encode_trigger(trigger, &mut self.payload) else { return };
        let encoded = self.payload.get(..length).unwrap_or(&[]);
        let mut index = 0;
        while let Some(piece) = fragment(id, encoded, index) {
            let _ = self.cast.accept(&piece);
            index += 1;
        }
        let trigger = trigger.clone();
        self.begin_cast(id, &trigger, now);
        self.root.unsettle(now.after(2 * u64::from(self.settings.hello_ms)));
    }

    fn begin_cast(&mut self, id: CastId, trigger: &Trigger, now: Instant) {
        let parallel = trigger.max_parallel.unwrap_or(self.settings.max_parallel);
        let spread = self.settings.can_spread && trigger.spreads();
        self.root.cast(id, parallel, spread, trigger.not_before, now);
    }

    fn with_updater<P: Platform, R>(
        &mut self,
        now: Instant,
        platform: &mut P,
        work: impl FnOnce(&mut Updater, &mut Context<'_, P>) -> R,
    ) -> R {
        let unix_s = self.unix_now(now);
        let mut context = Context {
            now,
            unix_s,
            platform,
            settings: &self.settings,
            running: self.running.as_ref(),
            steps: &mut self.steps,
        };
        work(&mut self.updater, &mut context)
    }

    fn push_outcome(&mut self, state: UpdateState, error: Option<ErrorCode>) {
        self.steps.push(Step {
            state,
            error,
            detail: Detail::new(),
            progress: 100,
            target: self.running.as_ref().map(|running| running.hash),
            bytes: self.running.as_ref().map_or(0, |running| running.image_len),
            shared_bytes: 0,
            attempt: 1,
            rollout: self.rollout.clone(),
        });
    }

    // ----- what a display wants to know ----------------------------------------------------------

    /// How far the node is.
    #[must_use]
    pub fn progress(&self) -> Progress<'_> {
        Progress {
            state: self.last.0,
            error: self.last.1,
            percent: self.updater.percent(),
            bytes: self.updater.bytes(),
            size: self.updater.size(),
            attempt: self.updater.attempt(),
            running: self.running.as_ref(),
        }
    }

    /// The flash layout that the node works on.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        self.updater.layout()
    }

    /// The settings it was started with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The colour that the LED shows.
    #[must_use]
    pub fn colour(&self) -> Colour {
        if self.updater.is_busy() {
            Colour::Blue
        } else if !self.mesh.started {
            Colour::Red
        } else if !self.mesh.joined {
            Colour::Yellow
        } else {
            Colour::Green
        }
    }

    /// Whether the running image has still to prove itself.
    #[must_use]
    pub const fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Whether nothing of an update is under way, and nothing waits to be reported.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        !self.updater.is_busy() && self.trial.is_none() && !self.restart && self.steps.is_empty()
    }

    pub(crate) const fn mesh(&self) -> &MeshState {
        &self.mesh
    }

    pub(crate) const fn booted(&self) -> Instant {
        self.booted
    }

    pub(crate) fn peer_count(&self) -> u16 {
        self.root.peer_count()
    }

    /// The state of the update at hand, `None` when there is none.
    pub(crate) fn update_state(&self) -> Option<UpdateState> {
        if self.updater.is_busy() || self.trial.is_some() { self.last.0 } else { None }
    }

    /// Whether an image without signature, that no release vouches for, is installed: never once a key is trusted,
    /// be it by provisioning or by a release.
    pub(crate) fn accepts_unsigned(&self) -> bool {
        self.settings.allow_unsigned && self.updater.trusts_no_image_key()
    }

    fn unix_now(&self, now: Instant) -> Option<u64> {
        self.unix_s.map(|(unix_s, at)| unix_s + now.since(at) / 1000)
    }
}
