//! A mesh of several chips and node types that shares one release: each variant comes through the router once.

use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageHash, ImageVerifier, PartitionTable};
use rootcast_trust::release::{DEFAULT_VENDOR_DOMAIN, Purposes, TrustedKey, VendorId};
use rootcast_trust::sign::{ClassSpec, KeyKind, ReleaseSpec, SigningKey, VariantSpec, create_release};
use rootcast_wire::{NodeType, UpdateState};
use rootcast_world::body::mesh::Link;
use rootcast_world::body::virtual_time::{World, WorldOptions};
use rootcast_world::factory::{Fleet, Topology};
use rootcast_world::machine::Machine;

const MINUTE: u64 = 60_000;
/// The world's clock at its beginning.
const NOW: u64 = 1_795_000_000;
const TRIGGER: &[u8] = br#"{"type":"ota_trigger","url":"https://files.example/release.suit"}"#;

/// A class of nodes, and the bytes of its new image. Two classes of one size and chip are told apart by page digests.
type Class = (ChipId, NodeType, usize);

fn image(chip: ChipId, node_type: &NodeType, version: &str, size: usize) -> Vec<u8> {
    let seed = version.bytes().chain(node_type.name().bytes()).map(u64::from).sum();
    AppImageBuilder::new(chip).version(version).size(size).seed(seed).build().unwrap()
}

fn hash(image: &[u8]) -> ImageHash {
    let mut verifier = ImageVerifier::new();
    verifier.push(image).unwrap();
    verifier.finish().unwrap().hash
}

struct Mixed {
    world: World,
    /// The image that each node is to end with.
    wanted: Vec<ImageHash>,
    /// Bytes of all new images.
    images_bytes: usize,
}

fn mixed(classes: &[Class], nodes: usize, seed: u64, loss: f64) -> Mixed {
    let table = PartitionTable::default_4mb();
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let mut topology = Topology::three_layers(nodes, seed);
    let class_of = |node: usize| node % classes.len();
    for (node, member) in topology.members.iter_mut().enumerate() {
        member.node_type = classes[class_of(node)].1.clone();
    }
    let mut machines: Vec<Option<Machine>> = (0..nodes).map(|_| None).collect();
    let (mut variants, mut files) = (Vec::new(), Vec::new());
    for (index, (chip, node_type, size)) in classes.iter().enumerate() {
        let old = image(*chip, node_type, "1.0.0", 60_000);
        let new = image(*chip, node_type, "1.1.0", *size);
        let class =
            ClassSpec { chip: *chip, node_type: Some(node_type.to_string()), hardware_revision: None };
        variants.push(VariantSpec::of_image(class, &format!("{index}.bin"), &new).unwrap().0);
        let mut fleet = Fleet::new(*chip, &table, &old);
        fleet.seed = seed;
        fleet.provisioning.allow_unsigned = false;
        fleet.provisioning.release_keys = vec![TrustedKey::new(key.release_key().unwrap(), Purposes::ALL)];
        let indices: Vec<usize> = (0..nodes).filter(|node| class_of(*node) == index).collect();
        for (node, machine) in indices.iter().zip(fleet.machines_of(&topology, &indices).unwrap()) {
            machines[*node] = Some(machine);
        }
        files.push(new);
    }
    let spec = ReleaseSpec {
        vendor: VendorId::of_domain(DEFAULT_VENDOR_DOMAIN),
        sequence_number: 1,
        version: "1.1.0".to_owned(),
        description: None,
        signed_at: Some(NOW - 3_600),
        not_after: None,
        replaces_up_to: None,
        variants,
        key_changes: Vec::new(),
    };
    let release = create_release(&spec, std::slice::from_ref(&key)).unwrap();
    let options = WorldOptions { seed, unix_s: NOW, ..WorldOptions::default() };
    let machines = machines.into_iter().flatten().collect();
    let mut world = World::new(options, &topology, Link { loss, ..Link::default() }, machines);
    let server = world.server("files.example", 443);
    server.put("/release.suit", release);
    for (index, file) in files.iter().enumerate() {
        server.put(&format!("/{index}.bin"), file.clone());
    }
    world.power_on();
    let up = world.run_until(5 * MINUTE, |world| {
        world.stations().iter().all(|station| station.mesh.joined) && world.stations()[0].mqtt
    });
    assert!(up, "the mesh forms");
    world.run_for(2_000);
    let wanted = (0..nodes).map(|node| hash(&files[class_of(node)])).collect();
    Mixed { world, wanted, images_bytes: files.iter().map(Vec::len).sum() }
}

impl Mixed {
    /// Triggers, and waits until every node is confirmed with the image of its class.
    fn update(&mut self) {
        self.world.publish("/switch/cmd/root", TRIGGER);
        let begun = self.world.now();
        let all = self.world.run_until(20 * MINUTE, |world| {
            world.stations().iter().all(|it| world.broker().has_reported(it.id(), UpdateState::Confirmed))
        });
        let states: Vec<_> = self
            .world
            .stations()
            .iter()
            .map(|station| {
                let node = station.machine.node();
                node.map(|node| (node.settings().node_type.to_string(), node.progress().state))
            })
            .collect();
        assert!(all, "not all confirmed: {states:?}");
        for (node, station) in self.world.stations().iter().enumerate() {
            let booted = station.machine.booted().map(|booted| booted.image.hash);
            assert_eq!(booted, Some(self.wanted[node]), "node {node}");
        }
        assert_eq!(self.world.violations(), []);
        let took = self.world.now().since(begun);
        assert!(took < 10 * MINUTE, "nobody waits for its patience to end: {took} ms");
    }

    fn images_fetched(&self) -> f64 {
        self.world.server_bytes() as f64 / self.images_bytes as f64
    }
}

#[test]
fn each_variant_of_a_release_comes_through_the_router_once() {
    let classes = [
        (ChipId::ESP32C3, NodeType::Switch, 120_000),
        (ChipId::ESP32, NodeType::Relay8, 150_000),
        (ChipId::ESP32, NodeType::Relay16, 130_000),
    ];
    for (seed, loss) in [(1, 0.0), (2, 0.1)] {
        let mut mixed = mixed(&classes, 13, seed, loss);
        mixed.update();
        // Every node reads the release besides, a kilobyte or two.
        let images = mixed.images_fetched();
        assert!(images < 1.15, "seed {seed}: {images} images");
    }
}

#[test]
fn node_types_of_the_roots_own_chip_get_their_own_variant_even_if_it_is_as_long() {
    let classes =
        [(ChipId::ESP32C3, NodeType::Switch, 120_000), (ChipId::ESP32C3, NodeType::Relay8, 120_000)];
    let mut mixed = mixed(&classes, 9, 3, 0.0);
    mixed.update();
    let images = mixed.images_fetched();
    assert!(images < 1.15, "{images} images");
}
