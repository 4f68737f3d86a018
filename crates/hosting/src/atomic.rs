//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A file that is not there yet under its name; removed unless it becomes one.
pub(crate) struct Part {
    path: PathBuf,
}

impl Part {
    /// Hidden, so that no server lists or serves it; in the same folder, so that it can be renamed.
    pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<Self> {
        let path = folder.join(format!(".{}.{}.part", name, std::process::id()));
        let part = Self { path };
        let mut file = File::create(&part.path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(part)
    }

    /// Where it is until then.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// In one step: nobody ever sees half a file.
    pub(crate) fn become_file(self, target: &Path, replace: bool) -> io::Result<()> {
        if replace {
            fs::rename(&self.path, target)?;
        } else {
            match fs::hard_link(&self.path, target) {
                // File systems without links (FAT, some network drives).
                Err(error)
                    if error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(1) =>
                {
                    fs::rename(&self.path, target)?;
                }
                other => other?,
            }
        }
        if let Some(folder) = target.parent() {
            // Not every platform can sync a folder; the content itself is synced.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
