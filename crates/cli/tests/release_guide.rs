//! The commands of `docs/releases.md`, run as they stand there.

mod common;

use common::text;
use rootcast_image::{ChipId, writer::AppImageBuilder};
use std::fs;
use std::process::Command;

#[test]
fn the_guide_to_releases_can_be_followed_as_it_stands() {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/releases.md")).unwrap();
    let block = guide.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, chip, version) in [
        ("switch.bin", ChipId::ESP32C3, "1.2.0"),
        ("relay.bin", ChipId::ESP32, "1.2.0"),
        ("old-switch.bin", ChipId::ESP32C3, "1.1.0"),
    ] {
        let app = AppImageBuilder::new(chip).version(version).size(50_000).build().unwrap();
        fs::write(folder.path().join(name), app).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_rootcast");
    let output = Command::new("sh")
        .args(["-ec", &format!("rootcast() {{ '{program}' \"$@\"; }}\n{block}")])
        .current_dir(folder.path())
        .env_remove("ROOTCAST_BROKER")
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("patch from"), "{}", text(&output.stdout));
}
