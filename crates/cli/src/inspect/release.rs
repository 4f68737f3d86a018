//! Signed releases: what they say, by nobody's word. `rootcast release verify` asks who signed.

use super::rows::{hex, row};
use crate::release::change::describe;
use crate::release::moment::rfc3339;
use rootcast_trust::release::{DEFAULT_VENDOR_DOMAIN, ReleaseError, UnverifiedRelease, Variant, VendorId};
use serde::Serialize;
use std::fmt;

/// First two bytes of a SUIT envelope (draft-ietf-suit-manifest: CBOR tag 107).
pub const ENVELOPE_TAG: [u8; 2] = [0xD8, 0x6B];

/// A release.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    version: Option<String>,
    description: Option<String>,
    sequence_number: u64,
    replaces_up_to: Option<u64>,
    signed_at: Option<String>,
    not_after: Option<String>,
    vendor: String,
    /// The domain that the vendor's id was made of, where it is known.
    vendor_domain: Option<&'static str>,
    manifest_digest: String,
    /// The beginnings of the key ids of those who signed, by their own word.
    signed_by: Vec<Option<String>>,
    variants: Vec<Image>,
    key_changes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Image {
    class: Option<String>,
    class_id: String,
    uri: String,
    size: u32,
    sha256: String,
    image_hash: Option<String>,
    /// Pages that nodes can verify one by one.
    pages: Option<u32>,
    page_list_uri: Option<String>,
    chip_revisions: Option<(u16, u16)>,
    version_needed: Option<String>,
    patches: Vec<PatchFile>,
}

#[derive(Clone, Debug, Serialize)]
struct PatchFile {
    from: String,
    uri: String,
    size: u32,
    sha256: String,
}

impl Summary {
    /// Reads a release without asking who signed it.
    pub fn of(bytes: &[u8]) -> Result<Self, ReleaseError> {
        let unverified = UnverifiedRelease::read(bytes)?;
        let release = unverified.claims();
        let known = release.vendor() == VendorId::of_domain(DEFAULT_VENDOR_DOMAIN);
        let texts = release.texts();
        Ok(Self {
            version: texts.version.map(str::to_string).or_else(|| Some(release.version()?.to_string())),
            description: texts.description.map(str::to_string),
            sequence_number: release.sequence_number(),
            replaces_up_to: release.replaces_up_to(),
            signed_at: release.signed_at().map(rfc3339),
            not_after: release.not_after().map(rfc3339),
            vendor: release.vendor().to_string(),
            vendor_domain: known.then_some(DEFAULT_VENDOR_DOMAIN),
            manifest_digest: hex(release.manifest_digest()),
            signed_by: unverified.key_ids().map(|id| id.map(hex)).collect(),
            variants: release.variants().map(|variant| Image::of(&variant)).collect(),
            key_changes: release.key_changes().map(|change| describe(&change)).collect(),
        })
    }
}

impl Image {
    fn of(variant: &Variant<'_>) -> Self {
        let patch = |it: rootcast_trust::release::Patch<'_>| PatchFile {
            from: it.from.to_string(),
            uri: it.uri.to_string(),
            size: it.size,
            sha256: hex(it.sha256),
        };
        Self {
            class: variant.class_name.map(str::to_string),
            class_id: variant.class.to_string(),
            uri: variant.uri.to_string(),
            size: variant.size,
            sha256: hex(variant.sha256),
            image_hash: variant.image_hash.map(|hash| hash.to_string()),
            pages: variant.pages.map(|pages| pages.pages()),
            page_list_uri: variant.page_list_uri.map(str::to_string),
            chip_revisions: variant.chip_revisions,
            version_needed: variant.version_needed.map(|needed| needed.to_string()),
            patches: variant.patches().map(patch).collect(),
        }
    }

    fn rows(&self) -> Vec<String> {
        let mut rows = vec![
            format!("uri         {}", self.uri),
            format!("size        {} bytes", self.size),
            format!("SHA-256     {}", self.sha256),
        ];
        rows.extend(self.image_hash.iter().map(|hash| format!("image hash  {hash}")));
        if let Some(pages) = self.pages {
            rows.push(format!("pages       {pages}, each of which nodes can verify by itself"));
        }
        rows.extend(self.page_list_uri.iter().map(|uri| format!("page list   {uri}")));
        rows.extend(self.chip_revisions.map(|range| format!("revisions   {}", revisions(range))));
        rows.extend(
            self.version_needed.iter().map(|needed| format!("needs       a running version {needed}")),
        );
        for patch in &self.patches {
            rows.push(format!("patch       {}, {} bytes, from {}", patch.uri, patch.size, patch.from));
        }
        rows
    }
}

/// `v0.3 and up`, `v0.3 to v1.99`: revisions are major · 100 + minor.
fn revisions((first, last): (u16, u16)) -> String {
    let text = |revision: u16| format!("v{}.{}", revision / 100, revision % 100);
    match last {
        u16::MAX => format!("{} and up", text(first)),
        last => format!("{} to {}", text(first), text(last)),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, "version", self.version.as_deref().unwrap_or("not stated"))?;
        if let Some(description) = &self.description {
            row(f, "description", description)?;
        }
        row(f, "sequence number", self.sequence_number)?;
        if let Some(limit) = self.replaces_up_to {
            row(f, "replaces", format_args!("releases up to sequence number {limit}"))?;
        }
        row(f, "vendor", self.vendor_domain.unwrap_or(&self.vendor))?;
        row(f, "signed at", self.signed_at.as_deref().unwrap_or("not stated"))?;
        row(f, "not after", self.not_after.as_deref().unwrap_or("without end"))?;
        for key in &self.signed_by {
            let key = key.as_deref().unwrap_or("a key that is not named");
            row(f, "signed by", format_args!("{key}…, not verified: rootcast release verify does"))?;
        }
        row(f, "manifest digest", &self.manifest_digest)?;
        for change in &self.key_changes {
            row(f, "keys", change)?;
        }
        for (index, image) in self.variants.iter().enumerate() {
            let last = index + 1 == self.variants.len();
            let (branch, trunk) = if last { ("└─", "  ") } else { ("├─", "│ ") };
            writeln!(f, "  {branch} {}", image.class.as_deref().unwrap_or(&image.class_id))?;
            for text in image.rows() {
                writeln!(f, "  {trunk}   {text}")?;
            }
        }
        Ok(())
    }
}
