//! What only the root does: who is in the mesh, who may download now, which cast still has to reach whom.

use crate::settings::Settings;
use crate::time::Instant;
use heapless::Vec;
use rootcast_wire::cast::CastId;
use rootcast_wire::frame::{Hello, StartPurpose};
use rootcast_wire::{NodeId, UpdateState};

/// Nodes that a root keeps track of unless its body chooses otherwise (ESP-WIFI-MESH advises at most 512 in one mesh).
pub const MAX_PEERS: usize = 512;

/// Silence after which a node makes room for another when there is no room left, in milliseconds.
const FORGOTTEN_MS: u64 = 3_600_000;

/// Silence after which a node no longer counts as being at work, in hello intervals.
const SILENT_HELLOS: u64 = 4;

/// How long a node that was let go may take to begin, in milliseconds.
const GRANT_MS: u64 = 10_000;

/// How long the nodes of another chip wait for the one of them that has the image to be heard, in milliseconds, while
/// nothing else moves.
const SOURCE_PATIENCE_MS: u64 = 20_000;

/// What decides which nodes can share pages: the chip, until a node says which file it is to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Kind(u16);

impl Kind {
    /// Nothing is known of the node yet.
    const UNKNOWN: Self = Self(0);
    /// The node takes no pages from its neighbours.
    const TAKES_NO_PAGES: Self = Self(u16::MAX);
    /// Set in the kind that a file makes; those of chips are below.
    const OF_FILE: u16 = 0x8000;

    /// Chip ids are small numbers, and the ESP32's is 0.
    const fn of_chip(chip: u16) -> Self {
        Self((chip & 0x3FFF) + 1)
    }

    /// 15 bits of a file's hash tell the few files of one release apart.
    const fn of_file(file: u16) -> Self {
        let kind = file | Self::OF_FILE;
        Self(if kind == u16::MAX { kind - 1 } else { kind })
    }

    const fn is_of_file(self) -> bool {
        self.0 & Self::OF_FILE != 0 && self.0 != Self::TAKES_NO_PAGES.0
    }
}

/// How often a cast is repeated at first and at most, in milliseconds.
const CAST_REPEAT_MS: (u64, u64) = (400, 15_000);

/// Rounds that a cast is sent in even if no node is known to lack it: some are not known yet.
const CAST_ROUNDS: u8 = 3;

/// How far a node is, as the root knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Progress {
    /// Nothing is known of an update.
    #[default]
    None,
    /// It asks to begin.
    Asking,
    /// It asks to read a release.
    AskingForRelease,
    /// It was told to begin ([`Peer::granted_ms`]).
    Granted,
    /// It downloads or verifies.
    Working,
    /// It has the image and serves its neighbours.
    Installed,
    /// It has the image and asks to restart.
    AskingToRestart,
    /// It restarts or is on trial.
    Proving,
    /// Its update has ended.
    Over,
}

/// What is kept of a node: a chip's root has one of these for each.
#[derive(Clone, Copy, Debug)]
struct Peer {
    heard: Instant,
    /// The node id's 48 bits, big-endian.
    id: [u8; 6],
    layer: u8,
    /// [`Kind::UNKNOWN`] until it says so.
    chip: Kind,
    /// [`Kind::UNKNOWN`] until it asks to download a file that a release named.
    file: Kind,
    progress: Progress,
    cast_id: CastId,
    /// When it was told to begin, in milliseconds; wraps, as it matters for seconds only.
    granted_ms: u32,
    /// Sequence of the last report that was passed on, so that a repeated one is not; [`NO_REPORT`] before the first.
    last_report: u32,
}

/// Nodes count from below 2^30 on: no report of theirs has this sequence.
const NO_REPORT: u32 = u32::MAX;

const _: () = assert!(size_of::<Peer>() <= 32);

const fn short_id(node: NodeId) -> [u8; 6] {
    let [_, _, id @ ..] = node.0.to_be_bytes();
    id
}

