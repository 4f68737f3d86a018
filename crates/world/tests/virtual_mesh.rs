//! The main job in virtual time: one message updates a whole mesh, and what goes wrong is named.

use rootcast_image::boot::BootRules;
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageHash, ImageVerifier, PartitionTable};
use rootcast_node::Colour;
use rootcast_wire::{ErrorCode, UpdateState};
use rootcast_world::body::behaviour::Behaviour;
use rootcast_world::body::http::Manner;
use rootcast_world::body::mesh::Link;
use rootcast_world::body::virtual_time::{World, WorldOptions};
use rootcast_world::factory::{Fleet, Topology};
use rootcast_world::flash::{Fault, Rule};
use rootcast_world::nvs::{Contents, Value};

const CHIP: ChipId = ChipId::ESP32C3;
const MINUTE: u64 = 60_000;

fn image(version: &str, size: usize) -> Vec<u8> {
    AppImageBuilder::new(CHIP).version(version).size(size).seed(version.len() as u64).build().unwrap()
}

fn hash(image: &[u8]) -> ImageHash {
    let mut verifier = ImageVerifier::new();
    verifier.push(image).unwrap();
    verifier.finish().unwrap().hash
}

fn application_nvs() -> Contents {
    Contents([(("buttons".into(), "clicks".into()), Value::U32(77))].into())
}

struct Scene {
    world: World,
    old: ImageHash,
    new: ImageHash,
    new_file: Vec<u8>,
}

fn scene(nodes: usize, seed: u64, loss: f64) -> Scene {
    let table = PartitionTable::default_4mb();
    let topology = Topology::three_layers(nodes, seed);
    let (old, new_file) = (image("1.0.0", 60_000), image("1.1.0-rc", 64_000));
    let mut fleet = Fleet::new(CHIP, &table, &old);
    fleet.application_nvs = application_nvs();
    fleet.seed = seed;
    let machines = fleet.machines(&topology).unwrap();
    let options = WorldOptions { seed, ..WorldOptions::default() };
    let link = Link { loss, ..Link::default() };
    let mut world = World::new(options, &topology, link, machines);
    world.server("files.example", 443).put("/fw.bin", new_file.clone());
    world.power_on();
    let up = world.run_until(5 * MINUTE, |world| {
        world.stations().iter().all(|station| station.mesh.joined) && world.stations()[0].mqtt
    });
    assert!(up, "the mesh forms");
    world.run_for(2_000);
    Scene { world, old: hash(&old), new: hash(&new_file), new_file }
}

impl Scene {
    fn trigger(&mut self) {
        let message = br#"{"type":"ota_trigger","url":"https://files.example/fw.bin"}"#;
        self.world.publish("/switch/cmd/root", message);
    }

    fn run_until_all(&mut self, state: UpdateState) -> bool {
        self.world.run_until(60 * MINUTE, |world| {
            world.stations().iter().all(|station| world.broker().has_reported(station.id(), state))
        })
    }

    fn running(&self) -> Vec<Option<ImageHash>> {
        self.world.stations().iter().map(|s| s.machine.booted().map(|booted| booted.image.hash)).collect()
    }

    fn errors(&self) -> Vec<ErrorCode> {
        let outcome = |id| self.world.broker().outcome_of(id);
        self.world.stations().iter().filter_map(|station| outcome(station.id())?.error).collect()
    }

    fn check_promises(&self) {
        assert_eq!(self.world.violations(), []);
        let nvs = PartitionTable::default_4mb().nvs().map(|p| p.offset..p.offset + p.size).unwrap();
        for station in self.world.stations() {
            let contents = Contents::read(station.machine.board.flash.sectors(), &nvs).unwrap();
            assert_eq!(contents.of_others(), application_nvs());
        }
    }
}

#[test]
fn one_message_updates_a_root_and_eleven_leaves() {
    let mut scene = scene(12, 1, 0.0);
    scene.trigger();
    assert!(scene.run_until_all(UpdateState::Confirmed), "reports: {:#?}", scene.errors());
    assert!(scene.running().iter().all(|running| *running == Some(scene.new)));
    scene.world.run_for(10 * MINUTE);
    assert!(scene.world.stations().iter().all(|station| station.led == Some(Colour::Green)));
    assert!(scene.world.stations().iter().all(|station| station.starts == 2));
    scene.check_promises();
}

