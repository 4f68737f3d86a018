//! Attacks on updates by release, each tried against a running mesh in virtual time: what they want does not happen, and
//! every node says why not. `docs/SECURITY.md` names these tests.

use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageHash, ImageVerifier, PartitionTable};
use rootcast_trust::release::{
    DEFAULT_VENDOR_DOMAIN, KeyChange, Purposes, ReleasePolicy, TrustedKey, VendorId,
};
use rootcast_trust::sign::{ClassSpec, KeyKind, ReleaseSpec, SigningKey, VariantSpec, create_release};
use rootcast_wire::{ErrorCode, UpdateState};
use rootcast_world::body::mesh::Link;
use rootcast_world::body::virtual_time::{World, WorldOptions};
use rootcast_world::factory::{Fleet, Topology};

const MINUTE: u64 = 60_000;
const NODES: usize = 4;
/// The world's clock at its beginning.
const NOW: u64 = 1_795_000_000;
const RELEASE: &str = r#"{"type":"ota_trigger","url":"https://files.example/release.suit"}"#;
const IMAGE: &str = r#"{"type":"ota_trigger","url":"https://files.example/app.bin"}"#;

fn image(chip: ChipId, version: &str) -> Vec<u8> {
    let seed = version.bytes().map(u64::from).sum();
    AppImageBuilder::new(chip).version(version).size(60_000).seed(seed).build().unwrap()
}

fn c3(version: &str) -> Vec<u8> {
    image(ChipId::ESP32C3, version)
}

fn hash(image: &[u8]) -> ImageHash {
    let mut verifier = ImageVerifier::new();
    verifier.push(image).unwrap();
    verifier.finish().unwrap().hash
}

fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).unwrap()
}

/// A release of one image at `app.bin`, for every node of this chip.
fn spec(sequence_number: u64, chip: ChipId, file: &[u8]) -> ReleaseSpec {
    let class = ClassSpec { chip, node_type: None, hardware_revision: None };
    ReleaseSpec {
        vendor: VendorId::of_domain(DEFAULT_VENDOR_DOMAIN),
        sequence_number,
        version: "2.0.0".to_owned(),
        description: None,
        signed_at: Some(NOW - 3_600),
        not_after: None,
        replaces_up_to: None,
        variants: vec![VariantSpec::of_image(class, "app.bin", file).unwrap().0],
        key_changes: Vec::new(),
    }
}

/// A mesh of nodes that run version 1.0.0 and follow releases by one key.
struct Mesh {
    world: World,
    key: SigningKey,
    old: Vec<u8>,
}

impl Mesh {
    fn new(policy: ReleasePolicy, seed: u64) -> Self {
        let (table, key, old) = (PartitionTable::default_4mb(), key(), c3("1.0.0"));
        let topology = Topology::three_layers(NODES, seed);
        let mut fleet = Fleet::new(ChipId::ESP32C3, &table, &old);
        fleet.seed = seed;
        fleet.provisioning.allow_unsigned = false;
        fleet.provisioning.release_policy = policy;
        fleet.provisioning.release_keys = vec![TrustedKey::new(key.release_key().unwrap(), Purposes::ALL)];
        let machines = fleet.machines(&topology).unwrap();
        let options = WorldOptions { seed, unix_s: NOW, ..WorldOptions::default() };
        let mut world = World::new(options, &topology, Link::default(), machines);
        world.power_on();
        let up = world.run_until(5 * MINUTE, |world| {
            world.stations().iter().all(|station| station.mesh.joined) && world.stations()[0].mqtt
        });
        assert!(up, "the mesh forms");
        world.run_for(2_000);
        Self { world, key, old }
    }

    fn lenient(seed: u64) -> Self {
        Self::new(ReleasePolicy::default(), seed)
    }

    fn signed(&self, spec: &ReleaseSpec) -> Vec<u8> {
        create_release(spec, std::slice::from_ref(&self.key)).unwrap()
    }

    fn host(&mut self, release: Vec<u8>, image: &[u8]) {
        let server = self.world.server("files.example", 443);
        server.put("/release.suit", release);
        server.put("/app.bin", image.to_vec());
    }

    fn trigger(&mut self, message: &str) {
        self.world.broker_mut().clear_log();
        self.world.publish("/switch/cmd/root", message.as_bytes());
    }

    /// Follows a release that everybody should follow.
    fn update(&mut self, spec: &ReleaseSpec, image: &[u8]) {
        let release = self.signed(spec);
        self.host(release, image);
        self.trigger(RELEASE);
        let done = self.world.run_until(60 * MINUTE, |world| {
            world.stations().iter().all(|it| world.broker().has_reported(it.id(), UpdateState::Confirmed))
        });
        assert!(done, "{:?}", self.outcomes());
        self.runs(image);
    }