impl Peer {
    fn new(node: NodeId) -> Self {
        Self {
            heard: Instant(0),
            id: short_id(node),
            layer: 0,
            chip: Kind::UNKNOWN,
            file: Kind::UNKNOWN,
            progress: Progress::None,
            cast_id: CastId::default(),
            granted_ms: 0,
            last_report: NO_REPORT,
        }
    }

    /// What it can share with others.
    fn kind(&self) -> Kind {
        if self.chip != Kind::TAKES_NO_PAGES && self.file != Kind::UNKNOWN { self.file } else { self.chip }
    }

    fn node(&self) -> NodeId {
        let [a, b, c, d, e, f] = self.id;
        NodeId(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// Milliseconds since it was told to begin.
    fn since_grant(&self, now: Instant) -> u64 {
        (now.0 as u32).wrapping_sub(self.granted_ms).into()
    }

    /// Whether it was heard of lately.
    fn is_near(&self, now: Instant, settings: &Settings) -> bool {
        now.since(self.heard) < u64::from(settings.hello_ms) * SILENT_HELLOS
    }
}

/// What the root's node knows at one moment.
pub(crate) struct RootMoment {
    pub now: Instant,
    /// Seconds since 1970, if known.
    pub unix_s: Option<u64>,
    /// The root downloads itself.
    pub own_download: bool,
    /// The root has pages to give, or is about to.
    pub is_source: bool,
    /// The chip that these pages are for.
    pub chip: u16,
    /// The first two bytes of the hash of the file that a release told the root to install; 0 if none did.
    pub file: u16,
}

impl RootMoment {
    /// Whether the root's pages are not for this node.
    fn is_foreign(&self, peer: &Peer) -> bool {
        match peer.kind() {
            Kind::UNKNOWN => false,
            kind if kind.is_of_file() && self.file != 0 => kind != Kind::of_file(self.file),
            _ => peer.chip != Kind::of_chip(self.chip),
        }
    }
}

/// The root's view of its mesh.
pub(crate) struct Root<const PEERS: usize> {
    /// In the order in which they were first heard of.
    peers: Vec<Peer, PEERS>,
    cast: Option<ActiveCast>,
    /// The last time that anything in the mesh moved forward.
    news: Instant,
    /// Until then a root that restarted in the middle of an update has not heard of all its nodes.
    unsettled_until: Instant,
}

struct ActiveCast {
    id: CastId,
    since: Instant,
    /// When the next round begins; `None` while one is being sent.
    next_round: Instant,
    rounds: u8,
    next_fragment: Option<u8>,
    max_parallel: u16,
    /// Nodes take the pages from each other: nobody restarts before everybody has them.
    spread: bool,
    /// Seconds since 1970 before which the cast is held back.
    not_before: Option<u64>,
}

/// What the root wants sent.
pub(crate) enum RootWish {
    /// This fragment of the cast at hand, to everybody.
    Fragment(u8),
    /// Leave to begin, to this node.
    Grant(NodeId, CastId),
    /// Leave to restart, to this node.
    GrantRestart(NodeId, CastId),
}

impl<const PEERS: usize> Root<PEERS> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self { peers: Vec::new(), cast: None, news: Instant(0), unsettled_until: Instant(0) }
    }

    /// The root itself has restarted: its nodes have yet to say where they are.
    pub(crate) fn unsettle(&mut self, until: Instant) {
        self.unsettled_until = until;
    }

    /// Nodes that were ever heard of.
    pub(crate) fn peer_count(&self) -> u16 {
        self.peers.len() as u16
    }

    /// Makes `id` the cast that every node is to get.
    pub(crate) fn cast(
        &mut self,
        id: CastId,
        max_parallel: u16,
        spread: bool,
        not_before: Option<u64>,
        now: Instant,
    ) {
        self.news = now;
        self.cast = Some(ActiveCast {
            id,
            since: now,
            next_round: now,
            rounds: 0,
            next_fragment: None,
            max_parallel: max_parallel.max(1),
            spread,
            not_before,
        });
        for peer in &mut self.peers {
            peer.progress = Progress::None;
            peer.file = Kind::UNKNOWN;
        }
    }

