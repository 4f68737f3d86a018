//! Who gets what in which wave, and who not, and why. The dry run shows exactly this.

use crate::release::{Expected, Release};
use crate::spec::{Spec, WaveSize};
use crate::tree::{Path, Tree};
use crate::version;
use crate::{Fleet, Moment, Node, Update};
use rootcast_wire::NodeId;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The outcome for every node that the selection includes.
#[derive(Clone, Debug, Default)]
pub struct Assignment {
    /// Who gets the release, by wave, then in the order in which they would begin.
    pub assigned: Vec<Assigned>,
    /// Who does not, and why.
    pub unassigned: Vec<Unassigned>,
}

/// A node that gets an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Who.
    pub node: NodeId,
    /// In which wave, from 0.
    pub wave: usize,
    /// Which image of the release.
    pub variant: usize,
    /// By what that is recognised.
    pub expected: Expected,
    /// What may keep it waiting when its turn comes, for people: away, no healthy path, busy.
    pub note: Option<String>,
}

/// A node that gets none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unassigned {
    /// Who.
    pub node: NodeId,
    /// Why, for people.
    pub reason: String,
}

impl Assignment {
    /// The updates that follow.
    pub fn updates(&self, now: Moment) -> BTreeMap<NodeId, Update> {
        let update = |it: &Assigned| (it.node, Update::scheduled(it.wave, it.variant, it.expected, now));
        self.assigned.iter().map(update).collect()
    }
}

/// Sorts the selected nodes into waves: present ones before those that are away, leaves before parents, roots last, and
/// meshes taking turns, so that canaries are not all neighbours.
pub fn assign(spec: &Spec, release: &Release, fleet: &Fleet) -> Assignment {
    let tree = Tree::of(fleet);
    let mut assignment = Assignment::default();
    let mut order = Vec::new();
    let mut turns: BTreeMap<(bool, bool, usize, &str), usize> = BTreeMap::new();
    for (&id, node) in fleet.nodes.iter().filter(|(id, node)| spec.selection.includes(**id, node)) {
        match image_for(spec, release, node) {
            Err(reason) => assignment.unassigned.push(Unassigned { node: id, reason }),
            Ok(variant) => {
                let height = tree.place(id).map_or(0, |place| place.height);
                let turn = turns.entry((!node.online, node.is_root, height, &node.mesh)).or_default();
                order.push(((!node.online, node.is_root, height, *turn, id), variant));
                *turn += 1;
            }
        }
    }
    order.sort_unstable_by_key(|(key, _)| *key);
    let mut waves = wave_sizes(spec, order.len()).into_iter().enumerate();
    let mut current = waves.next();
    for ((.., id), variant) in order {
        while current.is_some_and(|(_, left)| left == 0) {
            current = waves.next();
        }
        let Some((wave, left)) = &mut current else {
            let reason = "the waves are full: give the last one the size \"rest\"".to_owned();
            assignment.unassigned.push(Unassigned { node: id, reason });
            continue;
        };
        *left -= 1;
        let expected = release.variants.get(variant).map(|variant| variant.expected).unwrap_or_default();
        let note = note(fleet, &tree, id);
        assignment.assigned.push(Assigned { node: id, wave: *wave, variant, expected, note });
    }
    assignment
}

fn wave_sizes(spec: &Spec, total: usize) -> Vec<usize> {
    let size = |wave: &WaveSize| match wave {
        WaveSize::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
        WaveSize::Percent(percent) => (total * usize::from(*percent)).div_ceil(100),
        WaveSize::Rest => usize::MAX,
    };
    spec.waves.iter().map(|wave| size(&wave.size)).collect()
}

/// The image for a node, or why it gets none.
fn image_for(spec: &Spec, release: &Release, node: &Node) -> Result<usize, String> {
    let index = release.variant_for(node, spec.assume_chip).map_err(|error| error.to_string())?;
    let variant = release.variants.get(index).ok_or("the release has no such image")?;
    if node.running.and_then(|running| variant.expected.runs(running)) == Some(true) {
        return Err("it runs this image already".to_owned());
    }
    if let Some(slot) = node.slot_bytes.filter(|slot| *slot < variant.size) {
        return Err(format!("its update slot has {slot} bytes, the image has {}", variant.size));
    }
    let running = node.version.as_deref().unwrap_or_default();
    if !spec.allow_downgrade && version::compare(running, &release.version) == Some(Ordering::Greater) {
        return Err(format!(
            "it runs {running}, which is newer than {}: say allow_downgrade, if that is meant",
            release.version
        ));
    }
    Ok(index)
}

fn note(fleet: &Fleet, tree: &Tree, id: NodeId) -> Option<String> {
    let busy = fleet.nodes.get(&id).and_then(|node| node.busy_with.as_ref());
    if let Some(other) = busy {
        return Some(format!("rollout {other} is updating it"));
    }
    why_not(tree.place(id)?.path)
}

/// Why a node with this path is not started, for people.
pub(crate) fn why_not(path: Path) -> Option<String> {
    match path {
        Path::Healthy => None,
        Path::Away => Some("it is away".to_owned()),
        Path::NoRoot => Some("no root of its mesh is present".to_owned()),
        Path::ParentAway(parent) => Some(format!("its parent {parent} is away")),
        Path::Loop => Some("its parents lead in a circle".to_owned()),
    }
}
