//! A folder that a web server serves: nginx, apache, `python3 -m http.server`, or a synced drive.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use ring::digest::{Context, SHA256};

use super::artifact::Artifact;
use super::lines::join_url;
use super::{Outcome, PublishError, PublishOptions, Stored};
use crate::atomic::Part;
use crate::content::{digest_bytes, hex};

/// Stores off the async threads: folders can be on slow disks and network drives.
pub(super) async fn store(
    artifact: &Artifact,
    folder: &Path,
    options: &PublishOptions,
) -> Result<Stored, PublishError> {
    if options.presign.is_some() {
        return Err(PublishError::CannotPresign {
            place: folder.display().to_string(),
            advice: "a web server serves a folder to whoever asks",
        });
    }
    let (artifact, folder, options) = (artifact.clone(), folder.to_path_buf(), options.clone());
    let joined = tokio::task::spawn_blocking(move || store_now(&artifact, &folder, &options)).await;
    joined.unwrap_or_else(|error| {
        Err(PublishError::Refused { place: "the folder".to_owned(), detail: error.to_string() })
    })
}

fn store_now(artifact: &Artifact, folder: &Path, options: &PublishOptions) -> Result<Stored, PublishError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| PublishError::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let target = folder.join(&artifact.name);
    let existing = match file_sha256(&target) {
        Ok(sha256) => Some(sha256),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(PublishError::Read { path: target, source }),
    };
    let outcome = match existing {
        Some(found) if found == artifact.sha256 => Outcome::AlreadyThere,
        Some(found) if !options.replace => return Err(taken(artifact, &found)),
        Some(_) => Outcome::Replaced,
        None => Outcome::Uploaded,
    };
    if outcome != Outcome::AlreadyThere {
        let part = Part::write(folder, &artifact.name, &artifact.bytes).map_err(failed(&target))?;
        let found = file_sha256(part.path()).map_err(failed(part.path()))?;
        if found != artifact.sha256 {
            return Err(PublishError::Checksum {
                name: artifact.name.clone(),
                found: hex(&found),
                expected: artifact.sha256_hex(),
            });
        }
        match part.become_file(&target, outcome == Outcome::Replaced) {
            Ok(()) => {}
            // Someone else published this name between the look and now.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = file_sha256(&target).unwrap_or_default();
                if found != artifact.sha256 {
                    return Err(taken(artifact, &found));
                }
            }
            Err(source) => return Err(PublishError::Write { path: target, source }),
        }
    }
    let mut notes = readable_by_a_server(&target);
    let url = options.public_base.as_deref().map(|base| join_url(base, &artifact.name));
    if url.is_none() {
        notes.push(
            "give the address under which this folder is served (--url) to get the lines to run".to_owned(),
        );
    }
    Ok(Stored { url, outcome, notes })
}

fn taken(artifact: &Artifact, found: &[u8; 32]) -> PublishError {
    PublishError::NameTaken { name: artifact.name.clone(), found: hex(found), ours: artifact.sha256_hex() }
}

fn file_sha256(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Context::new(&SHA256);
    let mut chunk = vec![0; 64 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(digest_bytes(hash)),
            n => hash.update(chunk.get(..n).unwrap_or_default()),
        }
    }
}

/// Web servers run as another user: the file must be readable and every folder above it passable for others.
fn readable_by_a_server(target: &Path) -> Vec<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let Ok(full) = fs::canonicalize(target) else { return Vec::new() };
        let mode =
            |path: &Path| fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or(0o777);
        let closed =
            full.ancestors().skip(1).filter(|folder| mode(folder) & 0o001 == 0).last().map(Path::to_path_buf);
        if let Some(folder) = closed {
            return vec![format!(
                "a web server that runs as another user cannot enter {}: chmod o+x on it, or publish elsewhere",
                folder.display()
            )];
        }
        if mode(&full) & 0o004 == 0 {
            return vec![format!(
                "a web server that runs as another user cannot read {}: chmod o+r on it",
                full.display()
            )];
        }
    }
    #[cfg(not(unix))]
    let _ = target;
    Vec::new()
}
