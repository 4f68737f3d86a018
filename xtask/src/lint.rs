//! `cargo xtask lint`: what a change must pass before anybody reads it.

use crate::Outcome;
use crate::shell::{cargo, run, succeeds, target_dir};

pub fn task(arguments: &[String]) -> Outcome {
    if let Some(unknown) = arguments.first() {
        return Err(format!("expected no argument, found {unknown}"));
    }
    run(cargo().args(["fmt", "--all", "--check"]))?;
    for workspace in ["fuzz/Cargo.toml", "xtask/size-probe/Cargo.toml", FIRMWARE] {
        run(cargo().args(["fmt", "--all", "--manifest-path", workspace, "--check"]))?;
    }
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    run(cargo()
        .args(["clippy", "--manifest-path", "fuzz/Cargo.toml", "--all-targets", "--", "-D", "warnings"])
        .env("CARGO_TARGET_DIR", target_dir()))?;
    dependencies()
}

/// What runs on chips has dependencies of its own.
const FIRMWARE: &str = "firmware/Cargo.toml";

/// Licences, bans and sources never need the network; advisories need their database.
fn dependencies() -> Outcome {
    if !succeeds(cargo().args(["deny", "--version"])) {
        return Err("cargo-deny is missing: cargo install --locked cargo-deny".into());
    }
    let known = succeeds(cargo().args(["deny", "fetch", "db"]));
    for workspace in ["Cargo.toml", FIRMWARE] {
        let deny = || {
            let mut deny = cargo();
            deny.args(["deny", "--manifest-path", workspace, "--config", "deny.toml", "--all-features"]);
            deny.args(["check", "--hide-inclusion-graph"]);
            deny
        };
        run(deny().args(["bans", "licenses", "sources"]))?;
        if known {
            run(deny().arg("advisories"))?;
        }
    }
    if known {
        Ok(())
    } else {
        println!("skipped: the advisory database cannot be reached, so no dependency was checked against it");
        Ok(())
    }
}
