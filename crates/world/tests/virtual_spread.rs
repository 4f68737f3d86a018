//! Whole nodes that share one download, in virtual time: the default of a trigger, who cannot take part, the order of
//! restarts, and what may go wrong meanwhile.

use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageHash, ImageVerifier, PartitionTable};
use rootcast_node::Instant;
use rootcast_wire::{ErrorCode, UpdateState};
use rootcast_world::body::http::Manner;
use rootcast_world::body::mesh::Link;
use rootcast_world::body::virtual_time::{World, WorldOptions};
use rootcast_world::factory::{CompactTable, Fleet, Topology};
use rootcast_world::machine::Machine;
use rootcast_world::random::Random;

const CHIP: ChipId = ChipId::ESP32C3;
const MINUTE: u64 = 60_000;
const SIZE: usize = 150_000;

fn image(version: &str, size: usize) -> Vec<u8> {
    AppImageBuilder::new(CHIP).version(version).size(size).seed(version.len() as u64).build().unwrap()
}

fn hash(image: &[u8]) -> ImageHash {
    let mut verifier = ImageVerifier::new();
    verifier.push(image).unwrap();
    verifier.finish().unwrap().hash
}

struct Scene {
    world: World,
    topology: Topology,
    new: ImageHash,
}

fn scene(nodes: usize, seed: u64, loss: f64, change: impl FnOnce(&mut Vec<Machine>)) -> Scene {
    let table = PartitionTable::default_4mb();
    let topology = Topology::three_layers(nodes, seed);
    let (old, new_file) = (image("1.0.0", 60_000), image("1.1.0-rc", SIZE));
    let mut fleet = Fleet::new(CHIP, &table, &old);
    fleet.seed = seed;
    let mut machines = fleet.machines(&topology).unwrap();
    change(&mut machines);
    let options = WorldOptions { seed, ..WorldOptions::default() };
    let mut world = World::new(options, &topology, Link { loss, ..Link::default() }, machines);
    world.server("files.example", 443).put("/fw.bin", new_file.clone());
    world.server("files.example", 443).put("/newer.bin", image("1.2.0-final", SIZE));
    world.power_on();
    let up = world.run_until(5 * MINUTE, |world| {
        world.stations().iter().all(|station| station.mesh.joined) && world.stations()[0].mqtt
    });
    assert!(up, "the mesh forms");
    world.run_for(2_000);
    Scene { world, topology, new: hash(&new_file) }
}

