//! The folder of a release: images, page lists and patches under names that carry version, chip and a part of their
//! SHA-256, so that a URL that once worked keeps meaning the same bytes; and `release.suit`, which points to the newest.

use crate::error::Error;
use crate::files::{self, Existing, Readers};
use rootcast_image::ChipId;
use rootcast_trust::release::UnverifiedRelease;
use rootcast_wire::text::Hex;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The release's own name in its folder.
pub const RELEASE_FILE: &str = "release.suit";
/// The longest part of a name, in bytes: names stay far below what URLs in a release may have.
const MAX_PART_BYTES: usize = 48;

/// Files that belong into one folder.
pub struct Folder {
    path: PathBuf,
    base_url: Option<String>,
}

impl Folder {
    /// A folder, which is made when the first file is written; files are named by `base_url` in the release, or
    /// relative to it.
    pub fn new(path: &Path, base_url: Option<&str>) -> Self {
        let base_url = base_url.map(|url| format!("{}/", url.trim_end_matches('/')));
        Self { path: path.to_path_buf(), base_url }
    }

    /// The path of a file.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// How the release names a file.
    pub fn uri(&self, name: &str) -> String {
        format!("{}{name}", self.base_url.as_deref().unwrap_or_default())
    }

    /// Writes a file that never changes under its name.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let path = self.at(name);
        if path.is_file() && files::read(&path)? == bytes {
            return Ok(path);
        }
        files::make_folder(&self.path)?;
        files::write(&path, bytes, Existing::Keep, Readers::Default)?;
        Ok(path)
    }

    /// Puts the release in place of the one before. Everything that it names is there already.
    pub fn write_release(&self, release: &[u8]) -> Result<PathBuf, Error> {
        files::make_folder(&self.path)?;
        let path = self.at(RELEASE_FILE);
        files::write(&path, release, Existing::Replace, Readers::Default)?;
        Ok(path)
    }

    /// The sequence number of the release that is there.
    pub fn newest(&self) -> Option<u64> {
        newest(&self.at(RELEASE_FILE))
    }
}

/// The sequence number of a release file, if there is one.
pub fn newest(path: &Path) -> Option<u64> {
    let bytes = path.is_file().then(|| files::read(path).ok()).flatten()?;
    Some(UnverifiedRelease::read(&bytes).ok()?.claims().sequence_number())
}

/// The chip, as in names: `esp32c3`.
pub fn chip_name(chip: ChipId) -> String {
    chip.name().map_or_else(|| format!("chip{}", chip.0), |name| name.to_ascii_lowercase().replace('-', ""))
}

/// `app-1.2.0-esp32c3-0123abcd.bin`
pub fn image_name(source: &Path, version: &str, chip: ChipId, file: &[u8]) -> String {
    let stem = source.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (stem, version, chip) = (part(&stem), part(version), chip_name(chip));
    let said = |more: &str| {
        stem == *more || stem.ends_with(&format!("-{more}")) || stem.contains(&format!("-{more}-"))
    };
    let mut name = if stem.is_empty() { "app".to_string() } else { stem.clone() };
    for more in [&version, &chip].into_iter().filter(|more| !more.is_empty() && !said(more)) {
        name = format!("{name}-{more}");
    }
    format!("{name}-{}.bin", short_hash(file))
}

/// `app-1.2.0-esp32c3-0123abcd-from-4567cdef.patch`
pub fn patch_name(image_name: &str, from: &[u8; 32], patch: &[u8]) -> String {
    let stem = image_name.trim_end_matches(".bin");
    if *from == [0; 32] {
        return format!("{stem}-packed-{}.patch", short_hash(patch));
    }
    format!("{stem}-from-{}-{}.patch", Hex(&from[..4]), short_hash(patch))
}

fn short_hash(bytes: &[u8]) -> String {
    Hex(&Sha256::digest(bytes)[..4]).to_string()
}

/// What the parts of URLs and of every file system's names may hold; other characters become `-`.
fn part(text: &str) -> String {
    let plain =
        text.trim().chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' });
    plain.take(MAX_PART_BYTES).collect::<String>().trim_matches(['.', '-']).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_version_chip_and_content() {
        let name =
            |source: &str, version: &str| image_name(Path::new(source), version, ChipId::ESP32C3, b"x");
        assert_eq!(name("build/app.bin", "1.2.0"), "app-1.2.0-esp32c3-2d711642.bin");
        assert_eq!(name("app-1.2.0.bin", "1.2.0"), "app-1.2.0-esp32c3-2d711642.bin");
        assert_eq!(name("my app.bin", "v1 (dirty)"), "my-app-v1--dirty-esp32c3-2d711642.bin");
        assert_eq!(name("..bin", ""), "app-esp32c3-2d711642.bin");
        assert_eq!(
            patch_name("app-2d711642.bin", &[7; 32], b"x"),
            "app-2d711642-from-07070707-2d711642.patch"
        );
    }

    #[test]
    fn a_name_never_comes_to_mean_other_bytes() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path(), None);
        folder.write("a.bin", b"one").unwrap();
        folder.write("a.bin", b"one").unwrap();
        assert!(matches!(folder.write("a.bin", b"two"), Err(Error::Exists { .. })));
        assert_eq!(std::fs::read(place.path().join("a.bin")).unwrap(), b"one");
    }
}
