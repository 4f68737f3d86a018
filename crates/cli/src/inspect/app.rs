//! App images and bootloaders: the facts of `esptool image-info`, and whether a node would take the file.

mod text;

use super::rows::hex;
use super::signature::Signature;
use rootcast_image::inspect::{Checked, Inspection, inspect};
use rootcast_image::signature::SignatureSector;
use rootcast_image::{AppDescriptor, ImageError, ImageHash, ImageVerifier, SegmentHeader};
use rootcast_trust::{KeyDigest, SignatureError, verify_image_signature};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;

/// An image: of an application, or of a bootloader. Names as esptool has them, hashes in hexadecimal digits.
#[derive(Clone, Debug, Serialize)]
pub struct Image {
    pub chip: String,
    chip_id: u16,
    image_size: u32,
    entry: u32,
    flash_mode: Option<&'static str>,
    flash_size: Option<&'static str>,
    flash_frequency: Option<&'static str>,
    wp_pin: u8,
    pin_drive: PinDrive,
    min_revision: Revision,
    min_revision_legacy: u8,
    max_revision: Revision,
    segments: Vec<Segment>,
    checksum: Check<u8>,
    hash: HashCheck,
    pub app: Option<App>,
    pub bootloader: Option<Bootloader>,
    pub signature: Option<Signature>,
    /// Why a node would refuse it, whatever chip it has; `None` for a complete, undamaged app image.
    pub problem: Option<String>,
    #[serde(skip)]
    pub error: Option<ImageError>,
    /// Whether a trusted key signed it; without trusted keys, whether any key did. `None` if it is not signed and no
    /// key was asked for.
    #[serde(skip)]
    pub belief: Option<Result<KeyDigest, SignatureError>>,
}

#[derive(Clone, Debug, Serialize)]
struct PinDrive {
    clk: u8,
    q: u8,
    d: u8,
    cs0: u8,
    hd: u8,
    wp: u8,
}

#[derive(Clone, Debug, Serialize)]
struct Segment {
    index: usize,
    length: u32,
    load_address: u32,
    /// Where its header lies in the file.
    file_offset: u32,
    memory: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
struct Check<T> {
    stored: Option<T>,
    computed: T,
    valid: bool,
}

#[derive(Clone, Debug, Serialize)]
struct HashCheck {
    /// Whether the image carries the hash.
    appended: bool,
    stored: Option<String>,
    computed: String,
    /// `None` where nothing is appended.
    valid: Option<bool>,
}

/// What an application says about itself.
#[derive(Clone, Debug, Serialize)]
pub struct App {
    pub project_name: String,
    pub version: String,
    compile_time: String,
    elf_sha256: String,
    idf_version: String,
    min_efuse_block_revision: Revision,
    max_efuse_block_revision: Revision,
    /// Bytes.
    mmu_page_size: Option<u32>,
    secure_version: u32,
}

/// What a bootloader says about itself.
#[derive(Clone, Debug, Serialize)]
pub struct Bootloader {
    version: u32,
    idf_version: String,
    compile_time: String,
    secure_version: u8,
}

/// Major * 100 + minor, as people write it.
#[derive(Clone, Copy, Debug)]
struct Revision(u16);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Revision {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Image {
    /// Reads the image at the beginning of `file`; what follows it is looked at for a signature only.
    pub fn read(file: &[u8], trusted: &[KeyDigest]) -> Result<Self, ImageError> {
        let facts = inspect(file)?;
        let mut verifier = ImageVerifier::new();
        let error = verifier.push(file).and_then(|()| verifier.finish()).err();
        Ok(Self::of(&facts, file, trusted, error))
    }

