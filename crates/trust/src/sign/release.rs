//! Making releases: the writing half of [`crate::release`].

use core::fmt;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use rootcast_image::{ChipId, ImageError, ImageHash, ImageVerifier};
use sha2::{Digest, Sha256};

use super::suit::{self, Sequence};
use super::{SignError, SigningKey};
use crate::release::pages::{PAGE_BYTES, page_digest};
use crate::release::version::VersionMatch;
use crate::release::{
    ClassId, KeyChange, Purposes, Release, ReleaseError, ReleaseKey, TrustRecord, TrustedKey, VendorId,
};

/// What a release shall say.
#[derive(Clone, Debug)]
pub struct ReleaseSpec {
    /// Whose release it is.
    pub vendor: VendorId,
    /// Its place in the order of releases; above that of every release before.
    pub sequence_number: u64,
    /// The version it brings; empty for none (a release that only changes keys).
    pub version: String,
    /// What it changes, for people.
    pub description: Option<String>,
    /// When it is signed, in seconds since 1970. Nodes take it as "at least this late".
    pub signed_at: Option<u64>,
    /// Not to be used from this time on, in seconds since 1970.
    pub not_after: Option<u64>,
    /// The highest sequence number in whose place it may step: for a wanted downgrade.
    pub replaces_up_to: Option<u64>,
    /// The images, in any order: narrower classes are put first.
    pub variants: Vec<VariantSpec>,
    /// What changes about the trusted keys.
    pub key_changes: Vec<KeyChange>,
}

/// Whom an image is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClassSpec {
    /// The chip.
    pub chip: ChipId,
    /// The node type; `None`: every type.
    pub node_type: Option<String>,
    /// The hardware revision; `None`: every one.
    pub hardware_revision: Option<String>,
}

/// One image of a release.
#[derive(Clone, Debug)]
pub struct VariantSpec {
    /// Whom it is for.
    pub class: ClassSpec,
    /// Where it will be: a URL, or a reference relative to the release's own.
    pub uri: String,
    /// SHA-256 over the whole file.
    pub sha256: [u8; 32],
    /// Bytes of the file.
    pub size: u32,
    /// What the installed image is called by.
    pub image_hash: ImageHash,
    /// Digests of the pages of the page list, one after the other; empty: pages cannot be verified one by one.
    pub page_digests: Vec<u8>,
    /// Where the page list will be; `None`: at the image's URI with `.pages` behind its path.
    pub page_list_uri: Option<String>,
    /// The chip revisions it runs on (major · 100 + minor), first and last.
    pub chip_revisions: Option<(u16, u16)>,
    /// What the running version has to be.
    pub version_needed: Option<VersionMatch>,
    /// Patches from older images.
    pub patches: Vec<PatchSpec>,
}

/// A patch of a variant.
#[derive(Clone, Debug)]
pub struct PatchSpec {
    /// The image that has to run for the patch to apply.
    pub from: ImageHash,
    /// Where the patch will be.
    pub uri: String,
    /// SHA-256 over the patch file.
    pub sha256: [u8; 32],
    /// Bytes of the patch file.
    pub size: u32,
}

/// Why a release cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// A file is not a complete app image.
    NotAnApp(ImageError),
    /// Two images are for the same class.
    DuplicateClass {
        /// Its name.
        name: String,
    },
    /// A node type or hardware revision is empty or has a colon, which separates the parts of a class's name.
    InvalidClass {
        /// The name it would have.
        name: String,
    },
    /// There are neither images nor changes of keys.
    Empty,
    /// A key cannot sign releases.
    Key(SignError),
    /// The release would not be one that a node can read.
    Unreadable(ReleaseError),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnApp(error) => write!(f, "not a complete app image: {error}"),
            Self::DuplicateClass { name } => write!(f, "two images are for {name}"),
            Self::InvalidClass { name } => {
                write!(
                    f,
                    "{name} is no class: node types and hardware revisions are neither empty nor have colons"
                )
            }
            Self::Empty => f.write_str("a release without images and without changes of keys says nothing"),
            Self::Key(error) => error.fmt(f),
            Self::Unreadable(error) => write!(f, "no node could read this release: {error}"),
        }
    }
}

impl core::error::Error for CreateError {}

impl From<SignError> for CreateError {
    fn from(error: SignError) -> Self {
        Self::Key(error)
    }
}

impl ClassSpec {
    /// What the class id is made of: `esp32c3:switch`.
    pub fn name(&self) -> String {
        let mut name = String::new();
        // Writing to a string does not fail.
        let _ = crate::release::uuid::write_class_name(
            &mut name,
            self.chip,
            self.node_type.as_deref(),
            self.hardware_revision.as_deref(),
        );
        name
    }

    /// Its class id.
    pub fn id(&self, vendor: VendorId) -> ClassId {
        ClassId::of(vendor, self.chip, self.node_type.as_deref(), self.hardware_revision.as_deref())
    }

