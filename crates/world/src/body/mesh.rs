//! A mesh as a tree: frames go from node to node along its links, each of which delays and loses.
//!
//! Routing is the body's, as it is ESP-WIFI-MESH's on a chip: the core says for whom a frame is.

use crate::factory::Topology;
use crate::random::Random;
use rootcast_node::Destination;
use rootcast_wire::NodeId;
use std::collections::HashMap;

/// How good a link is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Probability that a frame is lost on it, 0 to 1.
    pub loss: f64,
    /// Shortest and longest time that a frame takes, in milliseconds (ESP-WIFI-MESH: 10 to 30 a hop).
    pub delay_ms: (u32, u32),
    /// The same for a frame that goes straight to whoever hears it and that nobody routes (ESP-NOW: its airtime, and
    /// the wait for the channel).
    pub neighbour_ms: (u32, u32),
}

impl Default for Link {
    fn default() -> Self {
        Self { loss: 0.0, delay_ms: (10, 30), neighbour_ms: (1, 3) }
    }
}

/// A frame on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where it arrives, as an index into the topology.
    pub node: usize,
    /// How long after it was sent, in milliseconds.
    pub after_ms: u64,
}

/// The links between the nodes of a topology.
#[derive(Clone, Debug)]
pub struct Mesh {
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
    indices: HashMap<NodeId, usize>,
    /// The link of each node to its parent.
    links: Vec<Link>,
    random: Random,
    sent: u64,
    lost: u64,
}

impl Mesh {
    /// The mesh of a topology, all links alike.
    #[must_use]
    pub fn new(topology: &Topology, link: Link, random: Random) -> Self {
        let parents: Vec<_> = topology.members.iter().map(|member| member.parent).collect();
        let mut children = vec![Vec::new(); parents.len()];
        for (index, parent) in parents.iter().enumerate() {
            if let Some(siblings) = parent.and_then(|parent: usize| children.get_mut(parent)) {
                siblings.push(index);
            }
        }
        let indices = topology.members.iter().enumerate().map(|(index, member)| (member.id, index)).collect();
        Self { links: vec![link; parents.len()], parents, children, indices, random, sent: 0, lost: 0 }
    }

    /// Changes the link of a node to its parent.
    pub fn set_link(&mut self, node: usize, link: Link) {
        if let Some(own) = self.links.get_mut(node) {
            *own = link;
        }
    }

    /// A node's parent.
    #[must_use]
    pub fn parent(&self, node: usize) -> Option<usize> {
        self.parents.get(node).copied().flatten()
    }

    /// A node's children.
    #[must_use]
    pub fn children(&self, node: usize) -> &[usize] {
        self.children.get(node).map_or(&[], Vec::as_slice)
    }

    /// Frames sent over a link, and lost on it, so far.
    #[must_use]
    pub const fn tally(&self) -> (u64, u64) {
        (self.sent, self.lost)
    }

    /// Where a frame from `from` arrives. `is_up` says which nodes pass frames on.
    pub fn send(&mut self, from: usize, to: Destination, is_up: impl Fn(usize) -> bool) -> Vec<Arrival> {
        match to {
            Destination::Everybody => self.flood(from, is_up),
            Destination::Neighbours => self.broadcast(from, is_up),
            Destination::Root => self.unicast(from, 0, is_up),
            Destination::Node(id) => match self.indices.get(&id) {
                Some(&node) => self.unicast(from, node, is_up),
                None => Vec::new(),
            },
        }
    }

