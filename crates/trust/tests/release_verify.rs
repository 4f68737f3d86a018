//! What is believed about a release, and what is said when it is not.

mod support;

use rootcast_image::ChipId;
use rootcast_trust::release::{
    CborFault, MAX_KEY_CHANGES, MAX_PATCHES, MAX_RELEASE_BYTES, MAX_VARIANTS, Part, Purposes, Release,
    ReleaseError, TrustRecord, TrustedKey, UnverifiedRelease,
};
use rootcast_trust::sign::{KeyKind, SigningKey, add_signature, create_release};
use support::cbor::*;
use support::release::*;

fn verify(release: &[u8], key: &SigningKey) -> Result<(), ReleaseError> {
    Release::verify(release, &trusting(&[key])).map(drop)
}

/// The error of a manifest that is signed well and reads badly.
fn refusal_of(entries: &[(i64, Vec<u8>)]) -> ReleaseError {
    let key = key();
    verify(&signed_entries(entries, &key), &key).expect_err("refused")
}

fn refusal_of_shared(shared: &[Vec<u8>]) -> ReleaseError {
    refusal_of(&with(manifest_entries(), 3, bytes(&common(shared))))
}

fn refusal_of_parameters(parameters: &[(i64, Vec<u8>)]) -> ReleaseError {
    refusal_of_shared(&[int(20), map(parameters), int(1), uint(15), int(2), uint(15)])
}

#[test]
fn a_release_reads_back_as_it_was_made() {
    let key = key();
    let spec = spec();
    let bytes = create_release(&spec, std::slice::from_ref(&key)).unwrap();
    let trust = trusting(&[&key]);
    let release = Release::verify(&bytes, &trust).unwrap();
    assert_eq!(release.sequence_number(), 5);
    assert_eq!(release.vendor(), vendor());
    assert_eq!((release.signed_at(), release.not_after()), (spec.signed_at, spec.not_after));
    assert_eq!(release.texts().version, Some("2.5.1"));
    assert_eq!(release.version().unwrap().numbers(), [2, 5, 1]);
    assert_eq!(release.variant_count(), 2);
    for made in &spec.variants {
        let read = release.variant_for(vendor(), &[made.class.id(vendor())]).unwrap();
        assert_eq!((read.uri, *read.sha256, read.size), (made.uri.as_str(), made.sha256, made.size));
        assert_eq!((read.vendor, read.class), (vendor(), made.class.id(vendor())));
        assert_eq!(read.image_hash, Some(made.image_hash));
        assert_eq!(read.class_name, Some(made.class.name().as_str()));
        assert_eq!(read.pages.unwrap().as_bytes(), made.page_digests);
        assert_eq!(read.not_after, spec.not_after);
    }
    assert!(release.variant_for(vendor(), &classes(ChipId::ESP32S3, "switch")).is_none());
}

#[test]
fn the_same_release_is_made_of_the_same_input() {
    let key = key();
    let once = create_release(&spec(), std::slice::from_ref(&key)).unwrap();
    assert_eq!(create_release(&spec(), std::slice::from_ref(&key)).unwrap(), once);
}

#[test]
fn narrower_classes_are_tried_first_whatever_the_order_in_which_they_were_given() {
    let key = key();
    let mut spec = spec();
    let mut broad = variant(class(ChipId::ESP32C3, "switch"), "any.bin", b"any");
    broad.class.node_type = None;
    let mut narrow = variant(class(ChipId::ESP32C3, "switch"), "r2.bin", b"r2");
    narrow.class.hardware_revision = Some("r2".into());
    spec.variants.insert(0, broad);
    spec.variants.push(narrow);
    let bytes = create_release(&spec, std::slice::from_ref(&key)).unwrap();
    let trust = trusting(&[&key]);
    let release = Release::verify(&bytes, &trust).unwrap();
    let uri_for = |node_type: &str, revision| {
        let classes =
            rootcast_trust::release::ClassId::of_node(vendor(), ChipId::ESP32C3, node_type, revision);
        release.variant_for(vendor(), &classes).map(|variant| variant.uri)
    };
    assert_eq!(uri_for("switch", Some("r2")), Some("r2.bin"));
    assert_eq!(uri_for("switch", Some("r1")), Some("switch-c3.bin"));
    assert_eq!(uri_for("switch", None), Some("switch-c3.bin"));
    assert_eq!(uri_for("relay", None), Some("any.bin"));
}

#[test]
fn every_flipped_bit_of_every_byte_is_refused() {
    let key = key();
    let mut described = spec();
    described.description = Some("Fixes the relay that stuck.".into());
    let mut families = std::collections::BTreeSet::new();
    for spec in [spec(), described] {
        let release = create_release(&spec, std::slice::from_ref(&key)).unwrap();
        let trust = trusting(&[&key]);
        for at in 0..release.len() {
            for bit in 0..8 {
                let mut broken = release.clone();
                broken[at] ^= 1 << bit;
                let error = Release::verify(&broken, &trust).expect_err("a flipped bit is noticed");
                families.insert(error.code());
            }
        }
    }
    // Each family of errors occurs: envelope, manifest and signature, and a key id that names nobody.
    assert_eq!(
        families.into_iter().collect::<Vec<_>>(),
        ["release_malformed", "release_signature_invalid", "release_untrusted_key"]
    );
}

