//! The colour of a node's LED as it can be told from here, with the reason. The meanings are the original firmware's: red
//! = no mesh, yellow = in the mesh without a way to the root, green = connected, blue = an update is going on.

use super::Site;
use crate::service::ServiceError;
use crate::service::nodes::NodeView;
use rootcast_rollout::Fleet;
use rootcast_rollout::tree::{Path, Tree};
use rootcast_wire::{NodeId, UpdateState};
use std::collections::BTreeMap;

/// A colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Light {
    /// Nothing was heard of it lately.
    Red,
    /// It is heard of, and no way to a present root is known.
    Yellow,
    /// All is well.
    Green,
    /// It updates.
    Blue,
}

impl Light {
    /// Every colour, in the order in which they are counted up.
    pub const ALL: [Light; 4] = [Light::Green, Light::Blue, Light::Yellow, Light::Red];

    /// The colour.
    pub const fn colour(self) -> &'static str {
        match self {
            Light::Red => "red",
            Light::Yellow => "yellow",
            Light::Green => "green",
            Light::Blue => "blue",
        }
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        match self {
            Light::Red => "away",
            Light::Yellow => "not connected",
            Light::Green => "connected",
            Light::Blue => "updating",
        }
    }
}

/// A node as it is to be seen.
#[derive(Clone, Debug)]
pub struct Sight {
    /// What is known of it.
    pub node: NodeView,
    /// Its LED.
    pub light: Light,
    /// Why it is yellow.
    pub why: Option<String>,
}

impl Sight {
    /// What people call it.
    pub fn label(&self) -> &str {
        self.node.name.as_deref().unwrap_or(&self.node.mac)
    }
}

/// Whether the last step that a node reported is one of an update that goes on.
pub fn is_updating(node: &NodeView) -> bool {
    let state = node.state.as_deref().and_then(UpdateState::from_name);
    state.is_some_and(|state| !state.is_final())
}

/// All nodes, or those of one mesh, by id.
pub async fn sights(site: &Site, mesh: Option<&str>) -> Result<Vec<Sight>, ServiceError> {
    let fleet = site.service.engine.fleet().await?;
    let of_mesh = |node: &rootcast_rollout::Node| mesh.is_none_or(|mesh| node.mesh == mesh);
    let nodes = fleet.nodes.into_iter().filter(|(_, node)| of_mesh(node)).collect();
    let tree = Tree::of(&Fleet { nodes, ..Fleet::default() });
    let wanted = |node: &NodeView| mesh.is_none_or(|mesh| node.mesh == mesh);
    let nodes = site.service.all_nodes().await?.into_iter().filter(wanted);
    Ok(nodes.map(|node| of(node, &tree)).collect())
}

fn of(node: NodeView, tree: &Tree) -> Sight {
    let path = tree.place(NodeId(node.id)).map_or(Path::Away, |place| place.path);
    let why = match path {
        Path::Healthy | Path::Away => None,
        Path::NoRoot => Some("no root of its mesh is present".to_owned()),
        Path::ParentAway(parent) => Some(format!("its parent {} is away", mac(parent))),
        Path::Loop => Some("its parents lead in a circle".to_owned()),
    };
    let light = match (node.online, is_updating(&node), &why) {
        (false, _, _) => Light::Red,
        (true, true, _) => Light::Blue,
        (true, false, Some(_)) => Light::Yellow,
        (true, false, None) => Light::Green,
    };
    Sight { node, light, why }
}

/// A node's id as people read it.
pub fn mac(id: NodeId) -> String {
    let [a, b, c, d, e, f] = id.mac();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// What people call nodes, where they have a name.
pub async fn names(site: &Site) -> Result<BTreeMap<u64, String>, ServiceError> {
    let nodes = site.service.all_nodes().await?;
    Ok(nodes.into_iter().filter_map(|node| Some((node.id, node.name?))).collect())
}

/// How many nodes have which colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([usize; 4]);

impl Tally {
    /// Counts.
    pub fn of<'a>(sights: impl Iterator<Item = &'a Sight>) -> Self {
        let mut tally = Self::default();
        for sight in sights {
            tally.0[sight.light as usize] += 1;
        }
        tally
    }

    /// How many have this colour.
    pub fn count(&self, light: Light) -> usize {
        self.0[light as usize]
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.0.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::node::NodeRow;
    use rootcast_rollout::Moment;

    fn node(id: i64, parent: i64, gone: i64, state: Option<&str>) -> NodeView {
        let row = NodeRow {
            id,
            parent: Some(parent),
            is_root: i64::from(id == 1),
            gone,
            state: state.map(str::to_owned),
            tags: "[]".to_owned(),
            ..NodeRow::default()
        };
        NodeView::of(row, Moment(1_000))
    }

    fn tree(nodes: &[(u64, u64, bool)]) -> Tree {
        let node = |(id, parent, online): &(u64, u64, bool)| {
            let node = rootcast_rollout::Node {
                mesh: String::new(),
                node_type: "switch".to_owned(),
                chip: None,
                version: None,
                running: None,
                is_root: *id == 1,
                parent: Some(NodeId(*parent)),
                layer: None,
                last_seen: Moment(0),
                online: *online,
                tags: Default::default(),
                slot_bytes: None,
                busy_with: None,
            };
            (NodeId(*id), node)
        };
        Tree::of(&Fleet { nodes: nodes.iter().map(node).collect(), ..Fleet::default() })
    }

    #[test]
    fn the_four_colours_mean_what_they_mean_on_the_wall() {
        let tree = tree(&[(1, 1, true), (2, 1, true), (3, 4, true), (4, 1, false)]);
        let look = |view: NodeView| of(view, &tree);
        assert_eq!(look(node(2, 1, 0, None)).light, Light::Green);
        assert_eq!(look(node(2, 1, 0, Some("downloading"))).light, Light::Blue);
        assert_eq!(look(node(2, 1, 0, Some("confirmed"))).light, Light::Green);
        let cut_off = look(node(3, 4, 0, None));
        assert_eq!(
            (cut_off.light, cut_off.why.as_deref()),
            (Light::Yellow, Some("its parent 00:00:00:00:00:04 is away"))
        );
        assert_eq!(look(node(4, 1, 1, Some("downloading"))).light, Light::Red);
    }
}
