//! Who is heard, how well, and whom to choose as a parent.

use rootcast_node::Instant;
use rootcast_wire::NodeId;

/// Neighbours remembered.
const NEIGHBOURS: usize = 16;
/// Silence after which a neighbour is gone, in milliseconds: five beacons.
pub const GONE_MS: u64 = 5_000;
/// Layers at most: as many as ESP-WIFI-MESH has.
pub const MAX_LAYER: u8 = 25;

/// What a neighbour says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Who it is.
    pub id: NodeId,
    /// Its layer, 0 while it has no place in the mesh.
    pub layer: u8,
    /// Its parent.
    pub parent: NodeId,
    /// Strength of its signal in dBm, smoothed.
    pub signal_dbm: i8,
    /// When it was heard last.
    pub heard: Instant,
}

impl Neighbour {
    /// Layers from the root by way of this one, and what a weak signal costs: each step is about one repetition more.
    fn cost(&self) -> u32 {
        let weakness = match self.signal_dbm {
            -70.. => 0,
            -78..=-71 => 1,
            -84..=-79 => 3,
            _ => 8,
        };
        u32::from(self.layer) + weakness
    }
}

/// The neighbours heard of late.
#[derive(Default)]
pub struct Neighbours(heapless::Vec<Neighbour, NEIGHBOURS>);

impl Neighbours {
    /// A neighbour was heard.
    pub fn heard(&mut self, mut news: Neighbour) {
        if let Some(known) = self.0.iter_mut().find(|known| known.id == news.id) {
            let smoothed = (i16::from(known.signal_dbm) * 3 + i16::from(news.signal_dbm)) / 4;
            news.signal_dbm = smoothed as i8;
            *known = news;
        } else if let Err(news) = self.0.push(news)
            && let Some(worst) = self.0.iter_mut().max_by_key(|known| (known.layer == 0, known.cost()))
        {
            *worst = news;
        }
    }

    /// Forgets who has fallen silent.
    pub fn age(&mut self, now: Instant) {
        self.0.retain(|neighbour| now.since(neighbour.heard) < GONE_MS);
    }

    /// The neighbour of this id.
    pub fn get(&self, id: NodeId) -> Option<&Neighbour> {
        self.0.iter().find(|neighbour| neighbour.id == id)
    }

    /// The best parent for `own`. The present one is kept unless another is better by a whole step: a mesh that keeps
    /// changing is worse than one that is not the best.
    pub fn choose(&self, own: NodeId, present: Option<NodeId>) -> Option<&Neighbour> {
        let usable = |neighbour: &&Neighbour| {
            neighbour.layer > 0 && neighbour.layer < MAX_LAYER && neighbour.parent != own
        };
        let best = self.0.iter().filter(usable).min_by_key(|neighbour| (neighbour.cost(), neighbour.id))?;
        let present = present.and_then(|id| self.get(id)).filter(usable);
        match present {
            Some(present) if present.cost() <= best.cost() + 1 => Some(present),
            _ => Some(best),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId(1);

    fn neighbour(id: u64, layer: u8, signal_dbm: i8) -> Neighbour {
        Neighbour { id: NodeId(id), layer, parent: NodeId(100), signal_dbm, heard: Instant(0) }
    }

    fn of(list: &[Neighbour]) -> Neighbours {
        let mut neighbours = Neighbours::default();
        list.iter().for_each(|neighbour| neighbours.heard(*neighbour));
        neighbours
    }

    fn chosen(neighbours: &Neighbours, present: Option<u64>) -> Option<u64> {
        neighbours.choose(OWN, present.map(NodeId)).map(|neighbour| neighbour.id.0)
    }

    #[test]
    fn the_nearest_to_the_root_is_chosen_unless_it_is_hardly_heard() {
        assert_eq!(chosen(&of(&[neighbour(2, 1, -60), neighbour(3, 2, -40)]), None), Some(2));
        assert_eq!(chosen(&of(&[neighbour(2, 1, -88), neighbour(3, 2, -60)]), None), Some(3));
    }

    #[test]
    fn a_parent_is_kept_unless_another_is_clearly_better() {
        let neighbours = of(&[neighbour(2, 1, -60), neighbour(3, 2, -60), neighbour(4, 3, -60)]);
        assert_eq!(chosen(&neighbours, Some(3)), Some(3));
        assert_eq!(chosen(&neighbours, Some(4)), Some(2));
    }

    #[test]
    fn nobody_is_a_parent_who_has_no_place_or_hangs_on_us() {
        let child = Neighbour { parent: OWN, ..neighbour(2, 2, -40) };
        assert_eq!(chosen(&of(&[child, neighbour(3, 0, -40), neighbour(4, 25, -40)]), None), None);
    }

    #[test]
    fn the_silent_are_forgotten() {
        let mut neighbours = of(&[neighbour(2, 1, -60)]);
        neighbours.age(Instant(4_999));
        assert!(neighbours.get(NodeId(2)).is_some());
        neighbours.age(Instant(5_000));
        assert!(neighbours.get(NodeId(2)).is_none());
    }

    #[test]
    fn in_a_crowd_the_best_are_remembered() {
        let mut neighbours = Neighbours::default();
        (2..60).for_each(|id| neighbours.heard(neighbour(id, 9, -80)));
        neighbours.heard(neighbour(99, 1, -50));
        assert_eq!(chosen(&neighbours, None), Some(99));
    }
}
