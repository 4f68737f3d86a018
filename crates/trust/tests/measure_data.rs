//! The inputs of `measure/`, which runs on an emulated chip and cannot make its own.
//!
//! `WRITE_MEASURE_DATA=1 cargo test -p rootcast-trust --test measure_data` writes them anew; otherwise the test checks
//! that what lies there still verifies, so that a change of format does not leave the measurement behind.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rootcast_image::ChipId;
use rootcast_trust::certificate::{CertificateDer, ring_algorithms, trust_anchor, verify_server_chain};
use rootcast_trust::release::{MAX_TRUST_RECORD_BYTES, Release, TrustRecord, VendorId};
use rootcast_trust::sign::{ReleaseSpec, SigningKey, create_release, sign_image};
use rootcast_trust::{KeyDigest, verify_image_signature};
use support::release::{class, trusting, variant};
use support::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("measure/data")
}

fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn write(name: &str, bytes: &[u8]) {
    fs::write(folder().join(name), bytes).unwrap();
}

fn write_release() {
    let key = p256_key();
    let spec = ReleaseSpec {
        vendor: VendorId::of_domain("example.com"),
        sequence_number: 7,
        version: "2.5.1".into(),
        description: None,
        signed_at: Some(1_782_864_000),
        not_after: Some(1_790_640_000),
        replaces_up_to: None,
        variants: vec![
            variant(class(ChipId::ESP32C3, "switch"), "switch.bin", &vec![0xC3; 150_000]),
            variant(class(ChipId::ESP32, "relay"), "relay.bin", &vec![0x32; 140_000]),
        ],
        key_changes: Vec::new(),
    };
    write("release.suit", &create_release(&spec, std::slice::from_ref(&key)).unwrap());
    let mut buffer = [0; MAX_TRUST_RECORD_BYTES];
    write("trust-record.cbor", trusting(&[&key]).encode(&mut buffer));
}

fn write_image(name: &str, key: &SigningKey) {
    let signed = sign_image(&app_image(0), std::slice::from_ref(key)).unwrap();
    let (digest, sector) = signed_parts(&signed);
    write(&format!("{name}.sector"), &sector[..1216]);
    write(&format!("{name}.digest"), &digest);
    write(&format!("{name}.key"), &key.key_digest().0);
}

fn write_chain(name: &str, key: impl Fn(usize) -> KeyPair) {
    let dated = |mut params: CertificateParams| {
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2036, 1, 1);
        params
    };
    let ca = |name: &str| {
        let mut params = dated(CertificateParams::default());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let root = CertifiedIssuer::self_signed(ca("measure root"), key(0)).unwrap();
    let intermediate = CertifiedIssuer::signed_by(ca("measure issuing"), key(1), &root).unwrap();
    let leaf = dated(CertificateParams::new(vec!["firmware.example".into()]).unwrap());
    let leaf = leaf.signed_by(&key(2), &intermediate).unwrap();
    write(&format!("chain-{name}-root.der"), root.der());
    write(&format!("chain-{name}-intermediate.der"), intermediate.der());
    write(&format!("chain-{name}-leaf.der"), leaf.der());
}

#[test]
fn what_is_measured_verifies() {
    if std::env::var_os("WRITE_MEASURE_DATA").is_some() {
        write_release();
        write_image("p256", &p256_key());
        write_image("rsa", &rsa_keys()[0]);
        write_chain("p256", |_| KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap());
        write_chain("rsa", |index| {
            let pem = rsa_keys()[index].to_pem().unwrap();
            KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256).unwrap()
        });
    }
    let record = TrustRecord::decode(&read("trust-record.cbor")).unwrap();
    assert!(Release::verify(&read("release.suit"), &record).is_ok());
    for name in ["p256", "rsa"] {
        let array = |kind: &str| <[u8; 32]>::try_from(read(&format!("{name}.{kind}"))).unwrap();
        let sector = read(&format!("{name}.sector"));
        assert!(verify_image_signature(&array("digest"), &sector, &[KeyDigest(array("key"))]).is_ok());
        let [root, intermediate, leaf] =
            ["root", "intermediate", "leaf"].map(|part| read(&format!("chain-{name}-{part}.der")));
        let root = CertificateDer::from_slice(&root);
        let anchor = trust_anchor(&root).unwrap();
        for algorithms in [ring_algorithms(), rootcast_trust::algorithms::ALL] {
            let outcome = verify_server_chain(
                &leaf,
                &[&intermediate],
                std::slice::from_ref(&anchor),
                "firmware.example",
                1_782_864_000,
                algorithms,
            );
            assert_eq!(outcome, Ok(()));
        }
    }
}
