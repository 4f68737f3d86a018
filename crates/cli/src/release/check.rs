//! Whether a release and the files beside it are what nodes would take.

use super::folder::chip_name;
use super::image::verify;
use super::moment::rfc3339;
use crate::error::Error;
use crate::files;
use rootcast_trust::release::{Patch, Release, TrustRecord, UnverifiedRelease, Variant, try_key_changes};
use rootcast_trust::sign::page_list;
use rootcast_wire::text::Hex;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;

/// What was checked, in order.
#[derive(Debug, Serialize)]
pub struct Checked {
    release: String,
    version: Option<String>,
    sequence_number: u64,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    what: String,
    outcome: Outcome,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Right,
    Wrong,
    NotChecked,
}

/// Checks a release for nodes that trust these keys, at this moment (seconds since 1970), and, if a folder is given, the
/// files in it that the release names.
///
/// # Errors
/// [`Error::Release`] if nothing in the release is to be believed.
pub fn check(
    path: &Path,
    bytes: &[u8],
    trust: &TrustRecord,
    at: u64,
    folder: Option<&Path>,
) -> Result<Checked, Error> {
    let failed = |error| Error::Release { path: path.to_path_buf(), error };
    let release = Release::verify(bytes, trust).map_err(failed)?;
    let signers = UnverifiedRelease::read(bytes).map_err(failed)?;
    let mut checks = Vec::new();
    let mut say =
        |what: &str, outcome, detail: String| checks.push(Check { what: what.to_string(), outcome, detail });

    let names = |kid: Option<&[u8]>| {
        let kid = kid.unwrap_or_default();
        let known =
            trust.release_keys.iter().find(|known| known.key.id().0.starts_with(kid) && !kid.is_empty());
        known.map_or_else(|| format!("{} (not asked about)", Hex(kid)), |known| known.key.id().to_string())
    };
    let by: Vec<String> = signers.key_ids().map(names).collect();
    say("signature", Outcome::Right, format!("by {}", by.join(", ")));
    match release.not_after() {
        Some(limit) if at >= limit => {
            say("time", Outcome::Wrong, format!("nodes refuse it since {}", rfc3339(limit)))
        }
        Some(limit) => say("time", Outcome::Right, format!("good until {}", rfc3339(limit))),
        None => say("time", Outcome::Right, "good without end".to_string()),
    }
    if release.key_changes().next().is_some() {
        match try_key_changes(&release, trust) {
            Ok(()) => say("key changes", Outcome::Right, "can be made".to_string()),
            Err(refusal) => say("key changes", Outcome::Wrong, refusal.to_string()),
        }
    }
    if let Some(folder) = folder {
        for variant in release.variants() {
            check_variant(folder, &variant, &mut say);
        }
    }
    Ok(Checked {
        release: path.display().to_string(),
        version: release.texts().version.map(str::to_string),
        sequence_number: release.sequence_number(),
        checks,
    })
}

fn check_variant(folder: &Path, variant: &Variant<'_>, say: &mut impl FnMut(&str, Outcome, String)) {
    let class = variant.class_name.map_or_else(|| variant.class.to_string(), str::to_string);
    let Some(path) = beside(folder, variant.uri) else {
        return say(&class, Outcome::NotChecked, format!("{} is elsewhere", variant.uri));
    };
    let Some(file) = read(&path, &class, say) else { return };
    if let Err(mismatch) = variant.check_file(size_of(&file), &Sha256::digest(&file).into()) {
        return say(&class, Outcome::Wrong, format!("{}: {mismatch}", path.display()));
    }
    let image = match verify(&path, &file) {
        Ok(image) => image,
        Err(error) => return say(&class, Outcome::Wrong, error.to_string()),
    };
    if variant.image_hash.is_some_and(|hash| hash != image.hash) {
        return say(
            &class,
            Outcome::Wrong,
            format!("{}: the release calls it by another image hash", path.display()),
        );
    }
    let chip = chip_name(image.header.chip);
    // The class id proves nothing to a person; the name beside it is what the release means.
    if variant.class_name.is_some_and(|name| name.split(':').next() != Some(chip.as_str())) {
        return say(&class, Outcome::Wrong, format!("{} is for {chip}", path.display()));
    }
    say(&class, Outcome::Right, format!("{}, {} bytes", path.display(), file.len()));

    if let Some(pages) = variant.pages {
        let uri = variant.page_list_uri.map_or_else(|| with_pages(variant.uri), str::to_string);
        let what = format!("{class}, page list");
        match beside(folder, &uri) {
            None => say(&what, Outcome::NotChecked, format!("{uri} is elsewhere")),
            Some(path) => {
                let Some(list) = read(&path, &what, say) else { return };
                let signed = page_list(&list) == pages.as_bytes() && list == page_list(&file);
                match signed {
                    true => say(&what, Outcome::Right, path.display().to_string()),
                    false => say(&what, Outcome::Wrong, format!("{} is not this image's", path.display())),
                }
            }
        }
    }
    for patch in variant.patches() {
        check_patch(folder, &class, &patch, say);
    }
}

