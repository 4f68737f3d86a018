//! One root node with its server and broker, in virtual time.

use super::scene::{NEXT_URL, Scene, Story, URL, hash_of};
use crate::board::Board;
use crate::body::http::{End, Server};
use crate::bootloader::{Bootloader, ImageCache};
use crate::flash::{Recorded, Recording, Snapshot, VirtualFlash};
use crate::machine::Machine;
use crate::random::Random;
use rootcast_image::{ChipId, ImageHash};
use rootcast_node::{Backoff, Input, Instant, MeshState, Output, ResetReason, Settings};
use rootcast_wire::{NodeId, NodeType};

/// Starts after which a node counts as restarting without end.
const MAX_STARTS: u32 = 40;
/// How long after its start a crashing image crashes, in milliseconds.
const CRASH_MS: u64 = 8_000;
/// How long a node may take to come to rest, in milliseconds of its own time.
const PATIENCE_MS: u64 = 4_000_000;

/// Why a node did not come to rest as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing boots any more.
    Bricked,
    /// It restarts without end.
    Restless,
}

/// The world of one node.
pub(super) struct Rig<'a> {
    scene: &'a Scene,
    machine: Machine,
    server: Server,
    images: &'a mut ImageCache,
    now: Instant,
    bad: Option<ImageHash>,
    starts: u32,
    crash_at: Option<Instant>,
}

/// The node's station MAC.
const ID: NodeId = NodeId(0xA0B1_C2D3_E4F5);

fn settings(chip: ChipId) -> Settings {
    let mut settings = Settings::new(ID, NodeType::Switch, chip);
    settings.is_root = true;
    settings.allow_unsigned = true;
    settings.retry = Backoff { first_ms: 1_000, longest_ms: 4_000, attempts: 4 };
    settings.trial_deadline_ms = 60_000;
    settings.hello_ms = 1_000_000;
    settings.can_spread = false;
    settings
}

impl<'a> Rig<'a> {
    pub(super) fn new(
        scene: &'a Scene,
        content: Snapshot,
        after_cut: bool,
        seed: u64,
        images: &'a mut ImageCache,
    ) -> Self {
        let mut flash = VirtualFlash::new(content);
        flash.seed_noise(seed);
        let board = Board::new(flash, Random::new(seed));
        let server = scene.server(after_cut);
        let chip = scene.images.chip;
        let machine = Machine::new(board, Bootloader::new(chip, scene.rollback), settings(chip));
        let bad = scene.story.fails_its_trial().then(|| hash_of(&scene.images.new));
        Self { scene, machine, server, images, now: Instant(0), bad, starts: 0, crash_at: None }
    }

    pub(super) fn flash(&mut self) -> &mut VirtualFlash {
        &mut self.machine.board.flash
    }

    pub(super) fn record(&mut self) {
        self.flash().record(Recording::Snapshots);
    }

    pub(super) fn take_recorded(&mut self) -> Vec<Recorded> {
        self.flash().take_recorded()
    }

    /// The image that runs.
    pub(super) fn running(&self) -> Option<ImageHash> {
        self.machine.booted().map(|booted| booted.image.hash)
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.machine.node().is_some_and(rootcast_node::Node::is_on_trial)
    }

    pub(super) fn start(&mut self, reset: ResetReason) -> Result<(), Trouble> {
        self.starts += 1;
        if self.starts > MAX_STARTS {
            return Err(Trouble::Restless);
        }
        match self.machine.start(self.now, reset, self.images) {
            Ok(()) => {}
            Err(failure) if failure.is_brick() => return Err(Trouble::Bricked),
            Err(_) => return Err(Trouble::Restless),
        }
        let is_bad = self.running().is_some() && self.running() == self.bad;
        self.crash_at = (is_bad && self.scene.story == Story::Crashes).then(|| self.now.after(CRASH_MS));
        let mesh = MeshState { started: true, joined: true, layer: 1, parent: ID, signal_dbm: -50 };
        self.machine.handle(self.now, Input::Mesh(mesh));
        if !is_bad {
            self.machine.handle(self.now, Input::MqttConnected);
        }
        Ok(())
    }

    pub(super) fn trigger(&mut self) {
        self.publish(URL);
    }

    pub(super) fn trigger_next(&mut self) {
        self.publish(NEXT_URL);
    }

    fn publish(&mut self, url: &str) {
        let json = format!(r#"{{"type":"ota_trigger","url":"{url}"}}"#);
        let input = Input::MqttMessage { topic: "/switch/cmd/root", payload: json.as_bytes() };
        self.machine.handle(self.now, input);
    }

    /// Goes on until nothing more happens.
    pub(super) fn settle(&mut self) -> Result<(), Trouble> {
        let end = self.now.after(PATIENCE_MS);
        loop {
            if let Some(reset) = self.act() {
                self.now = self.now.after(300);
                self.start(reset)?;
                continue;
            }
            let deadline = self.machine.deadline(self.now).filter(|deadline| *deadline < Instant(u64::MAX));
            // A node at rest wakes up for nothing but its status.
            let rest = self.machine.node().is_none_or(|node| node.is_at_rest());
            let next = match (deadline, self.crash_at) {
                (_, Some(crash)) if rest => crash,
                _ if rest => return Ok(()),
                (Some(deadline), crash) => crash.map_or(deadline, |crash| crash.min(deadline)),
                (None, Some(crash)) => crash,
                (None, None) => return Ok(()),
            };
            self.now = self.now.after(next.since(self.now).max(1));
            if self.now > end {
                return Err(Trouble::Restless);
            }
            if self.crash_at.is_some_and(|crash| self.now >= crash) {
                self.machine.reset();
                self.start(ResetReason::Panic)?;
            } else {
                self.machine.handle_timeout(self.now);
            }
        }
    }

    /// Does what the node wants; a reset, if it wants one.
    fn act(&mut self) -> Option<ResetReason> {
        while let Some(output) = self.machine.poll(self.now) {
            match output {
                Output::Restart => {
                    self.machine.reset();
                    return Some(ResetReason::Software);
                }
                Output::Connect { .. } => self.machine.handle(self.now, Input::StreamConnected),
                Output::Send(bytes) => {
                    let request = bytes.to_vec();
                    let reply = self
                        .server
                        .connect()
                        .ok()
                        .and_then(|mut link| link.receive(&request, &mut self.server));
                    let Some(reply) = reply else { continue };
                    for piece in reply.bytes.chunks(1460) {
                        self.machine.handle(self.now, Input::StreamData(piece));
                    }
                    if reply.end == End::Close {
                        self.machine.handle(self.now, Input::StreamClosed);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
