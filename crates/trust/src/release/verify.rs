//! From bytes to a release that can be believed.

use super::envelope::Envelope;
use super::key::Purposes;
use super::key_change::{KeyChange, KeyChanges};
use super::manifest::Manifest;
use super::text::Texts;
use super::trust_record::TrustRecord;
use super::uuid::{ClassId, VendorId};
use super::variant::Variant;
use super::version::Version;
use super::{MAX_SIGNATURES, ReleaseError, label};

/// A release that a trusted key signed for the purpose it is used for. Only [`Release::verify`] makes one.
///
/// Borrows the bytes it was read from: a node keeps those (at most [`super::MAX_RELEASE_BYTES`]) while it works with it.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    manifest: Manifest<'a>,
    manifest_digest: &'a [u8; 32],
    vendor: VendorId,
    not_after: Option<u64>,
}

/// A release as far as it can be read without believing anybody: for showing what a file says.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedRelease<'a>(Release<'a>, Envelope<'a>);

impl<'a> Release<'a> {
    /// Verifies digest, signature and structure of a release, in this order: nothing of the manifest is looked at
    /// before a trusted key vouches for it (draft-ietf-suit-manifest §6.2).
    pub fn verify(bytes: &'a [u8], trust: &TrustRecord) -> Result<Self, ReleaseError> {
        let envelope = Envelope::parse(bytes)?;
        let signers = signers(&envelope, trust)?;
        let release = Self::read(&envelope)?;
        signers.may_sign(&release, trust)?;
        Ok(release)
    }

    fn read(envelope: &Envelope<'a>) -> Result<Self, ReleaseError> {
        let manifest = Manifest::parse(envelope)?;
        let shared = manifest.shared_state()?;
        let vendor = shared.vendor.filter(|_| shared.vendor_checked);
        Ok(Self {
            manifest,
            manifest_digest: envelope.manifest_digest,
            // A release is one vendor's: the check stands before everything else.
            vendor: vendor.ok_or(ReleaseError::MissingCondition { label: label::VENDOR })?,
            not_after: shared.not_after,
        })
    }

    /// Its place in the order of releases.
    pub fn sequence_number(&self) -> u64 {
        self.manifest.sequence_number
    }

    /// What it is called by: SHA-256 of the manifest as a CBOR byte string. Signatures do not change it.
    pub fn manifest_digest(&self) -> &'a [u8; 32] {
        self.manifest_digest
    }

    /// Whose release it is.
    pub fn vendor(&self) -> VendorId {
        self.vendor
    }

    /// Not to be used from this time on, in seconds since 1970. A variant may have an earlier limit.
    pub fn not_after(&self) -> Option<u64> {
        self.not_after
    }

    /// When it was signed, by the signer's word, in seconds since 1970.
    pub fn signed_at(&self) -> Option<u64> {
        self.manifest.signed_at
    }

    /// The highest sequence number in whose place it may step, when that is above its own: a wanted downgrade.
    pub fn replaces_up_to(&self) -> Option<u64> {
        self.manifest.replaces_up_to
    }

    /// Version and description for people.
    pub fn texts(&self) -> Texts<'a> {
        self.manifest.texts
    }

    /// The version as numbers, if it is stated so.
    pub fn version(&self) -> Option<Version> {
        self.manifest.set_version
    }

    /// What it changes about the trusted keys.
    pub fn key_changes(&self) -> impl Iterator<Item = KeyChange> + use<'a> {
        self.manifest.key_changes.iter()
    }

    /// How many variants it has; none if it only changes keys.
    pub fn variant_count(&self) -> usize {
        self.manifest.variant_count as usize
    }

    /// The variants in the order in which nodes try them.
    pub fn variants(&self) -> impl Iterator<Item = Variant<'a>> + use<'a> {
        let manifest = self.manifest;
        // Each was read once already, in `Manifest::parse`.
        (0..manifest.variant_count).map_while(move |index| manifest.variant(index).ok())
    }

    /// The first variant for one of these classes.
    pub fn variant_for(&self, vendor: VendorId, classes: &[ClassId]) -> Option<Variant<'a>> {
        self.manifest.variant_for(vendor, classes).ok().flatten()
    }

    pub(crate) fn changes(&self) -> KeyChanges<'a> {
        self.manifest.key_changes
    }
}