#[test]
fn every_truncation_and_every_extension_is_malformed() {
    let key = key();
    let release = create_release(&spec(), std::slice::from_ref(&key)).unwrap();
    for length in 0..release.len() {
        let error = verify(&release[..length], &key).expect_err("a truncation is noticed");
        assert_eq!(error.code(), "release_malformed", "{length}: {error}");
    }
    let longer = [&release[..], &[0]].concat();
    assert_eq!(
        verify(&longer, &key),
        Err(ReleaseError::Malformed { part: Part::Envelope, fault: CborFault::TrailingBytes })
    );
}

#[test]
fn every_flipped_byte_of_a_manifest_that_is_signed_all_the_same_never_panics() {
    // The signer is trusted and the bytes are wrong: the reader stands alone.
    let key = key();
    let made = create_release(&spec(), std::slice::from_ref(&key)).unwrap();
    let manifest = UnverifiedRelease::read(&made).unwrap().manifest().to_vec();
    let mut accepted = 0;
    for at in 0..manifest.len() {
        for value in [0x00, 0x01, 0x1F, 0x20, 0x5B, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xF6, 0xFF] {
            let mut broken = manifest.clone();
            broken[at] = value;
            accepted += usize::from(
                UnverifiedRelease::read(&envelope_of(
                    &broken,
                    &[sign1(&[], &[(1, int(-7))], &[], &key)],
                    &[],
                ))
                .is_ok(),
            );
        }
        let short = &manifest[..at];
        let release = envelope_of(short, &[sign1(&[], &[(1, int(-7))], &[], &key)], &[]);
        assert!(UnverifiedRelease::read(&release).is_err(), "{at}");
    }
    // Bytes of digests, class ids and texts may be anything; structure may not.
    assert!(accepted > 0);
}

#[test]
fn what_is_no_release_is_called_so() {
    let key = key();
    for bytes in
        [&b""[..], b"<!DOCTYPE html>", b"\xE9\x06\x02\x2F", b"{\"url\":1}", &[0xD8, 0x6A, 0xA0], &[0xA0]]
    {
        assert_eq!(verify(bytes, &key), Err(ReleaseError::NotARelease), "{bytes:02x?}");
    }
    assert_eq!(verify(&vec![0; MAX_RELEASE_BYTES + 1], &key), Err(ReleaseError::TooLarge { found: 8193 }));
}

#[test]
fn a_strangers_signature_a_broken_one_and_a_revoked_key_are_told_apart() {
    let [trusted, stranger] = [key(), key()];
    let release = create_release(&spec(), std::slice::from_ref(&stranger)).unwrap();
    assert_eq!(verify(&release, &trusted), Err(ReleaseError::UntrustedKey));
    assert_eq!(Release::verify(&release, &TrustRecord::default()).unwrap_err(), ReleaseError::UntrustedKey);

    let mut broken = create_release(&spec(), std::slice::from_ref(&trusted)).unwrap();
    // The last byte of the signature, just before the manifest (key 3).
    let manifest = UnverifiedRelease::read(&broken).unwrap().manifest().len();
    let last = broken.len() - manifest - 5;
    broken[last] ^= 1;
    assert_eq!(verify(&broken, &trusted), Err(ReleaseError::SignatureInvalid));

    let mut trust = trusting(&[&stranger, &trusted]);
    trust.release_keys[0].revoked = true;
    assert_eq!(Release::verify(&release, &trust).unwrap_err(), ReleaseError::KeyRevoked);
}

#[test]
fn a_retired_key_signs_up_to_its_last_sequence_number() {
    let key = key();
    let mut trust = trusting(&[&key]);
    trust.release_keys[0].last = Some(5);
    let at = |sequence_number| {
        let release = create_release(
            &rootcast_trust::sign::ReleaseSpec { sequence_number, ..spec() },
            std::slice::from_ref(&key),
        )
        .unwrap();
        Release::verify(&release, &trust).map(|release| release.sequence_number())
    };
    assert_eq!(at(5), Ok(5));
    assert_eq!(at(6), Err(ReleaseError::KeyRetired { last: 5, found: 6 }));
}

