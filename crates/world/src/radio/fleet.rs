//! A mesh as it really stands: a scenario from the list of its nodes, as `rootcast nodes --json` or the status messages
//! on MQTT give it.
//!
//! Taken are a JSON array of nodes, an object that holds such an array, or one JSON object a line (of which a later one
//! for the same node counts). Of each node:
//!
//! | what | keys that are understood |
//! |---|---|
//! | id | `deviceId`, `id`, `nodeId`, `node`: a number, digits, or a MAC address |
//! | parent | `parentId`, `parent`; the root's may be absent, null, 0 or its own |
//! | layer | `meshLayer`, `layer`: 1 is the root |
//! | signal of the parent in dBm | `rssi`, `signal`, `signal_dbm`, `rssi_dbm`, `meshRssi` |
//! | root or not | `isRoot`, `root` |
//!
//! Everything else is ignored.

use serde_json::{Deserializer, Map, Value};
use std::collections::{BTreeMap, VecDeque};

/// Why a list of nodes is no mesh.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// No JSON.
    #[error("the list of nodes is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// There are no nodes in it.
    #[error("no node is listed: expected objects with deviceId and parentId")]
    Empty,
    /// None is the root.
    #[error("no node is the root: expected one with meshLayer 1, or without parentId")]
    NoRoot,
    /// Several are.
    #[error("{} nodes are roots ({}): give the nodes of one mesh", .0.len(), list(.0))]
    Roots(Vec<u64>),
}

fn list(ids: &[u64]) -> String {
    let mut text: Vec<_> = ids.iter().take(5).map(u64::to_string).collect();
    if ids.len() > text.len() {
        text.push("…".into());
    }
    text.join(", ")
}

/// One node of a tree, each after its parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Branch {
    /// Who.
    pub id: u64,
    /// The parent's place in the list; none for the root, which is the first.
    pub parent: Option<usize>,
    /// How strong it hears its parent, if it said so.
    pub rssi_dbm: Option<f64>,
}

/// A tree, and what had to be guessed.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The nodes, each after its parent.
    pub branches: Vec<Branch>,
    /// Nodes whose parent is not in the list: they were put below another node of the layer above, or the root.
    pub guessed: usize,
}

#[derive(Clone, Copy, Default)]
struct Listed {
    parent: Option<u64>,
    layer: Option<u64>,
    rssi_dbm: Option<f64>,
    root: bool,
}

/// Whether a text looks like a list of nodes and not like a scenario.
#[must_use]
pub fn is_list(text: &str) -> bool {
    Deserializer::from_str(text).into_iter::<Value>().next().is_some_and(|value| value.is_ok())
}

/// Reads a list of nodes.
pub fn read(text: &str) -> Result<Tree, FleetError> {
    let mut nodes = BTreeMap::new();
    for value in Deserializer::from_str(text).into_iter::<Value>() {
        collect(&value?, &mut nodes);
    }
    plant(&nodes)
}

/// Takes the nodes out of whatever they are wrapped in.
fn collect(value: &Value, nodes: &mut BTreeMap<u64, Listed>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, nodes)),
        Value::Object(object) => match id(object) {
            Some(id) => {
                nodes.insert(id, listed(id, object));
            }
            None => object.values().filter(|it| it.is_array()).for_each(|value| collect(value, nodes)),
        },
        _ => {}
    }
}

fn first<'a>(object: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().find_map(|key| object.get(*key)).filter(|value| !value.is_null())
}

fn number(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Number(number) => return number.as_u64(),
        Value::String(text) => text.trim(),
        _ => return None,
    };
    let mac = text.replace([':', '-'], "");
    let is_mac = mac.len() == 12 && mac.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_mac && mac.len() < text.len() {
        return u64::from_str_radix(&mac, 16).ok();
    }
    text.parse().ok().or_else(|| u64::from_str_radix(&mac, 16).ok().filter(|_| is_mac))
}

fn id(object: &Map<String, Value>) -> Option<u64> {
    first(object, &["deviceId", "id", "nodeId", "node"]).and_then(number).filter(|id| *id > 0)
}

fn listed(id: u64, object: &Map<String, Value>) -> Listed {
    let parent = first(object, &["parentId", "parent"]).and_then(number);
    let rssi = first(object, &["rssi", "signal", "signal_dbm", "rssi_dbm", "meshRssi"]);
    Listed {
        parent: parent.filter(|parent| *parent != id && *parent != 0),
        layer: first(object, &["meshLayer", "layer"]).and_then(Value::as_u64).filter(|layer| *layer > 0),
        // 0 stands for "unknown" in a status.
        rssi_dbm: rssi.and_then(Value::as_f64).filter(|rssi| (-120.0..0.0).contains(rssi)),
        root: first(object, &["isRoot", "root"]).and_then(Value::as_bool).unwrap_or(false),
    }
}

