//! The rules on the node: what is done about a release that is believed.

mod support;

use rootcast_image::{ChipId, ImageHash};
use rootcast_trust::KeyDigest;
use rootcast_trust::release::version::{Comparison, VersionMatch};
use rootcast_trust::release::{
    Action, ClassId, KeyChange, KeyChangeError, Purposes, Refusal, Release, ReleaseError, ReleasePolicy,
    TrustRecord, TrustedKey, VendorId, Version, accepted, decide, decide_bare_image,
};
use rootcast_trust::sign::{PatchSpec, ReleaseSpec, SigningKey, create_release};
use support::release::*;

const POLICY: ReleasePolicy = ReleasePolicy { require_release: true, require_time: false };

/// What came of a release at a node.
#[derive(Debug, PartialEq)]
enum Came {
    Install { uri: String, patch: Option<String> },
    AlreadyRunning,
    KeysOnly,
}

/// One signing key, one node's record, and releases coming one after the other.
struct Story {
    key: SigningKey,
    record: TrustRecord,
}

impl Story {
    fn new() -> Self {
        let key = key();
        Self { record: trusting(&[&key]), key }
    }

    fn made(&self, spec: &ReleaseSpec) -> Vec<u8> {
        create_release(spec, std::slice::from_ref(&self.key)).unwrap()
    }

    /// Offers a release to an ESP32-C3 switch as changed by `change`, and remembers it if it is accepted.
    fn offer_to(
        &mut self,
        bytes: &[u8],
        policy: ReleasePolicy,
        change: impl FnOnce(&mut rootcast_trust::release::Node<'_>),
    ) -> Result<Came, Refusal> {
        let classes = classes(ChipId::ESP32C3, "switch");
        let mut node = node(&classes);
        change(&mut node);
        let release = Release::verify(bytes, &self.record).expect("believed");
        let came = match decide(&release, &node, policy, &self.record)? {
            Action::Install { variant, patch, .. } => {
                Came::Install { uri: variant.uri.into(), patch: patch.map(|it| it.uri.into()) }
            }
            Action::AlreadyRunning { .. } => Came::AlreadyRunning,
            Action::KeysOnly => Came::KeysOnly,
        };
        self.record = accepted(&release, &self.record);
        Ok(came)
    }

    fn offer(&mut self, spec: &ReleaseSpec) -> Result<Came, Refusal> {
        let bytes = self.made(spec);
        self.offer_to(&bytes, POLICY, |_| {})
    }
}

fn installs(uri: &str) -> Result<Came, Refusal> {
    Ok(Came::Install { uri: uri.into(), patch: None })
}

fn numbered(sequence_number: u64) -> ReleaseSpec {
    ReleaseSpec { sequence_number, ..spec() }
}

#[test]
fn each_node_installs_its_own_variant() {
    let mut story = Story::new();
    assert_eq!(story.offer(&spec()), installs("switch-c3.bin"));
    let bytes = story.made(&spec());
    let relays = others(ChipId::ESP32, "relay");
    let came = story.offer_to(&bytes, POLICY, |node| node.classes = relays);
    assert_eq!(came, installs("relay-esp32.bin"));
}

/// The classes of another node, for as long as the test runs.
fn others(chip: ChipId, node_type: &str) -> &'static [ClassId] {
    classes(chip, node_type).to_vec().leak()
}

#[test]
fn sequence_numbers_rise() {
    let mut story = Story::new();
    assert_eq!(story.offer(&numbered(5)), installs("switch-c3.bin"));
    assert_eq!(story.offer(&numbered(7)), installs("switch-c3.bin"));
    assert_eq!(story.offer(&numbered(6)), Err(Refusal::Downgrade { found: 6, newest: 7 }));
    assert_eq!(story.offer(&numbered(5)), Err(Refusal::Downgrade { found: 5, newest: 7 }));
    assert_eq!(story.record.sequence_number, 7);
    assert_eq!(story.offer(&numbered(u64::MAX)), installs("switch-c3.bin"));
    assert_eq!(story.offer(&numbered(8)), Err(Refusal::Downgrade { found: 8, newest: u64::MAX }));
}

#[test]
fn the_same_release_may_be_triggered_again_but_not_another_of_its_number() {
    let mut story = Story::new();
    for _ in 0..3 {
        assert_eq!(story.offer(&numbered(5)), installs("switch-c3.bin"));
    }
    let mut other = numbered(5);
    other.version = "6.6.6".into();
    assert_eq!(story.offer(&other), Err(Refusal::SequenceReused { found: 5 }));
}