#[test]
fn a_key_signs_only_what_it_is_for() {
    let key = key();
    let with_purposes = |purposes| {
        let mut trust = TrustRecord::default();
        trust.release_keys.push(TrustedKey::new(public(&key), purposes)).unwrap();
        trust
    };
    let add = rootcast_trust::release::KeyChange::Add {
        key: public(&support::release::key()),
        purposes: Purposes::ALL,
    };
    let images = spec();
    let mut both = spec();
    both.key_changes.push(add);
    let mut keys_only = both.clone();
    keys_only.variants.clear();
    for (spec, releases, keys, all) in
        [(images, true, false, true), (both, false, false, true), (keys_only, false, true, true)]
    {
        let release = create_release(&spec, std::slice::from_ref(&key)).unwrap();
        for (purposes, allowed) in
            [(Purposes::RELEASES, releases), (Purposes::KEYS, keys), (Purposes::ALL, all)]
        {
            let outcome = Release::verify(&release, &with_purposes(purposes)).map(drop);
            assert_eq!(outcome, if allowed { Ok(()) } else { Err(ReleaseError::KeyPurpose) }, "{purposes}");
        }
    }
}

#[test]
fn any_of_several_signatures_will_do_and_a_broken_one_by_a_known_key_spoils_all() {
    let [old, new, third] = [key(), key(), key()];
    let one = create_release(&spec(), std::slice::from_ref(&old)).unwrap();
    let both = add_signature(&one, &new).unwrap();
    for known in [&old, &new] {
        assert_eq!(verify(&both, known), Ok(()));
    }
    assert_eq!(verify(&both, &third), Err(ReleaseError::UntrustedKey));
    // Same manifest, same name: adding a signature does not make another release of it.
    let names =
        [&one, &both].map(|bytes| *UnverifiedRelease::read(bytes).unwrap().claims().manifest_digest());
    assert_eq!(names[0], names[1]);

    let three = add_signature(&both, &third).unwrap();
    assert!(matches!(
        add_signature(&three, &key()),
        Err(rootcast_trust::sign::CreateError::Unreadable(ReleaseError::SignatureCount { found: 4 }))
    ));
    let manifest = map(&manifest_entries());
    let good =
        sign1(&digest_of(&manifest), &[(1, int(-7)), (4, bytes(&public(&old).id().short()))], &[], &old);
    let forged =
        sign1(&digest_of(&manifest), &[(1, int(-7)), (4, bytes(&public(&new).id().short()))], &[], &old);
    let release = envelope_of(&manifest, &[good, forged], &[]);
    assert_eq!(verify(&release, &old), Ok(()), "who does not know the second key passes it over");
    assert_eq!(
        Release::verify(&release, &trusting(&[&old, &new])).unwrap_err(),
        ReleaseError::SignatureInvalid
    );
}

#[test]
fn signatures_by_other_cose_writers_are_read_and_their_oddities_refused() {
    let key = key();
    let manifest = map(&manifest_entries());
    let payload = digest_of(&manifest);
    let kid = bytes(&public(&key).id().short());
    let long_kid = bytes(&public(&key).id().0);
    let algorithm = (1, int(-7));
    let check = |protected: &[(i64, Vec<u8>)], unprotected: &[(i64, Vec<u8>)]| {
        verify(&envelope_of(&manifest, &[sign1(&payload, protected, unprotected, &key)], &[]), &key)
    };
    // The key id protected, not protected, whole, or not there at all.
    assert_eq!(check(&[algorithm.clone(), (4, kid.clone())], &[]), Ok(()));
    assert_eq!(check(std::slice::from_ref(&algorithm), &[(4, kid.clone())]), Ok(()));
    assert_eq!(check(std::slice::from_ref(&algorithm), &[(4, long_kid)]), Ok(()));
    assert_eq!(check(std::slice::from_ref(&algorithm), &[]), Ok(()));
    // A key id too short to mean anybody.
    assert_eq!(check(&[algorithm.clone(), (4, bytes(&[]))], &[]), Err(ReleaseError::UntrustedKey));

    let header = |header| Err(ReleaseError::UnsupportedHeader { header });
    assert_eq!(check(&[algorithm.clone(), (4, kid.clone())], &[(4, kid.clone())]), header(4));
    assert_eq!(check(std::slice::from_ref(&algorithm), std::slice::from_ref(&algorithm)), header(1));
    assert_eq!(check(&[algorithm.clone(), (2, array(&[int(99)]))], &[]), header(2));
    assert_eq!(check(&[algorithm, (-70_000, uint(1))], &[]), header(-70_000));
    let unsupported = |algorithm| Err(ReleaseError::UnsupportedAlgorithm { algorithm });
    assert_eq!(check(&[(1, int(-35))], &[]), unsupported(-35));
    assert_eq!(check(&[], &[(1, int(-7))]), unsupported(0));
}

