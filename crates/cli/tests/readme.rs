//! The README's command blocks, run as they stand there.

mod common;

use common::{rootcast, text};
use rootcast_image::{ChipId, writer::AppImageBuilder};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The blocks marked as shell.
fn blocks() -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md"))
        .expect("the README is there");
    let mut blocks = Vec::new();
    let mut rest = readme.as_str();
    while let Some((_, after)) = rest.split_once("```sh\n") {
        let (block, after) = after.split_once("```").expect("the block ends");
        blocks.push(block.trim().to_owned());
        rest = after;
    }
    blocks
}

fn is_installed(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|it| it.success())
}

#[test]
fn the_first_command_updates_a_mesh() {
    let block = &blocks()[0];
    let arguments = block.strip_prefix("cargo run --release -- ").expect("it runs this very program");
    let folder = tempfile::tempdir().unwrap();
    let output = rootcast(folder.path(), &arguments.split_whitespace().collect::<Vec<_>>());
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
    assert!(stdout.contains("All 12 nodes run 1.1.0, confirmed"), "{stdout}");
}

#[test]
fn the_second_command_is_the_one_that_runs_this_test() {
    assert_eq!(blocks()[1], "cargo xtask test --install");
    let config =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cargo/config.toml")).unwrap();
    assert!(config.contains("xtask = "), "cargo xtask is an alias in .cargo/config.toml");
    let ci = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/run")).unwrap();
    assert!(ci.lines().any(|line| line == blocks()[1]), "CI runs the same command");
}

#[test]
fn the_flow_with_an_own_broker_and_server_ends_with_every_node_confirmed() {
    for program in ["bash", "mosquitto", "mosquitto_sub", "python3"] {
        if !is_installed(program) {
            println!("skipped: {program} is not installed");
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for version in ["1.0.0", "1.0.1"] {
        let image = AppImageBuilder::new(ChipId::ESP32C3)
            .project("lamp")
            .version(version)
            .size(150_000)
            .build()
            .unwrap();
        fs::write(folder.path().join(format!("app-{version}.bin")), image).unwrap();
    }
    let program = Path::new(env!("CARGO_BIN_EXE_rootcast")).parent().unwrap();
    let path = format!("{}:{}:/usr/sbin", program.display(), std::env::var("PATH").unwrap_or_default());
    // What the block leaves running ends with it.
    let script = format!("set -eu\ntrap 'kill $(jobs -p)' EXIT\n{}\nsleep 1\n", blocks()[2]);
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    let reports = fs::read_to_string(folder.path().join("reports.txt")).unwrap();
    let confirmed = reports.lines().filter(|line| line.contains(r#""state":"confirmed""#)).count();
    assert_eq!(confirmed, 2, "{said}\n{reports}");
}

#[test]
fn there_are_no_other_blocks() {
    assert_eq!(blocks().len(), 3, "a new block needs a test of its own");
}
