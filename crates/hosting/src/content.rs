//! [`Files`]: what a host serves. Bytes given by the program come first, then a folder.
//!
//! Every resource is a snapshot: its length, its time and its entity tag belong to the very bytes that are sent, also when the file is
//! replaced under the same name in mid-download. Entity tags are strong: they are made from the content's SHA-256.

mod folder;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use base64::Engine as _;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use ring::digest::{Context, SHA256};

use crate::HostingError;
use crate::atomic::Part;
use folder::Folder;

/// How much of a large file is read at a time.
pub(crate) const FILE_CHUNK_BYTES: usize = 64 << 10;

/// The content type of firmware.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// One thing that can be downloaded, with what its headers say.
#[derive(Clone, Debug)]
pub struct Resource {
    pub(crate) body: Stored,
    /// SHA-256 over the whole content.
    pub sha256: [u8; 32],
    /// When the content was last changed.
    pub modified: SystemTime,
    /// The media type sent with it.
    pub content_type: &'static str,
}

#[derive(Clone)]
pub(crate) enum Stored {
    Memory(Bytes),
    Disk(Arc<File>, u64),
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "Memory({} bytes)", bytes.len()),
            Self::Disk(_, length) => write!(f, "Disk({length} bytes)"),
        }
    }
}

impl Resource {
    /// A resource from bytes, changed now.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let mut hash = Context::new(&SHA256);
        hash.update(&bytes);
        Self {
            sha256: digest_bytes(hash),
            modified: SystemTime::now(),
            content_type: OCTET_STREAM,
            body: Stored::Memory(bytes),
        }
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        match &self.body {
            Stored::Memory(bytes) => bytes.len() as u64,
            Stored::Disk(_, length) => *length,
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its strong entity tag, in quotes: the first half of the content's SHA-256 in hex, short enough for a node to keep.
    pub fn etag(&self) -> String {
        format!("\"{}\"", hex(self.sha256.get(..16).unwrap_or_default()))
    }

    /// `Repr-Digest` (RFC 9530): the content's SHA-256, so that a checksum can be compared without a download.
    pub(crate) fn repr_digest(&self) -> String {
        format!("sha-256=:{}:", base64::engine::general_purpose::STANDARD.encode(self.sha256))
    }
}

/// What a host serves; clones share the content, which may change while the host runs.
#[derive(Clone, Default, Debug)]
pub struct Files {
    memory: Arc<RwLock<BTreeMap<String, Resource>>>,
    folder: Option<Arc<Folder>>,
}

impl Files {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The files of a folder and those below it. Names that begin with a dot are not served.
    pub fn with_folder(folder: &Path) -> Result<Self, HostingError> {
        let root = fs::canonicalize(folder)
            .map_err(|source| HostingError::Read { path: folder.to_path_buf(), source })?;
        Ok(Self { memory: Arc::default(), folder: Some(Arc::new(Folder::new(root))) })
    }

    /// Serves `bytes` at `path` ("/fw.bin" or "fw.bin") from now on; downloads that are running keep the old content. Returns its SHA-256.
    pub fn insert(&self, path: &str, bytes: impl Into<Bytes>) -> [u8; 32] {
        self.insert_resource(path, Resource::from_bytes(bytes))
    }

    /// As [`Files::insert`], with the time and type of the caller's choice.
    pub fn insert_resource(&self, path: &str, resource: Resource) -> [u8; 32] {
        let sha256 = resource.sha256;
        let key = path.trim_start_matches('/').to_owned();
        self.memory.write().unwrap_or_else(PoisonError::into_inner).insert(key, resource);
        sha256
    }

    /// Serves nothing at `path` any more (a folder's file of that name shows again). Whether there was something.
    pub fn remove(&self, path: &str) -> bool {
        let key = path.trim_start_matches('/');
        self.memory.write().unwrap_or_else(PoisonError::into_inner).remove(key).is_some()
    }

    /// The folder served, resolved.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref().map(|folder| folder.root.as_path())
    }

