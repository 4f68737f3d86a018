//! A chip whose content outlives the process.

use super::sectors::Sectors;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file behind a chip, locked as long as this lives. Every operation is written through at once, so that a process
/// killed at any moment leaves a picture that a chip could hold.
#[derive(Debug)]
pub struct FlashFile {
    file: File,
    path: PathBuf,
}

/// Why a file cannot serve as a chip.
#[derive(Debug, thiserror::Error)]
pub enum FlashFileError {
    /// It cannot be opened, read or created.
    #[error("flash file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another process has it as its chip.
    #[error("flash file {path} is in use by another process: each node needs its own")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Its size is not that of a chip.
    #[error(
        "flash file {path} has {found} bytes, expected a multiple of 4,096 up to 128 MiB (a dump of a whole chip)"
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
    },
}

/// The largest chip: 128 MiB, the highest size an image header can state.
const MAX_BYTES: u64 = 128 << 20;

impl FlashFile {
    /// Opens a dump of a whole chip and reads it.
    ///
    /// # Errors
    /// [`FlashFileError`].
    pub fn open(path: &Path) -> Result<(Self, Sectors), FlashFileError> {
        let failed = |source| FlashFileError::Io { path: path.into(), source };
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let this = Self::locked(file, path)?;
        let found = this.file.metadata().map_err(failed)?.len();
        if found == 0 || found % super::SECTOR_BYTES as u64 != 0 || found > MAX_BYTES {
            return Err(FlashFileError::Size { path: path.into(), found });
        }
        let mut bytes = vec![0; found as usize];
        (&this.file).read_exact(&mut bytes).map_err(failed)?;
        Ok((this, Sectors::from_bytes(&bytes)))
    }

    /// Makes a file with this content. An existing file is not overwritten.
    ///
    /// # Errors
    /// [`FlashFileError`].
    pub fn create(path: &Path, content: &Sectors) -> Result<Self, FlashFileError> {
        let failed = |source| FlashFileError::Io { path: path.into(), source };
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(failed)?;
        let this = Self::locked(file, path)?;
        this.write(0, &content.bytes(0..content.size())).map_err(failed)?;
        Ok(this)
    }

    fn locked(file: File, path: &Path) -> Result<Self, FlashFileError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path: path.into() }),
            Err(TryLockError::WouldBlock) => Err(FlashFileError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(FlashFileError::Io { path: path.into(), source }),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what a chip now holds at `address`.
    pub(super) fn write(&self, address: u32, bytes: &[u8]) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(address.into()))?;
        file.write_all(bytes)
    }
}
