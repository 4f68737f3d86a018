//! Which of all these a file is.

use super::app::Image;
use super::flash::{self, Flash};
use super::foreign::{self, Foreign};
use super::otadata::{self, Records};
use super::patch::Patch;
use super::rows::{hex, row};
use super::signature::Signature;
use super::{nvs, release, table::Table};
use crate::size::Binary;
use rootcast_image::header::IMAGE_MAGIC;
use rootcast_image::partition::CsvError;
use rootcast_image::partition::ENTRY_MAGIC;
use rootcast_image::signature::{SIGNATURE_MAGIC, SIGNATURE_SECTOR_BYTES, SignatureSector};
use rootcast_image::{ImageError, PartitionError, PartitionTable};
use rootcast_patch::PatchError;
use rootcast_trust::release::ReleaseError;
use rootcast_trust::{KeyDigest, SignatureError};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;

/// A file's facts.
#[derive(Debug, Serialize)]
pub struct Inspected {
    file: String,
    file_size: usize,
    /// As `sha256sum` prints it: what a trigger's `sha256` means.
    file_sha256: String,
    #[serde(flatten)]
    pub facts: Facts,
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Facts {
    /// An application's image.
    AppImage(Box<Image>),
    /// A second-stage bootloader's image.
    Bootloader(Box<Image>),
    /// A partition table, binary or CSV.
    PartitionTable(Table),
    /// An otadata partition.
    Otadata(Records),
    /// An NVS partition.
    Nvs(nvs::Summary),
    /// A signature sector.
    SignatureSector(Signature),
    /// A signed release.
    Release(Box<release::Summary>),
    /// A patch between two images.
    Patch(Patch),
    /// A whole flash.
    FlashImage(Box<Flash>),
}

/// Why there are no facts.
#[derive(Debug)]
pub enum NoFacts {
    /// It is something else.
    Foreign(Foreign),
    /// It begins like an image, but its structure cannot be followed.
    Image(ImageError),
    /// It begins like a patch, but is none.
    Patch(PatchError),
    /// It begins like a partition table, but is none.
    Table(PartitionError),
    /// It reads like a partition table in CSV form, but is none.
    Csv(CsvError),
    /// It begins like a release, but cannot be read.
    Release(ReleaseError),
}

/// What is asked of a file beside what it is.
pub struct Sought<'a> {
    /// Keys whose signatures are looked for.
    pub trusted: &'a [KeyDigest],
    /// The old image of a patch.
    pub base: Option<&'a [u8]>,
}

/// Finds out what a file is and describes it.
pub fn inspect(file: String, bytes: &[u8], sought: &Sought<'_>) -> Result<Inspected, NoFacts> {
    let facts = Facts::of(bytes, sought)?;
    Ok(Inspected { file, file_size: bytes.len(), file_sha256: hex(&Sha256::digest(bytes)), facts })
}

impl Facts {
    fn of(bytes: &[u8], sought: &Sought<'_>) -> Result<Self, NoFacts> {
        let trusted = sought.trusted;
        // A whole flash may begin with a bootloader, which begins like an app image: look for its table first.
        if let Ok(table) = flash::table(bytes) {
            return Ok(Self::FlashImage(Flash::of(bytes, &table, trusted).into()));
        }
        match bytes {
            [IMAGE_MAGIC, ..] => Self::image(bytes, trusted),
            [a, b, ..] if [*a, *b] == rootcast_patch::MAGIC => {
                Patch::read(bytes, sought.base).map(Self::Patch).map_err(NoFacts::Patch)
            }
            [a, b, ..] if [*a, *b] == ENTRY_MAGIC => {
                PartitionTable::parse(bytes).map(|it| Self::table(&it)).map_err(NoFacts::Table)
            }
            [SIGNATURE_MAGIC, ..] if bytes.len() <= SIGNATURE_SECTOR_BYTES => {
                match SignatureSector::parse(bytes) {
                    Ok(sector) => Ok(Self::SignatureSector(Signature::read(&sector, None, trusted))),
                    Err(_) => Err(NoFacts::Foreign(foreign::recognise(bytes))),
                }
            }
            [a, b, ..] if [*a, *b] == release::ENVELOPE_TAG => match release::Summary::of(bytes) {
                Ok(summary) => Ok(Self::Release(summary.into())),
                Err(error) => Err(NoFacts::Release(error)),
            },
            _ if otadata::looks_like_it(bytes) => match otadata::parse(bytes) {
                Some(records) => Ok(Self::Otadata(Records::of(&records, None))),
                None => Err(NoFacts::Foreign(foreign::recognise(bytes))),
            },
            _ if nvs::looks_like_it(bytes) => Ok(Self::Nvs(nvs::Summary::of(bytes))),
            _ => match csv_text(bytes) {
                Some(text) => PartitionTable::from_csv(text).map(|it| Self::table(&it)).map_err(NoFacts::Csv),
                None => Err(NoFacts::Foreign(foreign::recognise(bytes))),
            },
        }
    }

