//! Files: read with a limit, written whole or not at all.

use crate::error::Error;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The largest file that is read: an image of the largest flash there is (128 MB), with room to spare.
pub const MAX_FILE_BYTES: u64 = 160 * 1024 * 1024;

/// Reads a file, or standard input for `-`.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    let mut reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(fs::File::open(path).map_err(failed)?)
    };
    reader.by_ref().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::TooLarge { path: path.to_path_buf(), limit: MAX_FILE_BYTES });
    }
    Ok(bytes)
}

/// Reads certificates in PEM form, at least one.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    found.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| Error::Unknown {
        path: path.to_path_buf(),
        found: "no certificate in PEM form",
        advice: "Give the CA's certificate: a text that begins with -----BEGIN CERTIFICATE-----.",
    })
}

/// Whether what stands there may be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Replace it.
    Replace,
    /// Refuse.
    Keep,
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// As the system's default has it.
    Default,
    /// The owner alone (0600): private keys.
    Owner,
}

/// Writes a file: complete under its name, or not at all. What is no regular file (`/dev/stdout`) is written to.
pub fn write(path: &Path, bytes: &[u8], existing: Existing, readers: Readers) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_path_buf(), source };
    match fs::metadata(path) {
        Ok(_) if existing == Existing::Keep => return Err(Error::Exists { path: path.to_path_buf() }),
        Ok(found) if !found.is_file() => return fs::write(path, bytes).map_err(failed),
        _ => {}
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = beside(folder, readers).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    let persisted = match existing {
        Existing::Replace => file.persist(path),
        Existing::Keep => file.persist_noclobber(path),
    };
    match persisted {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::Exists { path: path.to_path_buf() })
        }
        Err(error) => Err(failed(error.error)),
    }
}

/// A temporary file with its final rights from its first moment, so that a key is never readable by others.
fn beside(folder: &Path, readers: Readers) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = match readers {
            Readers::Default => 0o666, // less the umask
            Readers::Owner => 0o600,
        };
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = readers;
    builder.tempfile_in(folder)
}

/// Makes a folder unless it is there.
pub fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

/// How a path is called in messages.
pub fn name(path: &Path) -> PathBuf {
    if path == Path::new("-") { PathBuf::from("standard input") } else { path.to_path_buf() }
}
