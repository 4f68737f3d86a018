//! What is signed: releases (SUIT envelopes and manifests) and the record of whom a node trusts.

use rootcast_image::{ChipId, ImageHash};
use rootcast_trust::KeyDigest;
use rootcast_trust::release::{
    ClassId, MAX_TRUST_RECORD_BYTES, Purposes, ReleaseKey, TrustRecord, TrustedKey, UnverifiedRelease,
    VendorId,
};
use rootcast_trust::sign::{
    ClassSpec, KeyKind, PatchSpec, ReleaseSpec, SigningKey, VariantSpec, create_release, page_list,
};
use sha2::{Digest, Sha256};

use crate::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target { name: "release_envelope", run: envelope, seeds: envelopes, repair: None },
    Target { name: "release_manifest", run: manifest, seeds: manifests, repair: None },
    Target { name: "trust_record", run: trust_record, seeds: trust_records, repair: None },
];

/// Any bytes as a release: by nobody's word, and with a key that it should be signed by.
pub fn envelope(input: &[u8]) {
    if let Ok(release) = UnverifiedRelease::read(input) {
        look_at(&release);
    }
    let mut trust = TrustRecord::default();
    let _ = trust.release_keys.push(TrustedKey::new(ReleaseKey([0x44; 64]), Purposes::ALL));
    assert!(
        rootcast_trust::release::Release::verify(input, &trust).is_err(),
        "signed by a key that is no point"
    );
}

/// Any bytes as a manifest whose digest is right, so that its own parser gets to see them.
pub fn manifest(input: &[u8]) {
    let envelope = wrap(input);
    if let Ok(release) = UnverifiedRelease::read(&envelope) {
        assert_eq!(release.manifest(), input);
        look_at(&release);
    }
}

/// Everything that can be asked of a release.
fn look_at(release: &UnverifiedRelease<'_>) {
    let claims = release.claims();
    assert_eq!(
        claims.variants().count(),
        claims.variant_count(),
        "variants that were read can be read again"
    );
    for variant in claims.variants() {
        for patch in variant.patches() {
            let _ = patch;
        }
    }
    let classes = ClassId::of_node(claims.vendor(), ChipId::ESP32C3, "switch", None);
    let _ = claims.variant_for(claims.vendor(), &classes);
    let _ = (claims.key_changes().count(), claims.texts(), claims.version(), claims.not_after());
    let _ = (release.severed_text(), release.key_ids().count(), release.signatures_encoded().count());
}

/// [`TrustRecord::decode`]: a record that is read is written and read as the same.
pub fn trust_record(input: &[u8]) {
    let Ok(record) = TrustRecord::decode(input) else { return };
    let mut buffer = [0; MAX_TRUST_RECORD_BYTES];
    assert_eq!(TrustRecord::decode(record.encode(&mut buffer)), Ok(record.clone()));
}

fn manifests() -> Vec<Vec<u8>> {
    let file: Vec<u8> = (0..10_000_u32).map(|index| (index * 7) as u8).collect();
    let list = page_list(&file);
    let variant = |chip, node_type: Option<&str>, uri: &str| VariantSpec {
        class: ClassSpec { chip, node_type: node_type.map(str::to_string), hardware_revision: None },
        uri: uri.into(),
        sha256: Sha256::digest(&file).into(),
        size: file.len() as u32,
        image_hash: ImageHash([7; 32]),
        page_digests: page_list(&list),
        page_list_uri: None,
        chip_revisions: Some((1, 199)),
        version_needed: None,
        patches: vec![PatchSpec {
            from: ImageHash([6; 32]),
            uri: "a.patch".into(),
            sha256: [8; 32],
            size: 1_000,
        }],
    };
    let small = ReleaseSpec {
        vendor: VendorId::of_domain("example.com"),
        sequence_number: 5,
        version: "2.5.1".into(),
        description: Some("Mends the buttons".into()),
        signed_at: Some(1_800_000_000),
        not_after: Some(1_900_000_000),
        replaces_up_to: None,
        variants: vec![variant(ChipId::ESP32C3, Some("switch"), "switch-c3.bin")],
        key_changes: Vec::new(),
    };
    let mixed = ReleaseSpec {
        replaces_up_to: Some(9),
        variants: vec![
            variant(ChipId::ESP32C3, Some("switch"), "switch-c3.bin"),
            variant(ChipId::ESP32, Some("relay"), "https://elsewhere.example/relay.bin"),
            variant(ChipId::ESP32S3, None, "s3.bin"),
        ],
        ..small.clone()
    };
    // The key does not show in the manifest, so that the seeds are the same every time.
    let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
    [small, mixed]
        .iter()
        .map(|spec| {
            let release = create_release(spec, std::slice::from_ref(&key)).expect("a valid release");
            UnverifiedRelease::read(&release).expect("just made").manifest().to_vec()
        })
        .collect()
}

fn envelopes() -> Vec<Vec<u8>> {
    manifests().iter().map(|manifest| wrap(manifest)).collect()
}

fn trust_records() -> Vec<Vec<u8>> {
    let mut buffer = [0; MAX_TRUST_RECORD_BYTES];
    let mut record = TrustRecord::default();
    let fresh = record.encode(&mut buffer).to_vec();
    let key = |byte, purposes| TrustedKey::new(ReleaseKey([byte; 64]), purposes);
    let retired = TrustedKey { last: Some(4), ..key(1, Purposes::RELEASES) };
    for key in [key(2, Purposes::ALL), retired, TrustedKey { revoked: true, ..key(3, Purposes::KEYS) }] {
        record.release_keys.push(key).expect("room");
    }
    record.image_keys.push(KeyDigest([9; 32])).expect("room");
    (record.sequence_number, record.manifest_digest, record.time_floor) = (7, [5; 32], 1_800_000_000);
    vec![fresh, record.encode(&mut buffer).to_vec()]
}

/// An envelope with the manifest's digest and a signature of the right form by nobody
/// (draft-ietf-suit-manifest §8.2; CBOR, RFC 8949 §3).
fn wrap(manifest: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(bytes(manifest));
    // [-16 (SHA-256), digest]
    let digest = [&[0x82, 0x2F], &bytes(&digest)[..]].concat();
    // 18([<<{1: -7}>>, {}, null, signature])
    let signature = [&[0xD2, 0x84, 0x43, 0xA1, 0x01, 0x26, 0xA0, 0xF6], &bytes(&[0x55; 64])[..]].concat();
    let authentication = [&[0x82], &bytes(&digest)[..], &bytes(&signature)].concat();
    // 107({2: <<authentication>>, 3: <<manifest>>})
    [&[0xD8, 107, 0xA2, 0x02], &bytes(&authentication)[..], &[0x03], &bytes(manifest)].concat()
}

/// A byte string.
fn bytes(content: &[u8]) -> Vec<u8> {
    let length = content.len() as u32;
    let head = match length {
        0..24 => vec![0x40 | length as u8],
        24..0x100 => vec![0x58, length as u8],
        0x100..0x1_0000 => [&[0x59][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[0x5A][..], &length.to_be_bytes()].concat(),
    };
    [&head[..], content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_as_releases() {
        for envelope in envelopes() {
            assert_eq!(UnverifiedRelease::read(&envelope).map(|release| release.key_ids().count()), Ok(1));
        }
    }
}
