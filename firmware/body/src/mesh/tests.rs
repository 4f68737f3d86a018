//! A few nodes and the air between them, in one thread.

use super::*;

struct Air {
    nodes: Vec<Mesh>,
    /// Who hears whom.
    links: Vec<(usize, usize)>,
    now: Instant,
    got: Vec<(usize, Vec<u8>)>,
    record: Vec<(NodeId, LinkFrame)>,
}

impl Air {
    /// A chain: each node hears the one before and the one after it.
    fn chain(count: usize) -> Self {
        let key = || MeshKey::new(&[9; 32]);
        let node = |at: usize| Mesh::new(NodeId(at as u64 + 10), at == 0, key(), at as u64 * 77 + 5);
        let mut nodes: Vec<_> = (0..count).map(node).collect();
        nodes[0].set_uplink(true);
        let links = (1..count).flat_map(|at| [(at - 1, at), (at, at - 1)]).collect();
        Self { nodes, links, now: Instant(0), got: Vec::new(), record: Vec::new() }
    }

    fn run(&mut self, milliseconds: u64) {
        let end = self.now.after(milliseconds);
        while self.now < end {
            self.now = self.now.after(1);
            for from in 0..self.nodes.len() {
                if self.nodes[from].deadline() <= self.now {
                    self.nodes[from].handle_timeout(self.now);
                }
                while let Some(outgoing) = self.nodes[from].poll(self.now) {
                    self.record.push((NodeId(from as u64 + 10), outgoing.frame.clone()));
                    let hears = |to: &usize| {
                        self.links.contains(&(from, *to))
                            && outgoing.to.is_none_or(|node| node == NodeId(*to as u64 + 10))
                    };
                    for to in (0..self.nodes.len()).filter(hears).collect::<Vec<_>>() {
                        self.deliver(to, NodeId(from as u64 + 10), &outgoing.frame);
                    }
                }
            }
        }
    }

    fn deliver(&mut self, to: usize, from: NodeId, frame: &[u8]) {
        let mut frame = frame.to_vec();
        if let Heard::Frame { bytes, .. } = self.nodes[to].heard(self.now, from, -50, &mut frame) {
            self.got.push((to, bytes.to_vec()));
        }
    }

    fn layers(&self) -> Vec<u8> {
        self.nodes.iter().map(|node| node.state().layer).collect()
    }

    fn send(&mut self, from: usize, to: Destination, bytes: &[u8]) {
        let now = self.now;
        self.nodes[from].send(now, to, bytes);
        self.run(200);
    }
}

#[test]
fn a_chain_finds_its_layers_and_frames_find_their_way_up_and_down() {
    let mut air = Air::chain(5);
    air.run(12_000);
    assert_eq!(air.layers(), [1, 2, 3, 4, 5]);
    air.send(4, Destination::Root, b"up");
    assert_eq!(air.got, [(0, b"up".to_vec())]);
    air.got.clear();
    air.record.clear();
    air.send(0, Destination::Node(NodeId(14)), b"down");
    assert_eq!(air.got, [(4, b"down".to_vec())]);
    let data = air.record.iter().filter(|(_, frame)| frame[2] == 3).count();
    assert_eq!(data, 4, "the route that the frame up took is used, nothing is flooded");
}

#[test]
fn a_broadcast_reaches_everybody_once_and_neighbours_only_when_so_meant() {
    let mut air = Air::chain(4);
    air.run(10_000);
    air.send(0, Destination::Everybody, b"all");
    let mut reached: Vec<_> = air.got.iter().map(|(node, _)| *node).collect();
    reached.sort_unstable();
    assert_eq!(reached, [1, 2, 3]);
    air.got.clear();
    air.send(1, Destination::Neighbours, b"near");
    let mut reached: Vec<_> = air.got.iter().map(|(node, _)| *node).collect();
    reached.sort_unstable();
    assert_eq!(reached, [0, 2]);
}

#[test]
fn a_recording_is_not_heard_again_even_by_a_node_that_restarted() {
    let mut air = Air::chain(3);
    air.run(10_000);
    air.send(0, Destination::Everybody, b"once");
    let (from, frame) = air.record.iter().rfind(|(_, frame)| frame[2] == 3).cloned().unwrap();
    air.got.clear();
    air.deliver(1, from, &frame);
    assert!(air.got.is_empty());
    air.run(40_000);
    air.nodes[2] = Mesh::new(NodeId(12), false, MeshKey::new(&[9; 32]), 4711);
    air.deliver(2, NodeId(11), &frame);
    air.run(10_000);
    assert_eq!(air.layers(), [1, 2, 3]);
    air.deliver(2, NodeId(11), &frame);
    assert!(air.got.is_empty());
}

#[test]
fn a_stranger_without_the_key_has_no_place_and_no_voice() {
    let mut air = Air::chain(3);
    air.nodes[2] = Mesh::new(NodeId(12), false, MeshKey::new(&[8; 32]), 4711);
    air.run(10_000);
    assert_eq!(air.layers(), [1, 2, 0]);
    air.send(0, Destination::Everybody, b"ours");
    assert_eq!(air.got, [(1, b"ours".to_vec())]);
}

#[test]
fn the_mesh_heals_when_a_parent_vanishes() {
    // 0 ─ 1 ─ 3 and 0 ─ 2 ─ 3
    let mut air = Air::chain(4);
    air.links = vec![(0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2)];
    air.run(10_000);
    let parent = air.nodes[3].state().parent;
    assert_eq!(air.layers(), [1, 2, 2, 3]);
    let gone = parent.0 as usize - 10;
    air.links.retain(|(from, to)| *from != gone && *to != gone);
    air.run(10_000);
    assert_ne!(air.nodes[3].state().parent, parent);
    assert_eq!(air.nodes[3].state().layer, 3);
    air.send(3, Destination::Root, b"still here");
    assert_eq!(air.got, [(0, b"still here".to_vec())]);
}

#[test]
fn without_a_root_everybody_ends_without_a_place_instead_of_following_each_other() {
    let mut air = Air::chain(4);
    air.run(10_000);
    air.links.retain(|(from, to)| *from != 0 && *to != 0);
    air.run(60_000);
    assert_eq!(&air.layers()[1..], [0, 0, 0]);
}

#[test]
fn a_root_that_restarts_takes_up_the_clock_of_its_mesh() {
    let mut air = Air::chain(3);
    air.run(10_000);
    let clock = air.nodes[1].mesh_now(air.now).unwrap();
    air.nodes[0] = Mesh::new(NodeId(10), true, MeshKey::new(&[9; 32]), 815);
    air.nodes[0].set_uplink(true);
    air.run(5_000);
    let own = air.nodes[0].mesh_now(air.now).unwrap();
    assert!(own.abs_diff(clock + 5_000) < 100, "{own} {clock}");
    air.send(0, Destination::Everybody, b"back");
    assert_eq!(air.got.len(), 2);
}

#[test]
fn the_time_of_day_comes_down_the_tree() {
    let mut air = Air::chain(4);
    air.nodes[0].set_unix(1_795_000_000, Instant(0));
    air.run(10_000);
    for node in &mut air.nodes[1..] {
        let told = node.take_unix(Instant(10_000)).unwrap();
        assert!(told.abs_diff(1_795_000_010) <= 2, "{told}");
    }
}
