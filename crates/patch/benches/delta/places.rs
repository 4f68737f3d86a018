//! Where images are, and where what is built goes.

use std::fs;
use std::path::{Path, PathBuf};

/// An old and a new image.
#[derive(Clone)]
pub struct Pair {
    pub name: String,
    pub old: PathBuf,
    pub new: PathBuf,
}

impl Pair {
    /// A pair called after its files.
    pub fn of(old: &Path, new: &Path) -> Self {
        let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name: format!("{} → {}", stem(old), stem(new)), old: old.into(), new: new.into() }
    }

    /// An image without an old one.
    pub fn full(new: &Path) -> Self {
        let stem = new.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { name: stem, old: PathBuf::new(), new: new.into() }
    }

    /// The old image's bytes; none for a full image.
    pub fn old_bytes(&self) -> Result<Vec<u8>, String> {
        if self.old.as_os_str().is_empty() { Ok(Vec::new()) } else { read(&self.old) }
    }
}

pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap_or_default()
}

/// Where builds put their output.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The pairs named on the command line.
pub fn files_of(arguments: &[String]) -> Result<Vec<Pair>, String> {
    if !arguments.len().is_multiple_of(2) {
        return Err(format!("expected pairs of files, found {}", arguments.join(" ")));
    }
    let here = |name: &String| std::path::absolute(name).unwrap_or_else(|_| name.into());
    Ok(arguments.chunks_exact(2).map(|pair| Pair::of(&here(&pair[0]), &here(&pair[1]))).collect())
}

/// Every two consecutive images of each project beside this one.
pub fn real_pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for project in sorted(&root().join("../shared/images")) {
        let images = sorted(&project);
        let images: Vec<_> =
            images.into_iter().filter(|file| file.extension().is_some_and(|it| it == "bin")).collect();
        for two in images.windows(2) {
            let project = project.file_name().unwrap_or_default().to_string_lossy();
            let mut pair = Pair::of(&two[0], &two[1]);
            pair.name = format!("{project}: {}", pair.name);
            pairs.push(pair);
        }
    }
    pairs
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