#[test]
fn wrong_numbers_of_signatures_and_foreign_wrappers_are_refused() {
    let key = key();
    let manifest = map(&manifest_entries());
    let signature = sign1(&digest_of(&manifest), &[(1, int(-7))], &[], &key);
    let count = |found| Err(ReleaseError::SignatureCount { found });
    assert_eq!(verify(&envelope_of(&manifest, &[], &[]), &key), count(0));
    assert_eq!(verify(&envelope_of(&manifest, &vec![signature.clone(); 4], &[]), &key), count(4));
    assert_eq!(verify(&tag(107, map(&[(2, bytes(&array(&[]))), (3, bytes(&manifest))])), &key), count(0));
    // COSE_Mac0 (17) and COSE_Sign (98) are other structures.
    for wrong in [17, 98] {
        let other = [head(6, wrong), signature[1..].to_vec()].concat();
        assert!(matches!(
            verify(&envelope_of(&manifest, &[other], &[]), &key),
            Err(ReleaseError::Malformed { part: Part::Signature, .. })
        ));
    }
    // An attached payload, and SHA-512 for the manifest.
    let attached = tag(
        18,
        array(&[bytes(&map(&[(1, int(-7))])), map(&[]), bytes(&digest_of(&manifest)), bytes(&[0; 64])]),
    );
    assert!(matches!(
        verify(&envelope_of(&manifest, &[attached], &[]), &key),
        Err(ReleaseError::Malformed { part: Part::Signature, .. })
    ));
    let sha512 = array(&[bytes(&array(&[int(-44), bytes(&[0; 64])])), bytes(&signature)]);
    let release = tag(107, map(&[(2, bytes(&sha512)), (3, bytes(&manifest))]));
    assert_eq!(verify(&release, &key), Err(ReleaseError::UnsupportedAlgorithm { algorithm: -44 }));
}

#[test]
fn an_envelope_has_what_belongs_there_and_nothing_else() {
    let key = key();
    let manifest = map(&manifest_entries());
    let signature = sign1(&digest_of(&manifest), &[(1, int(-7))], &[], &key);
    let envelope = |more: &[(i64, Vec<u8>)]| {
        verify(&envelope_of(&manifest, std::slice::from_ref(&signature), more), &key)
    };
    assert_eq!(envelope(&[]), Ok(()));
    assert_eq!(envelope(&[(16, bytes(&[]))]), Err(ReleaseError::UnsupportedMember { label: 16 }));
    assert_eq!(envelope(&[(23, bytes(&[0xA0]))]), Err(ReleaseError::TextChanged));
    let fault = |fault| Err(ReleaseError::Malformed { part: Part::Envelope, fault });
    assert_eq!(envelope(&[(3, bytes(&manifest))]), fault(CborFault::DuplicateKey));
    assert_eq!(envelope(&[(1, bytes(&[]))]), fault(CborFault::KeysOutOfOrder));
    // Manifest before authentication.
    let wrapper = bytes(&array(&[bytes(&digest_of(&manifest)), bytes(&signature)]));
    let swapped = tag(107, map(&[(3, bytes(&manifest)), (2, wrapper.clone())]));
    assert_eq!(verify(&swapped, &key), fault(CborFault::KeysOutOfOrder));
    // An integrated payload.
    let payload = [
        head(6, 107),
        head(5, 3),
        int(2),
        wrapper.clone(),
        int(3),
        bytes(&manifest),
        text("#x"),
        bytes(b"y"),
    ];
    assert!(matches!(
        verify(&payload.concat(), &key),
        Err(ReleaseError::Malformed { part: Part::Envelope, .. })
    ));
    for (label, entries) in [(2, vec![(3, bytes(&manifest))]), (3, vec![(2, wrapper)])] {
        assert_eq!(verify(&tag(107, map(&entries)), &key), Err(ReleaseError::MissingMember { label }));
    }
}

#[test]
fn a_manifest_of_another_shape_is_refused_by_name() {
    let key = key();
    assert_eq!(verify(&signed_entries(&manifest_entries(), &key), &key), Ok(()));
    for label in [1, 2, 3, 20] {
        assert_eq!(refusal_of(&without(manifest_entries(), label)), ReleaseError::MissingMember { label });
    }
    assert_eq!(
        refusal_of(&with(manifest_entries(), 1, uint(2))),
        ReleaseError::UnsupportedVersion { version: 2 }
    );
    // load, invoke, payload-fetch, CoSWID, dependencies' component id, uninstall, someone else's extension.
    for label in [5, 8, 9, 14, 15, 16, 18, 24, -300] {
        let entries = with(manifest_entries(), label, bytes(&[0x80]));
        assert_eq!(refusal_of(&entries), ReleaseError::UnsupportedMember { label });
    }
    let fault = |fault| ReleaseError::Malformed { part: Part::Manifest, fault };
    let mut twice = manifest_entries();
    twice.insert(2, (2, uint(6)));
    assert_eq!(refusal_of(&twice), fault(CborFault::DuplicateKey));
    let mut swapped = manifest_entries();
    swapped.swap(3, 4);
    assert_eq!(refusal_of(&swapped), fault(CborFault::KeysOutOfOrder));
    // The same manifest with an indefinite map, with a long number, with something behind it.
    let manifest = map(&manifest_entries());
    let indefinite = [&[0xBF], &manifest[1..], &[0xFF]].concat();
    let long = [&manifest[..2], &[0x18, 0x01], &manifest[3..]].concat();
    let trailing = [&manifest[..], &[0]].concat();
    for (manifest, expected) in [
        (indefinite, CborFault::Indefinite),
        (long, CborFault::NotShortest),
        (trailing, CborFault::TrailingBytes),
    ] {
        assert_eq!(verify(&signed(&manifest, &key), &key), Err(fault(expected)));
    }
}

