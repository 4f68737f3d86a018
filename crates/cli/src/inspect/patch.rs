//! Patches: what they are for, what they make, and with the old image at hand where their bytes go.

use super::rows::{hex, row};
use rootcast_patch::{PatchError, PatchHeader, explain};
use serde::Serialize;
use std::fmt;

/// A patch.
#[derive(Debug, Serialize)]
pub struct Patch {
    /// First bytes of the old image's hash; `None`: it needs no old image.
    base: Option<String>,
    /// First bytes of the SHA-256 of the file that it makes.
    result: String,
    new_size: u32,
    /// Whether the decoder reads back what it made.
    reads_back: bool,
    /// Bytes that it says it has.
    patch_size: u32,
    /// Bytes of the file behind the patch's end.
    bytes_behind: u64,
    /// Where its bytes go: known when it could be applied.
    #[serde(flatten)]
    account: Option<Account>,
    /// Why it cannot be applied.
    problem: Option<String>,
    #[serde(skip)]
    pub error: Option<PatchError>,
}

/// Where a patch's bytes go.
#[derive(Debug, Serialize)]
pub struct Account {
    spent: Vec<Spent>,
    copies: usize,
    new_bytes: usize,
    map_entries: usize,
}

#[derive(Debug, Serialize)]
struct Spent {
    on: &'static str,
    bytes: f64,
}

impl Account {
    /// From what the library found.
    pub fn new(spent: &[(&'static str, f64)], copies: usize, new_bytes: usize, map_entries: usize) -> Self {
        let spent = spent.iter().map(|&(on, bytes)| Spent { on, bytes: (bytes * 10.0).round() / 10.0 });
        Self { spent: spent.collect(), copies, new_bytes, map_entries }
    }
}

impl Patch {
    /// Reads a patch, and applies it when the old image is there or none is needed.
    pub fn read(bytes: &[u8], old: Option<&[u8]>) -> Result<Self, PatchError> {
        let header = PatchHeader::parse(bytes)?;
        let length = bytes.len() as u64;
        let mut patch = Self {
            base: header.needs_base().then(|| hex(&header.base)),
            result: hex(&header.result),
            new_size: header.new_len,
            reads_back: header.reads_back,
            patch_size: header.patch_len(),
            bytes_behind: length.saturating_sub(header.patch_len().into()),
            account: None,
            problem: None,
            error: None,
        };
        let applied = match old {
            None if header.needs_base() && length < header.patch_len().into() => Err(PatchError::Truncated),
            None if header.needs_base() => return Ok(patch),
            old => explain(bytes, old.unwrap_or_default()),
        };
        match applied {
            Ok(it) => {
                patch.account = Some(Account::new(&it.spent, it.copies, it.new_bytes, it.map_entries));
            }
            Err(error) => {
                patch.problem = Some(error.to_string());
                patch.error = Some(error);
            }
        }
        Ok(patch)
    }

    /// Whether the file is the patch and nothing else.
    pub fn ends_where_it_says(&self) -> bool {
        self.bytes_behind == 0
    }
}

impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.base {
            Some(base) => row(f, "from", format_args!("the image with hash {base}…"))?,
            None => row(f, "from", "nothing: it is a compressed image")?,
        }
        row(f, "to", format_args!("{} bytes with SHA-256 {}…", self.new_size, self.result))?;
        if self.new_size > 0 {
            let share = f64::from(self.patch_size) / f64::from(self.new_size) * 100.0;
            row(f, "share", format_args!("{share:.2} % of what it makes"))?;
        }
        row(f, "reads back", if self.reads_back { "yes, from the slot being written" } else { "no" })?;
        if self.bytes_behind > 0 {
            row(f, "behind it", format_args!("{} bytes that do not belong to it", self.bytes_behind))?;
        }
        match (&self.account, &self.problem) {
            (Some(account), _) => account.fmt(f),
            (None, Some(problem)) => row(f, "applied", format_args!("NO: {problem}")),
            (None, None) => row(f, "its bytes", "give the old image with --base to see where they go"),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, "copies", format_args!("{}; {} entries in the address map", self.copies, self.map_entries))?;
        row(f, "new bytes", self.new_bytes)?;
        for Spent { on, bytes } in &self.spent {
            writeln!(f, "  {bytes:>12.1} bytes  {on}")?;
        }
        Ok(())
    }
}