#[test]
fn a_mesh_that_loses_every_fifth_frame_is_updated_too() {
    for seed in 0..5 {
        let mut scene = scene(12, seed, 0.2);
        scene.trigger();
        assert!(scene.run_until_all(UpdateState::Confirmed), "seed {seed}: {:#?}", scene.errors());
        scene.check_promises();
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = |seed| {
        let mut scene = scene(12, seed, 0.1);
        scene.trigger();
        assert!(scene.run_until_all(UpdateState::Confirmed));
        (scene.world.now(), scene.world.events(), scene.world.broker().log().to_vec())
    };
    assert!(run(3) == run(3));
    assert!(run(3) != run(4));
}

#[test]
fn an_image_that_crashes_hangs_never_joins_or_is_unhealthy_ends_on_the_old_one() {
    let cases = [
        (Behaviour::Crashes { after_ms: 0 }, ErrorCode::TrialCrashed),
        (Behaviour::Crashes { after_ms: 3_000 }, ErrorCode::TrialCrashed),
        (Behaviour::Hangs { after_ms: 100 }, ErrorCode::TrialWatchdog),
        (Behaviour::NeverJoins, ErrorCode::TrialTimeout),
        (Behaviour::Unhealthy { after_ms: 200 }, ErrorCode::TrialUnhealthy),
    ];
    for (behaviour, expected) in cases {
        for rollback in [false, true] {
            let mut scene = scene(4, 5, 0.0);
            for node in 0..4 {
                let station = scene.world.station_mut(node);
                station.machine.bootloader_mut().rules = BootRules::rollback(rollback);
            }
            scene.world.set_behaviour(scene.new, behaviour);
            scene.trigger();
            let back = scene.run_until_all(UpdateState::RolledBack);
            assert!(back, "{behaviour:?}, rollback {rollback}: {:?}", scene.errors());
            assert_eq!(scene.errors(), [expected; 4], "{behaviour:?}, rollback {rollback}");
            assert!(scene.running().iter().all(|running| *running == Some(scene.old)));
            scene.check_promises();
        }
    }
}

/// Where a node of these worlds writes: its table's otadata and second slot.
const OTADATA: u32 = 0xE000;
const OTA_1: u32 = 0x17_0000;

#[test]
fn worn_cells_and_failing_reads_are_named_and_the_old_image_stays() {
    let everywhere = OTA_1..OTA_1 + 0x1_0000;
    let read_error = |skip, times| Fault::ReadError { range: everywhere.clone(), skip, times };
    // A bit that the new image wants to be 1.
    let file = scene(1, 11, 0.0).new_file;
    let at = (5_000..).find(|at| file[*at] & 0x08 != 0).unwrap() as u32;
    let cases = [
        // Bits of an image that do not take their value.
        (Fault::StuckBit { address: OTA_1 + at, bit: 3, value: false }, ErrorCode::ReadBackMismatch),
        (Fault::StuckBit { address: OTA_1, bit: 0, value: false }, ErrorCode::ReadBackMismatch),
        // Bits of the record that is to choose the new image.
        (Fault::StuckBit { address: OTADATA + 0x1000, bit: 1, value: false }, ErrorCode::OtadataFailed),
        (Fault::StuckBit { address: OTADATA + 0x1000 + 24, bit: 2, value: true }, ErrorCode::OtadataFailed),
        (Fault::EraseError { range: everywhere.clone() }, ErrorCode::FlashFailed),
        (Fault::ProgramError { range: everywhere.clone() }, ErrorCode::FlashFailed),
        (Fault::EraseError { range: OTADATA..OTADATA + 0x2000 }, ErrorCode::OtadataFailed),
        (read_error(0, u32::MAX), ErrorCode::FlashFailed),
        (read_error(100, u32::MAX), ErrorCode::FlashFailed),
    ];
    for (fault, expected) in cases {
        let mut scene = scene(1, 11, 0.0);
        scene.world.station_mut(0).machine.board.flash.add_fault(fault.clone());
        scene.trigger();
        assert!(scene.run_until_all(UpdateState::Failed), "{fault:?}: {:?}", scene.errors());
        assert_eq!(scene.errors(), [expected], "{fault:?}");
        assert_eq!(scene.running(), [Some(scene.old)], "{fault:?}");
        // A worn cell asks for what the chip cannot do; nothing else may have gone wrong.
        let mut broken = scene.world.violations().into_iter();
        assert!(broken.all(|(_, violation)| violation.rule == Rule::SetsBits), "{fault:?}");
        // A restart finds the old image, too; and a chip that is sound again takes the update.
        scene.world.station_mut(0).machine.board.flash.clear_faults();
        scene.world.cut_power(0, 1_000);
        scene.world.run_for(MINUTE);
        assert_eq!(scene.running(), [Some(scene.old)], "{fault:?}");
        scene.trigger();
        assert!(scene.run_until_all(UpdateState::Confirmed), "{fault:?}: {:?}", scene.errors());
        assert_eq!(scene.running(), [Some(scene.new)], "{fault:?}");
    }
}

#[test]
fn a_read_that_fails_once_costs_a_retry() {
    for skip in [0, 7, 50, 200] {
        let mut scene = scene(1, 12, 0.0);
        let fault = Fault::ReadError { range: OTA_1..OTA_1 + 0x1_0000, skip, times: 1 };
        scene.world.station_mut(0).machine.board.flash.add_fault(fault);
        scene.trigger();
        assert!(scene.run_until_all(UpdateState::Confirmed), "after {skip}: {:?}", scene.errors());
        assert_eq!(scene.running(), [Some(scene.new)]);
    }
}

#[test]
fn three_failed_downloads_leave_the_boot_record_as_it_was() {
    let mut scene = scene(4, 6, 0.0);
    let otadata = |scene: &Scene| {
        let of = |station: &rootcast_world::body::virtual_time::Station| {
            station.machine.board.flash.sectors().bytes(0xE000..0x1_0000)
        };
        scene.world.stations().iter().map(of).collect::<Vec<_>>()
    };
    let before = otadata(&scene);
    scene.world.server("files.example", 443).behave(Manner::Status(503));
    scene.trigger();
    assert!(scene.run_until_all(UpdateState::Failed));
    assert_eq!(scene.errors(), [ErrorCode::HttpServerError; 4]);
    assert!(scene.world.server("files.example", 443).requests().len() > 3 * 4);
    assert_eq!(otadata(&scene), before);
    assert!(scene.running().iter().all(|running| *running == Some(scene.old)));
    scene.check_promises();
}

#[test]
fn servers_with_bad_manners_are_survived_or_named() {
    let cases = [
        (Manner::CutAfter(20_000), None),
        (Manner::StallAfter(20_000), None),
        (Manner::Chunked, None),
        (Manner::UntilClose, None),
        (Manner::WithoutRange, None),
        (Manner::WithoutRangeAndTag, None),
        (Manner::Status(404), Some(ErrorCode::HttpNotFound)),
        (Manner::Status(401), Some(ErrorCode::HttpUnauthorized)),
        (Manner::Redirect(302, "/fw.bin".into()), Some(ErrorCode::HttpRedirectLoop)),
        (Manner::Redirect(302, "http://files.example/fw.bin".into()), Some(ErrorCode::HttpRedirectInsecure)),
        (Manner::Raw(b"SSH-2.0-x\r\n\r\n".to_vec()), Some(ErrorCode::HttpInvalidResponse)),
    ];
    for (manner, expected) in cases {
        let mut scene = scene(2, 7, 0.0);
        scene.world.server("files.example", 443).behave(manner.clone());
        scene.trigger();
        let end = if expected.is_some() { UpdateState::Failed } else { UpdateState::Confirmed };
        assert!(scene.run_until_all(end), "{manner:?}: {:?}", scene.errors());
        if let Some(expected) = expected {
            assert_eq!(scene.errors(), [expected; 2], "{manner:?}");
        }
        scene.check_promises();
    }
}

#[test]
fn a_file_that_changes_behind_the_url_is_never_spliced() {
    let mut scene = scene(3, 8, 0.0);
    let newer = image("1.2.0-final", 70_000);
    for _ in 0..3 {
        scene.world.server("files.example", 443).then(Manner::CutAfter(30_000));
    }
    scene.trigger();
    let begun = |world: &World| {
        world.stations().iter().any(|s| s.machine.node().is_some_and(|n| n.progress().bytes >= 28_000))
    };
    assert!(scene.world.run_until(5 * MINUTE, begun));
    scene.world.server("files.example", 443).put("/fw.bin", newer.clone());
    assert!(scene.run_until_all(UpdateState::Confirmed), "{:?}", scene.errors());
    assert!(scene.running().iter().all(|running| *running == Some(hash(&newer))));
    assert_ne!(newer, scene.new_file);
    scene.check_promises();
}

#[test]
fn power_cuts_at_any_moment_are_survived_and_the_update_still_arrives() {
    for seed in 0..10 {
        let mut scene = scene(6, 100 + seed, 0.05);
        for node in 0..6 {
            scene.world.schedule_power_cut(node, 500 + seed * 700 + node as u64 * 911, 1_000 + seed * 100);
        }
        scene.trigger();
        let new = scene.new;
        let everywhere = move |world: &World| {
            world.stations().iter().all(|s| s.machine.booted().is_some_and(|booted| booted.image.hash == new))
        };
        // A node that lost power before its first page was on flash has forgotten the cast: the operator asks again.
        if !scene.world.run_until(30 * MINUTE, everywhere) {
            println!("seed {seed}: asked again");
            scene.trigger();
        }
        assert!(scene.world.run_until(30 * MINUTE, everywhere), "seed {seed}: {:?}", scene.errors());
        scene.check_promises();
    }
}

#[test]
fn a_broker_that_goes_away_is_waited_for() {
    let mut scene = scene(4, 9, 0.0);
    scene.trigger();
    scene.world.run_for(3_000);
    scene.world.stop_broker();
    scene.world.run_for(40_000);
    scene.world.start_broker();
    assert!(scene.run_until_all(UpdateState::Confirmed), "{:?}", scene.errors());
    scene.check_promises();
}