#[test]
fn unknown_commands_and_parameters_refuse_the_release_wherever_they_are() {
    // component slot, check content, abort, write, copy, invoke, device id, image not match, battery, authorized, wait,
    // swap, run sequence, a vendor's own.
    for label in [5, 6, 14, 18, 22, 23, 24, 25, 26, 27, 29, 31, 32, 34, 99, -257] {
        let mut shared = shared_items();
        shared.extend([int(label), uint(15)]);
        assert_eq!(refusal_of_shared(&shared), ReleaseError::UnsupportedCommand { label });
        let mut install = install_items();
        install.extend([int(label), uint(15)]);
        let entries = with(manifest_entries(), 20, bytes(&array(&install)));
        assert_eq!(refusal_of(&entries), ReleaseError::UnsupportedCommand { label });
    }
    // Nothing is fetched while parameters are shared, and validation compares and does nothing else.
    let mut shared = shared_items();
    shared.extend([int(21), uint(2)]);
    assert_eq!(refusal_of_shared(&shared), ReleaseError::UnsupportedCommand { label: 21 });
    let validate = with(manifest_entries(), 7, bytes(&array(&[int(21), uint(2)])));
    assert_eq!(refusal_of(&validate), ReleaseError::UnsupportedCommand { label: 21 });
    // strict order, soft failure, content, source component, arguments, device id, a vendor's own.
    for label in [5, 12, 13, 18, 22, 23, 24, 26, -257] {
        let unknown = with(parameters(), label, uint(1));
        assert_eq!(refusal_of_parameters(&unknown), ReleaseError::UnsupportedParameter { label });
    }
    // Also in an alternative that is for others.
    let foreign =
        array(&[int(20), map(&with(parameters(), 2, bytes(&[9; 16]))), int(2), uint(15), int(99), uint(0)]);
    let own = array(&[int(20), map(&parameters()), int(2), uint(15)]);
    let shared = [
        int(20),
        map(&[(1, bytes(&vendor().0))]),
        int(1),
        uint(15),
        int(15),
        array(&[bytes(&own), bytes(&foreign)]),
    ];
    assert_eq!(refusal_of_shared(&shared), ReleaseError::UnsupportedCommand { label: 99 });
}

#[test]
fn what_makes_a_release_safe_to_follow_must_be_in_it() {
    let missing = |label| ReleaseError::MissingCondition { label };
    assert_eq!(refusal_of_shared(&[int(20), map(&parameters()), int(2), uint(15)]), missing(1));
    assert_eq!(refusal_of_shared(&[int(20), map(&parameters()), int(1), uint(15)]), missing(2));
    for (label, install) in [
        (21, vec![int(3), uint(15)]),
        (3, vec![int(21), uint(2)]),
        (3, vec![int(3), uint(15), int(21), uint(2)]),
    ] {
        assert_eq!(refusal_of(&with(manifest_entries(), 20, bytes(&array(&install)))), missing(label));
    }
    for label in [1, 2, 3, 14, 21] {
        let error = refusal_of_parameters(&without(parameters(), label));
        assert_eq!(error, ReleaseError::MissingParameter { label });
    }
    // A condition before the parameter that it needs.
    let shared = [int(1), uint(15), int(20), map(&parameters()), int(2), uint(15)];
    assert_eq!(refusal_of_shared(&shared), ReleaseError::MissingParameter { label: 1 });
    let mut shared = shared_items();
    shared.extend([int(4), uint(15)]);
    assert_eq!(refusal_of_shared(&shared), ReleaseError::MissingParameter { label: 4 });
}

