//! COSE_Sign1 with ES256 and a detached payload (RFC 9052 §4.2, RFC 9053 §2.1).

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256};

use super::cbor::{CborFault, Reader, bytes_head};
use super::key::ReleaseKey;
use super::{Part, ReleaseError};

/// The tag of COSE_Sign1.
const SIGN1_TAG: u64 = 18;
/// COSE's number for ECDSA with SHA-256.
pub(crate) const ES256: i64 = -7;

const HEADER_ALGORITHM: i64 = 1;
const HEADER_KEY_ID: i64 = 4;

/// A signature as it was read: who says it signed, and the numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature<'a> {
    protected: &'a [u8],
    /// The key id, if the signature has one.
    pub kid: Option<&'a [u8]>,
    numbers: &'a [u8; 64],
}

impl<'a> Signature<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ReleaseError> {
        let mut reader = Reader::new(bytes, Part::Signature);
        reader.tag(SIGN1_TAG)?;
        reader.array_exactly(4)?;
        let protected = reader.bytes()?;
        let mut inner = Reader::new(protected, Part::Signature);
        let (algorithm, protected_kid) = headers(&mut inner)?;
        inner.end()?;
        let (stray_algorithm, kid) = headers(&mut reader)?;
        match algorithm {
            Some(ES256) => {}
            Some(algorithm) => return Err(ReleaseError::UnsupportedAlgorithm { algorithm }),
            // 0 is COSE's "reserved": no algorithm is stated where it is protected.
            None => return Err(ReleaseError::UnsupportedAlgorithm { algorithm: 0 }),
        }
        // RFC 9052 §3: a label is in one of the two maps only, and the algorithm belongs among the protected.
        if stray_algorithm.is_some() {
            return Err(ReleaseError::UnsupportedHeader { header: HEADER_ALGORITHM });
        }
        if protected_kid.is_some() && kid.is_some() {
            return Err(ReleaseError::UnsupportedHeader { header: HEADER_KEY_ID });
        }
        if !reader.take_null() {
            return Err(reader.fault(CborFault::WrongValue));
        }
        let numbers = reader.array_of()?;
        reader.end()?;
        Ok(Self { protected, kid: protected_kid.or(kid), numbers })
    }

    /// Whether this key made the signature over the payload.
    pub(crate) fn verifies(&self, payload: &[u8], key: &ReleaseKey) -> bool {
        // Sig_structure = ["Signature1", protected, external_aad = h'', payload] (RFC 9052 §4.4)
        let mut hash = Sha256::new();
        hash.update(b"\x84\x6aSignature1");
        update_wrapped(&mut hash, self.protected);
        update_wrapped(&mut hash, &[]);
        update_wrapped(&mut hash, payload);
        let signature = p256::ecdsa::Signature::from_slice(self.numbers);
        key.verifying_key().is_some_and(|key| {
            signature.is_ok_and(|signature| key.verify_prehash(&hash.finalize(), &signature).is_ok())
        })
    }
}

/// Algorithm and key id of a header map; anything else is a header that this reader would have to understand.
fn headers<'a>(reader: &mut Reader<'a>) -> Result<(Option<i64>, Option<&'a [u8]>), ReleaseError> {
    let (mut algorithm, mut kid) = (None, None);
    let mut keys = reader.map()?;
    while let Some(header) = keys.next(reader)? {
        match header {
            HEADER_ALGORITHM => algorithm = Some(reader.int()?),
            HEADER_KEY_ID => kid = Some(reader.bytes()?),
            header => return Err(ReleaseError::UnsupportedHeader { header }),
        }
    }
    Ok((algorithm, kid))
}

fn update_wrapped(hash: &mut Sha256, bytes: &[u8]) {
    let (head, used) = bytes_head(bytes.len());
    hash.update(head.get(..used).unwrap_or_default());
    hash.update(bytes);
}