impl<'a> UnverifiedRelease<'a> {
    /// Reads a release without asking who signed it. The digests within it are right; that is all.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ReleaseError> {
        let envelope = Envelope::parse(bytes)?;
        Release::read(&envelope).map(|release| Self(release, envelope))
    }

    /// What the file says, by nobody's word.
    pub fn claims(&self) -> &Release<'a> {
        &self.0
    }

    /// The SUIT_Digest as encoded: what signatures sign.
    pub fn signed(&self) -> &'a [u8] {
        self.1.signed
    }

    /// The encoded manifest.
    pub fn manifest(&self) -> &'a [u8] {
        self.1.manifest
    }

    /// The text that was severed from the manifest, if it is there.
    pub fn severed_text(&self) -> Option<&'a [u8]> {
        self.1.text
    }

    /// The signatures, each an encoded COSE_Sign1.
    pub fn signatures_encoded(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.1.signatures_encoded().map_while(Result::ok)
    }

    /// The key ids of the signatures, as far as they are stated.
    pub fn key_ids(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        self.1.signatures().map_while(Result::ok).map(|signature| signature.kid)
    }
}

/// The keys of the record whose signatures verify, by index.
struct Signers {
    keys: [Option<usize>; MAX_SIGNATURES],
}

/// Finds who signed. A signature that names a trusted key has to verify; one by a stranger is passed over, so that a
/// release can be signed for those who know the old key and for those who know the new one.
fn signers(envelope: &Envelope<'_>, trust: &TrustRecord) -> Result<Signers, ReleaseError> {
    let mut signers = Signers { keys: [None; MAX_SIGNATURES] };
    let mut revoked = false;
    for (slot, signature) in signers.keys.iter_mut().zip(envelope.signatures()) {
        let signature = signature?;
        for (index, known) in trust.release_keys.iter().enumerate() {
            let named = signature.kid.map(|kid| known.key.id().is_meant_by(kid));
            if named == Some(false) {
                continue;
            }
            if signature.verifies(envelope.signed, &known.key) {
                if known.revoked {
                    revoked = true;
                } else {
                    *slot = Some(index);
                }
                break;
            }
            if named == Some(true) {
                return Err(ReleaseError::SignatureInvalid);
            }
        }
    }
    if signers.keys.iter().any(Option::is_some) {
        Ok(signers)
    } else if revoked {
        Err(ReleaseError::KeyRevoked)
    } else {
        Err(ReleaseError::UntrustedKey)
    }
}

impl Signers {
    /// Whether those who signed may sign this: not retired by now, and for this purpose.
    fn may_sign(&self, release: &Release<'_>, trust: &TrustRecord) -> Result<(), ReleaseError> {
        let found = release.sequence_number();
        let mut purposes = Purposes::NONE;
        let mut retired = None;
        for key in self.keys.iter().flatten().filter_map(|index| trust.release_keys.get(*index)) {
            match key.last {
                Some(last) if found > last => retired = Some(ReleaseError::KeyRetired { last, found }),
                _ => purposes = purposes.with(key.purposes),
            }
        }
        match retired {
            Some(error) if purposes == Purposes::NONE => return Err(error),
            _ => {}
        }
        let for_images = release.variant_count() == 0 || purposes.include(Purposes::RELEASES);
        let for_keys = release.changes().is_empty() || purposes.include(Purposes::KEYS);
        if for_images && for_keys { Ok(()) } else { Err(ReleaseError::KeyPurpose) }
    }
}