#[test]
fn absurd_values_are_refused_by_name() {
    for size in [0, 16 * 1024 * 1024 + 1, u32::MAX.into(), u64::MAX] {
        let error = refusal_of_parameters(&with(parameters(), 14, uint(size)));
        assert_eq!(error, ReleaseError::AbsurdSize { found: size });
    }
    for uri in ["", "ftp://a.example/x", "file:///x", "#x", "a b", &"a".repeat(513)] {
        assert_eq!(
            refusal_of_parameters(&with(parameters(), 21, text(uri))),
            ReleaseError::InvalidUri,
            "{uri}"
        );
    }
    let fault = |error| match error {
        ReleaseError::Malformed { part: Part::Parameters, fault } => fault,
        other => panic!("{other}"),
    };
    for (label, value) in [
        (1, bytes(&[0; 15])),
        (2, bytes(&[0; 17])),
        (3, bytes(&array(&[int(-16), bytes(&[0; 31])]))),
        (28, bytes(&array(&[uint(6), array(&[uint(1)])]))),
    ] {
        assert_eq!(fault(refusal_of_parameters(&with(parameters(), label, value))), CborFault::WrongValue);
    }
    for count in [0, 6] {
        let version = bytes(&array(&[uint(1), array(&vec![uint(1); count])]));
        let error = fault(refusal_of_parameters(&with(parameters(), 28, version)));
        assert_eq!(error, CborFault::WrongCount { found: count as u64 });
    }
    // A reporting policy has four bits, and the only component is number 0.
    let commands = |shared: &[Vec<u8>]| match refusal_of_shared(shared) {
        ReleaseError::Malformed { part: Part::Commands, fault } => fault,
        other => panic!("{other}"),
    };
    assert_eq!(commands(&[int(20), map(&parameters()), int(1), uint(16)]), CborFault::WrongValue);
    assert_eq!(commands(&[int(12), uint(1)]), CborFault::WrongValue);
    assert_eq!(commands(&[]), CborFault::WrongCount { found: 0 });
    assert_eq!(commands(&[int(20)]), CborFault::WrongCount { found: 1 });
    let two = array(&[array(&[bytes(b"app")]), array(&[bytes(b"radio")])]);
    let common = map(&[(2, two), (4, bytes(&array(&shared_items())))]);
    assert_eq!(
        refusal_of(&with(manifest_entries(), 3, bytes(&common))),
        ReleaseError::TooManyComponents { found: 2 }
    );
}

#[test]
fn ten_thousand_variants_are_too_many_however_they_are_written() {
    let key = key();
    let small = array(&[int(20), map(&[(2, bytes(&[0; 16]))]), int(2), uint(15)]);
    let with_alternatives = |alternatives: Vec<u8>| {
        let shared = [int(20), map(&parameters()), int(1), uint(15), int(15), alternatives];
        signed_entries(&with(manifest_entries(), 3, bytes(&common(&shared))), &key)
    };
    // Honestly written they are too large; one more than there may be is too many; and a claim alone is a lie.
    let honest = with_alternatives(array(&vec![bytes(&small); 10_000]));
    assert!(matches!(verify(&honest, &key), Err(ReleaseError::TooLarge { .. })));
    let found = MAX_VARIANTS as u64 + 1;
    let many = with_alternatives(array(&vec![bytes(&small); MAX_VARIANTS + 1]));
    assert_eq!(verify(&many, &key), Err(ReleaseError::TooManyVariants { found }));
    let tiny = with_alternatives([head(4, 10_000), vec![0x40; 5000]].concat());
    assert!(
        matches!(verify(&tiny, &key), Err(ReleaseError::Malformed { part: Part::Commands, .. })),
        "{tiny:02x?}"
    );
    let tiny = with_alternatives([head(4, 6_000), vec![0x40; 6000]].concat());
    assert_eq!(verify(&tiny, &key), Err(ReleaseError::TooManyVariants { found: 6000 }));
    // As many as there may be, each whole.
    let whole = |n: u8| {
        let own = with(without(parameters(), 1), 2, bytes(&[n; 16]));
        bytes(&array(&[int(20), map(&own), int(2), uint(15)]))
    };
    let alternatives: Vec<Vec<u8>> = (0..MAX_VARIANTS as u8).map(whole).collect();
    let shared = [int(20), map(&[(1, bytes(&vendor().0))]), int(1), uint(15), int(15), array(&alternatives)];
    let release = signed_entries(&with(manifest_entries(), 3, bytes(&common(&shared))), &key);
    let trust = trusting(&[&key]);
    let release = Release::verify(&release, &trust).unwrap();
    assert_eq!(release.variants().count(), MAX_VARIANTS);
    assert_eq!(release.variants().map(|it| it.class.0[0]).collect::<Vec<_>>(), (0..16).collect::<Vec<u8>>());
}

#[test]
fn a_try_each_in_a_try_each_and_a_second_one_are_refused() {
    let leaf = array(&[int(20), map(&parameters()), int(2), uint(15)]);
    let inner = array(&[int(15), array(&[bytes(&leaf), bytes(&leaf)])]);
    let vendor_only = [int(20), map(&[(1, bytes(&vendor().0))]), int(1), uint(15)];
    let nested = [&vendor_only[..], &[int(15), array(&[bytes(&inner), bytes(&leaf)])]].concat();
    assert_eq!(refusal_of_shared(&nested), ReleaseError::UnsupportedCommand { label: 15 });
    let each = [int(15), array(&[bytes(&leaf), bytes(&leaf)])];
    let twice = [&vendor_only[..], &each, &each].concat();
    assert_eq!(refusal_of_shared(&twice), ReleaseError::UnsupportedCommand { label: 15 });
    for count in [0, 1] {
        let few = [&vendor_only[..], &[int(15), array(&vec![bytes(&leaf); count])]].concat();
        assert!(matches!(refusal_of_shared(&few), ReleaseError::Malformed { part: Part::Commands, .. }));
    }
    // "Or else nothing": a release is for somebody.
    let nil = [&vendor_only[..], &[int(15), array(&[bytes(&leaf), NULL.to_vec()])]].concat();
    assert!(matches!(refusal_of_shared(&nil), ReleaseError::Malformed { part: Part::Commands, .. }));
}