    fn flood(&mut self, from: usize, is_up: impl Fn(usize) -> bool) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let mut reached = vec![(from, None, 0)];
        while let Some((node, came_from, after_ms)) = reached.pop() {
            let neighbours: Vec<_> =
                self.parent(node).into_iter().chain(self.children(node).to_vec()).collect();
            for next in neighbours {
                if Some(next) == came_from || !is_up(next) {
                    continue;
                }
                if let Some(hop) = self.hop(node, next, |link| link.delay_ms) {
                    let after_ms = after_ms + hop;
                    arrivals.push(Arrival { node: next, after_ms });
                    reached.push((next, Some(node), after_ms));
                }
            }
        }
        arrivals
    }

    /// One transmission: whoever is at most two links away hears it, each with its own luck. Radio does not know of the
    /// tree: with ten children a node at most, many who could be its children hang below another one.
    fn broadcast(&mut self, from: usize, is_up: impl Fn(usize) -> bool) -> Vec<Arrival> {
        let near = |node: usize| self.parent(node).into_iter().chain(self.children(node).to_vec());
        let mut heard_by: Vec<_> = near(from).flat_map(|one| near(one).chain([one])).collect();
        heard_by.sort_unstable();
        heard_by.dedup();
        let mut arrivals = Vec::new();
        for node in heard_by {
            if node != from
                && is_up(node)
                && let Some(after_ms) = self.hop(from, node, |link| link.neighbour_ms)
            {
                arrivals.push(Arrival { node, after_ms });
            }
        }
        arrivals
    }

    fn unicast(&mut self, from: usize, to: usize, is_up: impl Fn(usize) -> bool) -> Vec<Arrival> {
        let mut after_ms = 0;
        let mut here = from;
        for next in self.path(from, to) {
            if !is_up(next) {
                return Vec::new();
            }
            let Some(hop) = self.hop(here, next, |link| link.delay_ms) else { return Vec::new() };
            after_ms += hop;
            here = next;
        }
        if here == to { vec![Arrival { node: to, after_ms }] } else { Vec::new() }
    }

    /// The nodes after `from` on the way to `to`.
    fn path(&self, from: usize, to: usize) -> Vec<usize> {
        let up = |node| std::iter::successors(Some(node), |node| self.parent(*node)).collect::<Vec<_>>();
        let (ascent, descent) = (up(from), up(to));
        let Some(top) = ascent.iter().position(|node| descent.contains(node)) else { return Vec::new() };
        let below = descent.iter().take_while(|node| **node != ascent[top]).copied().collect::<Vec<_>>();
        ascent[..=top].iter().skip(1).copied().chain(below.into_iter().rev()).collect()
    }

    /// One transmission between neighbours: its time, or `None` if it is lost.
    fn hop(&mut self, from: usize, to: usize, delay: fn(&Link) -> (u32, u32)) -> Option<u64> {
        let upwards = self.parent(from).is_some_and(|one| one == to || self.parent(one) == Some(to));
        let link = self.links[if upwards { from } else { to }];
        self.sent += 1;
        if link.loss > 0.0 && self.random.chance(link.loss) {
            self.lost += 1;
            return None;
        }
        let (least, most) = delay(&link);
        Some(self.random.between(least.into(), most.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(nodes: usize, loss: f64) -> Mesh {
        let link = Link { loss, ..Link::default() };
        Mesh::new(&Topology::three_layers(nodes, 1), link, Random::new(1))
    }

    #[test]
    fn a_cast_of_the_root_reaches_every_node_hop_by_hop() {
        let mut mesh = mesh(12, 0.0);
        let mut arrivals = mesh.send(0, Destination::Everybody, |_| true);
        arrivals.sort_by_key(|arrival| arrival.node);
        assert_eq!(
            arrivals.iter().map(|arrival| arrival.node).collect::<Vec<_>>(),
            (1..12).collect::<Vec<_>>()
        );
        for arrival in &arrivals {
            let parent = mesh.parent(arrival.node).unwrap();
            let before = arrivals.iter().find(|other| other.node == parent).map_or(0, |other| other.after_ms);
            assert!(arrival.after_ms >= before + 10);
        }
    }

    #[test]
    fn a_frame_for_the_root_or_for_one_node_arrives_there_only() {
        let mut mesh = mesh(12, 0.0);
        let topology = Topology::three_layers(12, 1);
        let one = |arrivals: Vec<Arrival>| match arrivals[..] {
            [arrival] => arrival.node,
            _ => panic!("{arrivals:?}"),
        };
        assert_eq!(one(mesh.send(11, Destination::Root, |_| true)), 0);
        for target in 1..12 {
            let to = Destination::Node(topology.members[target].id);
            assert_eq!(one(mesh.send(0, to, |_| true)), target);
        }
        let sibling = Destination::Node(topology.members[1].id);
        assert_eq!(one(mesh.send(11, sibling, |_| true)), 1, "also across the tree");
        assert_eq!(mesh.send(0, Destination::Node(NodeId(5)), |_| true), []);
    }

    #[test]
    fn a_node_that_is_down_takes_its_subtree_with_it() {
        let mut mesh = mesh(12, 0.0);
        let below = mesh.children(1).to_vec();
        let arrivals = mesh.send(0, Destination::Everybody, |node| node != 1);
        assert!(!below.is_empty());
        assert!(arrivals.iter().all(|arrival| arrival.node != 1 && !below.contains(&arrival.node)));
        assert_eq!(mesh.send(below[0], Destination::Root, |node| node != 1), []);
    }

    #[test]
    fn links_lose_about_as_much_as_they_are_told_to() {
        let mut mesh = mesh(2, 0.25);
        let arrived = (0..4000).filter(|_| !mesh.send(1, Destination::Root, |_| true).is_empty()).count();
        assert!((2850..3150).contains(&arrived), "{arrived} of 4000");
    }
}