    fn outcomes(&self) -> Vec<Option<(UpdateState, Option<ErrorCode>)>> {
        let outcome = |id| self.world.broker().outcome_of(id).map(|report| (report.state, report.error));
        self.world.stations().iter().map(|station| outcome(station.id())).collect()
    }

    /// Every node runs this image, and nothing was written that may not be.
    fn runs(&self, image: &[u8]) {
        let wanted = Some(hash(image));
        for station in self.world.stations() {
            assert_eq!(station.machine.booted().map(|booted| booted.image.hash), wanted);
        }
        assert_eq!(self.world.violations(), []);
    }

    /// The bytes of every chip's update slot and boot record.
    fn flash(&self) -> Vec<Vec<u8>> {
        let chip = |station: &rootcast_world::body::virtual_time::Station| {
            station.machine.board.flash.sectors().bytes(0xE000..0x2D_0000)
        };
        self.world.stations().iter().map(chip).collect()
    }

    /// A trigger that every node refuses with this code before it erases anything.
    fn refuse(&mut self, message: &str, code: ErrorCode) {
        let (before, running) =
            (self.flash(), self.world.stations()[0].machine.booted().map(|it| it.image.hash));
        self.trigger(message);
        self.world.run_for(20 * MINUTE);
        assert_eq!(self.outcomes(), [Some((UpdateState::Refused, Some(code))); NODES]);
        assert!(self.flash() == before, "nothing was erased or written");
        for station in self.world.stations() {
            assert_eq!(station.machine.booted().map(|booted| booted.image.hash), running);
        }
    }
}

#[test]
fn a_downgrade_is_refused_by_every_node() {
    let (mut mesh, new, older) = (Mesh::lenient(1), c3("2.0.0"), c3("1.5.0"));
    mesh.update(&spec(20, ChipId::ESP32C3, &new), &new);
    // Freshly signed by the right key, and numbered below what the nodes took.
    let downgrade = mesh.signed(&spec(19, ChipId::ESP32C3, &older));
    mesh.host(downgrade, &older);
    mesh.refuse(RELEASE, ErrorCode::ReleaseDowngrade);
}

#[test]
fn a_release_that_was_recorded_and_is_played_again_is_refused_by_every_node() {
    let (mut mesh, first, second) = (Mesh::lenient(2), c3("1.1.0"), c3("1.2.0"));
    let recorded = spec(1, ChipId::ESP32C3, &first);
    mesh.update(&recorded, &first);
    mesh.update(&spec(2, ChipId::ESP32C3, &second), &second);
    let replayed = mesh.signed(&recorded);
    mesh.host(replayed, &first);
    mesh.refuse(RELEASE, ErrorCode::ReleaseDowngrade);
    // Another release with the number of the newest does not pass either.
    let twin = mesh.signed(&spec(2, ChipId::ESP32C3, &first));
    mesh.host(twin, &first);
    mesh.refuse(RELEASE, ErrorCode::ReleaseDowngrade);
}

#[test]
fn a_wanted_downgrade_is_one_that_the_signer_says_is_wanted() {
    let (mut mesh, new, older) = (Mesh::lenient(3), c3("2.0.0"), c3("1.5.0"));
    mesh.update(&spec(20, ChipId::ESP32C3, &new), &new);
    let wanted = ReleaseSpec { replaces_up_to: Some(20), ..spec(19, ChipId::ESP32C3, &older) };
    mesh.update(&wanted, &older);
}

#[test]
fn a_mesh_that_is_kept_on_an_old_release_notices_when_its_time_is_over() {
    let (mut mesh, new) = (Mesh::lenient(4), c3("2.0.0"));
    let good_for_a_day = ReleaseSpec { not_after: Some(NOW + 86_400), ..spec(1, ChipId::ESP32C3, &new) };
    mesh.update(&good_for_a_day, &new);
    // A day later somebody still offers it; and one that nobody took in its time.
    mesh.world.run_for(24 * 60 * MINUTE);
    mesh.refuse(RELEASE, ErrorCode::ReleaseExpired);
    let late = c3("2.1.0");
    let stale = ReleaseSpec { not_after: Some(NOW + 86_400), ..spec(2, ChipId::ESP32C3, &late) };
    let stale = mesh.signed(&stale);
    mesh.host(stale, &late);
    mesh.refuse(RELEASE, ErrorCode::ReleaseExpired);
}

#[test]
fn images_of_two_releases_do_not_mix() {
    for (other, code) in [
        (c3("1.9.0"), ErrorCode::ReleaseDigestMismatch),
        (
            AppImageBuilder::new(ChipId::ESP32C3).version("1.9.0").size(48_000).build().unwrap(),
            ErrorCode::ReleaseSizeMismatch,
        ),
    ] {
        let (mut mesh, new) = (Mesh::lenient(5), c3("2.0.0"));
        let release = mesh.signed(&spec(2, ChipId::ESP32C3, &new));
        mesh.host(release, &other);
        mesh.trigger(RELEASE);
        mesh.world.run_for(120 * MINUTE);
        for outcome in mesh.outcomes() {
            let (state, error) = outcome.unwrap();
            assert!(matches!(state, UpdateState::Failed | UpdateState::Refused), "{state:?} {error:?}");
            assert_eq!(error, Some(code));
        }
        let old = mesh.old.clone();
        mesh.runs(&old);
    }
}

