//! A trigger whose URL leads to a signed release: who follows it, who does not, and why.

mod support;

use rootcast_image::ChipId;
use rootcast_node::{Input, Platform, ResetReason, SettingKey, Settings};
use rootcast_trust::KeyDigest;
use rootcast_trust::release::{
    KeyChange, MAX_TRUST_RECORD_BYTES, Purposes, TrustRecord, TrustedKey, VendorId,
};
use rootcast_trust::sign::release::{ClassSpec, PatchSpec, ReleaseSpec, VariantSpec, create_release};
use rootcast_trust::sign::{KeyKind, SigningKey};
use sha2::{Digest, Sha256};
use support::{Lone, Server, image, settings};

const TRIGGER: &str = r#"{"type":"ota_trigger","url":"https://firmware.example/release.suit"}"#;

fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).unwrap()
}

fn trusting(key: &SigningKey) -> Settings {
    let mut settings = settings();
    settings.allow_unsigned = false;
    settings.release_keys.push(TrustedKey::new(key.release_key().unwrap(), Purposes::ALL)).unwrap();
    settings
}

fn class(chip: ChipId, node_type: Option<&str>) -> ClassSpec {
    ClassSpec { chip, node_type: node_type.map(str::to_owned), hardware_revision: None }
}

fn spec(sequence_number: u64, variants: &[(ClassSpec, &[u8])]) -> ReleaseSpec {
    let variant = |(class, file): &(ClassSpec, &[u8])| {
        let name = format!("app-{}.bin", class.name().replace(':', "-"));
        VariantSpec::of_image(class.clone(), &name, file).unwrap().0
    };
    ReleaseSpec {
        vendor: VendorId::of_domain(rootcast_trust::release::DEFAULT_VENDOR_DOMAIN),
        sequence_number,
        version: "1.0.1".to_owned(),
        description: None,
        signed_at: None,
        not_after: None,
        replaces_up_to: None,
        variants: variants.iter().map(variant).collect(),
        key_changes: Vec::new(),
    }
}

fn released(settings: Settings, release: Vec<u8>, file: &[u8]) -> Lone {
    let mut lone = Lone::with_settings(&image("1.0.0", 40_000), settings);
    lone.server = Server { release: Some(release), ..Server::with(file.to_vec()) };
    lone.join();
    lone.trigger(TRIGGER);
    lone.settle(60_000);
    lone
}

#[test]
fn a_node_takes_its_own_variant_and_the_release_vouches_for_an_unsigned_image() {
    let (key, file) = (key(), image("1.0.1", 50_000));
    let others = image("9.9.9", 30_000);
    let variants = [
        (class(ChipId::ESP32C3, Some("relay")), others.as_slice()),
        (class(ChipId::ESP32C3, Some("switch")), file.as_slice()),
    ];
    let release = create_release(&spec(1, &variants), std::slice::from_ref(&key)).unwrap();
    let mut lone = released(trusting(&key), release, &file);
    assert_eq!(lone.version(), "1.0.1", "{:?}", lone.reports());
    assert!(
        lone.server.requests[1].starts_with("GET /app-esp32c3-switch.bin "),
        "{}",
        lone.server.requests[1]
    );
    // The same release once more: nothing to do.
    lone.trigger(TRIGGER);
    lone.settle(60_000);
    assert_eq!(lone.reports().last().unwrap(), &("refused".to_owned(), "same_image".to_owned()));
}

#[test]
fn an_interrupted_download_of_a_release_reads_the_release_again_and_resumes_the_image() {
    let (key, file) = (key(), image("1.0.1", 200_000));
    let release =
        create_release(&spec(1, &[(class(ChipId::ESP32C3, None), &file)]), std::slice::from_ref(&key))
            .unwrap();
    let mut lone = Lone::with_settings(&image("1.0.0", 40_000), trusting(&key));
    lone.server = Server { release: Some(release), cut: Some((150_000, 1)), ..Server::with(file) };
    lone.join();
    lone.trigger(TRIGGER);
    lone.run(100);
    lone.restart(ResetReason::PowerOn);
    lone.settle(60_000);
    assert_eq!(lone.version(), "1.0.1", "{:?}", lone.reports());
    assert!(lone.server.requests[2].starts_with("GET /release.suit "));
    assert!(lone.server.requests[3].contains("Range: bytes=147456-"), "{}", lone.server.requests[3]);
}

