//! `rootcast release create`

use crate::error::Error;
use crate::output::Output;
use crate::release::change::{ChangeArguments, describe};
use crate::release::folder::{Folder, image_name, patch_name};
use crate::release::image::{Image, ImageArgument};
use crate::release::key::read_signer;
use crate::release::moment::{Moment, now, rfc3339};
use crate::size::Bytes;
use clap::Args;
use rootcast_image::ImageHash;
use rootcast_trust::release::version::{Comparison, VersionMatch};
use rootcast_trust::release::{
    DEFAULT_VENDOR_DOMAIN, KeyChange, MAX_PATCHES, Purposes, Release, TrustRecord, TrustedKey, VendorId,
    Version, try_key_changes,
};
use rootcast_trust::sign::{CreateError, PatchSpec, ReleaseSpec, SigningKey, VariantSpec, create_release};
use rootcast_wire::text::Hex;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::PathBuf;

/// Make a signed release of images, each for its chip, node type and hardware revision
///
/// Writes the images, their page lists and patches into a folder, under names that carry version, chip and a part of
/// their hash and never come to mean other bytes, and release.suit, which names them. Host the folder anywhere and
/// trigger the URL of release.suit. The chip of an image is read from it; a node takes the image that is most narrowly
/// its own.
///
/// Nodes take a release only if its sequence number is above that of every release they took before. To go back to an
/// older version, make a new release of its images: the number rises all the same.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast release create --version 1.2.0 --key keys/release-key.pem app-c3.bin app-esp32.bin -o public
  rootcast release create --version 1.2.0 --key keys/release-key.pem --not-after 90d \\
      switch.bin:switch relay.bin:relay8,relay16 relay-r2.bin:relay8:r2 --patch-from old/switch.bin:switch -o public

SOURCE_DATE_EPOCH, if set, is the time of signing, so that the same input gives the same release.")]
pub struct Create {
    /// An app image, and whom it is for: FILE, FILE:TYPE, FILE:TYPE,TYPE or FILE:TYPE:REVISION
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<ImageArgument>,

    /// The version that the release brings
    #[arg(long, value_name = "V")]
    version: String,

    /// A private key that nodes trust for releases (PEM); give up to three
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<PathBuf>,

    /// The folder to host
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// Its place in the order of releases; without it, the time in seconds since 1970, and above the release in DIR
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,

    /// Nodes refuse the release from then on: 30d, 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    not_after: Option<Moment>,

    /// What it changes, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Let it step into the place of releases up to this sequence number, although its own (--sequence) is lower
    #[arg(long, value_name = "N", requires = "sequence")]
    replaces: Option<u64>,

    /// The version that has to run before, at least
    #[arg(long, value_name = "V")]
    needs: Option<String>,

    /// An older image that nodes run: they get a patch instead of the whole image. FILE or FILE:TYPE
    #[arg(long, value_name = "OLD")]
    patch_from: Vec<ImageArgument>,

    /// Write each image in compressed form too: a node without a patch that fetches for itself takes it
    #[arg(long)]
    packed: bool,

    /// Where the images will be, if not beside release.suit: URLs in the release begin with it
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// Whose firmware it is: the domain that nodes were provisioned with
    #[arg(long, value_name = "DOMAIN", default_value = DEFAULT_VENDOR_DOMAIN)]
    vendor: String,

    #[command(flatten)]
    changes: ChangeArguments,
}

#[derive(Serialize)]
struct Created {
    release: PathBuf,
    version: String,
    sequence_number: u64,
    signed_at: String,
    not_after: Option<String>,
    size: usize,
    sha256: String,
    signed_by: Vec<String>,
    variants: Vec<Made>,
    key_changes: Vec<String>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Made {
    class: String,
    file: PathBuf,
    size: u32,
    sha256: String,
    image_hash: String,
    patches: Vec<MadePatch>,
}

#[derive(Serialize)]
struct MadePatch {
    from: String,
    file: PathBuf,
    size: u32,
}

/// An older image, and for whom patches from it are made.
struct Old {
    image: Image,
    of_types: Vec<String>,
}

impl Create {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let keys = self.key.iter().map(|path| read_signer(path)).collect::<Result<Vec<_>, _>>()?;
        let images = self.images.iter().map(ImageArgument::read).collect::<Result<Vec<_>, _>>()?;
        let olds =
            self.patch_from.iter().map(|it| Ok(Old { image: it.read()?, of_types: it.node_types.clone() }));
        let olds = olds.collect::<Result<Vec<_>, Error>>()?;
        let folder = Folder::new(&self.output, self.base_url.as_deref());
        let mut notes = Vec::new();
        let signed_at = signing_time()?;
        let sequence_number =
            self.sequence.unwrap_or_else(|| signed_at.max(folder.newest().map_or(0, |newest| newest + 1)));
        let not_after = self.not_after.map(|moment| moment.resolve(signed_at));
        if not_after.is_some_and(|limit| limit <= signed_at) {
            return Err(Error::Usage(
                "--not-after is in the past: every node would refuse the release".to_string(),
            ));
        }
        let version_needed = self.needs.as_deref().map(version_at_least).transpose()?;

