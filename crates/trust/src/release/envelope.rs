//! The envelope (draft-ietf-suit-manifest §8.2 and §8.3): digest, signatures, manifest, text.

use sha2::{Digest, Sha256};

use super::cbor::{BYTES, Reader, bytes_head};
use super::cose::Signature;
use super::{MAX_RELEASE_BYTES, MAX_SIGNATURES, Part, ReleaseError};

/// The tag of a SUIT envelope.
const ENVELOPE_TAG: u64 = 107;
/// COSE's number for SHA-256 (RFC 9054).
pub(crate) const SHA_256: i64 = -16;

const AUTHENTICATION: i64 = 2;
const MANIFEST: i64 = 3;
const TEXT: i64 = 23;

/// An envelope whose manifest is the one that the digest says; nothing is known about who says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    /// The SUIT_Digest as encoded: what signatures sign.
    pub signed: &'a [u8],
    /// SHA-256 of the manifest's byte string, head included.
    pub manifest_digest: &'a [u8; 32],
    /// The encoded manifest.
    pub manifest: &'a [u8],
    /// The text that was severed from the manifest, if it is there.
    pub text: Option<&'a [u8]>,
    /// What is left of the authentication wrapper behind the digest.
    signatures: Reader<'a>,
    signature_count: u64,
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ReleaseError> {
        if bytes.len() > MAX_RELEASE_BYTES {
            return Err(ReleaseError::TooLarge { found: bytes.len() });
        }
        let mut reader = Reader::new(bytes, Part::Envelope);
        reader.tag(ENVELOPE_TAG).map_err(|_| ReleaseError::NotARelease)?;
        let (mut authentication, mut manifest, mut text) = (None, None, None);
        let mut keys = reader.map()?;
        // Integrated payloads have texts for keys, which `next` refuses: an image does not fit in a release.
        while let Some(label) = keys.next(&mut reader)? {
            match label {
                AUTHENTICATION => authentication = Some(reader.bytes()?),
                MANIFEST => manifest = Some(reader.bytes()?),
                TEXT => text = Some(reader.bytes()?),
                label => return Err(ReleaseError::UnsupportedMember { label }),
            }
        }
        reader.end()?;
        let authentication = authentication.ok_or(ReleaseError::MissingMember { label: AUTHENTICATION })?;
        let manifest = manifest.ok_or(ReleaseError::MissingMember { label: MANIFEST })?;

        let mut wrapper = Reader::new(authentication, Part::Authentication);
        let items = wrapper.array()?;
        let signature_count = items.saturating_sub(1);
        if signature_count == 0 || signature_count > MAX_SIGNATURES as u64 {
            return Err(ReleaseError::SignatureCount { found: signature_count });
        }
        let signed = wrapper.bytes()?;
        let mut digest = Reader::new(signed, Part::Authentication);
        let manifest_digest = parse_digest(&mut digest)?;
        digest.end()?;
        if digest_of_wrapped(manifest) != *manifest_digest {
            return Err(ReleaseError::ManifestChanged);
        }
        let envelope = Self { signed, manifest_digest, manifest, text, signatures: wrapper, signature_count };
        // Every signature is read here, so that a broken one is noticed whether or not it is needed.
        for signature in envelope.signatures() {
            signature?;
        }
        let mut rest = envelope.signatures;
        for _ in 0..signature_count {
            rest.bytes()?;
        }
        rest.end()?;
        Ok(envelope)
    }

    /// The signatures in order.
    pub(crate) fn signatures(&self) -> impl Iterator<Item = Result<Signature<'a>, ReleaseError>> + use<'a> {
        self.signatures_encoded().map(|signature| signature.and_then(Signature::parse))
    }

    /// The signatures in order, as encoded.
    pub(crate) fn signatures_encoded(
        &self,
    ) -> impl Iterator<Item = Result<&'a [u8], ReleaseError>> + use<'a> {
        let mut rest = self.signatures;
        (0..self.signature_count).map(move |_| rest.bytes())
    }
}

/// `SUIT_Digest = [algorithm, bytes]` of SHA-256.
pub(crate) fn parse_digest<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8; 32], ReleaseError> {
    reader.array_exactly(2)?;
    match reader.int()? {
        SHA_256 => reader.array_of(),
        algorithm => Err(ReleaseError::UnsupportedAlgorithm { algorithm }),
    }
}

/// SHA-256 over bytes as a CBOR byte string: the draft digests manifests and severed members with their head.
pub(crate) fn digest_of_wrapped(bytes: &[u8]) -> [u8; 32] {
    let (head, used) = bytes_head(bytes.len());
    let mut hash = Sha256::new();
    hash.update(head.get(..used).unwrap_or_default());
    hash.update(bytes);
    hash.finalize().into()
}

/// Whether a byte string or something else is next: a severable member, or its digest.
pub(crate) fn is_bytes(reader: &Reader<'_>) -> bool {
    reader.peek() == Ok(BYTES)
}