#[test]
fn a_wanted_downgrade_steps_into_the_place_of_what_it_replaces() {
    let mut story = Story::new();
    for sequence_number in [7, 8, 9] {
        story.offer(&numbered(sequence_number)).unwrap();
    }
    let back = ReleaseSpec { replaces_up_to: Some(9), ..numbered(6) };
    assert_eq!(story.offer(&back), installs("switch-c3.bin"));
    assert_eq!(story.offer(&back), installs("switch-c3.bin"), "again, after a failed download");
    // What it replaced does not come back, nor what lies between.
    assert_eq!(story.offer(&numbered(9)), Err(Refusal::SequenceReused { found: 9 }));
    assert_eq!(story.offer(&numbered(8)), Err(Refusal::Downgrade { found: 8, newest: 9 }));
    // And once there is something newer than it was meant to replace, it is as old as any other.
    story.offer(&numbered(10)).unwrap();
    assert_eq!(story.offer(&back), Err(Refusal::Downgrade { found: 6, newest: 10 }));
}

#[test]
fn a_node_that_runs_the_image_already_has_nothing_to_do() {
    let mut story = Story::new();
    let bytes = story.made(&spec());
    let came = story.offer_to(&bytes, POLICY, |node| node.running = image_hash(&c3_image()));
    assert_eq!(came, Ok(Came::AlreadyRunning));
    assert_eq!(story.record.sequence_number, 5, "and still no older release will do");
}

#[test]
fn a_release_for_others_is_refused_before_anything_is_erased() {
    let mut story = Story::new();
    let bytes = story.made(&spec());
    let other = VendorId::of_domain("other.example");
    assert_eq!(
        story.offer_to(&bytes, POLICY, |node| node.vendor = other),
        Err(Refusal::WrongVendor { found: vendor() })
    );
    let s3 = others(ChipId::ESP32S3, "switch");
    assert_eq!(
        story.offer_to(&bytes, POLICY, |node| node.classes = s3),
        Err(Refusal::NoVariant { variants: 2 })
    );
    let mut only = spec();
    only.variants.truncate(1);
    let found = only.variants[0].class.id(vendor());
    let bytes = story.made(&only);
    assert_eq!(story.offer_to(&bytes, POLICY, |node| node.classes = s3), Err(Refusal::WrongClass { found }));
    assert_eq!(story.record, trusting(&[&story.key]), "a refusal leaves no trace");
}

#[test]
fn chip_revision_slot_and_running_version_are_checked() {
    let mut story = Story::new();
    let mut spec = spec();
    spec.variants[0].chip_revisions = Some((3, 99));
    let at_least = |text: &str| VersionMatch {
        comparison: Comparison::GreaterOrEqual,
        version: Version::parse(text).unwrap(),
    };
    spec.variants[0].version_needed = Some(at_least("2.4"));
    let bytes = story.made(&spec);
    let mut with = |change: &dyn Fn(&mut rootcast_trust::release::Node<'_>)| {
        story.offer_to(&bytes, POLICY, |node| change(node))
    };
    assert_eq!(with(&|_| {}), installs("switch-c3.bin"));
    for found in [2, 100] {
        assert_eq!(
            with(&|node| node.chip_revision = found),
            Err(Refusal::ChipRevision { supported: (3, 99), found })
        );
    }
    assert_eq!(with(&|node| node.slot_size = 10_000), installs("switch-c3.bin"));
    assert_eq!(with(&|node| node.slot_size = 9_999), Err(Refusal::TooLarge { size: 10_000, slot: 9_999 }));
    for (running, text) in [(Version::parse("2.3.9"), "2.3.9"), (None, "unknown"), (None, "")] {
        let refusal = Err(Refusal::RunningVersion { needed: at_least("2.4"), running });
        assert_eq!(with(&|node| node.running_version = text), refusal);
    }
    assert_eq!(with(&|node| node.running_version = "v2.4.0-3-gabcdef0"), installs("switch-c3.bin"));
}

