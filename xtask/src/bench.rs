//! `cargo xtask bench`: the benchmarks are Cargo's, in `crates/*/benches`; this finds and runs them.

use std::fs;

use crate::Outcome;
use crate::shell::{cargo, root, run};

struct Bench {
    package: String,
    name: String,
}

fn run_bench(name: Option<&str>) -> Outcome {
    let benches = find()?;
    let Some(name) = name else {
        if benches.is_empty() {
            println!("There is no benchmark yet: crates/*/benches is where they live.");
        }
        for bench in benches {
            println!("{:<24}{}", bench.name, bench.package);
        }
        return Ok(());
    };
    let bench = benches.iter().find(|bench| bench.name == name);
    let bench = bench.ok_or_else(|| format!("no benchmark is called \"{name}\""))?;
    run(cargo().args(["bench", "--package", &bench.package, "--bench", &bench.name]))
}

pub fn task(arguments: &[String]) -> Outcome {
    match arguments {
        [] => run_bench(None),
        [name] => run_bench(Some(name)),
        _ => Err(format!("expected one name at most, found {}", arguments.join(" "))),
    }
}

fn find() -> Result<Vec<Bench>, String> {
    let mut benches = Vec::new();
    let crates = fs::read_dir(root().join("crates")).map_err(|error| format!("crates: {error}"))?;
    for folder in crates.flatten().map(|entry| entry.path()) {
        let Ok(files) = fs::read_dir(folder.join("benches")) else { continue };
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let package = manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or_default();
        for file in files.flatten().map(|entry| entry.path()) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                benches.push(Bench { package: package.trim_matches('"').into(), name });
            }
        }
    }
    benches.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(benches)
}
