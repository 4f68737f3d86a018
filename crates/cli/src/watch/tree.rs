//! The nodes in the order of the mesh: each below its parent, with the lines that show it.

use super::fleet::Fleet;
use super::node::Node;
use rootcast_wire::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// A node and the lines before it.
pub struct Row<'a> {
    pub branch: String,
    pub node: &'a Node,
}

/// The fleet as a tree: the root, its children, and below each its own. Nodes whose parent is unknown stand at the end.
pub fn rows(fleet: &Fleet) -> Vec<Row<'_>> {
    let nodes: BTreeMap<NodeId, &Node> = fleet.nodes().map(|node| (node.id, node)).collect();
    let mut children: BTreeMap<NodeId, Vec<&Node>> = BTreeMap::new();
    let mut tops = Vec::new();
    for node in nodes.values().copied() {
        match node.parent.filter(|parent| *parent != node.id && nodes.contains_key(parent)) {
            Some(parent) => children.entry(parent).or_default().push(node),
            None => tops.push(node),
        }
    }
    tops.sort_by_key(|node| (!node.is_root, node.layer, node.id));
    let mut walk = Walk { children, seen: BTreeSet::new(), rows: Vec::new() };
    for top in tops {
        walk.visit(top, "", "");
    }
    // Parents that name each other, which a mesh does for moments when it changes: no top leads to them.
    for node in nodes.values().copied() {
        walk.visit(node, "", "");
    }
    walk.rows
}

struct Walk<'a> {
    children: BTreeMap<NodeId, Vec<&'a Node>>,
    seen: BTreeSet<NodeId>,
    rows: Vec<Row<'a>>,
}

impl<'a> Walk<'a> {
    /// Adds a node and all below it; `branch` stands before itself, `below` before its children's branches.
    fn visit(&mut self, node: &'a Node, branch: &str, below: &str) {
        if !self.seen.insert(node.id) {
            return;
        }
        self.rows.push(Row { branch: branch.to_string(), node });
        let children = self.children.get(&node.id).cloned().unwrap_or_default();
        let last = children.len().saturating_sub(1);
        for (index, child) in children.into_iter().enumerate() {
            let (corner, line) = if index == last { ("└─", "  ") } else { ("├─", "│ ") };
            self.visit(child, &format!("{below}{corner}"), &format!("{below}{line}"));
        }
    }
}