#[test]
fn a_release_is_not_used_from_its_limit_on() {
    let limit = spec().not_after.unwrap();
    let offered_at = |clock: Option<u64>, policy: ReleasePolicy| {
        let mut story = Story::new();
        let bytes = story.made(&spec());
        story.offer_to(&bytes, policy, |node| node.clock = clock)
    };
    assert_eq!(offered_at(Some(limit - 1), POLICY), installs("switch-c3.bin"));
    assert_eq!(offered_at(Some(limit), POLICY), Err(Refusal::Expired { not_after: limit, now: limit }));
    assert_eq!(offered_at(Some(u64::MAX), POLICY), Err(Refusal::Expired { not_after: limit, now: u64::MAX }));
    // Without a clock a node follows its policy.
    assert_eq!(offered_at(None, POLICY), installs("switch-c3.bin"));
    let strict = ReleasePolicy { require_time: true, ..POLICY };
    assert_eq!(offered_at(None, strict), Err(Refusal::ClockNotSet));
    assert_eq!(offered_at(Some(NOW), strict), installs("switch-c3.bin"));
}

#[test]
fn time_never_moves_back_past_the_newest_time_signed() {
    let mut story = Story::new();
    let day = 24 * 3600;
    story.offer(&spec()).unwrap();
    assert_eq!(story.record.time_floor, NOW - 3600);
    // A root with a wrong clock, or an attacker who replays time: the floor holds.
    assert!(!story.record.may_be_now(NOW - 3601));
    assert!(story.record.may_be_now(NOW));
    let newer = ReleaseSpec { signed_at: Some(NOW + 40 * day), not_after: None, ..numbered(6) };
    let bytes = story.made(&newer);
    story.offer_to(&bytes, POLICY, |node| node.clock = Some(NOW + 40 * day)).unwrap();
    // The clock is set back, or lost; the release that ended before the newest time signed stays ended.
    let expired = numbered(7);
    let limit = expired.not_after.unwrap();
    let bytes = story.made(&expired);
    for clock in [Some(NOW), None] {
        assert_eq!(
            story.offer_to(&bytes, POLICY, |node| node.clock = clock),
            Err(Refusal::Expired { not_after: limit, now: NOW + 40 * day })
        );
    }
}

#[test]
fn a_release_from_the_future_does_not_push_time_there() {
    let mut story = Story::new();
    let far = NOW + 365 * 24 * 3600;
    let spec = ReleaseSpec { signed_at: Some(far), not_after: None, ..spec() };
    assert_eq!(story.offer(&spec), Err(Refusal::FromTheFuture { signed_at: far, now: NOW }));
    assert_eq!(story.record.time_floor, 0);
}

#[test]
fn a_release_by_https_does_not_lead_to_http() {
    let mut story = Story::new();
    let mut spec = spec();
    spec.variants[0].uri = "http://firmware.example/app.bin".into();
    assert_eq!(story.offer(&spec), Err(Refusal::LeavesHttps));
    let bytes = story.made(&spec);
    let came = story.offer_to(&bytes, POLICY, |node| node.release_url = "http://firmware.example/r.suit");
    assert_eq!(came, installs("http://firmware.example/app.bin"));
}

#[test]
fn a_patch_is_offered_to_whom_it_fits() {
    let mut story = Story::new();
    let mut spec = spec();
    let patch = |from, uri: &str| PatchSpec {
        from: ImageHash([from; 32]),
        uri: uri.into(),
        sha256: [9; 32],
        size: 700,
    };
    spec.variants[0].patches = vec![patch(1, "from-1.patch"), patch(2, "http://a.example/from-2.patch")];
    let bytes = story.made(&spec);
    let mut running = |from| match story.offer_to(&bytes, POLICY, |node| node.running = ImageHash([from; 32]))
    {
        Ok(Came::Install { patch, .. }) => patch,
        other => panic!("{other:?}"),
    };
    assert_eq!(running(1).as_deref(), Some("from-1.patch"));
    assert_eq!(running(2), None, "a patch that leaves https is as good as none");
    assert_eq!(running(3), None);
}

#[test]
fn bare_images_are_taken_where_releases_are_not_required() {
    assert_eq!(decide_bare_image(ReleasePolicy::default()), Ok(()));
    assert_eq!(decide_bare_image(POLICY), Err(Refusal::ReleaseRequired));
}

