//! `rootcast delta`

use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::inspect::{Account, hex};
use crate::output::Output;
use clap::Args;
use rootcast_patch::{Options, PatchHeader, apply, create_with_progress};
use serde::Serialize;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Make a patch from one image to another, or apply one
///
/// A node that runs OLD makes NEW out of its own flash and the patch, and verifies it as any image. A patch on another
/// image than the one it was made from is refused. What was made is tried before it is written.
#[derive(Args)]
#[command(
    override_usage = "rootcast delta OLD NEW -o PATCH
       rootcast delta OLD PATCH --apply -o NEW
       rootcast delta NEW --compress -o PACKED
       rootcast delta PACKED --apply -o NEW",
    after_help = "Examples:
  rootcast delta old.bin new.bin -o new.patch
  rootcast delta old.bin new.patch --apply -o new.bin      as a node does it, to try a patch
  rootcast delta new.bin --compress -o new.packed          for nodes without a base: the same decoder unpacks it
  rootcast inspect new.patch --base old.bin                where the patch's bytes go

Exit status 1 if the patch is damaged, or for another image."
)]
pub struct Delta {
    /// OLD and NEW, or with --apply OLD and PATCH; - for standard input
    #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The file to write
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,

    /// Apply a patch instead of making one
    #[arg(long, conflicts_with = "compress")]
    apply: bool,

    /// Make a patch on nothing: the image, compressed
    #[arg(long)]
    compress: bool,

    /// Make a patch that never reads back what it made: for nodes whose slot cannot be read while it is written
    #[arg(long, conflicts_with = "apply")]
    no_read_back: bool,
}

impl Delta {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        match (self.apply, self.compress, self.files.as_slice()) {
            (true, _, [patch]) => apply_to(None, patch, &self.output, output),
            (true, _, [old, patch]) => apply_to(Some(old.as_path()), patch, &self.output, output),
            (false, true, [new]) => self.make(None, new, output),
            (false, false, [old, new]) => self.make(Some(old.as_path()), new, output),
            (false, true, _) => {
                Err(Error::Usage("--compress takes one file: the image to compress".to_string()))
            }
            _ => {
                Err(Error::Usage("a patch is made from two files: OLD, which nodes run, and NEW".to_string()))
            }
        }
    }

    fn make(&self, old: Option<&Path>, new: &Path, output: &mut Output) -> Result<(), Error> {
        let old_bytes = old.map(files::read).transpose()?.unwrap_or_default();
        let new_bytes = files::read(new)?;
        if let Some(old) = old.filter(|_| old_bytes.is_empty()) {
            let what = files::name(old);
            return Err(Error::Usage(format!("{} is empty: give --compress instead", what.display())));
        }
        let mut options = Options::default();
        options.read_back = !self.no_read_back;
        let progress = Progress::new();
        let made = create_with_progress(&old_bytes, &new_bytes, &options, &|done| progress.show(done));
        progress.end();
        let made = made.map_err(|error| Error::Patch { path: files::name(old.unwrap_or(new)), error })?;
        files::write(&self.output, &made.patch, Existing::Replace, Readers::Default)?;
        let header = PatchHeader::parse(&made.patch)
            .map_err(|error| Error::BadPatch { path: self.output.clone(), error })?;
        output.show(&Made {
            file: self.output.clone(),
            file_size: made.patch.len(),
            new_size: new_bytes.len(),
            base: header.needs_base().then(|| hex(&header.base)),
            result: hex(&header.result),
            reads_back: header.reads_back,
            account: Account::new(&made.spent, made.copies, made.new_bytes, made.map_entries),
        })
    }
}

fn apply_to(old: Option<&Path>, patch: &Path, to: &Path, output: &mut Output) -> Result<(), Error> {
    let old_bytes = old.map(files::read).transpose()?.unwrap_or_default();
    let patch_bytes = files::read(patch)?;
    let failed = |error| Error::BadPatch { path: files::name(patch), error };
    let header = PatchHeader::parse(&patch_bytes).map_err(failed)?;
    if header.needs_base() && old.is_none() {
        let name = files::name(patch);
        return Err(Error::Usage(format!(
            "{} needs the image {}…: give it before the patch",
            name.display(),
            hex(&header.base)
        )));
    }
    if patch_bytes.len() > header.patch_len() as usize {
        return Err(Error::Flawed {
            path: files::name(patch),
            flaw: "something follows behind the patch's end",
        });
    }
    let made = apply(&patch_bytes, &old_bytes).map_err(failed)?;
    files::write(to, &made, Existing::Replace, Readers::Default)?;
    output.show(&Applied {
        file: to.to_path_buf(),
        file_size: made.len(),
        patch_size: patch_bytes.len(),
        image_hash: hex(&rootcast_patch::image_hash(&made)),
    })
}

/// How far making a patch is, on a terminal's last line.
struct Progress {
    shown: Option<Mutex<u32>>,
}

impl Progress {
    fn new() -> Self {
        Self { shown: io::stderr().is_terminal().then(|| Mutex::new(u32::MAX)) }
    }

    fn show(&self, done: f32) {
        let Some(Ok(mut shown)) = self.shown.as_ref().map(Mutex::lock) else { return };
        let percent = (done * 100.0) as u32;
        if *shown != percent {
            *shown = percent;
            let mut stderr = io::stderr();
            let _ = write!(stderr, "\rmaking the patch: {percent:3} %").and_then(|()| stderr.flush());
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r{:24}\r", "");
        }
    }
}

#[derive(Serialize)]
struct Made {
    file: PathBuf,
    file_size: usize,
    new_size: usize,
    base: Option<String>,
    result: String,
    reads_back: bool,
    #[serde(flatten)]
    account: Account,
}

#[derive(Serialize)]
struct Applied {
    file: PathBuf,
    file_size: usize,
    patch_size: usize,
    image_hash: String,
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "made: {}, {} bytes ({:.1} % of the image's {})",
            self.file.display(),
            self.file_size,
            share(self.file_size, self.new_size),
            self.new_size
        )?;
        match &self.base {
            Some(base) => writeln!(f, "  from      image hash {base}…")?,
            None => writeln!(f, "  from      nothing: any node can unpack it")?,
        }
        writeln!(f, "  to        SHA-256 {}…", self.result)?;
        write!(f, "{}", self.account)
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "made: {}, {} bytes from a patch of {}",
            self.file.display(),
            self.file_size,
            self.patch_size
        )?;
        writeln!(f, "  image hash {}", self.image_hash)
    }
}