    fn of(facts: &Inspection, file: &[u8], trusted: &[KeyDigest], error: Option<ImageError>) -> Self {
        let header = &facts.header;
        let [clk_q, d_cs0, hd_wp] = header.pin_drive;
        let signed = facts.signature_offset.and_then(|offset| file.split_at_checked(offset as usize));
        let signed = signed.map(|(bytes, sector)| (<[u8; 32]>::from(Sha256::digest(bytes)), sector));
        let signature = signed.and_then(|(digest, sector)| {
            let sector = SignatureSector::parse(sector).ok()?;
            Some(Signature::read(&sector, Some(&digest), trusted))
        });
        let belief = match &signed {
            Some((digest, sector)) => Some(believe(sector, digest, trusted)),
            None if trusted.is_empty() => None,
            None => Some(Err(SignatureError::Missing)),
        };
        Self {
            chip: header.chip.to_string(),
            chip_id: header.chip.0,
            image_size: facts.image_len,
            entry: header.entry,
            flash_mode: header.flash_mode_name(),
            flash_size: header.flash_size_name(),
            flash_frequency: header.flash_frequency_name(),
            wp_pin: header.wp_pin,
            pin_drive: PinDrive {
                clk: clk_q & 0x0F,
                q: clk_q >> 4,
                d: d_cs0 & 0x0F,
                cs0: d_cs0 >> 4,
                hd: hd_wp & 0x0F,
                wp: hd_wp >> 4,
            },
            min_revision: Revision(header.min_revision),
            min_revision_legacy: header.min_revision_legacy,
            max_revision: Revision(header.max_revision),
            segments: facts
                .segments
                .iter()
                .enumerate()
                .map(|(index, it)| Segment::of(facts, index, it))
                .collect(),
            checksum: Check {
                stored: facts.checksum.stored,
                computed: facts.checksum.computed,
                valid: facts.checksum.is_valid(),
            },
            hash: HashCheck::of(header.hash_appended(), &facts.hash),
            app: facts.descriptor.as_ref().map(App::of),
            bootloader: facts.bootloader.as_ref().map(|it| Bootloader {
                version: it.version,
                idf_version: it.idf_version.to_string(),
                compile_time: it.date_time.to_string(),
                secure_version: it.secure_version,
            }),
            signature,
            problem: error.map(|error| error.to_string()),
            error,
            belief,
        }
    }
}

/// Whether a trusted key, or without any the sector's own keys, signed these bytes.
fn believe(sector: &[u8], digest: &[u8; 32], trusted: &[KeyDigest]) -> Result<KeyDigest, SignatureError> {
    if !trusted.is_empty() {
        return verify_image_signature(digest, sector, trusted);
    }
    let blocks = SignatureSector::parse(sector).into_iter().flat_map(|sector| sector.blocks());
    let own: Vec<KeyDigest> = blocks.flatten().map(|block| KeyDigest(block.key_digest())).collect();
    verify_image_signature(digest, sector, &own)
}

impl Segment {
    fn of(facts: &Inspection, index: usize, segment: &SegmentHeader) -> Self {
        Self {
            index,
            length: segment.length,
            load_address: segment.load_address,
            file_offset: segment.header_offset(),
            memory: facts.memory_types(segment).collect(),
        }
    }
}

impl HashCheck {
    fn of(appended: bool, hash: &Checked<ImageHash>) -> Self {
        Self {
            appended,
            stored: hash.stored.map(|hash| hash.to_string()),
            computed: hash.computed.to_string(),
            valid: appended.then(|| hash.is_valid()),
        }
    }
}

impl App {
    fn of(descriptor: &AppDescriptor) -> Self {
        Self {
            project_name: descriptor.project_name.to_string(),
            version: descriptor.version.to_string(),
            compile_time: format!("{} {}", descriptor.date, descriptor.time),
            elf_sha256: hex(&descriptor.elf_sha256),
            idf_version: descriptor.idf_version.to_string(),
            min_efuse_block_revision: Revision(descriptor.min_efuse_block_revision),
            max_efuse_block_revision: Revision(descriptor.max_efuse_block_revision),
            mmu_page_size: descriptor.mmu_page_bytes(),
            secure_version: descriptor.secure_version,
        }
    }
}
