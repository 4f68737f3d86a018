//! `rootcast demo`: a whole mesh, updated for real, and refusing for real.

mod common;

use common::{espressif, real_images, rootcast, text};
use rootcast_image::{ChipId, writer::AppImageBuilder};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;

/// Every object that a demo printed; the last one is the summary, or the error after it.
fn objects(output: &Output) -> Vec<Value> {
    let stdout = text(&output.stdout);
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn summary(output: &Output) -> Value {
    let found = objects(output).into_iter().find(|object| object["event"] == "summary");
    found.unwrap_or_else(|| panic!("no summary: {}{}", text(&output.stdout), text(&output.stderr)))
}

fn demo(folder: &Path, arguments: &[&str]) -> Output {
    rootcast(folder, &[&["demo", "--json"], arguments].concat())
}

/// The error codes that the nodes ended with.
fn errors(summary: &Value) -> Vec<&str> {
    let nodes = summary["nodes"].as_array().into_iter().flatten();
    nodes.filter_map(|node| node["error"].as_str()).collect()
}

#[test]
fn every_node_of_a_mesh_is_updated_and_its_flash_proves_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), &["--keep", "chips"]);
    let summary = summary(&output);
    assert!(output.status.success(), "{summary}");
    assert_eq!((summary["updated"].as_u64(), summary["boot_new_image"].as_u64()), (Some(12), Some(12)));
    assert_eq!(
        (summary["nvs_unchanged"].as_u64(), summary["forbidden_writes"].as_u64()),
        (Some(12), Some(0))
    );
    let layers: std::collections::BTreeSet<_> =
        summary["nodes"].as_array().unwrap().iter().map(|node| node["layer"].as_u64()).collect();
    assert_eq!(layers.len(), 3, "{summary}");
    assert_eq!(objects(&output).last(), Some(&summary), "the summary is the last line");

    // A chip that was kept: its new slot is an image to Espressif's own tool.
    let chips: Vec<_> =
        fs::read_dir(folder.path().join("chips")).unwrap().flatten().map(|file| file.path()).collect();
    let flashes: Vec<_> =
        chips.iter().filter(|path| path.extension().is_some_and(|it| it == "flash")).collect();
    assert_eq!(flashes.len(), 12);
    let flash = fs::read(flashes[0]).unwrap();
    fs::write(folder.path().join("slot.bin"), &flash[0x17_0000..0x2d_0000]).unwrap();
    if let Some(printed) = espressif("esptool", folder.path(), &["image-info", "slot.bin"]) {
        assert_eq!(printed.matches("(valid)").count(), 2, "{printed}");
        assert!(printed.contains("App version: 1.1.0"), "{printed}");
    }
}

#[test]
fn a_mesh_shares_an_image_that_its_root_fetched() {
    let output = demo(Path::new("."), &["--mode", "spread", "--nodes", "4"]);
    let summary = summary(&output);
    assert!(output.status.success(), "{summary}");
    assert_eq!(summary["boot_new_image"], 4);
    let (fetched, shared) = (summary["bytes"].as_u64().unwrap(), summary["shared_bytes"].as_u64().unwrap());
    assert!(shared > 29 * fetched / 10, "{shared} bytes heard from neighbours, {fetched} fetched");
}