    /// Narrower classes come first, for nodes take the first that fits.
    fn breadth(&self) -> u8 {
        2 * u8::from(self.hardware_revision.is_none()) + u8::from(self.node_type.is_none())
    }
}

impl VariantSpec {
    /// A variant of this image, and its page list, which belongs beside the image (at its URI with `.pages` behind it).
    ///
    /// The chip revisions are taken from the image's header.
    pub fn of_image(class: ClassSpec, uri: &str, file: &[u8]) -> Result<(Self, Vec<u8>), CreateError> {
        let mut verifier = ImageVerifier::new();
        verifier.push(file).map_err(CreateError::NotAnApp)?;
        let image = verifier.finish().map_err(CreateError::NotAnApp)?;
        let list = page_list(file);
        let header = &image.header;
        // ESP-IDF's "not set" is 0 in older images and 65535 in newer ones.
        let last = if header.max_revision == 0 { u16::MAX } else { header.max_revision };
        let revisions = (header.min_revision, last);
        let variant = Self {
            class,
            uri: uri.to_string(),
            sha256: image.file_sha256,
            size: image.file_len,
            image_hash: image.hash,
            page_digests: page_list(&list),
            page_list_uri: None,
            chip_revisions: (revisions != (0, u16::MAX)).then_some(revisions),
            version_needed: None,
            patches: Vec::new(),
        };
        Ok((variant, list))
    }
}

/// The page list of a file: the digests of its pages, one after the other.
pub fn page_list(file: &[u8]) -> Vec<u8> {
    file.chunks(PAGE_BYTES).flat_map(page_digest).collect()
}

/// Makes a release and signs it with one to three keys. The same input gives the same bytes.
pub fn create_release(spec: &ReleaseSpec, keys: &[SigningKey]) -> Result<Vec<u8>, CreateError> {
    if spec.variants.is_empty() && spec.key_changes.is_empty() {
        return Err(CreateError::Empty);
    }
    let mut variants: Vec<&VariantSpec> = spec.variants.iter().collect();
    variants.sort_by_key(|variant| (variant.class.breadth(), variant.class.clone()));
    for class in variants.iter().map(|variant| &variant.class) {
        let parts = [&class.node_type, &class.hardware_revision];
        if parts.into_iter().flatten().any(|part| part.is_empty() || part.contains(':')) {
            return Err(CreateError::InvalidClass { name: class.name() });
        }
    }
    for pair in variants.windows(2) {
        if pair[0].class == pair[1].class {
            return Err(CreateError::DuplicateClass { name: pair[0].class.name() });
        }
    }
    let (manifest, text) = manifest(spec, &variants);
    let release = envelope(&manifest, text.as_deref(), keys)?;
    readable(&release, keys)?;
    Ok(release)
}

/// Adds a signature to a release: the old key's and the new one's during a rotation.
pub fn add_signature(release: &[u8], key: &SigningKey) -> Result<Vec<u8>, CreateError> {
    let parsed = crate::release::UnverifiedRelease::read(release).map_err(CreateError::Unreadable)?;
    let signed = suit::with_signature(&parsed, suit::sign(parsed.signed(), key)?);
    readable(&signed, core::slice::from_ref(key))?;
    Ok(signed)
}

/// Reads what was made as a node will.
fn readable(release: &[u8], keys: &[SigningKey]) -> Result<(), CreateError> {
    let mut trust = TrustRecord::default();
    for key in keys {
        let key = key.release_key().ok_or(SignError::NotAReleaseKey)?;
        // As many as signatures are allowed fit; if more were given, the signature count is the error.
        let _ = trust.release_keys.push(TrustedKey::new(key, Purposes::ALL));
    }
    Release::verify(release, &trust).map(drop).map_err(CreateError::Unreadable)
}

/// The encoded manifest, and the text if it is severed.
fn manifest(spec: &ReleaseSpec, variants: &[&VariantSpec]) -> (Vec<u8>, Option<Vec<u8>>) {
    use crate::release::label;

    let mut members = BTreeMap::from([
        (label::MANIFEST_VERSION, suit::uint(1)),
        (label::SEQUENCE_NUMBER, suit::uint(spec.sequence_number)),
        (label::COMMON, suit::bytes(&common(spec, variants))),
    ]);
    if let Some(version) = suit::exact_version(&spec.version) {
        members.insert(label::SET_VERSION, suit::bytes(&version));
    }
    if !variants.is_empty() {
        let validate = Sequence::new().condition(label::IMAGE_MATCH);
        let install = Sequence::new().directive(label::FETCH).condition(label::IMAGE_MATCH);
        members.insert(label::VALIDATE, suit::bytes(&validate.encoded()));
        members.insert(label::INSTALL, suit::bytes(&install.encoded()));
    }
    let text = suit::text(&spec.version, spec.description.as_deref());
    // A description is for people: nodes may do without it, so it is severed and only its digest signed here.
    let severed = spec.description.is_some().then(|| text.clone()).flatten();
    match (&text, &severed) {
        (Some(text), Some(_)) => {
            members.insert(label::TEXT, suit::digest(&Sha256::digest(suit::bytes(text)).into()));
        }
        (Some(text), None) => {
            members.insert(label::TEXT, suit::bytes(text));
        }
        (None, _) => {}
    }
    if !spec.key_changes.is_empty() {
        members.insert(label::KEY_CHANGES, suit::bytes(&suit::key_changes(&spec.key_changes)));
    }
    if let Some(limit) = spec.replaces_up_to {
        members.insert(label::REPLACES_UP_TO, suit::uint(limit));
    }
    if let Some(time) = spec.signed_at {
        members.insert(label::SIGNED_AT, suit::uint(time));
    }
    (suit::map(&members), severed)
}