fn plant(nodes: &BTreeMap<u64, Listed>) -> Result<Tree, FleetError> {
    if nodes.is_empty() {
        return Err(FleetError::Empty);
    }
    let of = |is: &dyn Fn(&Listed) -> bool| -> Vec<u64> {
        nodes.iter().filter(|(_, it)| is(it)).map(|(id, _)| *id).collect()
    };
    let mut roots = of(&|it| it.root);
    if roots.is_empty() {
        roots = of(&|it| it.layer == Some(1));
    }
    if roots.is_empty() {
        // A router's address may stand where the root's parent would be.
        roots = of(&|it| it.parent.is_none_or(|parent| !nodes.contains_key(&parent)) && it.layer.is_none());
    }
    let root = match roots[..] {
        [] => return Err(FleetError::NoRoot),
        [root] => root,
        _ => return Err(FleetError::Roots(roots)),
    };
    let mut children: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut lost = Vec::new();
    for (id, it) in nodes.iter().filter(|(id, _)| **id != root) {
        match it.parent.filter(|parent| nodes.contains_key(parent)) {
            Some(parent) => children.entry(parent).or_default().push(*id),
            None => lost.push(*id),
        }
    }
    let mut tree = Tree { branches: Vec::new(), guessed: 0 };
    grow(&mut tree, nodes, &children, root, None);
    // What hangs in no parent, or in a ring of them.
    let ringed: Vec<u64> = nodes.keys().copied().filter(|id| !lost.contains(id)).collect();
    for id in lost.into_iter().chain(ringed) {
        if tree.branches.iter().any(|branch| branch.id == id) {
            continue;
        }
        let above = nodes.get(&id).and_then(|it| it.layer).map(|layer| layer.saturating_sub(1));
        let layer_of = |branch: &Branch| nodes.get(&branch.id).and_then(|it| it.layer);
        let parent = tree.branches.iter().position(|branch| above.is_some() && layer_of(branch) == above);
        tree.guessed += 1;
        grow(&mut tree, nodes, &children, id, Some(parent.unwrap_or(0)));
    }
    Ok(tree)
}

/// Adds a node and all that hang below it and are not there yet.
fn grow(
    tree: &mut Tree,
    nodes: &BTreeMap<u64, Listed>,
    children: &BTreeMap<u64, Vec<u64>>,
    top: u64,
    below: Option<usize>,
) {
    let mut queue = VecDeque::from([(top, below)]);
    while let Some((id, parent)) = queue.pop_front() {
        if tree.branches.iter().any(|branch| branch.id == id) {
            continue;
        }
        let rssi_dbm = nodes.get(&id).and_then(|it| it.rssi_dbm);
        let place = tree.branches.len();
        tree.branches.push(Branch { id, parent, rssi_dbm });
        queue.extend(children.get(&id).into_iter().flatten().map(|child| (*child, Some(place))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parents(text: &str) -> Vec<(u64, Option<u64>)> {
        let tree = read(text).unwrap();
        let id = |place: usize| tree.branches[place].id;
        tree.branches.iter().map(|branch| (branch.id, branch.parent.map(id))).collect()
    }

    #[test]
    fn an_array_an_object_around_it_and_lines_are_the_same_mesh() {
        let expected = [(1, None), (2, Some(1)), (3, Some(1)), (4, Some(2))];
        let nodes = r#"[{"deviceId":4,"parentId":2,"rssi":-70},{"deviceId":2,"parentId":1},
            {"deviceId":3,"parentId":1,"unknown":[1,2]},{"deviceId":1,"meshLayer":1}]"#;
        assert_eq!(parents(nodes), expected);
        assert_eq!(parents(&format!(r#"{{"nodes":{nodes},"total":4}}"#)), expected);
        let lines = "{\"id\":4,\"parent\":3}\n{\"id\":1,\"isRoot\":true,\"parentId\":99}\n{\"id\":2,\"parentId\":1}\n\
                     {\"id\":3,\"parentId\":1}\n{\"id\":4,\"parent\":2}\n";
        assert_eq!(parents(lines), expected, "a later line for the same node counts");
        assert_eq!(read(nodes).unwrap().branches[3].rssi_dbm, Some(-70.0));
    }

    #[test]
    fn addresses_are_read_as_numbers_and_as_text() {
        let nodes =
            r#"[{"deviceId":"24:6f:28:00:00:01"},{"deviceId":40059831058434,"parentId":"246f28000001"}]"#;
        assert_eq!(parents(nodes), [(0x246f_2800_0001, None), (0x246f_2800_0002, Some(0x246f_2800_0001))]);
    }

    #[test]
    fn nodes_whose_parent_is_not_listed_are_kept_and_counted() {
        let nodes = r#"[{"id":1,"layer":1},{"id":2,"parentId":1,"layer":2},{"id":3,"parentId":77,"layer":3},
            {"id":4,"parentId":5},{"id":5,"parentId":4}]"#;
        assert_eq!(
            parents(nodes),
            [(1, None), (2, Some(1)), (3, Some(2)), (4, Some(1)), (5, Some(4))],
            "below the layer above, a ring below the root"
        );
        assert_eq!(read(nodes).unwrap().guessed, 2);
    }

    #[test]
    fn what_is_no_mesh_is_refused_with_a_reason() {
        for (text, says) in [
            ("", "no node is listed"),
            ("[]", "no node is listed"),
            ("[1, {\"name\":\"x\"}]", "no node is listed"),
            ("{\"nodes\":", "not JSON"),
            (r#"[{"id":1,"parentId":2},{"id":2,"parentId":1}]"#, "no node is the root"),
            (r#"[{"id":1,"layer":1},{"id":2,"layer":1}]"#, "2 nodes are roots (1, 2)"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