#[test]
fn every_refusal_has_a_code_and_a_sentence() {
    let version = Version::parse("1").unwrap();
    let needed = VersionMatch { comparison: Comparison::GreaterOrEqual, version };
    for refusal in [
        Refusal::ReleaseRequired,
        Refusal::WrongVendor { found: vendor() },
        Refusal::NoVariant { variants: 2 },
        Refusal::Downgrade { found: 1, newest: 2 },
        Refusal::SequenceReused { found: 1 },
        Refusal::Expired { not_after: 1, now: 2 },
        Refusal::FromTheFuture { signed_at: 2, now: 1 },
        Refusal::ClockNotSet,
        Refusal::ChipRevision { supported: (1, 2), found: 3 },
        Refusal::TooLarge { size: 2, slot: 1 },
        Refusal::RunningVersion { needed, running: None },
        Refusal::RunningVersion { needed, running: Some(version) },
        Refusal::LeavesHttps,
        Refusal::KeyChange(KeyChangeError::Full),
    ] {
        assert!(!refusal.code().is_empty());
        assert!(refusal.to_string().len() > 20, "{refusal}");
    }
}

// Keys.

fn changing(changes: Vec<KeyChange>, sequence_number: u64) -> ReleaseSpec {
    ReleaseSpec { key_changes: changes, ..numbered(sequence_number) }
}

#[test]
fn the_old_key_introduces_the_new_one_and_is_retired() {
    let mut story = Story::new();
    let new = key();
    let add = KeyChange::Add { key: public(&new), purposes: Purposes::ALL };
    let retire = KeyChange::Retire { key: public(&story.key).id(), last: 6 };
    assert_eq!(story.offer(&changing(vec![add, retire], 6)), installs("switch-c3.bin"));
    // The old key has signed its last; the new one goes on.
    let by_old = story.made(&numbered(7));
    assert_eq!(
        Release::verify(&by_old, &story.record).unwrap_err(),
        ReleaseError::KeyRetired { last: 6, found: 7 }
    );
    let old = std::mem::replace(&mut story.key, new);
    assert_eq!(story.offer(&numbered(7)), installs("switch-c3.bin"));
    // The new key revokes the old one, whose every signature is void from then on.
    let revoke = KeyChange::Revoke { key: public(&old).id() };
    assert_eq!(story.offer(&changing(vec![revoke], 8)), installs("switch-c3.bin"));
    let ancient = create_release(&numbered(5), std::slice::from_ref(&old)).unwrap();
    assert_eq!(Release::verify(&ancient, &story.record).unwrap_err(), ReleaseError::KeyRevoked);
    // And nobody brings it back.
    let again = KeyChange::Add { key: public(&old), purposes: Purposes::RELEASES };
    assert_eq!(
        story.offer(&changing(vec![again], 9)),
        Err(Refusal::KeyChange(KeyChangeError::Revoked { key: public(&old).id() }))
    );
}

#[test]
fn a_change_of_keys_reaches_nodes_for_which_there_is_no_image() {
    let mut story = Story::new();
    let add = KeyChange::Add { key: public(&key()), purposes: Purposes::RELEASES };
    let bytes = story.made(&changing(vec![add], 6));
    let s3 = others(ChipId::ESP32S3, "switch");
    assert_eq!(story.offer_to(&bytes, POLICY, |node| node.classes = s3), Ok(Came::KeysOnly));
    assert_eq!(story.record.release_keys.len(), 2);
    // Also a release without any image.
    let add = KeyChange::Add { key: public(&key()), purposes: Purposes::KEYS };
    let keys_only = ReleaseSpec { variants: vec![], version: String::new(), ..changing(vec![add], 7) };
    assert_eq!(story.offer(&keys_only), Ok(Came::KeysOnly));
    assert_eq!(story.record.release_keys.len(), 3);
    assert_eq!(story.record.sequence_number, 7);
}

#[test]
fn nobody_is_locked_out() {
    let mut story = Story::new();
    let own = public(&story.key).id();
    let lock_out = Err(Refusal::KeyChange(KeyChangeError::LockOut));
    let before = story.record.clone();
    assert_eq!(story.offer(&changing(vec![KeyChange::Revoke { key: own }], 6)), lock_out);
    assert_eq!(story.offer(&changing(vec![KeyChange::Retire { key: own, last: 6 }], 6)), lock_out);
    // A successor for releases alone leaves nobody to change keys.
    let add = KeyChange::Add { key: public(&key()), purposes: Purposes::RELEASES };
    assert_eq!(story.offer(&changing(vec![add, KeyChange::Revoke { key: own }], 6)), lock_out);
    let unknown = public(&key()).id();
    assert_eq!(
        story.offer(&changing(vec![KeyChange::Revoke { key: unknown }], 6)),
        Err(Refusal::KeyChange(KeyChangeError::Unknown { key: unknown }))
    );
    assert_eq!(story.record, before);
}