        let (mut variants, mut made) = (Vec::new(), Vec::new());
        for image in &images {
            note_version(&mut notes, image, &self.version);
            let name = image_name(&image.path, &self.version, image.facts.header.chip, &image.file);
            let file = folder.write(&name, &image.file)?;
            let patches = self.patches(&folder, image, &name, &olds, &mut notes)?;
            for class in &image.classes {
                let of = VariantSpec::of_image(class.clone(), &folder.uri(&name), &image.file);
                let (mut variant, pages) = of.map_err(|error| self.failed(error))?;
                folder.write(&format!("{name}.pages"), &pages)?;
                variant.version_needed = version_needed;
                let for_class = |it: &&(Vec<String>, PatchSpec)| {
                    it.0.is_empty() || class.node_type.as_ref().is_none_or(|name| it.0.contains(name))
                };
                variant.patches =
                    patches.iter().filter(for_class).map(|it| it.1.clone()).take(MAX_PATCHES).collect();
                made.push(Made::of(&variant, file.clone(), &folder));
                variants.push(variant);
            }
        }
        let key_changes = self.changes.read(sequence_number)?;
        let spec = ReleaseSpec {
            vendor: VendorId::of_domain(&self.vendor),
            sequence_number,
            version: self.version.clone(),
            description: self.description.clone(),
            signed_at: Some(signed_at),
            not_after,
            replaces_up_to: self.replaces,
            variants,
            key_changes,
        };
        let release = create_release(&spec, &keys).map_err(|error| self.failed(error))?;
        notes.extend(note_lock_out(&release, &keys));
        if let Some(newest) =
            folder.newest().filter(|newest| *newest >= sequence_number && self.replaces.is_none())
        {
            notes.push(format!(
                "the release before had sequence number {newest}: nodes that took it refuse this one (--replaces {newest} lets it step into its place)"
            ));
        }
        let written = folder.write_release(&release)?;
        output.show(&Created {
            release: written,
            version: self.version,
            sequence_number,
            signed_at: rfc3339(signed_at),
            not_after: not_after.map(rfc3339),
            size: release.len(),
            sha256: Hex(&Sha256::digest(&release)).to_string(),
            signed_by: keys.iter().filter_map(|key| Some(key.release_key()?.id().to_string())).collect(),
            variants: made,
            key_changes: spec.key_changes.iter().map(describe).collect(),
            notes,
        })
    }

    fn failed(&self, error: CreateError) -> Error {
        Error::CreateRelease { error }
    }

    /// Patches to this image from the older ones of the same chip and project, with the node types they are for.
    fn patches(
        &self,
        folder: &Folder,
        image: &Image,
        name: &str,
        olds: &[Old],
        notes: &mut Vec<String>,
    ) -> Result<Vec<(Vec<String>, PatchSpec)>, Error> {
        let mut patches = Vec::new();
        if self.packed {
            let created = rootcast_patch::create(&[], &image.file, &Default::default());
            let packed = created.map_err(|error| Error::Patch { path: image.path.clone(), error })?.patch;
            let nothing = ImageHash([0; 32]);
            let name = patch_name(name, &nothing.0, &packed);
            folder.write(&name, &packed)?;
            let (sha256, size) = (Sha256::digest(&packed).into(), packed.len() as u32);
            patches.push((Vec::new(), PatchSpec { from: nothing, uri: folder.uri(&name), sha256, size }));
        }
        for old in olds {
            let from = &old.image.facts;
            let same_project = from.descriptor.project_name == image.facts.descriptor.project_name;
            if from.header.chip != image.facts.header.chip || !same_project || from.hash == image.facts.hash {
                continue;
            }
            let created = rootcast_patch::create(&old.image.file, &image.file, &Default::default());
            let patch = created.map_err(|error| Error::Patch { path: old.image.path.clone(), error })?.patch;
            let size = u32::try_from(patch.len()).unwrap_or(u32::MAX);
            if patch.len() >= image.file.len() {
                notes.push(format!(
                    "no patch from {}: it would be as large as the image itself",
                    old.image.path.display()
                ));
                continue;
            }
            let name = patch_name(name, &from.hash.0, &patch);
            folder.write(&name, &patch)?;
            let sha256 = Sha256::digest(&patch).into();
            patches.push((
                old.of_types.clone(),
                PatchSpec { from: from.hash, uri: folder.uri(&name), sha256, size },
            ));
        }
        Ok(patches)
    }
}

