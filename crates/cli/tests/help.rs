//! The help: every command has one, with an example.

mod common;

use common::{fails, succeeds};
use std::path::Path;

fn help(arguments: &[&str]) -> String {
    succeeds(Path::new("."), &[arguments, &["--help"]].concat())
}

/// The commands that the overview lists.
fn commands() -> Vec<String> {
    let overview = help(&[]);
    let list = overview.split("Commands:").nth(1).and_then(|rest| rest.split("Options:").next()).unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_string)
        .collect()
}

#[test]
fn every_command_has_help_with_an_example_and_json() {
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let text = help(&[&command]);
        assert!(text.contains(&format!("  rootcast {command} ")), "no example of {command}:\n{text}");
        assert!(text.contains("--json"), "{command}:\n{text}");
    }
}

#[test]
fn the_overview_says_what_each_command_is_for() {
    insta::assert_snapshot!("overview", help(&[]));
}

#[test]
fn wrong_usage_ends_with_status_2() {
    for arguments in [&[][..], &["fly"], &["inspect"], &["sign", "app.bin"], &["inspect", "--colour", "x"]] {
        fails(Path::new("."), 2, arguments);
    }
}