    fn peer(&mut self, node: NodeId, now: Instant) -> Option<&mut Peer> {
        let id = short_id(node);
        let place = match self.peers.iter().position(|peer| peer.id == id) {
            Some(place) => place,
            None => match self.peers.push(Peer::new(node)) {
                Ok(()) => self.peers.len() - 1,
                Err(newcomer) => {
                    let longest_silent = self.peers.iter().enumerate().min_by_key(|(_, peer)| peer.heard);
                    let (place, silent) = longest_silent.map(|(place, peer)| (place, peer.heard))?;
                    if now.since(silent) < FORGOTTEN_MS {
                        return None;
                    }
                    self.peers[place] = newcomer;
                    place
                }
            },
        };
        let peer = self.peers.get_mut(place)?;
        peer.heard = now;
        Some(peer)
    }

    pub(crate) fn heard_hello(&mut self, node: NodeId, hello: &Hello, now: Instant) {
        let active = self.cast.as_ref().map(|cast| cast.id);
        let Some(peer) = self.peer(node, now) else { return };
        let cast_id = hello.cast_id;
        let caught_up = peer.cast_id != cast_id && Some(cast_id) == active;
        peer.cast_id = cast_id;
        peer.layer = hello.layer;
        peer.chip = if hello.can_spread { Kind::of_chip(hello.chip) } else { Kind::TAKES_NO_PAGES };
        if caught_up {
            self.news = now;
        } else if active.is_some_and(|active| active.is_newer_than(cast_id))
            && let Some(cast) = &mut self.cast
            && cast.rounds >= CAST_ROUNDS
        {
            // Somebody new, or back: do not let it wait for the slow rhythm.
            cast.next_round = cast.next_round.min(now.after(CAST_REPEAT_MS.0));
        }
    }

    pub(crate) fn asked_to_start(
        &mut self,
        node: NodeId,
        cast_id: CastId,
        purpose: StartPurpose,
        file: u16,
        now: Instant,
    ) {
        if let Some(peer) = self.peer(node, now) {
            // Its update may be an older cast's: that it has heard a newer one since, which was for others, stays known.
            if cast_id.is_newer_than(peer.cast_id) {
                peer.cast_id = cast_id;
            }
            if file != 0 {
                peer.file = Kind::of_file(file);
            }
            match peer.progress {
                _ if purpose == StartPurpose::Restart => peer.progress = Progress::AskingToRestart,
                Progress::Granted if peer.since_grant(now) < 1_000 => {}
                // Proving: the leave to restart was lost on its way.
                Progress::Installed | Progress::AskingToRestart | Progress::Proving => {
                    peer.progress = Progress::AskingToRestart;
                }
                _ if purpose == StartPurpose::Release => peer.progress = Progress::AskingForRelease,
                _ => peer.progress = Progress::Asking,
            }
        }
    }

    /// Takes note of a report; `true` when it is new and has to be passed on.
    pub(crate) fn heard_report(
        &mut self,
        node: NodeId,
        sequence: u32,
        state: UpdateState,
        now: Instant,
    ) -> bool {
        let spread = self.cast.as_ref().is_some_and(|cast| cast.spread);
        let Some(peer) = self.peer(node, now) else { return true };
        let progress = match state {
            UpdateState::Accepted if spread => Progress::Working,
            UpdateState::Accepted => peer.progress,
            UpdateState::Waiting | UpdateState::Downloading | UpdateState::Verifying => Progress::Working,
            UpdateState::Installed => Progress::Installed,
            UpdateState::Restarting | UpdateState::Trial => Progress::Proving,
            _ => Progress::Over,
        };
        peer.progress = progress;
        let fresh = peer.last_report != sequence;
        peer.last_report = sequence;
        if fresh {
            self.news = now;
        }
        fresh
    }