    fn image(bytes: &[u8], trusted: &[KeyDigest]) -> Result<Self, NoFacts> {
        let image = Image::read(bytes, trusted).map_err(NoFacts::Image)?;
        let is_bootloader = image.app.is_none()
            && (image.bootloader.is_some() || image.error == Some(ImageError::MergedFactoryImage));
        Ok(if is_bootloader { Self::Bootloader(image.into()) } else { Self::AppImage(image.into()) })
    }

    fn table(table: &PartitionTable) -> Self {
        Self::PartitionTable(Table::of(table, None))
    }

    /// Why it is not sound: not what nodes take, or can be updated with.
    pub fn flaw(&self) -> Option<Flaw> {
        match self {
            Self::AppImage(image) => match (image.error, &image.belief) {
                (Some(error), _) => Some(Flaw::Image(error)),
                (None, Some(Err(error))) => Some(Flaw::Signature(*error)),
                (None, _) => None,
            },
            Self::Bootloader(image) if !image.is_whole() => {
                Some(Flaw::Other("its checksum or hash is wrong"))
            }
            Self::PartitionTable(table) if !table.is_sound() => {
                Some(Flaw::Other("nodes cannot be updated with this partition table"))
            }
            Self::Nvs(nvs) if !nvs.is_sound() => Some(Flaw::Other("it cannot be read")),
            Self::SignatureSector(signature) if !signature.holds() => {
                Some(Flaw::Other("no signature in it holds"))
            }
            Self::FlashImage(flash) => flash.flaw().map(Flaw::Other),
            Self::Patch(patch) => match patch.error {
                Some(error) => Some(Flaw::Patch(error)),
                None if patch.ends_where_it_says() => None,
                None => Some(Flaw::Other("something follows behind the patch's end")),
            },
            _ => None,
        }
    }
}

/// Why a file that was recognised is not sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A node would refuse the image.
    Image(ImageError),
    /// A node would not believe the signature.
    Signature(SignatureError),
    /// A node would not make an image of the patch.
    Patch(PatchError),
    /// Anything else; completes "FILE: …".
    Other(&'static str),
}

/// The text of a file that is most likely a partition table in CSV form: short, and its first line that is no comment
/// has at least five fields.
fn csv_text(bytes: &[u8]) -> Option<&str> {
    const MAX_CSV_BYTES: usize = 64 * 1024;
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_CSV_BYTES)?;
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    (first.split(',').count() >= 5).then_some(text)
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        match &self.facts {
            Facts::AppImage(image) => writeln!(f, "app image for {}", image.chip)?,
            Facts::Bootloader(image) => writeln!(f, "bootloader for {}", image.chip)?,
            Facts::PartitionTable(_) => writeln!(f, "partition table")?,
            Facts::Otadata(_) => writeln!(f, "otadata")?,
            Facts::Nvs(_) => writeln!(f, "NVS partition")?,
            Facts::SignatureSector(_) => writeln!(f, "signature sector")?,
            Facts::Release(_) => writeln!(f, "signed release")?,
            Facts::Patch(_) => writeln!(f, "patch")?,
            Facts::FlashImage(flash) if flash.has_bootloader() => {
                writeln!(f, "flash image (a merged factory image): for a cable, not for nodes")?
            }
            Facts::FlashImage(_) => writeln!(f, "flash image, without a bootloader")?,
        }
        match u32::try_from(self.file_size) {
            Ok(size) if size > 0 && size.is_multiple_of(1 << 10) => {
                row(f, "file size", format_args!("{size} bytes ({})", Binary(size)))?
            }
            _ => row(f, "file size", format_args!("{} bytes", self.file_size))?,
        }
        row(f, "file SHA-256", &self.file_sha256)?;
        match &self.facts {
            Facts::AppImage(facts) | Facts::Bootloader(facts) => facts.fmt(f),
            Facts::PartitionTable(facts) => facts.fmt(f),
            Facts::Otadata(facts) => facts.fmt(f),
            Facts::Nvs(facts) => facts.fmt(f),
            Facts::SignatureSector(facts) => facts.fmt(f),
            Facts::Release(facts) => facts.fmt(f),
            Facts::Patch(facts) => facts.fmt(f),
            Facts::FlashImage(facts) => facts.fmt(f),
        }
    }
}