/// One component, and the shared sequence: vendor, time limit, and the variants to choose from.
fn common(spec: &ReleaseSpec, variants: &[&VariantSpec]) -> Vec<u8> {
    use crate::release::label;

    let mut parameters = BTreeMap::from([(label::VENDOR, suit::bytes(&spec.vendor.0))]);
    if let Some(limit) = spec.not_after {
        parameters.insert(label::USE_BEFORE, suit::uint(limit));
    }
    let mut shared = Sequence::new().override_parameters(&parameters).condition(label::VENDOR);
    if spec.not_after.is_some() {
        shared = shared.condition(label::USE_BEFORE);
    }
    shared = match variants {
        [] => shared,
        [only] => add_variant(shared, spec.vendor, only),
        several => shared.try_each(several.iter().map(|it| add_variant(Sequence::new(), spec.vendor, it))),
    };
    suit::map(&BTreeMap::from([
        (label::COMPONENTS, suit::components()),
        (label::SHARED_SEQUENCE, suit::bytes(&shared.encoded())),
    ]))
}

/// The class is checked before anything else is set, so that nothing of a variant outlives its failure.
fn add_variant(sequence: Sequence, vendor: VendorId, variant: &VariantSpec) -> Sequence {
    use crate::release::label;

    let class = BTreeMap::from([(label::CLASS, suit::bytes(&variant.class.id(vendor).0))]);
    let mut parameters = BTreeMap::from([
        (label::IMAGE_DIGEST, suit::bytes(&suit::digest(&variant.sha256))),
        (label::IMAGE_SIZE, suit::uint(variant.size.into())),
        (label::URI, suit::tstr(&variant.uri)),
        (label::FETCH_ARGUMENTS, suit::bytes(&fetch_arguments(variant))),
    ]);
    if let Some(needed) = &variant.version_needed {
        parameters.insert(label::VERSION, suit::bytes(&suit::version_match(needed)));
    }
    let sequence =
        sequence.override_parameters(&class).condition(label::CLASS).override_parameters(&parameters);
    match variant.version_needed {
        Some(_) => sequence.condition(label::VERSION),
        None => sequence,
    }
}

fn fetch_arguments(variant: &VariantSpec) -> Vec<u8> {
    use crate::release::label;

    let mut arguments = BTreeMap::from([
        (label::ARG_IMAGE_HASH, suit::bytes(&variant.image_hash.0)),
        (label::HINT_CLASS_NAME, suit::tstr(&variant.class.name())),
    ]);
    if !variant.page_digests.is_empty() {
        arguments.insert(label::ARG_PAGE_DIGESTS, suit::bytes(&variant.page_digests));
    }
    if let Some(uri) = &variant.page_list_uri {
        arguments.insert(label::ARG_PAGE_LIST_URI, suit::tstr(uri));
    }
    if let Some((first, last)) = variant.chip_revisions {
        arguments.insert(
            label::ARG_CHIP_REVISIONS,
            suit::array(&[suit::uint(first.into()), suit::uint(last.into())]),
        );
    }
    if !variant.patches.is_empty() {
        let patches: Vec<Vec<u8>> = variant
            .patches
            .iter()
            .map(|patch| {
                suit::array(&[
                    suit::bytes(&patch.from.0),
                    suit::tstr(&patch.uri),
                    suit::bytes(&patch.sha256),
                    suit::uint(patch.size.into()),
                ])
            })
            .collect();
        arguments.insert(label::ARG_PATCHES, suit::array(&patches));
    }
    suit::map(&arguments)
}

fn envelope(manifest: &[u8], text: Option<&[u8]>, keys: &[SigningKey]) -> Result<Vec<u8>, CreateError> {
    let signed = suit::digest(&Sha256::digest(suit::bytes(manifest)).into());
    let mut wrapper = std::vec![suit::bytes(&signed)];
    for key in keys {
        wrapper.push(suit::bytes(&suit::sign(&signed, key)?));
    }
    Ok(suit::envelope(&suit::array(&wrapper), manifest, text))
}

impl SigningKey {
    /// The public half, as nodes trust it for releases. `None` for RSA, which does not sign releases.
    pub fn release_key(&self) -> Option<ReleaseKey> {
        self.public_key_p256().and_then(|point| ReleaseKey::from_sec1(&point))
    }
}
