//! The web page in headless Chromium, as an operator uses it: upload, dry run, rollout, watching, abort, retry.

mod common;
#[path = "common/house.rs"]
mod house;

use common::text;
use house::House;
use rootcast_image::ChipId;
use rootcast_image::writer::AppImageBuilder;
use rootcast_world::body::behaviour::Behaviours;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Nodes of the mesh.
const NODES: usize = 7;
/// What they are called.
const NAMES: [&str; NODES] = ["Hall", "Kitchen", "Stairs", "Porch", "Bedroom", "Attic", "Garage"];

/// Chromium, Node and the folder of Node's packages; says what is missing. `ROOTCAST_REQUIRE_PEERS=1` makes that a failure.
fn peers() -> Option<(PathBuf, PathBuf, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let chromium = folders.iter().map(|folder| folder.join("chromium")).find(|path| path.is_file());
    // Debian's Node, if there is one, has no packages of ours beside it.
    let has_packages = |folder: &&PathBuf| {
        let packages = folder.parent().unwrap_or(Path::new("/"));
        folder.join("node").is_file()
            && packages.join("playwright-core").is_dir()
            && packages.join("axe-core").is_dir()
    };
    let node = folders.iter().find(has_packages);
    match (chromium, node) {
        (Some(chromium), Some(bin)) => Some((chromium, bin.join("node"), bin.parent()?.to_owned())),
        (chromium, _) => {
            let missing = if chromium.is_none() { "chromium" } else { "playwright-core and axe-core" };
            let required = std::env::var_os("ROOTCAST_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "{missing} is not installed");
            println!("skipped: {missing} is not installed");
            None
        }
    }
}

/// The image that is rolled out.
fn new_image() -> Vec<u8> {
    AppImageBuilder::new(ChipId::ESP32C3).project("lamp").version("1.1.0").size(200_000).build().unwrap()
}

fn strings(report: &Value, field: &str) -> Vec<String> {
    let list = report[field].as_array().unwrap_or_else(|| panic!("no {field}: {report}"));
    list.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_uploads_starts_watches_aborts_and_retries_in_a_browser_that_asks_nobody_else() {
    let Some((chromium, node, packages)) = peers() else { return };
    let mut house = House::with_trial(NODES, Behaviours::new(), 2_500).await;
    name_nodes(&house).await;
    let image = house.folder().join("app-1.1.0.bin");
    std::fs::write(&image, new_image()).unwrap();
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../browser");
    let walk = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/walk.mjs");
    let output = Command::new(node)
        .arg(walk)
        .env("SITE", house.plane.api())
        .env("TOKEN", &house.token)
        .env("IMAGE", &image)
        .env("NODES", NODES.to_string())
        .env("SHOTS", &shots)
        .env("CHROMIUM", chromium)
        .env("PEERS", packages)
        .output()
        .expect("node starts");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("the walk reports");

    let origin = format!("{}/", house.plane.api());
    let requests = strings(&report, "requests");
    let outside: Vec<&String> = requests.iter().filter(|url| !url.starts_with(&origin)).collect();
    assert!(requests.len() > 50 && outside.is_empty(), "{} requests, elsewhere: {outside:?}", requests.len());
    for (field, what) in [
        ("complaints", "the browser complains"),
        ("findings", "axe finds"),
        ("wide", "pages are wider than the screen"),
    ] {
        let list = strings(&report, field);
        assert!(list.is_empty(), "{what}:\n{}", list.join("\n"));
    }
    println!(
        "{} requests to {origin}, {} screenshots in {}",
        requests.len(),
        strings(&report, "shots").len(),
        shots.display()
    );

    // What the page said is what happened: each node was triggered, and after the abort nobody until the retry.
    let shown = house.json(&["rollout", "show", report["rollout"].as_str().unwrap()]);
    assert_eq!(shown.last().unwrap()["phase"], "succeeded", "{shown:?}");
    let new = house::hash(&new_image());
    assert!(house.running().iter().all(|running| *running == Some(new)), "{:?}", house.running());
    house.plane.stop();
}

async fn name_nodes(house: &House) {
    let client = reqwest::Client::new();
    let nodes = house.json(&["nodes"]);
    for (node, name) in nodes.iter().filter(|node| node["id"].is_u64()).zip(NAMES) {
        let url = format!("{}/api/v1/nodes/{}", house.plane.api(), node["id"]);
        let change = serde_json::json!({ "name": name });
        let answer = client.patch(url).bearer_auth(&house.token).json(&change).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
}