#[test]
fn what_is_not_to_be_believed_or_followed_is_refused_before_anything_is_erased() {
    let (trusted, stranger, file) = (key(), key(), image("1.0.1", 50_000));
    let here = class(ChipId::ESP32C3, None);
    let release =
        |spec: &ReleaseSpec, key: &SigningKey| create_release(spec, std::slice::from_ref(key)).unwrap();
    let good = spec(5, &[(here.clone(), &file)]);
    let mut flipped = release(&good, &trusted);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let elsewhere = ReleaseSpec { vendor: VendorId::of_domain("another.example"), ..good.clone() };
    let other_chip = spec(5, &[(class(ChipId::ESP32, None), &file)]);
    let expired = ReleaseSpec { not_after: Some(1_700_000_000), ..good.clone() };
    for (bytes, code) in [
        (release(&good, &stranger), "release_untrusted_key"),
        (flipped, "release_signature_invalid"),
        (release(&elsewhere, &trusted), "release_wrong_vendor"),
        (release(&other_chip, &trusted), "release_wrong_class"),
        (release(&expired, &trusted), "release_expired"),
    ] {
        let mut lone = Lone::with_settings(&image("1.0.0", 40_000), trusting(&trusted));
        lone.node.handle(lone.now, Input::WallClock { unix_s: 1_800_000_000 }, &mut lone.board);
        lone.server = Server { release: Some(bytes), ..Server::with(file.clone()) };
        lone.join();
        let before = lone.board.flash.bytes.clone();
        lone.trigger(TRIGGER);
        lone.settle(60_000);
        let (state, error) = lone.reports().pop().unwrap();
        assert_eq!(state, "refused", "{code}: {error}");
        assert!(
            error == code || (code == "release_signature_invalid" && error == "release_malformed"),
            "{code}: {error}"
        );
        assert!(lone.board.flash.bytes == before, "{code}: flash was touched");
        assert_eq!(lone.server.requests.len(), 1, "{code}: the image was not even asked for");
    }
}

#[test]
fn an_older_release_does_not_come_back_and_a_swapped_image_is_noticed() {
    let (key, new, old) = (key(), image("1.0.2", 50_000), image("1.0.1", 50_000));
    let here = class(ChipId::ESP32C3, None);
    let second = create_release(&spec(2, &[(here.clone(), &new)]), std::slice::from_ref(&key)).unwrap();
    let first = create_release(&spec(1, &[(here, &old)]), std::slice::from_ref(&key)).unwrap();
    let mut lone = released(trusting(&key), second.clone(), &new);
    assert_eq!(lone.version(), "1.0.2");
    lone.server = Server { release: Some(first), ..Server::with(old.clone()) };
    lone.trigger(TRIGGER);
    lone.settle(60_000);
    assert_eq!(lone.reports().last().unwrap(), &("refused".to_owned(), "release_downgrade".to_owned()));

    let swapped = released(trusting(&key), second, &image("1.0.2", 49_984));
    assert_eq!(swapped.reports().last().unwrap().1, "release_size_mismatch");

    let again = create_release(
        &spec(3, &[(class(ChipId::ESP32C3, None), &of_the_same_size())]),
        std::slice::from_ref(&key),
    )
    .unwrap();
    let swapped = released(trusting(&key), again, &new);
    assert_eq!(swapped.reports().last().unwrap().1, "release_digest_mismatch");
    assert_eq!(swapped.version(), "1.0.0");
}

/// Another image of the same size as `image("1.0.2", 50_000)`.
fn of_the_same_size() -> Vec<u8> {
    image("1.0.3", 50_000)
}

#[test]
fn time_from_outside_never_goes_back_before_the_newest_time_signed() {
    const SIGNED: u64 = 1_800_000_000;
    let (key, file) = (key(), image("1.0.1", 50_000));
    let here = class(ChipId::ESP32C3, None);
    let signed = ReleaseSpec { signed_at: Some(SIGNED), ..spec(1, &[(here.clone(), &file)]) };
    let release = create_release(&signed, std::slice::from_ref(&key)).unwrap();
    let mut lone = released(trusting(&key), release, &file);
    assert_eq!(lone.version(), "1.0.1", "{:?}", lone.reports());

    // Its limit has not come by a clock that somebody turned back, but it came before the time that was signed.
    let next = image("1.0.2", 50_000);
    let stale = ReleaseSpec { not_after: Some(SIGNED - 1), ..spec(2, &[(here, &next)]) };
    lone.server = Server {
        release: Some(create_release(&stale, std::slice::from_ref(&key)).unwrap()),
        ..Server::with(next)
    };
    lone.node.handle(lone.now, Input::WallClock { unix_s: SIGNED - 1_000_000 }, &mut lone.board);
    lone.trigger(TRIGGER);
    lone.settle(60_000);
    assert_eq!(lone.reports().last().unwrap(), &("refused".to_owned(), "release_expired".to_owned()));
}

