//! Files of a served folder: read and hashed once for as long as they do not change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest::{Context, SHA256};

use super::{FILE_CHUNK_BYTES, OCTET_STREAM, Resource, Stored, digest_bytes};

/// Files up to this size are kept in memory while they are asked for; larger ones are read from disk as they are sent.
/// No image for these chips is larger: their flash is at most 16 MiB.
const MAX_CACHED_FILE_BYTES: u64 = 16 << 20;
/// Memory for files from folders, in all.
const MAX_CACHE_BYTES: u64 = 128 << 20;
/// How many files' digests are remembered.
const MAX_CACHE_ENTRIES: usize = 512;
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) root: PathBuf,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    entries: BTreeMap<PathBuf, (Stamp, Resource, u64)>,
    clock: u64,
}

/// What tells that a file is still the one that was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: SystemTime,
    #[cfg(unix)]
    inode: u64,
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().unwrap_or(UNIX_EPOCH),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(metadata),
        }
    }
}

impl Folder {
    /// A folder that is resolved already.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, cache: Mutex::default() }
    }

    pub(super) fn find(&self, path: &str) -> Option<Resource> {
        // Links that lead out of the folder are not followed.
        let resolved =
            fs::canonicalize(self.root.join(path)).ok().filter(|full| full.starts_with(&self.root))?;
        let stamp = fs::metadata(&resolved).ok().filter(fs::Metadata::is_file).map(|m| Stamp::of(&m))?;
        if let Some(known) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(&resolved, &stamp)
        {
            return Some(known);
        }
        let (stamp, resource) = match load(&resolved) {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::warn!(path = %resolved.display(), %error, "a file of the served folder cannot be read");
                return None;
            }
        };
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(resolved, stamp, resource.clone());
        Some(resource)
    }
}

impl Cache {
    fn get(&mut self, path: &Path, stamp: &Stamp) -> Option<Resource> {
        self.clock += 1;
        let (known, resource, used) = self.entries.get_mut(path)?;
        *used = self.clock;
        (known == stamp).then(|| resource.clone())
    }

    fn put(&mut self, path: PathBuf, stamp: Stamp, resource: Resource) {
        self.clock += 1;
        self.entries.insert(path, (stamp, resource, self.clock));
        while self.entries.len() > MAX_CACHE_ENTRIES || self.memory() > MAX_CACHE_BYTES {
            let oldest =
                self.entries.iter().min_by_key(|(_, (_, _, used))| *used).map(|(path, _)| path.clone());
            match oldest {
                Some(path) if self.entries.len() > 1 => self.entries.remove(&path),
                _ => break,
            };
        }
    }

    fn memory(&self) -> u64 {
        let size = |resource: &Resource| match &resource.body {
            Stored::Memory(bytes) => bytes.len() as u64,
            Stored::Disk(..) => 0,
        };
        self.entries.values().map(|(_, resource, _)| size(resource)).sum()
    }
}

/// Reads or opens one file and hashes it; one that changes meanwhile is an error.
fn load(path: &Path) -> io::Result<(Stamp, Resource)> {
    let mut file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut hash = Context::new(&SHA256);
    let body = if stamp.length <= MAX_CACHED_FILE_BYTES {
        let mut bytes = Vec::with_capacity(usize::try_from(stamp.length).unwrap_or_default());
        (&mut file).take(MAX_CACHED_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != stamp.length {
            return Err(io::Error::other("it changed while it was read"));
        }
        hash.update(&bytes);
        Stored::Memory(bytes.into())
    } else {
        let mut chunk = vec![0; FILE_CHUNK_BYTES];
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                n => hash.update(chunk.get(..n).unwrap_or_default()),
            }
        }
        Stored::Disk(Arc::new(file), stamp.length)
    };
    let resource = Resource {
        body,
        sha256: digest_bytes(hash),
        modified: stamp.modified,
        content_type: content_type(path),
    };
    Ok((stamp, resource))
}

/// Firmware is `application/octet-stream`; the few other things that lie beside it get their own type.
fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => "application/json",
        Some("txt" | "sha256" | "md") => "text/plain; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("pem" | "crt") => "application/x-pem-file",
        Some("cbor") => "application/cbor",
        _ => OCTET_STREAM,
    }
}