    /// Who may begin a download of its own now.
    ///
    /// While the root has pages to give, or is getting them, whoever can take them need not ask the server. Of those who
    /// need another file one asks the server and shares what it gets: the next one is let go only if that leads nowhere.
    fn next_to_start(&self, moment: &RootMoment, settings: &Settings) -> Option<NodeId> {
        let now = moment.now;
        let (parallel, spread) = self
            .cast
            .as_ref()
            .map_or((settings.max_parallel, false), |cast| (cast.max_parallel, cast.spread));
        let shared = spread && moment.is_source;
        let at_work = |peer: &Peer| match peer.progress {
            Progress::Working => peer.is_near(now, settings),
            Progress::Granted => peer.since_grant(now) < GRANT_MS,
            _ => false,
        };
        let downloads = |peer: &&Peer| {
            at_work(peer) && (!shared || moment.is_foreign(peer) || peer.progress == Progress::Granted)
        };
        let active = self.peers.iter().filter(downloads).count() + usize::from(moment.own_download);
        if active >= usize::from(parallel) {
            return None;
        }
        let stands_still = now.since(self.news) >= SOURCE_PATIENCE_MS;
        let has_image =
            |peer: &Peer| matches!(peer.progress, Progress::Installed | Progress::AskingToRestart);
        let may = |peer: &&Peer| match peer.progress {
            Progress::AskingForRelease => true,
            Progress::Asking if !shared || peer.chip == Kind::TAKES_NO_PAGES => true,
            Progress::Asking => {
                let source = |other: &Peer| {
                    other.kind() == peer.kind() && (at_work(other) || (has_image(other) && !stands_still))
                };
                moment.is_foreign(peer) && !self.peers.iter().any(source)
            }
            _ => false,
        };
        self.peers.iter().find(may).map(Peer::node)
    }

    /// The next thing to be sent, if any.
    pub(crate) fn wish(
        &mut self,
        moment: &RootMoment,
        fragments: u8,
        settings: &Settings,
    ) -> Option<RootWish> {
        let now = moment.now;
        if let Some(wish) = self.cast_wish(now, moment.unix_s, fragments, settings) {
            return Some(wish);
        }
        if let Some(peer) = self.next_to_restart(now, settings) {
            peer.progress = Progress::Proving;
            return Some(RootWish::GrantRestart(peer.node(), peer.cast_id));
        }
        let node = self.next_to_start(moment, settings)?;
        let peer = self.peers.iter_mut().find(|peer| peer.node() == node)?;
        peer.progress = Progress::Granted;
        peer.granted_ms = now.0 as u32;
        Some(RootWish::Grant(node, peer.cast_id))
    }

    /// Who may restart now: leaves before their parents, and in a mesh that shares pages nobody before everybody has
    /// them. Nodes that have fallen silent are not waited for.
    fn next_to_restart(&mut self, now: Instant, settings: &Settings) -> Option<&mut Peer> {
        let spread = self.cast.as_ref().is_some_and(|cast| cast.spread);
        let near = || self.peers.iter().filter(|peer| peer.is_near(now, settings));
        let fetching = near().any(|peer| {
            matches!(
                peer.progress,
                Progress::Asking | Progress::AskingForRelease | Progress::Granted | Progress::Working
            )
        });
        if spread && (fetching || self.lacking(now, settings)) {
            return None;
        }
        let deepest_at_work = near()
            .filter(|peer| !matches!(peer.progress, Progress::Over | Progress::None))
            .map(|peer| peer.layer)
            .max()?;
        self.peers
            .iter_mut()
            .find(|peer| peer.progress == Progress::AskingToRestart && peer.layer >= deepest_at_work)
    }

    fn cast_wish(
        &mut self,
        now: Instant,
        unix_s: Option<u64>,
        fragments: u8,
        settings: &Settings,
    ) -> Option<RootWish> {
        let lacking = self.lacking(now, settings);
        let cast = self.cast.as_mut()?;
        if let Some(index) = cast.next_fragment {
            cast.next_fragment = (index + 1 < fragments).then_some(index + 1);
            return Some(RootWish::Fragment(index));
        }
        let held = cast.not_before.is_some_and(|moment| unix_s.is_none_or(|now| now < moment));
        let over = now.since(cast.since) > u64::from(settings.cast_lifetime_ms);
        if held || over || now < cast.next_round || fragments == 0 || (cast.rounds >= CAST_ROUNDS && !lacking)
        {
            return None;
        }
        cast.rounds = cast.rounds.saturating_add(1);
        let pause = (CAST_REPEAT_MS.0 << cast.rounds.min(10)).min(CAST_REPEAT_MS.1);
        cast.next_round = now.after(pause);
        cast.next_fragment = (fragments > 1).then_some(1);
        Some(RootWish::Fragment(0))
    }