    /// Stores an upload at a request's path: in the folder if there is one, else in memory. Other content that is there already is replaced
    /// only if `replace` says so; else the error is [`io::ErrorKind::AlreadyExists`].
    pub(crate) fn upload(&self, request_path: &str, bytes: Bytes, replace: bool) -> io::Result<()> {
        let path = served_path(request_path).ok_or(io::ErrorKind::InvalidInput)?;
        let Some(folder) = &self.folder else {
            let mut memory = self.memory.write().unwrap_or_else(PoisonError::into_inner);
            if !replace && memory.contains_key(&path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            memory.insert(path, Resource::from_bytes(bytes));
            return Ok(());
        };
        let target = folder.root.join(&path);
        let (Some(parent), Some(name)) = (target.parent(), target.file_name().and_then(|name| name.to_str()))
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        fs::create_dir_all(parent)?;
        if !fs::canonicalize(parent)?.starts_with(&folder.root) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Part::write(parent, name, &bytes)?.become_file(&target, replace)
    }

    /// What is served at a request's path (percent-encoded, beginning with '/'); may read and hash a file.
    pub(crate) fn find(&self, request_path: &str) -> Option<Resource> {
        let path = served_path(request_path)?;
        let found = self.memory.read().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
        found.or_else(|| self.folder.as_ref()?.find(&path))
    }

    /// As [`Files::find`], but only where no disk is involved.
    pub(crate) fn find_in_memory(&self, request_path: &str) -> Option<Resource> {
        let path = served_path(request_path)?;
        self.memory.read().unwrap_or_else(PoisonError::into_inner).get(&path).cloned()
    }

    pub(crate) fn has_folder(&self) -> bool {
        self.folder.is_some()
    }
}

/// A request's path as a relative path, or nothing if it is not one that may be served: no `..`, no hidden names, no backslash, no NUL.
pub(crate) fn served_path(request_path: &str) -> Option<String> {
    let path = percent_decode_str(request_path.trim_start_matches('/')).decode_utf8().ok()?;
    let allowed = !path.is_empty()
        && path
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0', ':']));
    allowed.then(|| path.into_owned())
}

pub(crate) fn digest_bytes(hash: Context) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads at a place in a file without moving a shared position.
pub(crate) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut chunk = vec![0; length];
    #[cfg(unix)]
    std::os::unix::fs::FileExt::read_exact_at(file, &mut chunk, offset)?;
    #[cfg(not(unix))]
    {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut own = file.try_clone()?;
        own.seek(SeekFrom::Start(offset))?;
        own.read_exact(&mut chunk)?;
    }
    Ok(chunk.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_not_served() {
        for path in
            ["/", "/../etc/passwd", "/%2e%2e/x", "/a/../b", "/.hidden", "/a//b", "/a%5cb", "/a%00", "/C:x"]
        {
            assert_eq!(served_path(path), None, "{path}");
        }
        assert_eq!(served_path("/a%20b/fw.bin"), Some("a b/fw.bin".to_owned()));
    }

    #[test]
    fn a_link_that_leaves_the_folder_is_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), inside.path().join("link")).unwrap();
        let files = Files::with_folder(inside.path()).unwrap();
        assert!(files.find("/link").is_none());
    }

    #[test]
    fn a_replaced_file_gets_a_new_tag_and_the_old_snapshot_stays_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fw.bin");
        fs::write(&path, b"one").unwrap();
        let files = Files::with_folder(folder.path()).unwrap();
        let first = files.find("/fw.bin").unwrap();
        fs::write(folder.path().join("new"), b"three").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        let second = files.find("/fw.bin").unwrap();
        assert_ne!(first.etag(), second.etag());
        assert_eq!((first.len(), second.len()), (3, 5));
    }

    #[test]
    fn a_tag_is_made_from_the_content_alone() {
        assert_eq!(Resource::from_bytes(&b"abc"[..]).etag(), "\"ba7816bf8f01cfea414140de5dae2223\"");
    }
}
