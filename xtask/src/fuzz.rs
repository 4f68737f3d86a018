//! `cargo xtask fuzz`: libFuzzer on one parser, with the stable compiler.
//!
//! `cargo fuzz` wants a nightly compiler for its sanitizers. They look for memory errors, which safe Rust does
//! not have; what we look for are panics, and for those coverage is enough, whose flags are stable. The same
//! targets work with `cargo +nightly fuzz run TARGET` where a nightly compiler and cargo-fuzz are at hand.

use std::fs;
use std::process::Command;

use crate::Outcome;
use crate::shell::{cargo, command, output_of, root, run, run_and_read, target_dir};

/// What libFuzzer needs of the compiler: counters, comparisons, and checks for overflow.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions";
/// How long a target is fuzzed unless asked otherwise, in seconds.
const DEFAULT_SECONDS: u64 = 60;

/// The replay of seeds and mutations, as part of the tests.
pub fn replay(each: impl FnMut(&str)) -> Outcome {
    let mut test = cargo();
    test.args(["test", "--manifest-path", "fuzz/Cargo.toml", "--lib", "--tests", "--", "--nocapture"]);
    run_and_read(test.env("CARGO_TARGET_DIR", target_dir()), each)
}

pub fn task(arguments: &[String]) -> Outcome {
    let Some((target, options)) = arguments.split_first() else {
        println!("{}", targets()?.join("\n"));
        return Ok(());
    };
    if target == "--all" {
        let mut failures = Vec::new();
        for target in targets()? {
            println!("\n{target}");
            failures.extend(fuzz(&target, options).err());
        }
        return if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) };
    }
    fuzz(target, options)
}

fn fuzz(target: &String, options: &[String]) -> Outcome {
    if !targets()?.contains(target) {
        return Err(format!("no target is called \"{target}\"; there are: {}", targets()?.join(" ")));
    }
    let limit = match options {
        [] => format!("-max_total_time={DEFAULT_SECONDS}"),
        [option, number] if option == "--seconds" => format!("-max_total_time={}", parse(number)?),
        [option, number] if option == "--runs" => format!("-runs={}", parse(number)?),
        other => return Err(format!("expected --runs N or --seconds N, found {}", other.join(" "))),
    };
    let corpus = root().join("fuzz/corpus").join(target);
    let kept = root().join("fuzz/seeds").join(target);
    let artifacts = root().join("fuzz/artifacts").join(target);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    run(fuzz_cargo("run").args(["--bin", "write_seeds", "--", target]).arg(&corpus))?;

    let host = host()?;
    run(fuzz_cargo("build")
        .args(["--release", "--features", "libfuzzer", "--target", &host, "--bin", target])
        .env("RUSTFLAGS", FLAGS))?;
    let fuzzer = target_dir().join("fuzz").join(host).join("release").join(target);
    let mut fuzzer = command(fuzzer);
    fuzzer.arg(&corpus).args(kept.is_dir().then_some(&kept));
    fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
    let longest = longest_input(target);
    run(fuzzer.args([&limit, &format!("-max_len={longest}"), "-print_final_stats=1"]))
        .map_err(|error| format!("{error}; keep the input in fuzz/seeds/{target} once its cause is mended"))
}

fn fuzz_cargo(task: &str) -> Command {
    let mut cargo = cargo();
    cargo.args([task, "--manifest-path", "fuzz/Cargo.toml"]);
    cargo.env("CARGO_TARGET_DIR", target_dir().join("fuzz"));
    cargo
}

/// Flags for the compiled target must not reach build scripts: naming the host as the target separates them.
fn host() -> Result<String, String> {
    let version = output_of(command("rustc").arg("-vV")).ok_or("cannot run rustc")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_string).ok_or_else(|| "rustc -vV names no host".into())
}

/// Bytes of the longest input that libFuzzer makes up: some times what the parser's inputs have, since time spent on
/// longer ones finds nothing new.
fn longest_input(target: &str) -> u32 {
    match target {
        "patch" | "patch_state" => 400,
        "image_header" | "otadata" | "boot_decision" => 512,
        "node_flash" => 600,
        "node_talk" | "spread_talk" => 1_200,
        "frame" | "dialect_frames" | "spread_message" | "cast_fragments" => 1_500,
        "image" | "image_inspect" | "trigger" | "status" | "report" | "topic" | "url" | "http_response"
        | "partition_csv" => 2_048,
        _ => 4_096,
    }
}

fn parse(number: &str) -> Result<u64, String> {
    number.parse().map_err(|_| format!("expected a whole number, found {number}"))
}

/// The names of the fuzzers, as their folder has them.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let files = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = files
        .flatten()
        .filter_map(|entry| entry.path().file_stem().map(|name| name.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}
