//! Several files as one: a release with its images, page lists and patches.
//!
//! Everything is read, verified and compared with what the release says before anything is uploaded. The release itself goes last: nothing
//! leads to the other files before it is there, so a set that breaks off half-way is not published at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rootcast_trust::release::{UnverifiedRelease, Variant};

use super::{Artifact, Destination, Progress, PublishError, PublishOptions, Published, publish_artifact};
use crate::release_files::{is_release, page_list_uri};

/// Told how far the upload of a file is, by name.
pub type OnSetProgress<'a> = &'a (dyn Fn(&str, Progress) + Sync);

/// Publishes files together. The releases among them go last, and only if all they speak of is among the files too.
pub async fn publish_set(
    files: &[PathBuf],
    destination: &Destination,
    options: &PublishOptions,
    progress: OnSetProgress<'_>,
) -> Result<Vec<Published>, PublishError> {
    let artifacts = read_set(files, options)?;
    let mut published: Vec<Published> = Vec::new();
    for artifact in &artifacts {
        let told = |state| progress(&artifact.name, state);
        match publish_artifact(artifact, destination, options, &told).await {
            Ok(done) => published.push(done),
            Err(error) if published.is_empty() => return Err(error),
            Err(error) => {
                return Err(PublishError::Partly {
                    done: published.into_iter().map(|done| done.name).collect(),
                    failed: artifact.name.clone(),
                    error: Box::new(error),
                });
            }
        }
    }
    Ok(published)
}

/// A signed release and every file that it finds beside itself, the release last; `None` if it is none.
pub fn files_of_release(path: &Path) -> Result<Option<Vec<PathBuf>>, PublishError> {
    let bytes = super::artifact::read_unchanged(path)?;
    if !is_release(&bytes) {
        return Ok(None);
    }
    let read = read_release(path, &bytes)?;
    let mut names = BTreeSet::new();
    for variant in read.claims().variants() {
        names.extend(files_of(&variant).into_iter().map(|(uri, ..)| uri.to_owned()));
        names.extend(page_list_uri(&variant));
    }
    let beside = names.into_iter().filter(|name| !is_elsewhere(name)).map(|name| path.with_file_name(name));
    Ok(Some(beside.chain([path.to_path_buf()]).collect()))
}

/// Reads and checks all files; releases stand last.
fn read_set(files: &[PathBuf], options: &PublishOptions) -> Result<Vec<Artifact>, PublishError> {
    let read = |path: &PathBuf| super::artifact::read_unchanged(path).map(|bytes| (path.clone(), bytes));
    let contents: Vec<_> = files.iter().map(read).collect::<Result<_, _>>()?;
    // What a release refers to by name keeps its name.
    let keep_name = options.keep_name || contents.iter().any(|(_, bytes)| is_release(bytes));
    let (mut plain, mut releases) = (Vec::new(), Vec::new());
    for (path, bytes) in contents {
        if is_release(&bytes) {
            releases.push((path.clone(), release_artifact(&path, bytes, options)?));
        } else {
            let options = PublishOptions { keep_name, ..options.clone() };
            plain.push(Artifact::from_bytes(&path, bytes, &options)?);
        }
    }
    for (path, release) in &releases {
        if options.presign.is_some() {
            return Err(PublishError::CannotPresign {
                place: path.display().to_string(),
                advice: "it leads to files whose URLs would have to be signed too; let nodes read this place (a CDN, a public prefix)",
            });
        }
        compare(path, release, &plain)?;
    }
    let all: Vec<Artifact> =
        plain.into_iter().chain(releases.into_iter().map(|(_, release)| release)).collect();
    for (at, artifact) in all.iter().enumerate() {
        if all.iter().take(at).any(|other| other.name == artifact.name) {
            return Err(PublishError::SameName { name: artifact.name.clone() });
        }
    }
    Ok(all)
}

/// A release's own name may change, for nothing refers to it: it gets the version that the release says.
fn release_artifact(
    path: &Path,
    bytes: bytes::Bytes,
    options: &PublishOptions,
) -> Result<Artifact, PublishError> {
    let said = {
        let release = read_release(path, &bytes)?;
        release.claims().texts().version.map(str::to_owned)
    };
    let version = options.version.clone().or(said);
    Artifact::from_bytes(path, bytes, &PublishOptions { version, ..options.clone() })
}

fn read_release<'a>(path: &Path, bytes: &'a [u8]) -> Result<UnverifiedRelease<'a>, PublishError> {
    UnverifiedRelease::read(bytes)
        .map_err(|error| PublishError::NotARelease { path: path.to_path_buf(), detail: error.to_string() })
}

/// Every file that the release finds beside itself must be among the files, with the size and SHA-256 that it says.
fn compare(path: &Path, release: &Artifact, files: &[Artifact]) -> Result<(), PublishError> {
    let read = read_release(path, &release.bytes)?;
    let refuse = |uri: &str, reason: String| PublishError::ReleaseFile {
        release: path.to_path_buf(),
        uri: uri.to_owned(),
        reason,
    };
    let find = |uri: &str| files.iter().find(|file| file.name == uri);
    for variant in read.claims().variants() {
        for (uri, size, sha256) in files_of(&variant) {
            if is_elsewhere(uri) {
                continue;
            }
            let file = find(uri).ok_or_else(|| {
                let hint = if uri.contains('/') {
                    "; files are published beside the release, not in folders"
                } else {
                    ""
                };
                refuse(uri, format!("it is not among the files given{hint}"))
            })?;
            let (found, length) = (file.sha256, file.bytes.len() as u64);
            if length != u64::from(size) || found != *sha256 {
                let text = format!(
                    "it has {length} bytes and sha256 {}, the release says {size} bytes and sha256 {}",
                    file.sha256_hex(),
                    crate::content::hex(sha256)
                );
                return Err(refuse(uri, text));
            }
        }
        if let Some(list) = page_list_uri(&variant).filter(|list| !is_elsewhere(list))
            && find(&list).is_none()
        {
            return Err(refuse(
                &list,
                "the list of the image's pages is not among the files given".to_owned(),
            ));
        }
    }
    Ok(())
}

/// The image and the patches of a variant: where, how long, which digest.
fn files_of<'a>(variant: &Variant<'a>) -> Vec<(&'a str, u32, &'a [u8; 32])> {
    let patches = variant.patches().map(|patch| (patch.uri, patch.size, patch.sha256));
    std::iter::once((variant.uri, variant.size, variant.sha256)).chain(patches).collect()
}

/// Whether a reference leads somewhere else than beside the release.
fn is_elsewhere(uri: &str) -> bool {
    uri.contains("://") || uri.starts_with('/')
}