#[test]
fn an_image_key_that_a_release_took_away_does_not_come_back_with_a_restart() {
    let (key, file) = (key(), image("1.0.1", 50_000));
    let [old, new] = [KeyDigest([1; 32]), KeyDigest([2; 32])];
    let mut settings = trusting(&key);
    settings.trusted_keys.push(old).unwrap();
    let mut changing = spec(1, &[(class(ChipId::ESP32, None), &file)]);
    changing.key_changes = vec![KeyChange::AddImageKey { key: new }, KeyChange::RemoveImageKey { key: old }];
    let release = create_release(&changing, std::slice::from_ref(&key)).unwrap();
    let mut lone = released(settings, release, &file);
    assert_eq!(lone.reports().last().unwrap(), &("refused".to_owned(), "release_keys_only".to_owned()));
    let trusted = |lone: &mut Lone| {
        let mut bytes = [0; MAX_TRUST_RECORD_BYTES];
        let length = lone.board.load(SettingKey::Trust, &mut bytes).unwrap();
        TrustRecord::decode(&bytes[..length]).unwrap().image_keys
    };
    assert_eq!(trusted(&mut lone), [new]);

    // After the restart an update that changes the record writes what the node believes then.
    lone.restart(ResetReason::PowerOn);
    lone.join();
    let next = create_release(&spec(2, &[(class(ChipId::ESP32C3, None), &file)]), std::slice::from_ref(&key));
    lone.server = Server { release: Some(next.unwrap()), ..Server::with(file) };
    lone.trigger(TRIGGER);
    lone.settle(60_000);
    assert_eq!(lone.reports().last().unwrap().1, "signature_missing");
    assert_eq!(trusted(&mut lone), [new]);
}

#[test]
fn a_node_says_in_its_status_whether_it_takes_releases_only() {
    for require_release in [false, true] {
        let mut settings = settings();
        settings.release_policy.require_release = require_release;
        let mut lone = Lone::with_settings(&image("1.0.0", 40_000), settings);
        lone.join();
        lone.run(60_000);
        let status = lone.published.iter().find(|message| message.get("releasesOnly").is_some());
        let status = status.expect("a status was published");
        assert_eq!(status["releasesOnly"], require_release);
        assert_eq!(status["slotBytes"], 1408 * 1024, "the slot that an update would go into");
    }
}

#[test]
fn a_node_that_requires_releases_refuses_a_bare_image() {
    let key = key();
    let mut settings = trusting(&key);
    settings.release_policy.require_release = true;
    let mut lone = Lone::with_settings(&image("1.0.0", 40_000), settings);
    lone.server = Server::with(image("1.0.1", 50_000));
    lone.join();
    lone.trigger(&TRIGGER.replace("release.suit", "fw.bin"));
    lone.settle(60_000);
    assert_eq!(lone.reports().last().unwrap(), &("refused".to_owned(), "release_required".to_owned()));
}

/// A release of `new` with a patch from `old`, as files of a server.
fn patched(key: &SigningKey, old: &[u8], new: &[u8]) -> Server {
    let from = rootcast_image::ImageHash(rootcast_patch::image_hash(old));
    let patch = rootcast_patch::create(old, new, &rootcast_patch::Options::default()).unwrap().patch;
    with_patch(key, from, patch, new)
}

/// A release of `new` with this patch.
fn with_patch(key: &SigningKey, from: rootcast_image::ImageHash, patch: Vec<u8>, new: &[u8]) -> Server {
    let mut spec = spec(1, &[(class(ChipId::ESP32C3, None), new)]);
    spec.variants[0].patches.push(PatchSpec {
        from,
        uri: "patch".to_owned(),
        sha256: Sha256::digest(&patch).into(),
        size: patch.len() as u32,
    });
    let release = create_release(&spec, std::slice::from_ref(key)).unwrap();
    Server { release: Some(release), patch: Some(patch), ..Server::with(new.to_vec()) }
}