#[test]
fn a_release_for_other_hardware_is_refused_by_every_node() {
    let mut mesh = Mesh::lenient(6);
    let elsewhere = image(ChipId::ESP32, "2.0.0");
    let release = mesh.signed(&spec(1, ChipId::ESP32, &elsewhere));
    mesh.host(release, &elsewhere);
    mesh.refuse(RELEASE, ErrorCode::ReleaseWrongClass);
    // Signed as if it were for this chip: the image's own header says otherwise.
    let mut mislabelled = spec(2, ChipId::ESP32, &elsewhere);
    mislabelled.variants[0].class.chip = ChipId::ESP32C3;
    let release = mesh.signed(&mislabelled);
    mesh.host(release, &elsewhere);
    mesh.refuse(RELEASE, ErrorCode::WrongChip);
    // Another vendor's, signed by a key that happens to be trusted.
    let new = c3("2.0.0");
    let foreign =
        ReleaseSpec { vendor: VendorId::of_domain("another.example"), ..spec(3, ChipId::ESP32C3, &new) };
    let release = mesh.signed(&foreign);
    mesh.host(release, &new);
    mesh.refuse(RELEASE, ErrorCode::ReleaseWrongVendor);
}

#[test]
fn what_a_stranger_triggers_is_refused_by_every_node() {
    let policy = ReleasePolicy { require_release: true, require_time: false };
    let (mut mesh, new) = (Mesh::new(policy, 7), c3("6.6.6"));
    // A bare image, and the same with force.
    mesh.host(Vec::new(), &new);
    mesh.refuse(IMAGE, ErrorCode::ReleaseRequired);
    let forced = IMAGE.replace('}', r#","force":true}"#);
    mesh.refuse(&forced, ErrorCode::ReleaseRequired);
    // A release by a key of the stranger's own, one without signature, one with a signature of another release.
    let ours = spec(1, ChipId::ESP32C3, &new);
    let by_stranger = create_release(&ours, &[key()]).unwrap();
    mesh.host(by_stranger, &new);
    mesh.refuse(RELEASE, ErrorCode::ReleaseUntrustedKey);
    let good = mesh.signed(&ours);
    let manifest = good.len() - 200;
    let mut changed = good.clone();
    changed[manifest] ^= 1;
    mesh.host(changed, &new);
    mesh.refuse(RELEASE, ErrorCode::ReleaseSignatureInvalid);
    mesh.host(good[..good.len() - 1].to_vec(), &new);
    mesh.refuse(RELEASE, ErrorCode::ReleaseMalformed);
    // More bytes than any release has.
    let mut endless = good;
    endless.resize(100_000, 0);
    mesh.host(endless, &new);
    mesh.refuse(RELEASE, ErrorCode::ReleaseMalformed);
}

#[test]
fn an_unsigned_image_is_not_installed_by_nodes_that_take_bare_images() {
    let (mut mesh, new) = (Mesh::lenient(8), c3("6.6.6"));
    mesh.host(Vec::new(), &new);
    mesh.trigger(IMAGE);
    mesh.world.run_for(60 * MINUTE);
    for outcome in mesh.outcomes() {
        assert_eq!(outcome, Some((UpdateState::Failed, Some(ErrorCode::SignatureMissing))));
    }
    let old = mesh.old.clone();
    mesh.runs(&old);
}

#[test]
fn a_stolen_key_that_was_revoked_moves_no_node() {
    let (mut mesh, new, evil) = (Mesh::lenient(9), c3("2.0.0"), c3("6.6.6"));
    let (old_key, next_key) = (mesh.key.release_key().unwrap(), key());
    let mut rotation = spec(1, ChipId::ESP32C3, &new);
    rotation.key_changes = vec![
        KeyChange::Add { key: next_key.release_key().unwrap(), purposes: Purposes::ALL },
        KeyChange::Revoke { key: old_key.id() },
    ];
    mesh.update(&rotation, &new);
    let by_thief = mesh.signed(&spec(2, ChipId::ESP32C3, &evil));
    mesh.host(by_thief, &evil);
    mesh.refuse(RELEASE, ErrorCode::ReleaseKeyRevoked);
    // The new key is believed, by nodes that have restarted since.
    mesh.key = next_key;
    let next = c3("2.1.0");
    mesh.update(&spec(3, ChipId::ESP32C3, &next), &next);
}
