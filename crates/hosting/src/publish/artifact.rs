//! [`Artifact`]: a file read once, verified and named. What is uploaded is this snapshot, whatever happens to the file meanwhile.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use ring::digest::{Context, SHA256};
use rootcast_image::{AppImage, ImageVerifier};
use serde::Serialize;

use super::{PublishError, PublishOptions};
use crate::content::{digest_bytes, hex};

/// The largest file that is published: the largest flash of these chips.
const MAX_ARTIFACT_BYTES: u64 = 32 << 20;
/// The longest part of a name.
const MAX_NAME_BYTES: usize = 100;

/// What an image says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// The chip it is for, as in names: `esp32c3`.
    pub chip: String,
    /// The project's name in the app descriptor.
    pub project: String,
    /// The version in the app descriptor.
    pub version: String,
    /// The image hash, by which nodes report what they run.
    pub image_hash: String,
    /// `app_elf_sha256`, by which nodes of the original firmware report what they run; absent where it is all zeroes.
    pub elf_sha256: Option<String>,
    /// Whether a signature sector follows the image.
    pub signed: bool,
}

impl ImageFacts {
    /// What a whole image says.
    pub(crate) fn of(image: &AppImage) -> Self {
        let chip = image.header.chip;
        let chip = chip.name().map_or_else(|| format!("chip{}", chip.0), str::to_owned);
        let elf = &image.descriptor.elf_sha256;
        Self {
            chip: chip.to_ascii_lowercase().replace('-', ""),
            project: image.descriptor.project_name.to_string(),
            version: image.descriptor.version.to_string(),
            image_hash: image.hash.to_string(),
            elf_sha256: elf.iter().any(|byte| *byte != 0).then(|| hex(elf)),
            signed: image.file_len > image.signed_len,
        }
    }
}

/// A file to publish.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its name at the destination.
    pub name: String,
    /// Its content.
    pub bytes: Bytes,
    /// SHA-256 over the content.
    pub sha256: [u8; 32],
    /// What the image says; absent for other files.
    pub image: Option<ImageFacts>,
}

impl Artifact {
    /// Reads a file. A `.bin` must be a whole app image; other files (releases, patches) are taken as they are.
    pub fn read(path: &Path, options: &PublishOptions) -> Result<Self, PublishError> {
        let bytes = read_unchanged(path)?;
        Self::from_bytes(path, bytes, options)
    }

    /// As [`Artifact::read`], with the content given; `path` names it.
    pub fn from_bytes(path: &Path, bytes: Bytes, options: &PublishOptions) -> Result<Self, PublishError> {
        let mut hash = Context::new(&SHA256);
        hash.update(&bytes);
        let sha256 = digest_bytes(hash);
        let extension = path.extension().and_then(|text| text.to_str()).unwrap_or("bin").to_ascii_lowercase();
        let image = match extension.as_str() {
            "bin" => Some(facts(path, &bytes)?),
            _ => None,
        };
        if options.keep_name {
            return Ok(Self { name: own_name(path)?, bytes, sha256, image });
        }
        let stem = options
            .name
            .as_deref()
            .or_else(|| path.file_stem().and_then(|text| text.to_str()))
            .unwrap_or("firmware");
        let version = match (&options.version, &image) {
            (Some(version), _) => Some(version.clone()),
            (None, Some(facts)) if facts.version.is_empty() => {
                return Err(PublishError::NoVersion { path: path.to_path_buf() });
            }
            (None, Some(facts)) => Some(facts.version.clone()),
            (None, None) => None,
        };
        let name =
            file_name(stem, version.as_deref(), image.as_ref().map(|facts| facts.chip.as_str()), &extension)?;
        Ok(Self { name, bytes, sha256, image })
    }

    /// SHA-256 in hex.
    pub fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }

    /// The media type at the destination.
    pub(crate) fn content_type(&self) -> &'static str {
        crate::content::OCTET_STREAM
    }
}

/// `app-1.0.1-esp32c3.bin`; a part that the stem already ends with is not said twice.
fn file_name(
    stem: &str,
    version: Option<&str>,
    chip: Option<&str>,
    extension: &str,
) -> Result<String, PublishError> {
    let mut name = part(stem)?;
    for more in [version, chip].into_iter().flatten() {
        let more = part(more)?;
        let said = name == more || name.ends_with(&format!("-{more}")) || name.contains(&format!("-{more}-"));
        if !said {
            name = format!("{name}-{more}");
        }
    }
    Ok(format!("{name}.{}", part(extension)?))
}

/// The file's own name, if it can stand in a URL as it is.
fn own_name(path: &Path) -> Result<String, PublishError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match part(name)? {
        plain if plain == name => Ok(plain),
        _ => Err(PublishError::BadName { text: name.to_owned() }),
    }
}

/// One part of a name: what the parts of URLs and of every file system's names may hold. Other characters become `-`.
fn part(text: &str) -> Result<String, PublishError> {
    let plain: String = text
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' })
        .take(MAX_NAME_BYTES)
        .collect();
    let plain = plain.trim_matches(['.', '-']).to_owned();
    match plain.is_empty() {
        true => Err(PublishError::BadName { text: text.to_owned() }),
        false => Ok(plain),
    }
}

fn facts(path: &Path, bytes: &[u8]) -> Result<ImageFacts, PublishError> {
    let refuse = |error| PublishError::NotAnImage { path: path.to_path_buf(), error };
    let mut verifier = ImageVerifier::new();
    verifier.push(bytes).map_err(refuse)?;
    Ok(ImageFacts::of(&verifier.finish().map_err(refuse)?))
}

pub(super) fn read_unchanged(path: &Path) -> Result<Bytes, PublishError> {
    let failed = |source| PublishError::Read { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if before.len() > MAX_ARTIFACT_BYTES {
        return Err(PublishError::TooLarge {
            path: path.to_path_buf(),
            found: before.len(),
            limit: MAX_ARTIFACT_BYTES,
        });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or_default());
    (&mut file).take(MAX_ARTIFACT_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    let after = fs::metadata(path).map_err(failed)?;
    let same = before.len() == bytes.len() as u64
        && after.len() == before.len()
        && after.modified().ok() == before.modified().ok();
    match same {
        true => Ok(bytes.into()),
        false => Err(PublishError::Changed { path: path.to_path_buf() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_version_and_chip_once() {
        let name = |stem, version, chip| file_name(stem, version, chip, "bin").unwrap();
        assert_eq!(name("app", Some("1.0.1"), Some("esp32c3")), "app-1.0.1-esp32c3.bin");
        assert_eq!(name("app-1.0.1", Some("1.0.1"), Some("esp32c3")), "app-1.0.1-esp32c3.bin");
        assert_eq!(name("app-1.0.1-esp32c3", Some("1.0.1"), Some("esp32c3")), "app-1.0.1-esp32c3.bin");
        assert_eq!(name("my app", Some("v1 (dirty)"), None), "my-app-v1--dirty.bin");
        assert_eq!(name("../x", None, None), "x.bin");
        assert!(matches!(file_name("..", None, None, "bin"), Err(PublishError::BadName { .. })));
    }
}