#[test]
fn fetch_arguments_are_bounded_and_read_strictly() {
    let with_arguments = |entries: &[(i64, Vec<u8>)]| {
        let key = key();
        let parameters = with(parameters(), 25, bytes(&map(entries)));
        let shared = [int(20), map(&parameters), int(1), uint(15), int(2), uint(15)];
        let release = signed_entries(&with(manifest_entries(), 3, bytes(&common(&shared))), &key);
        verify(&release, &key)
    };
    let patch = |uri: &str, size: u64| array(&[bytes(&[1; 32]), text(uri), bytes(&[2; 32]), uint(size)]);
    assert_eq!(with_arguments(&[]), Ok(()));
    assert_eq!(
        with_arguments(&[(1, bytes(&[7; 32])), (2, bytes(&[0; 16])), (4, array(&[uint(3), uint(99)]))]),
        Ok(())
    );
    assert_eq!(with_arguments(&[(5, array(&vec![patch("p.bin", 9); MAX_PATCHES]))]), Ok(()));
    assert_eq!(
        with_arguments(&[(32, text("esp32c3:switch")), (40, array(&[uint(1)]))]),
        Ok(()),
        "hints are skipped"
    );

    assert_eq!(with_arguments(&[(6, uint(1))]), Err(ReleaseError::UnsupportedParameter { label: 6 }));
    assert_eq!(with_arguments(&[(-1, uint(1))]), Err(ReleaseError::UnsupportedParameter { label: -1 }));
    let found = MAX_PATCHES as u64 + 1;
    assert_eq!(
        with_arguments(&[(5, array(&vec![patch("p.bin", 9); MAX_PATCHES + 1]))]),
        Err(ReleaseError::TooManyPatches { found })
    );
    assert_eq!(with_arguments(&[(5, array(&[patch("ftp://x/p", 9)]))]), Err(ReleaseError::InvalidUri));
    assert_eq!(
        with_arguments(&[(5, array(&[patch("p.bin", 0)]))]),
        Err(ReleaseError::AbsurdSize { found: 0 })
    );
    assert_eq!(with_arguments(&[(3, text("gopher://x/p"))]), Err(ReleaseError::InvalidUri));
    for length in [0, 15, 17, 32] {
        assert_eq!(
            with_arguments(&[(2, bytes(&vec![0; length]))]),
            Err(ReleaseError::PageDigestCount { expected: 1, found_bytes: length })
        );
    }
    for value in [array(&[uint(4), uint(3)]), array(&[uint(0), uint(70_000)]), array(&[uint(1)]), uint(3)] {
        assert!(matches!(
            with_arguments(&[(4, value)]),
            Err(ReleaseError::Malformed { part: Part::FetchArguments, .. })
        ));
    }
}

#[test]
fn key_changes_are_bounded_and_read_strictly() {
    let with_changes = |changes: &[Vec<u8>]| {
        let key = key();
        verify(&signed_entries(&with(manifest_entries(), -257, bytes(&array(changes))), &key), &key)
    };
    let id = bytes(&[1; 32]);
    let retire = array(&[uint(2), id.clone(), uint(5)]);
    assert_eq!(with_changes(std::slice::from_ref(&retire)), Ok(()));
    let found = MAX_KEY_CHANGES as u64 + 1;
    assert_eq!(
        with_changes(&vec![retire; MAX_KEY_CHANGES + 1]),
        Err(ReleaseError::TooManyKeyChanges { found })
    );
    let point = bytes(&public(&key()).0);
    for broken in [
        vec![],
        vec![array(&[])],
        vec![array(&[uint(0), id.clone()])],
        vec![array(&[uint(6), id.clone()])],
        vec![array(&[uint(3), id.clone(), uint(1)])],
        vec![array(&[uint(2), id.clone()])],
        vec![array(&[uint(3), bytes(&[1; 31])])],
        vec![array(&[uint(1), point.clone(), uint(0)])],
        vec![array(&[uint(1), point.clone(), uint(4)])],
        vec![array(&[uint(1), bytes(&[1; 64]), uint(1)])],
        vec![uint(1)],
    ] {
        let error = with_changes(&broken).unwrap_err();
        assert!(matches!(error, ReleaseError::Malformed { part: Part::KeyChanges, .. }), "{error}");
    }
}

