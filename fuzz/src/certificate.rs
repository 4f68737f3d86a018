//! What a TLS server shows of itself.

use rootcast_trust::certificate::{
    CertificateDer, MAX_INTERMEDIATES, SignatureVerificationAlgorithm, trust_anchor, verify_server_chain,
};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, alg_id};

use crate::Target;

/// The targets of this module.
pub const TARGETS: &[Target] =
    &[Target { name: "certificate", run: certificate, seeds: chains, repair: None }];

const ROOT: &[u8] = include_bytes!("../../crates/trust/measure/data/chain-p256-root.der");
const INTERMEDIATE: &[u8] = include_bytes!("../../crates/trust/measure/data/chain-p256-intermediate.der");
const LEAF: &[u8] = include_bytes!("../../crates/trust/measure/data/chain-p256-leaf.der");

/// Takes every signature for right, so that whatever lies behind that check is reached.
#[derive(Debug)]
struct Credulous;

impl SignatureVerificationAlgorithm for Credulous {
    fn verify_signature(
        &self,
        _key: &[u8],
        _message: &[u8],
        _signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// [`verify_server_chain`]: certificates with a length (two bytes) before each, the server's own first, and any
/// certificate as a trusted one. A verdict, and words for it.
pub fn certificate(mut input: &[u8]) {
    const NAMES: [&str; 4] = ["firmware.example", "[::1]", "192.168.1.7", "*.example"];
    let Some((&choice, rest)) = input.split_first() else { return };
    input = rest;
    let mut certificates: Vec<&[u8]> = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (certificate, rest) = rest.split_at(length);
        certificates.push(certificate);
        input = rest;
        if certificates.len() > MAX_INTERMEDIATES + 2 {
            break;
        }
    }
    let Some((leaf, intermediates)) = certificates.split_first() else { return };
    let own_root = CertificateDer::from_slice(ROOT);
    let last = CertificateDer::from_slice(intermediates.last().unwrap_or(leaf));
    let mut roots = vec![trust_anchor(&own_root).expect("our own root")];
    match trust_anchor(&last) {
        Ok(anchor) if choice & 4 != 0 => roots.push(anchor),
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let name = NAMES[usize::from(choice & 3)];
    let now = 1_782_864_000 + (u64::from(choice) >> 3) * 10_000_000;
    if let Err(error) = verify_server_chain(leaf, intermediates, &roots, name, now, &[&Credulous]) {
        assert!(!error.to_string().is_empty());
    }
}

fn chains() -> Vec<Vec<u8>> {
    let chain = |choice: u8, certificates: &[&[u8]]| {
        let mut bytes = vec![choice];
        for certificate in certificates {
            bytes.extend((certificate.len() as u16).to_le_bytes());
            bytes.extend(*certificate);
        }
        bytes
    };
    vec![
        chain(0, &[LEAF, INTERMEDIATE]),
        chain(1, &[LEAF]),
        chain(4, &[LEAF, INTERMEDIATE, ROOT]),
        chain(6, &[ROOT]),
        chain(7, &[INTERMEDIATE, LEAF]),
    ]
}
