//! The examples of draft-ietf-suit-manifest-37, read by this profile.
//!
//! The authors' digests and signatures verify on all of them. One is a release in the sense of this profile; the others
//! use what a node of ours does not have, and are refused for just that.

mod support;

use std::fs;

use rootcast_trust::release::{
    Purposes, Release, ReleaseError, ReleaseKey, TrustRecord, TrustedKey, UnverifiedRelease, VendorId,
};

const X: &str = "8496811aae0baaabd26157189eecda26beaa8bf11b6f3fe6e2b5659c85dbc0ad";
const Y: &str = "3b1f2a4b6c098131c0a36dacd1d78bd381dcdfb09c052db33991db7338b4a896";

fn from_hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn example(number: usize) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/suit-draft-37");
    from_hex(&fs::read_to_string(format!("{folder}/example{number}.hex")).unwrap())
}

fn drafts_key() -> TrustRecord {
    let mut point = vec![4];
    point.extend(from_hex(X));
    point.extend(from_hex(Y));
    let key = ReleaseKey::from_sec1(&point.try_into().unwrap()).unwrap();
    let mut trust = TrustRecord::default();
    trust.release_keys.push(TrustedKey::new(key, Purposes::RELEASES)).unwrap();
    trust
}

#[test]
fn the_download_and_install_example_is_a_release() {
    let bytes = example(1);
    let trust = drafts_key();
    let release = Release::verify(&bytes, &trust).unwrap();
    assert_eq!(release.sequence_number(), 1);
    assert_eq!(release.vendor().to_string(), "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe");
    assert_eq!(release.vendor(), VendorId::of_domain("arm.com"));
    let variant = release.variants().next().unwrap();
    assert_eq!(release.variant_count(), 1);
    assert_eq!(variant.class.to_string(), "1492af14-2569-5e48-bf42-9b2d51f2ab45");
    assert_eq!((variant.uri, variant.size), ("http://example.com/file.bin", 34768));
    assert_eq!(
        variant.sha256[..],
        from_hex("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210")
    );
    // What only Rootcast's tools write is absent, and nothing depends on it.
    assert_eq!((variant.image_hash, variant.pages, release.signed_at()), (None, None, None));
}

#[test]
fn the_other_examples_are_signed_well_and_refused_for_what_they_use() {
    let refused = |number| Release::verify(&example(number), &drafts_key()).unwrap_err();
    // Secure boot: invokes the image, which the bootloader does here.
    assert_eq!(refused(0), ReleaseError::UnsupportedMember { label: 9 });
    // Compatibility test, download and secure boot: its install sequence is severed and lies beside the manifest.
    assert_eq!(refused(2), ReleaseError::UnsupportedMember { label: 20 });
    // A/B images: chooses by slot; an ESP image runs in either.
    assert_eq!(refused(3), ReleaseError::UnsupportedParameter { label: 5 });
    // Load from external storage: three components. Two images: two.
    assert_eq!(refused(4), ReleaseError::TooManyComponents { found: 3 });
    assert_eq!(refused(5), ReleaseError::TooManyComponents { found: 2 });
}

#[test]
fn the_signatures_of_all_examples_are_verified_before_anything_else() {
    for number in 0..6 {
        let bytes = example(number);
        let stranger = support::release::trusting(&[&support::release::key()]);
        let expected = match number {
            // What lies beside the manifest is not signed itself, and is looked at first.
            2 => ReleaseError::UnsupportedMember { label: 20 },
            _ => ReleaseError::UntrustedKey,
        };
        assert_eq!(Release::verify(&bytes, &stranger).unwrap_err(), expected, "{number}");
        // The error of a flipped byte is the digest's or the signature's, never the profile's.
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            let error = Release::verify(&broken, &drafts_key()).unwrap_err();
            assert!(
                !matches!(
                    error,
                    ReleaseError::UnsupportedCommand { .. } | ReleaseError::UnsupportedParameter { .. }
                ),
                "example {number}, byte {at}: {error}"
            );
        }
    }
}

#[test]
fn an_unverified_look_at_an_example_shows_what_it_claims() {
    let bytes = example(1);
    let read = UnverifiedRelease::read(&bytes).unwrap();
    assert_eq!(read.claims().sequence_number(), 1);
    assert_eq!(read.key_ids().collect::<Vec<_>>(), [None]);
}