#[test]
fn image_keys_change_by_release_too_but_the_lock_never_comes_off() {
    let mut story = Story::new();
    let [first, second] = [KeyDigest([1; 32]), KeyDigest([2; 32])];
    story.offer(&changing(vec![KeyChange::AddImageKey { key: first }], 6)).unwrap();
    assert_eq!(
        story.offer(&changing(vec![KeyChange::RemoveImageKey { key: first }], 7)),
        Err(Refusal::KeyChange(KeyChangeError::LockOut))
    );
    let exchange = vec![KeyChange::AddImageKey { key: second }, KeyChange::RemoveImageKey { key: first }];
    story.offer(&changing(exchange, 7)).unwrap();
    assert_eq!(story.record.image_keys[..], [second]);
}

#[test]
fn room_for_keys_is_bounded_and_revoked_ones_keep_theirs() {
    let mut story = Story::new();
    for sequence_number in 6..13 {
        let new = public(&key());
        let changes = vec![
            KeyChange::Add { key: new, purposes: Purposes::RELEASES },
            KeyChange::Revoke { key: new.id() },
        ];
        story.offer(&changing(changes, sequence_number)).unwrap();
    }
    let one_more = KeyChange::Add { key: public(&key()), purposes: Purposes::RELEASES };
    assert_eq!(story.offer(&changing(vec![one_more], 13)), Err(Refusal::KeyChange(KeyChangeError::Full)));
}

#[test]
fn changes_made_already_are_made_again_without_harm() {
    let mut story = Story::new();
    let new = key();
    let changes = vec![
        KeyChange::Add { key: public(&new), purposes: Purposes::ALL },
        KeyChange::Retire { key: public(&story.key).id(), last: 9 },
        KeyChange::AddImageKey { key: KeyDigest([3; 32]) },
    ];
    let bytes = story.made(&changing(changes, 6));
    story.offer_to(&bytes, POLICY, |_| {}).unwrap();
    let once = story.record.clone();
    story.offer_to(&bytes, POLICY, |_| {}).unwrap();
    assert_eq!(story.record, once);
}

// The record in nvs.

#[test]
fn a_record_survives_its_way_through_nvs() {
    let mut full = TrustRecord::default();
    for number in 0..8 {
        let mut key = TrustedKey::new(public(&key()), Purposes::ALL);
        key.last = Some(u64::MAX - number);
        key.revoked = true;
        full.release_keys.push(key).unwrap();
        full.image_keys.push(KeyDigest([number as u8; 32])).unwrap();
    }
    (full.sequence_number, full.manifest_digest, full.time_floor) = (u64::MAX, [7; 32], u64::MAX);
    for record in [TrustRecord::default(), trusting(&[&key(), &key()]), full] {
        let mut buffer = [0; rootcast_trust::release::MAX_TRUST_RECORD_BYTES];
        let encoded = record.encode(&mut buffer).to_vec();
        assert!(!encoded.is_empty());
        assert_eq!(TrustRecord::decode(&encoded), Ok(record.clone()));
        for length in 0..encoded.len() {
            assert!(TrustRecord::decode(&encoded[..length]).is_err(), "{length}");
        }
        assert!(TrustRecord::decode(&[&encoded[..], &[0]].concat()).is_err());
    }
}

#[test]
fn the_largest_record_fills_its_buffer_exactly() {
    let mut full = TrustRecord::default();
    for _ in 0..8 {
        let mut key = TrustedKey::new(public(&key()), Purposes::ALL);
        (key.last, key.revoked) = (Some(u64::MAX), true);
        full.release_keys.push(key).unwrap();
        full.image_keys.push(KeyDigest([1; 32])).unwrap();
    }
    (full.sequence_number, full.time_floor) = (u64::MAX, u64::MAX);
    let mut buffer = [0; rootcast_trust::release::MAX_TRUST_RECORD_BYTES];
    assert_eq!(full.encode(&mut buffer).len(), rootcast_trust::release::MAX_TRUST_RECORD_BYTES);
}