#[test]
fn without_a_terminal_a_demo_prints_lines_a_table_and_a_sentence() {
    let output = rootcast(Path::new("."), &["demo", "--mode", "direct", "--nodes", "4", "--loss", "0.1"]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    assert!(
        printed.contains("/switch/cmd/root {\"type\":\"ota_trigger\",\"url\":\"https://localhost:"),
        "{printed}"
    );
    assert!(printed.contains("downloading"), "{printed}");
    assert!(printed.contains("node               type"), "{printed}");
    assert!(printed.contains("All 4 nodes run 1.1.0, confirmed in"), "{printed}");
    assert!(!printed.contains('\x1b'), "no escape sequences: {printed:?}");
}

#[test]
fn real_images_are_installed_by_nodes_of_their_chip() {
    let Some(images) = real_images() else { return };
    let (from, to) = (images.join("wallbox_s3/v2.5.0.bin"), images.join("wallbox_s3/v2.5.1.bin"));
    let arguments =
        ["--mode", "direct", "--from", from.to_str().unwrap(), "--to", to.to_str().unwrap(), "--nodes", "4"];
    let output = demo(Path::new("."), &arguments);
    assert!(output.status.success(), "{}", text(&output.stdout));
    assert_eq!(objects(&output)[0]["chip"], "ESP32-S3");
}

#[test]
fn an_image_for_another_chip_is_refused_by_every_node_for_its_chip() {
    let folder = tempfile::tempdir().unwrap();
    let other = AppImageBuilder::new(ChipId::ESP32).size(300_000).build().unwrap();
    fs::write(folder.path().join("esp32.bin"), other).unwrap();
    let output = demo(folder.path(), &["--mode", "direct", "--to", "esp32.bin", "--nodes", "4"]);
    assert_eq!(output.status.code(), Some(1));
    let summary = summary(&output);
    assert_eq!(errors(&summary), ["wrong_chip"; 4], "{summary}");
    assert_eq!(summary["nvs_unchanged"], 4);
    assert_eq!(summary["flaws"], Value::Array(vec![]), "nobody claimed to be updated");
}

#[test]
fn a_real_image_larger_than_the_slot_is_refused_by_every_node_for_its_size() {
    let Some(images) = real_images() else { return };
    let to = images.join("cheapspool_esp32/csd_2026-03-12.bin");
    let arguments = ["--mode", "direct", "--chip", "ESP32", "--to", to.to_str().unwrap(), "--nodes", "4"];
    let output = demo(Path::new("."), &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors(&summary(&output)), ["image_too_large"; 4]);
    assert_eq!(
        objects(&output).last(),
        Some(&summary(&output)),
        "the summary is the last line, also of a failure"
    );
}

#[test]
fn a_real_image_for_another_chip_is_refused_by_every_node_for_its_chip() {
    let Some(images) = real_images() else { return };
    let (from, to) =
        (images.join("wallbox_s3/v2.5.0.bin"), images.join("cheapspool_esp32/csd_2026-03-12.bin"));
    let arguments =
        ["--mode", "direct", "--from", from.to_str().unwrap(), "--to", to.to_str().unwrap(), "--nodes", "4"];
    let output = demo(Path::new("."), &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors(&summary(&output)), ["wrong_chip"; 4]);
}

#[test]
fn in_a_mixed_mesh_one_release_brings_each_node_its_own_image() {
    let output = demo(Path::new("."), &["--mixed", "--nodes", "7"]);
    let summary = summary(&output);
    assert!(output.status.success(), "{summary}");
    let started = &objects(&output)[0];
    assert_eq!(started["chip"], "ESP32-C3 and ESP32");
    assert!(started["url"].as_str().unwrap().ends_with("/release.suit"), "{started}");
    let kinds = summary["kinds"].as_array().unwrap();
    let named: Vec<_> = kinds.iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    assert_eq!(named, ["esp32c3:switch", "esp32:relay8", "esp32:relay16"]);
    let hashes: std::collections::BTreeSet<_> = kinds.iter().map(|kind| kind["image"].as_str()).collect();
    assert_eq!(hashes.len(), 3, "three images: {summary}");
    for kind in kinds {
        assert!(kind["nodes"].as_u64() > Some(0) && kind["boot_new_image"] == kind["nodes"], "{kind}");
    }
    for node in summary["nodes"].as_array().unwrap() {
        let kind = kinds.iter().find(|kind| {
            kind["name"].as_str().unwrap().ends_with(&format!(":{}", node["type"].as_str().unwrap()))
        });
        assert_eq!(node["running"], kind.unwrap()["image"], "{node}");
    }
}

#[test]
fn nodes_with_the_base_update_by_patch_and_the_others_in_full() {
    let output = demo(Path::new("."), &["--delta", "--mode", "direct", "--nodes", "4"]);
    let summary = summary(&output);
    assert!(output.status.success(), "{summary}");
    let patch = &summary["patch"];
    assert_eq!((patch["by_patch"].as_u64(), patch["in_full"].as_u64()), (Some(3), Some(1)), "{summary}");
    let bytes = |name: &str| patch[name].as_u64().unwrap();
    assert!(bytes("patch_bytes") < bytes("image_bytes") / 20, "{patch}");
    // Each node fetches the release, too.
    assert!(bytes("by_patch_bytes") < 3 * (bytes("patch_bytes") + 4096), "{patch}");
    assert!(bytes("in_full_bytes") >= bytes("image_bytes"), "{patch}");
    assert_eq!((summary["boot_new_image"].as_u64(), summary["nvs_unchanged"].as_u64()), (Some(4), Some(4)));
}

#[test]
fn everything_goes_wrong_and_every_node_is_updated() {
    let output =
        rootcast(Path::new("."), &["demo", "--chaos", "--mode", "direct", "--nodes", "6", "--seed", "3"]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    assert!(printed.contains("All 6 nodes run 1.1.0, confirmed in"), "{printed}");
    assert!(
        printed.contains("6 boot the new image, 6 have their settings in nvs, nothing was written"),
        "{printed}"
    );
    let survived =
        printed.lines().find(|line| line.starts_with("Survived: ")).expect("it says what was survived");
    for what in
        ["power cut", "frames lost", "stalled download", "1 restart of the broker", "of the firmware host"]
    {
        assert!(survived.contains(what), "{survived}");
    }
    assert!(printed.contains("chaos    the broker restarts"), "{printed}");
}

#[test]
fn a_mesh_too_small_for_what_is_to_be_shown_is_wrong_usage() {
    for (mode, least) in [("--mixed", "7"), ("--delta", "4")] {
        let stderr = common::fails(Path::new("."), 2, &["demo", mode, "--nodes", "3"]);
        assert!(stderr.contains(&format!("{mode} needs at least {least} nodes")), "{stderr}");
    }
}

#[test]
fn a_web_page_in_place_of_an_image_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.bin"), "<!DOCTYPE html><html>Sign in</html>").unwrap();
    let output = demo(folder.path(), &["--mode", "direct", "--to", "page.bin", "--nodes", "3"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors(&summary(&output)), ["not_an_image"; 3]);
    assert!(text(&output.stderr).contains("3 nodes were not updated"), "{}", text(&output.stderr));
}

#[test]
fn nodes_that_cannot_be_made_say_why() {
    let Some(images) = real_images() else { return };
    let from = images.join("cheapspool_esp32/csd_2026-03-12.bin");
    let stderr = common::fails(Path::new("."), 1, &["demo", "--from", from.to_str().unwrap()]);
    assert!(stderr.contains("its place has 1441792"), "{stderr}");
}