    /// Whether a node that was heard of lately does not have the cast.
    fn lacking(&self, now: Instant, settings: &Settings) -> bool {
        let Some(cast) = &self.cast else { return false };
        self.peers.iter().any(|peer| cast.id.is_newer_than(peer.cast_id) && peer.is_near(now, settings))
    }

    /// Whether the cast is being held back until its time.
    pub(crate) fn is_held(&self, unix_s: Option<u64>) -> bool {
        let held =
            |cast: &ActiveCast| cast.not_before.is_some_and(|moment| unix_s.is_none_or(|now| now < moment));
        self.cast.as_ref().is_some_and(held)
    }

    /// Whether the root may leave its mesh alone for a restart: every node that it hears of has the cast and has
    /// ended its update, or nothing has moved for so long that waiting helps nobody.
    pub(crate) fn may_restart(&self, now: Instant, settings: &Settings) -> bool {
        if now.since(self.news) >= u64::from(settings.root_patience_ms) {
            return true;
        }
        let at_work = |peer: &Peer| !matches!(peer.progress, Progress::Over | Progress::None);
        now >= self.unsettled_until && !self.lacking(now, settings) && !self.peers.iter().any(at_work)
    }

    /// When [`Root::wish`] may have something new to say, or a cast may no longer be held back. `looked_at` is when that
    /// was last looked at: what is repeated counts from there, so that a deadline is a moment and not always ahead.
    pub(crate) fn deadline(&self, now: Instant, looked_at: Instant, settings: &Settings) -> Option<Instant> {
        let cast = self.cast.as_ref()?;
        let over = now.since(cast.since) > u64::from(settings.cast_lifetime_ms);
        if cast.next_fragment.is_some() {
            return Some(now);
        }
        if over || (cast.rounds >= CAST_ROUNDS && !self.lacking(now, settings)) {
            // Grants and the root's own restart are looked at once a second while an update runs.
            let working =
                self.peers.iter().any(|peer| !matches!(peer.progress, Progress::Over | Progress::None));
            return working.then(|| looked_at.after(1_000));
        }
        Some(cast.next_round.max(looked_at.after(50)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootcast_image::ChipId;
    use rootcast_wire::NodeType;

    #[test]
    fn a_node_that_updates_by_an_older_cast_gets_its_leave_to_restart_while_a_newer_one_is_out() {
        let settings = Settings::new(NodeId(1), NodeType::Switch, ChipId::ESP32C3);
        let (node, older, newer) = (NodeId(2), CastId(1 << 16), CastId(2 << 16));
        let now = Instant(1_000);
        let hello = |cast_id| Hello {
            node_type: NodeType::Switch,
            is_root: false,
            can_spread: true,
            unsigned_allowed: true,
            layer: 2,
            parent: NodeId(1),
            running: [0; 8],
            cast_id,
            state: None,
            chip: ChipId::ESP32C3.0,
        };
        let mut root = Root::<4>::new();
        root.cast(older, 1, true, None, now);
        root.heard_hello(node, &hello(older), now);
        root.heard_report(node, 1, UpdateState::Installed, now);
        // For others; this node heard it and goes on with what it does.
        root.cast(newer, 1, true, None, now);
        root.heard_hello(node, &hello(newer), now);
        root.asked_to_start(node, older, StartPurpose::Restart, 0, now);
        let moment = RootMoment { now, unix_s: None, own_download: false, is_source: true, chip: 5, file: 0 };
        let leave = (0..10).filter_map(|_| root.wish(&moment, 1, &settings)).find_map(|wish| match wish {
            RootWish::GrantRestart(node, cast_id) => Some((node, cast_id)),
            _ => None,
        });
        assert_eq!(leave, Some((node, newer)), "it does not lack the newer cast");
    }
}