#[test]
fn a_node_that_runs_the_base_takes_the_patch_and_any_other_the_full_image() {
    let (key, old, new) = (key(), image("1.0.0", 200_000), image("1.0.1", 201_000));
    let server = patched(&key, &old, &new);
    let mut by_patch = Lone::with_settings(&old, trusting(&key));
    by_patch.server = server.clone();
    by_patch.join();
    by_patch.trigger(TRIGGER);
    by_patch.settle(60_000);
    assert_eq!(by_patch.version(), "1.0.1", "{:?}", by_patch.reports());
    assert_eq!(by_patch.server.requests.len(), 2, "{:?}", by_patch.server.requests);
    let fetched = by_patch.published.iter().rev().find(|message| message["state"] == "installed").unwrap();
    assert!(fetched["bytes"].as_u64().unwrap() < 20_000, "{fetched}");
    let detail = fetched["detail"].as_str().unwrap();
    let length = by_patch.server.patch.as_ref().map(Vec::len).unwrap();
    assert_eq!(detail, format!("made from a patch of {length} bytes"));

    let mut by_image = Lone::with_settings(&image("0.9.9", 100_000), trusting(&key));
    by_image.server = server;
    by_image.join();
    by_image.trigger(TRIGGER);
    by_image.settle(60_000);
    assert_eq!(by_image.version(), "1.0.1");
    assert!(by_image.server.requests[1].starts_with("GET /app-esp32c3.bin "));
}

#[test]
fn a_patch_that_does_not_work_out_gives_way_to_the_full_image() {
    let (key, old, new) = (key(), image("1.0.0", 200_000), image("1.0.1", 201_000));
    let good = patched(&key, &old, &new);
    let mut flipped = good.clone();
    let middle = flipped.patch.as_ref().unwrap().len() / 2;
    flipped.patch.as_mut().unwrap()[middle] ^= 0x55;
    let absent = Server { patch: None, ..good.clone() };
    let other = Server { patch: Some(b"<html>not found</html>".to_vec()), ..good.clone() };
    for (server, what) in [(flipped, "flipped"), (absent, "absent"), (other, "another file")] {
        let mut lone = Lone::with_settings(&old, trusting(&key));
        lone.server = server;
        lone.join();
        lone.trigger(TRIGGER);
        lone.settle(60_000);
        assert_eq!(lone.version(), "1.0.1", "{what}: {:?}", lone.reports());
        assert!(lone.server.requests.last().unwrap().starts_with("GET /app-esp32c3.bin "), "{what}");
    }
}

#[test]
fn an_interrupted_patch_is_applied_again_without_rewriting_what_is_right() {
    let (key, old, new) = (key(), image("1.0.0", 200_000), image("1.0.1", 201_000));
    let mut lone = Lone::with_settings(&old, trusting(&key));
    lone.server = patched(&key, &old, &new);
    lone.server.patch_cut = Some(lone.server.patch.as_ref().unwrap().len() / 2);
    lone.join();
    lone.trigger(TRIGGER);
    lone.run(100);
    lone.server.patch_cut = None;
    lone.restart(ResetReason::PowerOn);
    lone.settle(60_000);
    assert_eq!(lone.version(), "1.0.1", "{:?}", lone.reports());
}

#[test]
fn a_node_that_no_patch_fits_takes_the_compressed_image_of_a_release() {
    let (key, new) = (key(), image("1.0.1", 201_000));
    let packed = rootcast_patch::create(&[], &new, &rootcast_patch::Options::default()).unwrap().patch;
    let good = with_patch(&key, rootcast_image::ImageHash([0; 32]), packed, &new);
    let mut flipped = good.clone();
    let middle = flipped.patch.as_ref().unwrap().len() / 2;
    flipped.patch.as_mut().unwrap()[middle] ^= 0x55;
    for (server, last) in [(good, "GET /patch "), (flipped, "GET /app-esp32c3.bin ")] {
        let mut lone = Lone::with_settings(&image("0.9.9", 100_000), trusting(&key));
        lone.server = server;
        lone.join();
        lone.trigger(TRIGGER);
        lone.settle(60_000);
        assert_eq!(lone.version(), "1.0.1", "{last}: {:?}", lone.reports());
        assert!(lone.server.requests.last().unwrap().starts_with(last), "{:?}", lone.server.requests);
    }
}

#[test]
fn an_image_compressed_on_its_own_is_taken_by_a_bare_trigger() {
    let new = image("1.0.1", 200_000);
    let packed = rootcast_patch::create(&[], &new, &rootcast_patch::Options::default()).unwrap().patch;
    assert!(packed.len() < new.len());
    let mut lone = Lone::running(&image("1.0.0", 40_000));
    lone.server = Server::with(packed);
    lone.join();
    lone.trigger(&TRIGGER.replace("release.suit", "fw.rcp"));
    lone.settle(60_000);
    assert_eq!(lone.version(), "1.0.1", "{:?}", lone.reports());
}
