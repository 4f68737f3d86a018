//! `cargo xtask bench`: the benchmarks are Cargo's, in `crates/*/benches`; this finds and runs them, and puts what one
//! reports into its own section of `docs/BENCHMARKS.md`.
//!
//! A benchmark that has something for that page writes Markdown into the file that the environment variable
//! [`REPORT_VARIABLE`] names. Its section stands between two markers that carry its name, so benchmarks do not touch each
//! other's:
//!
//! ```text
//! <!-- host:begin -->
//! ## …                                  everything between is written anew
//! <!-- host:end -->
//! ```

use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::shell::{cargo, output_of, root, run, target_dir};

/// Names the file that a benchmark writes its section into.
const REPORT_VARIABLE: &str = "ROOTCAST_BENCH_REPORT";
/// What stands above the first section.
const INTRODUCTION: &str = "# Benchmarks\n\nEach section is written by the command that stands in it: `cargo xtask bench` lists them.\n";

struct Bench {
    package: String,
    name: String,
}

pub fn task(arguments: &[String]) -> Outcome {
    match arguments.split_first() {
        None => list(),
        Some((name, rest)) => run_bench(name, rest),
    }
}

fn list() -> Outcome {
    let benches = find()?;
    if benches.is_empty() {
        println!("There is no benchmark yet: crates/*/benches is where they live.");
    }
    for bench in benches {
        println!("{:<24}{}", bench.name, bench.package);
    }
    Ok(())
}

fn run_bench(name: &str, arguments: &[String]) -> Outcome {
    let benches = find()?;
    let bench = benches.iter().find(|bench| bench.name == name);
    let bench = bench.ok_or_else(|| format!("no benchmark is called \"{name}\""))?;
    let report = target_dir().join(format!("bench-{name}.md"));
    // An earlier run's report must not be taken for this one's.
    let _ = fs::remove_file(&report);
    let mut command = cargo();
    command.args(["bench", "--package", &bench.package, "--bench", &bench.name]);
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    run(command.env(REPORT_VARIABLE, &report))?;
    let Ok(text) = fs::read_to_string(&report) else { return Ok(()) };
    let call = format!("cargo xtask bench {name} {}", arguments.join(" "));
    let page = root().join("docs/BENCHMARKS.md");
    write_section(&page, name, &format!("{}\n\n{}", text.trim(), provenance(call.trim())))?;
    println!("{} is in {}", name, page.display());
    Ok(())
}

/// By which command, when and where figures were made.
fn provenance(call: &str) -> String {
    let date = output_of(crate::shell::command("date").args(["-u", "+%Y-%m-%d"])).unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("<sub>`{call}`, {}, {cores} cores of {}, Linux.</sub>", date.trim(), model.trim())
}

/// Replaces a benchmark's section of the page, or adds it at the end.
fn write_section(page: &Path, name: &str, text: &str) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", page.display());
    let old = match fs::read_to_string(page) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => INTRODUCTION.to_string(),
        Err(error) => return Err(failed(error)),
    };
    let new = with_section(&old, name, text)
        .ok_or_else(|| format!("{}: {} without {}", page.display(), begin(name), end(name)))?;
    fs::write(page, new).map_err(failed)
}

fn begin(name: &str) -> String {
    format!("<!-- {name}:begin -->")
}

fn end(name: &str) -> String {
    format!("<!-- {name}:end -->")
}

/// `None` if the section has a beginning and no end.
fn with_section(page: &str, name: &str, text: &str) -> Option<String> {
    let section = format!("{}\n{}\n{}", begin(name), text.trim(), end(name));
    let Some((before, rest)) = page.split_once(&begin(name)) else {
        return Some(format!("{}\n\n{section}\n", page.trim_end()));
    };
    let (_, after) = rest.split_once(&end(name))?;
    Some(format!("{before}{section}{after}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_rewrites_its_own_section_and_no_other() {
        let first = with_section("# Benchmarks\n", "host", "old").unwrap();
        let both = with_section(&first, "spread", "## Spread").unwrap();
        let new = with_section(&both, "host", "new").unwrap();
        assert_eq!(
            new,
            "# Benchmarks\n\n<!-- host:begin -->\nnew\n<!-- host:end -->\n\n<!-- spread:begin -->\n## Spread\n<!-- spread:end -->\n"
        );
        assert_eq!(with_section("<!-- host:begin -->\nhalf", "host", "new"), None);
    }
}
