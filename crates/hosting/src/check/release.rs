//! A signed release, and everything that it leads to.

use ring::digest::{SHA256, digest};
use rootcast_image::ChipId;
use rootcast_node::fetch::{Url, url_error_code};
use rootcast_trust::release::{
    MAX_RELEASE_BYTES, Purposes, Release, ReleaseKey, TrustRecord, TrustedKey, UnverifiedRelease, Variant,
    page_digest, pages::PAGE_BYTES,
};
use rootcast_wire::ErrorCode;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;

use super::download::{self, Downloaded};
use super::options::CheckOptions;
use super::report::{Notes, StepId, warning};
use super::{image, run};
use crate::content::hex;
use crate::release_files::page_list_uri;

/// The DER of a P-256 public key up to its point: `ecPublicKey`, `prime256v1`, a bit string of 66 bytes (RFC 5480).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What a release says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseFacts {
    /// The version it brings, if it says one.
    pub version: Option<String>,
    /// Its place in the order of releases.
    pub sequence_number: u64,
    /// Images in it.
    pub variants: usize,
    /// The same, one by one.
    pub images: Vec<VariantFacts>,
    /// Whether a key that the nodes trust signed it; absent if no key was given.
    pub signature_trusted: Option<bool>,
}

/// What a release says about one of its images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VariantFacts {
    /// Whom it is for: the chip, perhaps a node type, perhaps a hardware revision, with colons between; absent in releases that
    /// another tool made.
    pub class: Option<String>,
    /// Where it is.
    pub url: String,
    /// Bytes.
    pub size: u32,
    /// SHA-256 over the file.
    pub sha256: String,
    /// The image hash, by which nodes report that they run it, if the release says it.
    pub image_hash: Option<String>,
    /// The image hashes of those who take a patch instead.
    pub patches_from: Vec<String>,
}

impl VariantFacts {
    fn of(base: &Url, variant: &Variant<'_>) -> Self {
        Self {
            class: variant.class_name.map(str::to_owned),
            url: base
                .join(variant.uri)
                .map_or_else(|_| variant.uri.to_owned(), |url| url.as_str().to_owned()),
            size: variant.size,
            sha256: hex(variant.sha256),
            image_hash: variant.image_hash.map(|hash| hash.to_string()),
            patches_from: variant.patches().map(|patch| patch.from.to_string()).collect(),
        }
    }
}

/// A P-256 public key in PEM form.
pub fn read_release_key(pem: &[u8]) -> Option<ReleaseKey> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let point = key.strip_prefix(&P256_PREFIX[..])?;
    ReleaseKey::from_sec1(point.try_into().ok()?)
}

/// Notes what the release says, and fetches and judges all that it leads to. The size of the largest image comes back.
pub(super) async fn judge(
    base: &Url,
    downloaded: &Downloaded,
    options: &CheckOptions,
    notes: &mut Notes<'_>,
) -> Option<u64> {
    let content = downloaded.content.as_slice();
    if !downloaded.whole {
        return None;
    }
    notes.report.sha256 = Some(hex(digest(&SHA256, content).as_ref()));
    if content.len() > MAX_RELEASE_BYTES {
        let found = format!("{} bytes; a release has at most {MAX_RELEASE_BYTES}", content.len());
        notes.fail(StepId::Release, ErrorCode::ReleaseMalformed, found);
        return None;
    }
    let read = match UnverifiedRelease::read(content) {
        Ok(read) => read,
        Err(error) => {
            notes.fail(StepId::Release, code(error.code()), error.to_string());
            return None;
        }
    };
    let release = read.claims();
    let version = release.texts().version.map(str::to_owned);
    let facts = ReleaseFacts {
        version,
        sequence_number: release.sequence_number(),
        variants: release.variant_count(),
        images: release.variants().map(|variant| VariantFacts::of(base, &variant)).collect(),
        signature_trusted: note_signature(content, options, notes),
    };
    let text = format!(
        "version {}, number {}, {} image(s)",
        facts.version.as_deref().unwrap_or("not said"),
        facts.sequence_number,
        facts.variants
    );
    notes.ok(StepId::Release, text);
    notes.report.release = Some(facts);
    note_time(release.not_after(), options, notes);

    let variants: Vec<Variant<'_>> = release.variants().collect();
    let chip_of = |variant: &Variant<'_>| {
        ChipId::from_name(variant.class_name.unwrap_or_default().split(':').next().unwrap_or_default())
    };
    if let Some(chip) =
        options.chip.filter(|chip| variants.iter().all(|variant| chip_of(variant) != Some(*chip)))
        && !variants.is_empty()
    {
        notes.fail(StepId::Chip, ErrorCode::ReleaseNoVariant, format!("no image in it is for {chip}"));
    }
    let mut largest = 0;
    for variant in &variants {
        largest = largest.max(u64::from(variant.size));
        let options = CheckOptions {
            chip: chip_of(variant),
            expected_sha256: None,
            expected_size: None,
            ..options.clone()
        };
        judge_variant(base, variant, &options, notes).await;
    }
    notes.file = None;
    Some(largest)
}

