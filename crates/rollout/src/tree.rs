//! A mesh as a tree, from what its nodes say about their parents. What nodes say may be old, wrong or a loop: a node
//! whose way to a present root cannot be followed has no healthy path, and is not started.

use crate::{Fleet, Node};
use rootcast_wire::NodeId;
use std::collections::BTreeMap;

/// The most hops followed: ESP-WIFI-MESH allows 25 layers, chains of more are nonsense.
const MAX_DEPTH: usize = 64;

/// How a node is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Over present parents to a present root.
    Healthy,
    /// The node itself is away.
    Away,
    /// No root of its mesh is present.
    NoRoot,
    /// This parent on the way is away.
    ParentAway(NodeId),
    /// Its parents lead in a circle, or too far.
    Loop,
}

/// Where a node is in its mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// How it is connected.
    pub path: Path,
    /// Its parent, where the path is healthy and it is not the root. A node whose parent is not known hangs on the root.
    pub parent: Option<NodeId>,
    /// Hops to the root.
    pub depth: usize,
    /// Hops to the farthest node below it; 0 for a leaf.
    pub height: usize,
    /// The child of the root that its frames pass, which may be itself; `None` for the root.
    pub branch: Option<NodeId>,
}

/// Every node's place.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    places: BTreeMap<NodeId, Place>,
}

impl Tree {
    /// The places of all nodes.
    pub fn of(fleet: &Fleet) -> Self {
        let mut roots: BTreeMap<&str, NodeId> = BTreeMap::new();
        for (id, node) in &fleet.nodes {
            if node.is_root && node.online {
                roots.entry(&node.mesh).or_insert(*id);
            }
        }
        let mut places: BTreeMap<NodeId, Place> =
            fleet.nodes.iter().map(|(id, node)| (*id, place(fleet, &roots, *id, node))).collect();
        let mut by_depth: Vec<(usize, NodeId, NodeId)> =
            places.iter().filter_map(|(id, place)| Some((place.depth, *id, place.parent?))).collect();
        by_depth.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id, parent) in by_depth {
            let height = places.get(&id).map_or(0, |place| place.height) + 1;
            if let Some(parent) = places.get_mut(&parent) {
                parent.height = parent.height.max(height);
            }
        }
        Self { places }
    }

    /// A node's place.
    pub fn place(&self, id: NodeId) -> Option<&Place> {
        self.places.get(&id)
    }

    /// The nodes above one, from its parent to the root; none if it has no healthy path.
    pub fn above(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let parent = |id: &NodeId| self.places.get(id).and_then(|place| place.parent);
        std::iter::successors(parent(&id), parent)
    }
}

fn place(fleet: &Fleet, roots: &BTreeMap<&str, NodeId>, id: NodeId, node: &Node) -> Place {
    let broken = |path| Place { path, parent: None, depth: 0, height: 0, branch: None };
    if !node.online {
        return broken(Path::Away);
    }
    let Some(&root) = roots.get(node.mesh.as_str()) else { return broken(Path::NoRoot) };
    // A second root in one mesh is a mesh that split and has not healed: it counts as it says, a root.
    let up = |id: NodeId, node: &Node| -> Option<NodeId> {
        if node.is_root {
            return None;
        }
        let said = node.parent.filter(|parent| *parent != id);
        let known = said.filter(|parent| fleet.nodes.get(parent).is_some_and(|it| it.mesh == node.mesh));
        Some(known.unwrap_or(root))
    };
    let parent = up(id, node);
    let (mut branch, mut at, mut depth) = (None, parent.map(|_| id), 0);
    let mut next = parent;
    while let Some(above) = next {
        branch = at;
        depth += 1;
        let Some(node) = fleet.nodes.get(&above) else { return broken(Path::NoRoot) };
        if !node.online {
            return broken(Path::ParentAway(above));
        }
        if depth > MAX_DEPTH {
            return broken(Path::Loop);
        }
        at = Some(above);
        next = up(above, node);
    }
    Place { path: Path::Healthy, parent, depth, height: 0, branch }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moment;
    use std::collections::BTreeSet;

    fn node(parent: u64, online: bool) -> Node {
        Node {
            mesh: String::new(),
            node_type: "switch".into(),
            chip: Some(5),
            version: None,
            running: None,
            is_root: parent == 0,
            parent: Some(NodeId(parent)).filter(|id| id.0 != 0),
            layer: None,
            last_seen: Moment(0),
            online,
            tags: BTreeSet::new(),
            slot_bytes: None,
            busy_with: None,
        }
    }

    fn tree(nodes: &[(u64, u64, bool)]) -> Tree {
        let nodes = nodes.iter().map(|(id, parent, online)| (NodeId(*id), node(*parent, *online))).collect();
        Tree::of(&Fleet { nodes, ..Fleet::default() })
    }

    #[test]
    fn depth_height_and_branch_follow_from_parents() {
        let tree =
            tree(&[(1, 0, true), (2, 1, true), (3, 2, true), (4, 3, true), (5, 1, true), (6, 99, true)]);
        let place = |id| tree.place(NodeId(id)).unwrap();
        assert_eq!((place(1).depth, place(1).height, place(1).branch), (0, 3, None));
        assert_eq!((place(2).depth, place(2).height, place(2).branch), (1, 2, Some(NodeId(2))));
        assert_eq!((place(4).depth, place(4).height, place(4).branch), (3, 0, Some(NodeId(2))));
        assert_eq!(place(6).parent, Some(NodeId(1)), "an unknown parent: it hangs on the root");
        assert_eq!(tree.above(NodeId(4)).collect::<Vec<_>>(), [NodeId(3), NodeId(2), NodeId(1)]);
    }

    #[test]
    fn what_cannot_be_followed_to_a_present_root_has_no_healthy_path() {
        let with_loop =
            tree(&[(1, 0, true), (2, 3, true), (3, 2, true), (4, 5, true), (5, 1, false), (6, 6, true)]);
        let path = |id| with_loop.place(NodeId(id)).unwrap().path;
        assert_eq!(path(2), Path::Loop);
        assert_eq!(path(4), Path::ParentAway(NodeId(5)));
        assert_eq!(path(5), Path::Away);
        assert_eq!(path(6), Path::Healthy, "its own parent: as if it had not said one");
        let rootless = tree(&[(1, 0, false), (2, 1, true)]);
        assert_eq!(rootless.place(NodeId(2)).unwrap().path, Path::NoRoot);
    }
}