#[test]
fn text_may_be_severed_but_not_exchanged() {
    let key = key();
    let mut described = spec();
    described.description = Some("Fixes the relay that stuck.".into());
    let release = create_release(&described, std::slice::from_ref(&key)).unwrap();
    let trust = trusting(&[&key]);
    let texts = Release::verify(&release, &trust).unwrap().texts();
    assert_eq!(texts.description, described.description.as_deref());
    assert_eq!(texts.version, Some("2.5.1"));

    let read = UnverifiedRelease::read(&release).unwrap();
    let text = read.severed_text().unwrap();
    let signatures: Vec<Vec<u8>> = read.signatures_encoded().map(<[u8]>::to_vec).collect();
    // Severed: the release is the same one, without the words.
    let severed = envelope_of(read.manifest(), &signatures, &[]);
    let silent = Release::verify(&severed, &trust).unwrap();
    assert_eq!(silent.texts().description, None);
    assert_eq!(silent.manifest_digest(), read.claims().manifest_digest());
    // Exchanged.
    let other = [&text[..text.len() - 1], b"!"].concat();
    let exchanged = envelope_of(read.manifest(), &signatures, &[(23, bytes(&other))]);
    assert_eq!(verify(&exchanged, &key), Err(ReleaseError::TextChanged));
}

#[test]
fn a_release_of_four_variants_fits_in_a_kilobyte_and_sixteen_with_patches_in_the_limit() {
    let key = key();
    let bytes_of = |variants: usize, patches: usize| {
        let mut spec = spec();
        let types = (0..variants).map(|index| {
            variant(class(ChipId::ESP32C3, &format!("type{index:02}")), "app-esp32c3.bin", &c3_image())
        });
        spec.variants = types.collect();
        for (index, variant) in spec.variants.iter_mut().enumerate() {
            for from in 0..patches {
                variant.patches.push(rootcast_trust::sign::PatchSpec {
                    from: rootcast_image::ImageHash([(index * 8 + from) as u8; 32]),
                    uri: "app-esp32c3-0123456789abcdef.patch".into(),
                    sha256: [9; 32],
                    size: 40_000,
                });
            }
        }
        create_release(&spec, std::slice::from_ref(&key)).map(|release| release.len())
    };
    println!("| variants | patches each | bytes |\n|---|---|---|");
    for (variants, patches) in [(1, 0), (2, 0), (4, 0), (4, 3), (16, 0), (16, 2)] {
        println!("| {variants} | {patches} | {} |", bytes_of(variants, patches).unwrap());
    }
    assert!(bytes_of(4, 0).unwrap() <= 1024);
    assert!(bytes_of(16, 2).unwrap() <= MAX_RELEASE_BYTES);
    assert!(bytes_of(16, 8).is_err(), "what does not fit is noticed where it is made");
}

#[test]
fn a_file_that_was_exchanged_behind_its_uri_is_noticed() {
    use rootcast_trust::release::FileMismatch;
    let key = key();
    let bytes = create_release(&spec(), std::slice::from_ref(&key)).unwrap();
    let trust = trusting(&[&key]);
    let release = Release::verify(&bytes, &trust).unwrap();
    let variant = release.variant_for(vendor(), &classes(ChipId::ESP32C3, "switch")).unwrap();
    assert_eq!(variant.check_file(10_000, variant.sha256), Ok(()));
    assert_eq!(variant.check_file(10_000, &[0; 32]), Err(FileMismatch::Digest));
    let size = FileMismatch::Size { expected: 10_000, found: 9_999 };
    assert_eq!(variant.check_file(9_999, variant.sha256), Err(size), "the right digest and the wrong size");
    assert_eq!(
        [size.code(), FileMismatch::Digest.code()],
        ["release_size_mismatch", "release_digest_mismatch"]
    );
}

#[test]
fn what_no_node_could_take_is_not_made() {
    use rootcast_trust::sign::CreateError;
    let key = key();
    let create = |change: &dyn Fn(&mut rootcast_trust::sign::ReleaseSpec)| {
        let mut spec = spec();
        change(&mut spec);
        create_release(&spec, std::slice::from_ref(&key)).map(drop)
    };
    assert_eq!(create(&|_| {}), Ok(()));
    assert_eq!(create(&|spec| spec.variants.clear()), Err(CreateError::Empty));
    let twice = create(&|spec| spec.variants.push(spec.variants[0].clone()));
    assert_eq!(twice, Err(CreateError::DuplicateClass { name: "esp32c3:switch".into() }));
    for part in ["", "a:b"] {
        let invalid = create(&|spec| spec.variants[0].class.node_type = Some(part.into()));
        assert!(matches!(invalid, Err(CreateError::InvalidClass { .. })), "{part}");
    }
    assert_eq!(
        create(&|spec| spec.variants[0].uri = "ftp://a.example/x".into()),
        Err(CreateError::Unreadable(ReleaseError::InvalidUri))
    );
    assert_eq!(
        create_release(&spec(), &[]),
        Err(CreateError::Unreadable(ReleaseError::SignatureCount { found: 0 }))
    );
}

#[test]
fn an_rsa_key_signs_no_release() {
    let key = SigningKey::generate(KeyKind::Rsa3072).unwrap();
    assert!(create_release(&spec(), &[key]).is_err());
}
