//! `cargo xtask powercut`: cuts power inside every flash operation of updates and rollbacks.

use crate::Outcome;
use crate::shell::{cargo, run};

pub fn task(arguments: &[String]) -> Outcome {
    let extent = match arguments {
        [] => "full",
        [only] if only == "--sample" => "sample",
        _ => return Err(format!("expected nothing or --sample, found {}", arguments.join(" "))),
    };
    let mut command = cargo();
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "rootcast-world",
        "--example",
        "powercut",
        "--",
    ]);
    run(command.arg(extent))
}