/// Now, or what the environment says is now (https://reproducible-builds.org/specs/source-date-epoch).
pub fn signing_time() -> Result<u64, Error> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| Error::Usage(format!("SOURCE_DATE_EPOCH is \"{text}\", not seconds since 1970"))),
        Err(_) => Ok(now()),
    }
}

fn version_at_least(text: &str) -> Result<VersionMatch, Error> {
    let version = Version::parse(text).ok_or_else(|| {
        Error::Usage(format!("\"{text}\" is no version that nodes can compare: write 1.2.0"))
    })?;
    Ok(VersionMatch { comparison: Comparison::GreaterOrEqual, version })
}

fn note_version(notes: &mut Vec<String>, image: &Image, version: &str) {
    let said = image.facts.descriptor.version.to_string();
    if said.trim_start_matches('v') != version.trim_start_matches('v') {
        notes.push(format!("{} calls its version {said}", image.path.display()));
    }
}

/// What nodes that trust nobody but those who sign would say to the changes of keys.
pub fn note_lock_out(release: &[u8], keys: &[SigningKey]) -> Option<String> {
    let mut record = TrustRecord::default();
    for key in keys.iter().filter_map(SigningKey::release_key) {
        let _ = record.release_keys.push(TrustedKey::new(key, Purposes::ALL));
    }
    let release = Release::verify(release, &record).ok()?;
    let changes: Vec<KeyChange> = release.key_changes().collect();
    let refusal = try_key_changes(&release, &record).err().filter(|_| !changes.is_empty())?;
    Some(format!("nodes that trust only the keys that sign this would refuse it: {refusal}"))
}

impl Made {
    fn of(variant: &VariantSpec, file: PathBuf, folder: &Folder) -> Self {
        let patch = |it: &PatchSpec| MadePatch {
            from: it.from.to_string(),
            file: folder.at(it.uri.rsplit('/').next().unwrap_or_default()),
            size: it.size,
        };
        Self {
            class: variant.class.name(),
            file,
            size: variant.size,
            sha256: Hex(&variant.sha256).to_string(),
            image_hash: variant.image_hash.to_string(),
            patches: variant.patches.iter().map(patch).collect(),
        }
    }
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "release {} with sequence number {}", self.version, self.sequence_number)?;
        for made in &self.variants {
            writeln!(f, "  {:<24}{}  {}", made.class, made.file.display(), Bytes(made.size.into()))?;
            for patch in &made.patches {
                writeln!(
                    f,
                    "  {:<24}{}  {}, for nodes {}",
                    "",
                    patch.file.display(),
                    Bytes(patch.size.into()),
                    match patch.from.trim_start_matches('0') {
                        "" => "without a patch that fetch it themselves".to_string(),
                        _ => format!("that run {}…", &patch.from[..8]),
                    }
                )?;
            }
        }
        for change in &self.key_changes {
            writeln!(f, "  {:<24}{change}", "keys")?;
        }
        writeln!(f, "  {:<24}{}", "signed at", self.signed_at)?;
        if let Some(not_after) = &self.not_after {
            writeln!(f, "  {:<24}{not_after}", "not after")?;
        }
        for key in &self.signed_by {
            writeln!(f, "  {:<24}{key}", "signed by")?;
        }
        writeln!(f, "  {:<24}{}  {} bytes", "release", self.release.display(), self.size)?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(f, "next: host the folder, then trigger the URL of {}", crate::release::folder::RELEASE_FILE)
    }
}