impl Scene {
    fn trigger(&mut self, more: &str) {
        let message = format!(r#"{{"type":"ota_trigger","url":"https://files.example/fw.bin"{more}}}"#);
        self.world.publish("/switch/cmd/root", message.as_bytes());
    }

    fn run_until_all(&mut self, state: UpdateState) {
        let all = self.world.run_until(60 * MINUTE, |world| {
            world.stations().iter().all(|station| world.broker().has_reported(station.id(), state))
        });
        assert!(all, "not all {}: {:?}", state.name(), self.errors());
        assert_eq!(self.world.violations(), []);
    }

    fn errors(&self) -> Vec<Option<ErrorCode>> {
        let outcome = |id| self.world.broker().outcome_of(id).and_then(|report| report.error);
        self.world.stations().iter().map(|station| outcome(station.id())).collect()
    }

    fn requests(&mut self) -> usize {
        self.world.server("files.example", 443).requests().len()
    }

    /// Bytes through the router, as a multiple of the image.
    fn images_fetched(&self) -> f64 {
        self.world.server_bytes() as f64 / SIZE as f64
    }

    fn reported(&self, node: usize, state: UpdateState) -> Option<Instant> {
        let reports = self.world.broker().reports_of(self.world.stations()[node].id());
        reports.iter().find(|(_, report)| report.state == state).map(|(at, _)| *at)
    }

    fn run_new(&self) -> usize {
        let new = |station: &&rootcast_world::body::virtual_time::Station| {
            station.machine.booted().is_some_and(|booted| booted.image.hash == self.new)
        };
        self.world.stations().iter().filter(new).count()
    }
}

#[test]
fn one_download_serves_the_whole_mesh_unless_the_trigger_says_otherwise() {
    for (more, requests) in [("", 1), (r#","mode":"spread""#, 1), (r#","mode":"direct""#, 12)] {
        let mut scene = scene(12, 1, 0.0, |_| {});
        scene.trigger(more);
        scene.run_until_all(UpdateState::Confirmed);
        assert_eq!((scene.run_new(), scene.requests()), (12, requests), "{more}");
    }
}

#[test]
fn lost_frames_are_repaired_by_neighbours_not_by_the_server() {
    for seed in 0..3 {
        let mut scene = scene(12, 20 + seed, 0.2, |_| {});
        scene.trigger("");
        scene.run_until_all(UpdateState::Confirmed);
        assert_eq!((scene.run_new(), scene.requests()), (12, 1), "seed {seed}");
        assert!(scene.images_fetched() < 1.05, "{} images", scene.images_fetched());
    }
}

#[test]
fn leaves_restart_before_their_parents_and_the_root_last_when_all_have_the_image() {
    for seed in 0..3 {
        let mut scene = scene(13, 30 + seed, 0.05, |_| {});
        scene.trigger("");
        let (mut first, mut last) = (None, Instant(0));
        for _ in 0..20 * 600 {
            scene.world.run_for(50);
            let stations = scene.world.stations();
            let again = |node: usize| stations[node].starts > 1;
            let has_image =
                |node: usize| stations[node].machine.node().is_none_or(|it| it.progress().percent == 100);
            if first.is_none() && (0..13).any(again) {
                first = Some(scene.world.now());
                assert!(
                    (0..13).all(|node| again(node) || has_image(node)),
                    "seed {seed}: not all have the image"
                );
            }
            for (node, member) in scene.topology.members.iter().enumerate() {
                let orphaned = member.parent.is_some_and(|parent| again(parent) && !again(node));
                assert!(!orphaned, "seed {seed}: the parent of {node} did not wait for it");
            }
            if (0..13).all(again) {
                last = scene.world.now();
                break;
            }
        }
        let window = last.since(first.expect("they restart"));
        assert!(
            last > Instant(0) && window < 2 * MINUTE,
            "seed {seed}: {window} ms from the first to the last"
        );
        scene.run_until_all(UpdateState::Confirmed);
        assert!(scene.world.stations().iter().all(|station| station.starts == 2));
    }
}

#[test]
fn nodes_that_cannot_share_ask_the_server_themselves() {
    let mut scene = scene(12, 2, 0.0, |machines| {
        for node in [3, 7] {
            machines[node].settings_mut().can_spread = false;
        }
    });
    scene.trigger("");
    scene.run_until_all(UpdateState::Confirmed);
    assert_eq!((scene.run_new(), scene.requests()), (12, 3));
    let slow = scene.reported(3, UpdateState::Installed).unwrap();
    assert!(
        slow.since(scene.reported(3, UpdateState::Accepted).unwrap()) < 60_000,
        "they are not left waiting"
    );
}

#[test]
fn where_the_root_does_not_share_everybody_downloads() {
    let mut alone = scene(6, 3, 0.0, |machines| machines[0].settings_mut().can_spread = false);
    alone.trigger("");
    alone.run_until_all(UpdateState::Confirmed);
    assert_eq!((alone.run_new(), alone.requests()), (6, 6));

    let mut others = scene(6, 4, 0.0, |_| {});
    let ids: Vec<_> = others.topology.members[1..].iter().map(|member| member.id.to_string()).collect();
    others.trigger(&format!(r#","targets":[{}]"#, ids.join(",")));
    let done = others.world.run_until(10 * MINUTE, |world| {
        world.stations()[1..].iter().all(|it| world.broker().has_reported(it.id(), UpdateState::Confirmed))
    });
    assert!(done, "{:?}", others.errors());
    assert_eq!((others.run_new(), others.requests()), (5, 5), "the root was not meant");
}

#[test]
fn a_server_that_fails_the_root_in_the_middle_only_delays() {
    let mut scene = scene(8, 5, 0.0, |_| {});
    let server = scene.world.server("files.example", 443);
    server.then(Manner::CutAfter(70_000));
    server.then(Manner::Status(503));
    server.then(Manner::CutAfter(20_000));
    scene.trigger("");
    scene.run_until_all(UpdateState::Confirmed);
    assert_eq!((scene.run_new(), scene.requests()), (8, 4), "the root alone tries again");
}

#[test]
fn a_root_that_loses_power_while_it_shares_goes_on_afterwards() {
    for after_ms in [3_000, 6_000, 9_000, 15_000] {
        let mut scene = scene(8, 6, 0.0, |_| {});
        scene.world.schedule_power_cut(0, after_ms, 5_000);
        scene.trigger("");
        scene.run_until_all(UpdateState::Confirmed);
        assert_eq!(scene.run_new(), 8, "after {after_ms} ms");
        assert!(scene.requests() <= 2, "after {after_ms} ms: {} requests", scene.requests());
    }
}

#[test]
fn a_leaf_that_loses_power_again_and_again_still_takes_part() {
    let mut scene = scene(8, 7, 0.0, |_| {});
    for after_ms in (2_000..30_000).step_by(4_000) {
        scene.world.schedule_power_cut(2, after_ms, 1_000);
    }
    scene.trigger("");
    let done = |world: &World| {
        let confirmed = |it: &rootcast_world::body::virtual_time::Station| {
            world.broker().has_reported(it.id(), UpdateState::Confirmed)
        };
        world.stations().iter().enumerate().all(|(node, it)| node == 2 || confirmed(it))
    };
    assert!(scene.world.run_until(30 * MINUTE, done), "{:?}", scene.errors());
    let new = scene.new;
    let all_new = move |world: &World| {
        world.stations().iter().all(|it| it.machine.booted().is_some_and(|it| it.image.hash == new))
    };
    // Power that goes before the first page stands leaves no trace of the cast: the root's repetition brings it again.
    assert!(scene.world.run_until(30 * MINUTE, all_new), "{:?}", scene.errors());
}

#[test]
fn who_cannot_keep_the_image_says_so_and_the_others_have_it() {
    let (small, _) = CompactTable { slot_bytes: 128 << 10, slots: 2, factory: false }.build();
    let mut scene = scene(9, 8, 0.0, |machines| {
        let topology = Topology::three_layers(9, 8);
        let old = image("1.0.0", 60_000);
        let fleet = Fleet::new(CHIP, &small, &old);
        // A middle node with small slots, and one that runs the new image already.
        machines[1] = fleet.machines(&topology).unwrap().swap_remove(1);
        let table = PartitionTable::default_4mb();
        let new = image("1.1.0-rc", SIZE);
        machines[8] = Fleet::new(CHIP, &table, &new).machines(&topology).unwrap().swap_remove(8);
    });
    scene.trigger("");
    let ended = scene.world.run_until(30 * MINUTE, |world| {
        world.stations().iter().all(|it| {
            let said = |state| world.broker().has_reported(it.id(), state);
            said(UpdateState::Confirmed) || said(UpdateState::Refused)
        })
    });
    let errors = scene.errors();
    assert!(ended, "{errors:?}");
    assert_eq!((errors[1], errors[8]), (Some(ErrorCode::ImageTooLarge), Some(ErrorCode::SameImage)));
    assert!(
        errors.iter().enumerate().all(|(node, error)| [1, 8].contains(&node) || error.is_none()),
        "{errors:?}"
    );
    assert_eq!(scene.run_new(), 8);
}

#[test]
fn a_newer_trigger_takes_the_place_of_an_older_one_while_it_spreads() {
    let mut scene = scene(8, 9, 0.0, |_| {});
    scene.trigger("");
    let begun = |world: &World| {
        world.stations()[1..]
            .iter()
            .any(|it| it.machine.node().is_some_and(|node| node.progress().bytes > 40_000))
    };
    assert!(scene.world.run_until(5 * MINUTE, begun));
    let newer = br#"{"type":"ota_trigger","url":"https://files.example/newer.bin"}"#;
    scene.world.publish("/switch/cmd/root", newer);
    scene.run_until_all(UpdateState::Confirmed);
    let newer = hash(&image("1.2.0-final", SIZE));
    let all = |it: &rootcast_world::body::virtual_time::Station| {
        it.machine.booted().is_some_and(|booted| booted.image.hash == newer)
    };
    assert!(scene.world.stations().iter().all(all));
    assert_eq!(scene.requests(), 2);
}

#[test]
fn an_abort_while_it_spreads_leaves_everybody_on_the_old_image() {
    let mut scene = scene(8, 10, 0.0, |_| {});
    scene.trigger(r#","rollout":"r1""#);
    let begun = |world: &World| {
        world.stations()[1..]
            .iter()
            .any(|it| it.machine.node().is_some_and(|node| node.progress().bytes > 40_000))
    };
    assert!(scene.world.run_until(5 * MINUTE, begun));
    scene.world.publish("/switch/cmd/root", br#"{"type":"ota_abort","rollout":"r1"}"#);
    scene.run_until_all(UpdateState::Failed);
    assert_eq!(scene.errors(), [Some(ErrorCode::Aborted); 8]);
    scene.world.run_for(20 * MINUTE);
    assert_eq!(scene.run_new(), 0);
    assert!(scene.world.stations().iter().all(|station| station.starts == 1));
}

#[test]
fn nodes_that_the_mesh_lost_for_a_while_catch_up() {
    let mut scene = scene(9, 11, 0.0, |_| {});
    scene.world.schedule_power_cut(5, 1_000, 90_000);
    scene.trigger("");
    let new = scene.new;
    let all_new = move |world: &World| {
        world.stations().iter().all(|it| it.machine.booted().is_some_and(|it| it.image.hash == new))
    };
    assert!(scene.world.run_until(30 * MINUTE, all_new), "{:?}", scene.errors());
}

#[test]
fn whatever_happens_to_small_meshes_all_nodes_end_confirmed_with_the_right_image() {
    for seed in 0..24 {
        let mut random = Random::new(seed);
        let nodes = random.between(2, 9) as usize;
        let loss = random.below(25) as f64 / 100.0;
        let mut scene = scene(nodes, 1_000 + seed, loss, |_| {});
        // Not the root's server and not its power: that the root alone asks, and how often, is what is measured.
        for _ in 0..random.below(4) {
            let node = random.between(1, nodes as u64 - 1) as usize;
            scene.world.schedule_power_cut(node, random.between(5_000, 40_000), random.between(500, 20_000));
        }
        if random.chance(0.3) {
            scene.world.server("files.example", 443).then(Manner::CutAfter(random.between(10_000, 140_000)));
        }
        scene.trigger("");
        let new = scene.new;
        let all_new = move |world: &World| {
            world.stations().iter().all(|it| it.machine.booted().is_some_and(|it| it.image.hash == new))
        };
        let done = scene.world.run_until(60 * MINUTE, all_new);
        assert!(done, "seed {seed}: {} of {nodes}, {:?}", scene.run_new(), scene.errors());
        let settled = |world: &World| {
            world.stations().iter().all(|it| it.machine.node().is_some_and(|node| !node.is_on_trial()))
        };
        assert!(scene.world.run_until(10 * MINUTE, settled), "seed {seed}: not confirmed");
        scene.world.run_for(MINUTE);
        assert_eq!(scene.run_new(), nodes, "seed {seed}: nobody falls back");
        assert_eq!(scene.world.violations(), [], "seed {seed}");
        assert!(scene.images_fetched() < 1.05, "seed {seed}: {} images fetched", scene.images_fetched());
    }
}
