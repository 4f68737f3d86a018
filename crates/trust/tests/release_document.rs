//! `docs/release-format.md` shows a release byte by byte. This test makes that release again and compares.
//!
//! After a change of the format: `UPDATE_DOCS=1 cargo test -p rootcast-trust --test release_document`.

mod support;

use rootcast_image::ChipId;
use rootcast_trust::release::{Release, VendorId};
use rootcast_trust::sign::{ReleaseSpec, SigningKey, annotate, create_release};
use support::release::{class, trusting, variant};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/release-format.md");
const BEGIN: &str = "<!-- begin dump: written by crates/trust/tests/release_document.rs -->\n```text\n";
const END: &str = "```\n<!-- end dump -->";

/// Signed by a key for examples, whose scalar is 32 times 0x42: reproducible, and worth nothing.
fn example() -> (SigningKey, Vec<u8>) {
    let secret = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let pem = p256::pkcs8::EncodePrivateKey::to_pkcs8_pem(&secret, p256::pkcs8::LineEnding::LF).unwrap();
    let key = SigningKey::from_pem(&pem).unwrap();
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
    let release = create_release(&spec, std::slice::from_ref(&key)).unwrap();
    (key, release)
}

#[test]
fn the_dump_in_the_document_is_that_of_the_release_it_speaks_of() {
    let (key, release) = example();
    let trust = trusting(&[&key]);
    assert!(Release::verify(&release, &trust).is_ok());
    let dump = annotate(&release);
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the document has a dump");
    let (written, after) = rest.split_once(END).expect("the dump ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DOCUMENT, [before, BEGIN, &dump, END, after].concat()).unwrap();
    } else {
        assert_eq!(written, dump, "run again with UPDATE_DOCS=1 and look at the difference");
    }
}

#[test]
fn a_dump_holds_every_byte_once() {
    let (_, release) = example();
    let dump = annotate(&release);
    let hex: String = dump
        .lines()
        .map(|line| line.split(' ').next().unwrap_or_default())
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .collect();
    let expected: String = release.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
}

#[test]
fn a_dump_of_anything_ends_without_panic_and_says_why() {
    let (_, release) = example();
    for length in 0..release.len() {
        assert!(annotate(&release[..length]).contains("here it ends"), "{length}");
    }
    for at in 0..release.len() {
        let mut broken = release.clone();
        broken[at] ^= 0x5A;
        let _ = annotate(&broken);
    }
}
