//! Frames that were heard before: copies of a flood, and recordings of a stranger.

use heapless::index_map::FnvIndexMap;
use rootcast_wire::NodeId;

/// Nodes whose stamps are remembered. More may be in the mesh: whoever was silent longest makes room.
const ORIGINS: usize = 64;
/// Stamps remembered one by one for each of them; below the oldest, everything counts as heard.
const RECENT: usize = 8;
/// How far behind the mesh's clock the frames of an unknown origin may be, in milliseconds.
const FRESH_MS: u64 = 30_000;

#[derive(Clone, Copy, Default)]
struct Heard {
    floor: u64,
    recent: [u64; RECENT],
}

/// Remembers which stamps were heard.
#[derive(Default)]
pub struct Replay {
    origins: FnvIndexMap<u64, Heard, ORIGINS>,
}

impl Replay {
    /// Whether a frame with this stamp is new; from then on it is not. `clock` is the mesh's.
    pub fn is_new(&mut self, origin: NodeId, stamp: u64, clock: u64) -> bool {
        if stamp > clock.saturating_add(FRESH_MS) {
            return false;
        }
        if !self.origins.contains_key(&origin.0) {
            if self.origins.is_full() {
                self.forget_one();
            }
            let heard = Heard { floor: clock.saturating_sub(FRESH_MS), recent: [0; RECENT] };
            if self.origins.insert(origin.0, heard).is_err() {
                return false;
            }
        }
        let Some(heard) = self.origins.get_mut(&origin.0) else { return false };
        if stamp <= heard.floor || heard.recent.contains(&stamp) {
            return false;
        }
        let Some(oldest) = heard.recent.iter_mut().min() else { return false };
        heard.floor = heard.floor.max(*oldest);
        *oldest = stamp;
        // What slipped in below the raised floor stays heard either way.
        true
    }

    /// Forgets everything: the mesh has another clock now.
    pub fn clear(&mut self) {
        self.origins.clear();
    }

    fn forget_one(&mut self) {
        let newest = |heard: &Heard| heard.recent.iter().copied().max().unwrap_or(0);
        let silent = self.origins.iter().min_by_key(|(_, heard)| newest(heard)).map(|(origin, _)| *origin);
        if let Some(origin) = silent {
            self.origins.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;
    const NODE: NodeId = NodeId(5);

    #[test]
    fn a_frame_is_new_once() {
        let mut replay = Replay::default();
        assert!(replay.is_new(NODE, NOW, NOW));
        assert!(!replay.is_new(NODE, NOW, NOW));
        assert!(replay.is_new(NodeId(6), NOW, NOW));
    }

    #[test]
    fn frames_may_overtake_each_other() {
        let mut replay = Replay::default();
        for stamp in [NOW + 5, NOW + 3, NOW + 4, NOW + 1] {
            assert!(replay.is_new(NODE, stamp, NOW));
            assert!(!replay.is_new(NODE, stamp, NOW));
        }
    }

    #[test]
    fn an_old_recording_is_never_new_even_of_a_node_not_heard_before() {
        let mut replay = Replay::default();
        assert!(!replay.is_new(NODE, NOW - 30_000, NOW));
        for stamp in NOW..NOW + 20 {
            assert!(replay.is_new(NODE, stamp, NOW));
        }
        for stamp in NOW - 10..NOW + 20 {
            assert!(!replay.is_new(NODE, stamp, NOW), "{stamp}");
        }
    }

    #[test]
    fn a_frame_from_the_future_is_not_taken() {
        let mut replay = Replay::default();
        assert!(!replay.is_new(NODE, NOW + 60_000, NOW));
        assert!(replay.is_new(NODE, NOW + 1, NOW));
    }

    #[test]
    fn many_origins_make_room_for_each_other() {
        let mut replay = Replay::default();
        for origin in 0..1_000 {
            assert!(replay.is_new(NodeId(origin), NOW + origin, NOW + origin));
        }
        assert!(!replay.is_new(NodeId(999), NOW + 999, NOW + 999));
    }
}