fn check_patch(folder: &Path, class: &str, patch: &Patch<'_>, say: &mut impl FnMut(&str, Outcome, String)) {
    let what = format!("{class}, patch from {}…", Hex(&patch.from.0[..4]));
    let Some(path) = beside(folder, patch.uri) else {
        return say(&what, Outcome::NotChecked, format!("{} is elsewhere", patch.uri));
    };
    let Some(file) = read(&path, &what, say) else { return };
    let same = size_of(&file) == patch.size && Sha256::digest(&file)[..] == patch.sha256[..];
    match same {
        true => say(&what, Outcome::Right, format!("{}, {} bytes", path.display(), file.len())),
        false => say(&what, Outcome::Wrong, format!("{} is not the file in the release", path.display())),
    }
}

fn read(path: &Path, what: &str, say: &mut impl FnMut(&str, Outcome, String)) -> Option<Vec<u8>> {
    files::read(path).map_err(|error| say(what, Outcome::Wrong, error.to_string())).ok()
}

/// The file that a relative reference means; `None` for one that leads out of the folder or elsewhere.
fn beside(folder: &Path, uri: &str) -> Option<std::path::PathBuf> {
    let name = uri.strip_prefix("./").unwrap_or(uri);
    let plain = !name.starts_with('/') && !name.contains([':', '?', '#', '%']);
    let inside = name.split('/').all(|part| !part.is_empty() && part != ".." && part != ".");
    (plain && inside).then(|| folder.join(name))
}

/// Where the page list is unless the release says otherwise.
fn with_pages(uri: &str) -> String {
    let path = uri.split('?').next().unwrap_or(uri);
    format!("{path}.pages{}", &uri[path.len()..])
}

fn size_of(file: &[u8]) -> u32 {
    u32::try_from(file.len()).unwrap_or(u32::MAX)
}

impl Checked {
    /// How many checks found something wrong.
    pub fn failures(&self) -> usize {
        self.checks.iter().filter(|check| check.outcome == Outcome::Wrong).count()
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("without a version");
        writeln!(f, "{}: release {version}, sequence number {}", self.release, self.sequence_number)?;
        for check in &self.checks {
            let mark = match check.outcome {
                Outcome::Right => "ok   ",
                Outcome::Wrong => "WRONG",
                Outcome::NotChecked => "-    ",
            };
            writeln!(f, "  {mark} {}: {}", check.what, check.detail)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_in_the_folder_are_looked_at() {
        let folder = Path::new("public");
        assert_eq!(beside(folder, "a.bin"), Some(folder.join("a.bin")));
        assert_eq!(beside(folder, "./v1/a.bin"), Some(folder.join("v1/a.bin")));
        for elsewhere in
            ["https://x/a.bin", "../a.bin", "/etc/passwd", "a/../../b", "a.bin?x=1", "//x/a", "a%2e"]
        {
            assert_eq!(beside(folder, elsewhere), None, "{elsewhere}");
        }
    }
}
