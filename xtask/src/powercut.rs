//! `cargo xtask powercut`: cuts power inside every flash operation of updates and rollbacks.

use crate::Outcome;
use crate::shell::{cargo, root, run, run_and_read};

pub fn task(arguments: &[String]) -> Outcome {
    let mut only: &[String] = &[];
    let extent = match arguments {
        [] => "full",
        [option, _] if option == "--only" => {
            only = arguments;
            "full"
        }
        [only] if only == "--sample" => "sample",
        [only] if only == "--mutants" => return mutants(|_| {}),
        _ => {
            return Err(format!(
                "expected nothing, --sample, --only STORY or --mutants, found {}",
                arguments.join(" ")
            ));
        }
    };
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "rootcast-world", "--bin", "powercut", "--"]);
    command.arg(extent).args(only);
    let images = root().join("../shared/images");
    if extent == "full" && images.is_dir() {
        command.arg(images);
    }
    run(&mut command)
}

/// The campaign against nodes with deliberate mistakes. Built with the whole workspace's features, so that what other
/// tests have built serves here, too.
pub fn mutants(each: impl FnMut(&str)) -> Outcome {
    let mut test = cargo();
    test.args(["test", "--workspace", "--features", "rootcast-world/mutations", "--test", "mutants"]);
    run_and_read(&mut test, each)
}
