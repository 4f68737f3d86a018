//! What the tests of the command line share: running `rootcast`, real images, Espressif's tools.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Runs `rootcast` in `folder` to its end.
pub fn rootcast(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rootcast"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("ROOTCAST_BROKER")
        .output()
        .expect("rootcast runs")
}

/// Runs `rootcast` in `folder` with these environment variables.
pub fn rootcast_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rootcast"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("ROOTCAST_BROKER")
        .envs(variables.iter().copied())
        .output()
        .expect("rootcast runs")
}

/// Runs `rootcast`, which must succeed, and returns its standard output.
pub fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = rootcast(folder, arguments);
    assert!(output.status.success(), "rootcast {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs `rootcast`, which must fail with this status, and returns its standard error.
pub fn fails(folder: &Path, status: i32, arguments: &[&str]) -> String {
    let output = rootcast(folder, arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "rootcast {arguments:?}: {stderr}");
    stderr
}

/// Runs `rootcast --json` and returns the first object: the facts, where an error may follow.
pub fn json(folder: &Path, arguments: &[&str]) -> serde_json::Value {
    let output = rootcast(folder, &[arguments, &["--json"]].concat());
    let stdout = text(&output.stdout);
    let first = stdout.lines().next().unwrap_or_else(|| panic!("rootcast {arguments:?} printed nothing"));
    serde_json::from_str(first).unwrap_or_else(|error| panic!("rootcast {arguments:?}: {error}: {first}"))
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The folder of real images; `None`, with a printed reason, where it is absent.
pub fn real_images() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/images"));
    if !folder.is_dir() {
        println!("skipped: the real images are not at {}", folder.display());
        return None;
    }
    Some(folder)
}

/// Every real image.
pub fn real_image_files() -> Vec<PathBuf> {
    let Some(folder) = real_images() else { return Vec::new() };
    let projects = std::fs::read_dir(folder).expect("the folder of real images can be read");
    let mut files: Vec<PathBuf> = projects
        .flatten()
        .filter_map(|project| std::fs::read_dir(project.path()).ok())
        .flat_map(|files| files.flatten().map(|file| file.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .collect();
    files.sort();
    files
}

/// Runs a Python module of Espressif's (`esptool`, `espsecure`), which must succeed; `None`, with a printed reason,
/// where it is not installed.
pub fn espressif(module: &str, folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = espressif_unchecked(module, folder, arguments)?;
    assert!(
        output.status.success(),
        "{module} {arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    Some(text(&output.stdout))
}

/// As [`espressif`], whether it succeeds or not.
pub fn espressif_unchecked(module: &str, folder: &Path, arguments: &[&str]) -> Option<Output> {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    let python = |arguments: &[&str]| Command::new("python3").args(arguments).current_dir(folder).output();
    let import = "import esptool, espsecure, esp_idf_nvs_partition_gen";
    if !INSTALLED.get_or_init(|| python(&["-c", import]).is_ok_and(|output| output.status.success())) {
        println!("skipped: {module} is not installed (pip install esptool esp-idf-nvs-partition-gen)");
        return None;
    }
    Some(python(&[&["-m", module], arguments].concat()).expect("python3 runs"))
}
