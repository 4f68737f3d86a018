//! A mesh to show: one root, switches and relays, in three layers.

use crate::random::Random;
use rootcast_wire::{NodeId, NodeType};

/// A node and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: NodeId,
    /// What.
    pub node_type: NodeType,
    /// Its parent's index; `None` for the root.
    pub parent: Option<usize>,
}

/// The nodes of a mesh, each after its parent; the first is the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The nodes.
    pub members: Vec<Member>,
}

impl Topology {
    /// `nodes` nodes (at least one) in three layers: the root, about as many nodes below it as each of those then has
    /// children, and the rest. Every third leaf is a relay board. MAC addresses begin with Espressif's `24:6f:28` and
    /// continue as `seed` has it.
    #[must_use]
    pub fn three_layers(nodes: usize, seed: u64) -> Self {
        let leaves = nodes.saturating_sub(1);
        let middle = leaves.isqrt().max(1).min(leaves);
        let base = 0x246f_2800_0000 | (Random::new(seed).below(0x1_0000) << 8);
        let members = (0..nodes.max(1)).map(|index| Member {
            id: NodeId(base + index as u64 * 4),
            node_type: match index % 3 {
                _ if index == 0 => NodeType::Switch,
                2 => NodeType::Relay8,
                0 if index % 2 == 0 => NodeType::Relay16,
                _ => NodeType::Switch,
            },
            parent: match index {
                0 => None,
                _ if index <= middle => Some(0),
                _ => Some(1 + (index - 1 - middle) % middle),
            },
        });
        Self { members: members.collect() }
    }

    /// Layer of a node, 1 for the root.
    #[must_use]
    pub fn layer(&self, index: usize) -> u8 {
        let parent = self.members.get(index).and_then(|member| member.parent);
        // A parent stands before its children, so this ends.
        parent.filter(|parent| *parent < index).map_or(1, |parent| self.layer(parent).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_mesh_has_one_root_three_layers_and_distinct_nodes() {
        for nodes in [4, 12, 200, 1000] {
            let mesh = Topology::three_layers(nodes, 9);
            assert_eq!(mesh.members.len(), nodes);
            assert_eq!(mesh.members.iter().filter(|member| member.parent.is_none()).count(), 1);
            let ids: BTreeSet<_> = mesh.members.iter().map(|member| member.id).collect();
            assert_eq!(ids.len(), nodes);
            assert!(ids.iter().all(|id| *id <= NodeId::MAX));
            let deepest = (0..nodes).map(|index| mesh.layer(index)).max();
            assert_eq!(deepest, Some(3), "{nodes} nodes");
            for kind in [NodeType::Switch, NodeType::Relay8] {
                assert!(mesh.members.iter().any(|member| member.node_type == kind));
            }
        }
        assert_eq!(Topology::three_layers(1, 0).members.len(), 1);
        assert_eq!(Topology::three_layers(2, 0).layer(1), 2);
    }

    #[test]
    fn no_node_of_a_demo_mesh_has_more_children_than_a_root_can_have() {
        // ESP-WIFI-MESH allows ten stations on a node's access point (`esp_mesh.h`).
        let mesh = Topology::three_layers(100, 1);
        for index in 0..100 {
            assert!(mesh.members.iter().filter(|member| member.parent == Some(index)).count() <= 10);
        }
    }
}
