//! `rootcast simulate`: what a user sees.

mod common;

use common::{fails, json, rootcast, succeeds};
use std::fs;

const SMALL: &str = r#"
name = "Two rooms"
about = "six nodes"
[mesh]
layout = "together"
nodes = 6
[image]
bytes = 60000
"#;

#[test]
fn a_scenario_becomes_a_table_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rooms.toml"), SMALL).unwrap();
    let table = succeeds(
        folder.path(),
        &["simulate", "rooms.toml", "--compare", "direct,unicast-tree,mupgrade,spread", "--svg", "rooms.svg"],
    );
    for way in ["direct", "unicast-tree", "mupgrade", "spread"] {
        assert!(table.contains(&format!("\n{way} ")), "{table}");
    }
    let picture = fs::read_to_string(folder.path().join("rooms.svg")).unwrap();
    assert_eq!(picture.matches("<circle").count(), 6, "a dot for each node");
    assert_eq!(picture.matches("<polyline").count(), 4, "a curve for each way");
}

#[test]
fn the_same_seed_gives_the_same_figures_and_all_nodes_get_the_image() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rooms.toml"), SMALL).unwrap();
    let run = |seed| json(folder.path(), &["simulate", "rooms.toml", "--seed", seed]);
    assert_eq!(run("5"), run("5"));
    assert_ne!(run("5"), run("6"));
    let facts = run("5");
    assert_eq!(facts["ways"][0]["never"], 0);
    assert_eq!(facts["ways"][0]["router_images"], 1.0);
}

#[test]
fn a_mesh_may_be_given_by_its_tree() {
    let folder = tempfile::tempdir().unwrap();
    let tree = r#"
name = "Mine"
node = [{}, { parent = 0, rssi_dbm = -60 }, { parent = 0, rssi_dbm = -70 }, { parent = 1, rssi_dbm = -80 }]
[image]
bytes = 40000
"#;
    fs::write(folder.path().join("mine.toml"), tree).unwrap();
    assert_eq!(json(folder.path(), &["simulate", "mine.toml"])["ways"][0]["never"], 0);
}

#[test]
fn a_mesh_may_be_given_by_the_list_of_its_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let list = r#"[{"deviceId":1,"meshLayer":1,"rssi":-40},{"deviceId":2,"parentId":1,"meshLayer":2,"rssi":-60},
        {"deviceId":3,"parentId":2,"meshLayer":3,"rssi":-71,"version":"1.0"}]"#;
    fs::write(folder.path().join("mine.json"), list).unwrap();
    let facts = json(folder.path(), &["simulate", "mine.json", "--image-bytes", "40K"]);
    assert_eq!(facts["scenario"], "mine");
    assert_eq!((&facts["nodes"], &facts["image_bytes"]), (&3.into(), &40_960.into()));
    assert_eq!(facts["ways"][0]["never"], 0);
    fs::write(folder.path().join("none.json"), "[]").unwrap();
    let error = fails(folder.path(), 2, &["simulate", "none.json"]);
    assert!(error.contains("no node is listed"), "{error}");
}

#[test]
fn a_wrong_scenario_is_refused_with_the_key_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for (text, says) in [
        ("name = 1", "name"),
        ("name = \"x\"\n[mesh]\nnodes = 1", "mesh.nodes is 1"),
        ("name = \"x\"\n[radio]\nrate_mbit = 54", "radio.rate_mbit is 54"),
        ("name = \"x\"\n[radio]\nloss = 1.5", "radio.loss is 1.5"),
        ("name = \"x\"\n[mesh]\ncolour = 1", "colour"),
        ("name = \"x\"\nnode = [{}, { parent = 7 }]", "node is 1"),
    ] {
        fs::write(folder.path().join("wrong.toml"), text).unwrap();
        let error = fails(folder.path(), 2, &["simulate", "wrong.toml"]);
        assert!(error.contains(says), "{text}: {error}");
    }
    assert_eq!(rootcast(folder.path(), &["simulate", "absent.toml"]).status.code(), Some(1));
}
