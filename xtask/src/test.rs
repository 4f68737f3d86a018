//! `cargo xtask test`: doc tests, every other test, the replay of the fuzzers' corpora, and a list of what
//! was skipped and why. The last line counts them all.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::shell::{cargo, run, run_and_read, succeeds, target_dir};
use crate::{Outcome, fuzz, peers, powercut};

/// What a test prints when a peer or a file that it needs is absent, followed by the reason.
const SKIPPED: &str = "skipped: ";

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Tests that skipped themselves, or a part of what they do.
    skipped: u64,
    /// Their reasons, and how often each was given.
    reasons: BTreeMap<String, u64>,
}

pub fn task(arguments: &[String]) -> Outcome {
    let (flags, filter): (Vec<_>, Vec<_>) = arguments.iter().cloned().partition(|word| word.starts_with('-'));
    if let Some(unknown) = flags.iter().find(|flag| *flag != "--install") {
        return Err(format!("expected --install or names of tests, found {unknown}"));
    }
    run_tests(!flags.is_empty(), &filter)
}

fn run_tests(install: bool, filter: &[String]) -> Outcome {
    if install {
        peers::install()?;
    }
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    let everything = filter.is_empty();
    if everything {
        failures.extend(doc_tests(install, &mut tally).err());
    }
    failures.extend(unit_and_integration_tests(install, filter, &mut tally).err());
    if everything {
        failures.extend(powercut::mutants(|line| tally.read_libtest(line)).err());
        failures.extend(fuzz::replay(|line| tally.read_libtest(line)).err());
    }
    tally.print();
    if tally.passed == 0 {
        failures.push("no test ran".into());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// Cargo with the environment that tests find their peers by.
fn cargo_with_peers(installed: bool) -> std::process::Command {
    let mut cargo = cargo();
    cargo.env("PATH", peers::path());
    if installed {
        cargo.env("ROOTCAST_REQUIRE_PEERS", "1");
    }
    cargo
}

fn doc_tests(installed: bool, tally: &mut Tally) -> Outcome {
    let mut command = cargo_with_peers(installed);
    command.args(["test", "--workspace", "--doc", "--quiet"]);
    run_and_read(&mut command, |line| tally.read_libtest(line))
}

fn unit_and_integration_tests(installed: bool, filter: &[String], tally: &mut Tally) -> Outcome {
    if succeeds(cargo().args(["nextest", "--version"])) {
        let results = junit_file();
        // An earlier run's results must not be counted for this one's.
        let _ = fs::remove_file(&results);
        let mut command = cargo_with_peers(installed);
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        command.args(["--config-file", "xtask/nextest.toml", "--profile", "xtask"]).args(filter);
        let outcome = run(&mut command);
        if let Ok(junit) = fs::read_to_string(&results) {
            tally.read_junit(&junit);
        }
        return outcome;
    }
    let mut command = cargo_with_peers(installed);
    command.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    command.arg("--").arg("--show-output").args(filter);
    run_and_read(&mut command, |line| tally.read_libtest(line))
}

fn junit_file() -> PathBuf {
    // nextest resolves the store against the workspace's target folder.
    target_dir().join("nextest/xtask/junit.xml")
}

impl Tally {
    /// A line that libtest or a test in it has printed.
    fn read_libtest(&mut self, line: &str) {
        if let Some(reason) = line.trim().strip_prefix(SKIPPED) {
            self.skipped += 1;
            *self.reasons.entry(reason.to_string()).or_default() += 1;
        }
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        let before = |what: &str| -> u64 {
            let words: Vec<&str> = counts.split([' ', ';']).filter(|word| !word.is_empty()).collect();
            let at = words.iter().position(|word| *word == what);
            at.and_then(|at| words.get(at.checked_sub(1)?)?.parse().ok()).unwrap_or(0)
        };
        self.passed += before("passed");
        self.failed += before("failed");
        self.ignored += before("ignored");
    }

    /// nextest's results: counts are attributes of the first element, output of passed tests is kept.
    fn read_junit(&mut self, junit: &str) {
        let first =
            junit.lines().find(|line| line.trim_start().starts_with("<testsuites")).unwrap_or_default();
        let count = |name: &str| -> u64 {
            let value = first.split_once(&format!(" {name}=\"")).map_or("", |(_, rest)| rest);
            value.split('"').next().unwrap_or_default().parse().unwrap_or(0)
        };
        let failed = count("failures") + count("errors");
        self.failed += failed;
        self.passed += count("tests").saturating_sub(failed);
        let mut counted = false;
        for line in junit.lines() {
            counted &= !line.contains("<testcase ");
            if let Some((_, reason)) = line.split_once(SKIPPED) {
                let reason = reason.split("</system-").next().unwrap_or(reason);
                *self.reasons.entry(unescape(reason)).or_default() += 1;
                self.skipped += u64::from(!counted);
                counted = true;
            }
        }
    }

    fn print(&self) {
        if !self.reasons.is_empty() {
            println!("\nSkipped for want of something to test with:");
            for (reason, times) in &self.reasons {
                println!("  {times:>4} × {reason}");
            }
        }
        // A test that skips itself counts as passed with its runner, but has proved nothing.
        let passed = self.passed.saturating_sub(self.skipped);
        println!("\ntests: {passed} passed, {} failed, {} skipped", self.failed, self.ignored + self.skipped);
    }
}

fn unescape(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.trim().to_string(), |text, (entity, plain)| text.replace(entity, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::root;

    #[test]
    fn libtest_results_are_added_up() {
        let mut tally = Tally::default();
        tally.read_libtest("test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.read_libtest("test result: FAILED. 41 passed; 2 failed; 0 ignored; 0 measured");
        tally.read_libtest("skipped: no mosquitto");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (48, 2, 1));
        assert_eq!((tally.skipped, tally.reasons["no mosquitto"]), (1, 1));
    }

    #[test]
    fn junit_results_are_added_up() {
        let mut tally = Tally::default();
        tally.read_junit(
            "<?xml version=\"1.0\"?>\n<testsuites name=\"xtask\" tests=\"12\" failures=\"2\" errors=\"1\" time=\"1\">\n\
             <testcase name=\"a\">\n<system-out>running\nskipped: no &quot;x&quot; &amp; y\nskipped: no z\n</system-out>\n\
             <testcase name=\"b\">\n<system-out>skipped: no z</system-out>\n</testsuites>\n",
        );
        assert_eq!((tally.passed, tally.failed, tally.skipped), (9, 3, 2));
        assert_eq!((tally.reasons["no \"x\" & y"], tally.reasons["no z"]), (1, 2));
    }

    #[test]
    fn the_files_named_here_exist() {
        for file in [
            "xtask/nextest.toml",
            "tests/peers/debian.txt",
            "tests/peers/requirements.txt",
            "tests/peers/npm.txt",
        ] {
            assert!(root().join(file).is_file(), "{file}");
        }
    }
}
