//! Valid releases for the tests to break.
#![allow(dead_code)]

use rootcast_image::{ChipId, ImageHash};
use rootcast_trust::release::{
    ClassId, Node, NodeClasses, Purposes, ReleaseKey, TrustRecord, TrustedKey, VendorId,
};
use rootcast_trust::sign::{ClassSpec, KeyKind, ReleaseSpec, SigningKey, VariantSpec};
use sha2::{Digest, Sha256};

use super::cbor::*;

/// 2026-07-01T00:00:00Z.
pub const NOW: u64 = 1_782_864_000;

pub fn vendor() -> VendorId {
    VendorId::of_domain("example.com")
}

pub fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).unwrap()
}

pub fn public(key: &SigningKey) -> ReleaseKey {
    key.release_key().unwrap()
}

/// A record that trusts these keys for everything.
pub fn trusting(keys: &[&SigningKey]) -> TrustRecord {
    let mut record = TrustRecord::default();
    for key in keys {
        record.release_keys.push(TrustedKey::new(public(key), Purposes::ALL)).unwrap();
    }
    record
}

pub fn class(chip: ChipId, node_type: &str) -> ClassSpec {
    ClassSpec { chip, node_type: Some(node_type.into()), hardware_revision: None }
}

/// A variant whose image is `file` followed by nothing; only digest, size and hash matter to most tests.
pub fn variant(class: ClassSpec, uri: &str, file: &[u8]) -> VariantSpec {
    let list = rootcast_trust::sign::page_list(file);
    VariantSpec {
        class,
        uri: uri.into(),
        sha256: Sha256::digest(file).into(),
        size: file.len() as u32,
        image_hash: image_hash(file),
        page_digests: rootcast_trust::sign::page_list(&list),
        page_list_uri: None,
        chip_revisions: None,
        version_needed: None,
        patches: Vec::new(),
    }
}

/// Stands for ESP-IDF's validation hash of a made-up file.
pub fn image_hash(file: &[u8]) -> ImageHash {
    ImageHash(Sha256::digest([b"image hash of ", file].concat()).into())
}

pub fn c3_image() -> Vec<u8> {
    (0..10_000u32).map(|index| (index * 7) as u8).collect()
}

pub fn esp32_image() -> Vec<u8> {
    (0..9_000u32).map(|index| (index * 11) as u8).collect()
}

/// Sequence number 5, for ESP32-C3 switches and ESP32 relays.
pub fn spec() -> ReleaseSpec {
    ReleaseSpec {
        vendor: vendor(),
        sequence_number: 5,
        version: "2.5.1".into(),
        description: None,
        signed_at: Some(NOW - 3600),
        not_after: Some(NOW + 30 * 24 * 3600),
        replaces_up_to: None,
        variants: vec![
            variant(class(ChipId::ESP32C3, "switch"), "switch-c3.bin", &c3_image()),
            variant(class(ChipId::ESP32, "relay"), "relay-esp32.bin", &esp32_image()),
        ],
        key_changes: Vec::new(),
    }
}

pub fn classes(chip: ChipId, node_type: &str) -> NodeClasses {
    ClassId::of_node(vendor(), chip, node_type, None)
}

/// An ESP32-C3 switch that runs something older.
pub fn node(classes: &NodeClasses) -> Node<'_> {
    Node {
        vendor: vendor(),
        classes,
        chip_revision: 4,
        slot_size: 1408 * 1024,
        running: ImageHash([1; 32]),
        running_version: "2.4.0",
        clock: Some(NOW),
        release_url: "https://firmware.example/r/release.suit",
    }
}

// What follows writes releases by hand.

/// A manifest for a C3 switch as map entries, in order.
pub fn manifest_entries() -> Vec<(i64, Vec<u8>)> {
    vec![
        (1, uint(1)),
        (2, uint(5)),
        (3, bytes(&common(&shared_items()))),
        (7, bytes(&array(&[int(3), uint(15)]))),
        (20, bytes(&array(&install_items()))),
    ]
}

pub fn common(shared: &[Vec<u8>]) -> Vec<u8> {
    map(&[(2, array(&[array(&[bytes(b"app")])])), (4, bytes(&array(shared)))])
}

pub fn parameters() -> Vec<(i64, Vec<u8>)> {
    vec![
        (1, bytes(&vendor().0)),
        (2, bytes(&classes(ChipId::ESP32C3, "switch")[0].0)),
        (3, bytes(&array(&[int(-16), bytes(&Sha256::digest(c3_image()))]))),
        (14, uint(10_000)),
        (21, text("switch-c3.bin")),
    ]
}

pub fn shared_items() -> Vec<Vec<u8>> {
    vec![int(20), map(&parameters()), int(1), uint(15), int(2), uint(15)]
}

pub fn install_items() -> Vec<Vec<u8>> {
    vec![int(21), uint(2), int(3), uint(15)]
}

/// Replaces the entry with this key.
pub fn with(mut entries: Vec<(i64, Vec<u8>)>, key: i64, value: Vec<u8>) -> Vec<(i64, Vec<u8>)> {
    match entries.iter_mut().find(|entry| entry.0 == key) {
        Some(entry) => entry.1 = value,
        None => {
            entries.push((key, value));
            entries.sort_by_key(|entry| int(entry.0));
        }
    }
    entries
}

pub fn without(mut entries: Vec<(i64, Vec<u8>)>, key: i64) -> Vec<(i64, Vec<u8>)> {
    entries.retain(|entry| entry.0 != key);
    entries
}

/// The SUIT_Digest of a manifest.
pub fn digest_of(manifest: &[u8]) -> Vec<u8> {
    array(&[int(-16), bytes(&Sha256::digest(bytes(manifest)))])
}

/// COSE_Sign1 with these headers, by this key.
pub fn sign1(
    payload: &[u8],
    protected: &[(i64, Vec<u8>)],
    unprotected: &[(i64, Vec<u8>)],
    key: &SigningKey,
) -> Vec<u8> {
    let protected = map(protected);
    let to_be_signed = array(&[text("Signature1"), bytes(&protected), bytes(&[]), bytes(payload)]);
    let signature = es256(key, &to_be_signed);
    tag(18, array(&[bytes(&protected), map(unprotected), NULL.to_vec(), bytes(&signature)]))
}

/// ECDSA by way of the PEM: another path than the library's own.
pub fn es256(key: &SigningKey, message: &[u8]) -> [u8; 64] {
    use p256::ecdsa::signature::Signer;
    use p256::pkcs8::DecodePrivateKey;
    let secret = p256::SecretKey::from_pkcs8_pem(&key.to_pem().unwrap()).unwrap();
    let signature: p256::ecdsa::Signature = p256::ecdsa::SigningKey::from(secret).sign(message);
    signature.to_bytes().into()
}

pub fn envelope_of(manifest: &[u8], signatures: &[Vec<u8>], more: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut wrapper = vec![bytes(&digest_of(manifest))];
    wrapper.extend(signatures.iter().map(|signature| bytes(signature)));
    let mut entries = vec![(2, bytes(&array(&wrapper))), (3, bytes(manifest))];
    entries.extend(more.iter().cloned());
    tag(107, map(&entries))
}

/// Any manifest, signed well.
pub fn signed(manifest: &[u8], key: &SigningKey) -> Vec<u8> {
    let signature = sign1(&digest_of(manifest), &[(1, int(-7))], &[], key);
    envelope_of(manifest, &[signature], &[])
}

/// The manifest of these entries, signed well.
pub fn signed_entries(entries: &[(i64, Vec<u8>)], key: &SigningKey) -> Vec<u8> {
    signed(&map(entries), key)
}