fn note_signature(content: &[u8], options: &CheckOptions, notes: &mut Notes<'_>) -> Option<bool> {
    if options.release_keys.is_empty() {
        notes.warn(
            StepId::Signature,
            warning::SIGNATURE_UNCHECKED,
            "signed; the nodes' release keys were not given",
            "give the release key that the nodes trust (--release-key) to have the signature checked",
        );
        return None;
    }
    let mut record = TrustRecord::default();
    for key in &options.release_keys {
        // More keys than a node can hold are not looked at.
        let _ = record.release_keys.push(TrustedKey::new(*key, Purposes::ALL));
    }
    match Release::verify(content, &record) {
        Ok(_) => {
            notes.ok(StepId::Signature, "by a trusted release key");
            Some(true)
        }
        Err(error) => {
            notes.fail(StepId::Signature, code(error.code()), error.to_string());
            Some(false)
        }
    }
}

fn note_time(not_after: Option<u64>, options: &CheckOptions, notes: &mut Notes<'_>) {
    if let Some(end) = not_after
        && run::unix_now(options) >= end
    {
        notes.fail(StepId::Validity, ErrorCode::ReleaseExpired, format!("it ended at {end} s since 1970"));
    }
}

async fn judge_variant(base: &Url, variant: &Variant<'_>, options: &CheckOptions, notes: &mut Notes<'_>) {
    let class = variant.class_name.unwrap_or("a class that has no name");
    let label = format!("{} ({class})", variant.uri);
    note_time(variant.not_after, options, notes);
    if let Some(found) = fetch(base, variant.uri, label, options, notes).await {
        note_size(&found, variant.size, notes);
        image::judge(&found, options, notes);
        note_digest(&found, variant.sha256, notes);
    }
    for patch in variant.patches() {
        let label = format!("{} (patch from {})", patch.uri, patch.from);
        if let Some(found) = fetch(base, patch.uri, label, options, notes).await {
            note_size(&found, patch.size, notes);
            note_digest(&found, patch.sha256, notes);
        }
    }
    let (Some(pages), Some(list)) = (variant.pages, page_list_uri(variant)) else { return };
    if let Some(found) = fetch(base, &list, format!("{list} (page list)"), options, notes).await
        && found.whole
    {
        let digests: Vec<u8> = found.content.chunks(PAGE_BYTES).flat_map(page_digest).collect();
        match digests == pages.as_bytes() {
            true => notes.ok(StepId::Digest, "the pages that the release means"),
            false => notes.fail(
                StepId::Digest,
                ErrorCode::ReleaseDigestMismatch,
                "it is not the page list that the release means",
            ),
        }
    }
}

/// Downloads what a release refers to.
async fn fetch(
    base: &Url,
    uri: &str,
    label: String,
    options: &CheckOptions,
    notes: &mut Notes<'_>,
) -> Option<Downloaded> {
    (notes.file, notes.hop) = (Some(label), 0);
    let url = match base.join(uri) {
        Ok(url) => url,
        Err(error) => {
            notes.fail(StepId::Url, ErrorCode::ReleaseUriInvalid, url_error_code(error).name());
            return None;
        }
    };
    if base.is_https() && !url.is_https() {
        notes.fail(StepId::Url, ErrorCode::ReleaseUriInvalid, "the release came by https, and this is http");
        return None;
    }
    let found = download::download(url, options, notes).await?;
    if found.whole {
        download::try_resume(&found, options, notes).await;
    }
    Some(found)
}

fn note_size(found: &Downloaded, size: u32, notes: &mut Notes<'_>) {
    let length = found.info.size.unwrap_or_else(|| u32::try_from(found.content.len()).unwrap_or(u32::MAX));
    if length != size {
        let text = format!("{length} bytes, the release says {size}");
        notes.fail(StepId::Digest, ErrorCode::ReleaseSizeMismatch, text);
    }
}

fn note_digest(found: &Downloaded, wanted: &[u8; 32], notes: &mut Notes<'_>) {
    if !found.whole {
        return;
    }
    let sha256 = digest(&SHA256, &found.content);
    match sha256.as_ref() == wanted {
        true => notes.ok(StepId::Digest, "sha256 as in the release"),
        false => notes.fail(
            StepId::Digest,
            ErrorCode::ReleaseDigestMismatch,
            format!("sha256 {}, the release says {}", hex(sha256.as_ref()), hex(wanted)),
        ),
    }
}

/// Codes of the release's rules are those of the wire; a test there says so.
fn code(name: &str) -> ErrorCode {
    ErrorCode::from_name(name).unwrap_or(ErrorCode::ReleaseMalformed)
}
