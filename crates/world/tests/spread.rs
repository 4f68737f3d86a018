//! Spreading under faults: whatever happens on the air, all who are within reach end with the right bytes, and nobody
//! with others. The protocol is the production code; the radio is simulated.

use rootcast_image::ChipId;
use rootcast_world::radio::hostile::{Hostile, Malice};
use rootcast_world::radio::image::Image;
use rootcast_world::radio::links::Links;
use rootcast_world::radio::medium::Bursts;
use rootcast_world::radio::outcome::Outcome;
use rootcast_world::radio::phy::Rate;
use rootcast_world::radio::rivals::{self, Circumstances, Way};
use rootcast_world::radio::spreading::{Fault, Mesh, Setup};
use rootcast_world::random::Random;
use std::rc::Rc;

const C3: ChipId = ChipId::ESP32C3;
const S3: ChipId = ChipId::ESP32S3;
const KEY: [u8; 32] = [0x4B; 32];

/// All hear each other.
fn together(nodes: usize) -> Links {
    Links::from_signals(vec![vec![-55.0; nodes]; nodes])
}

/// Each hears the nodes next to it.
fn row(nodes: usize) -> Links {
    let signal = |a: usize, b: usize| if a.abs_diff(b) == 1 { -65.0 } else { f64::NEG_INFINITY };
    Links::from_signals((0..nodes).map(|a| (0..nodes).map(|b| signal(a, b)).collect()).collect())
}

fn image(bytes: u32, chip: ChipId, cast: u32) -> Rc<Image> {
    Image::new(bytes, chip, cast, 99).unwrap()
}

fn setup(links: Links, seed: u64) -> Setup {
    let mut setup = Setup::new(links, Rate::Mbit1, image(150_000, C3, 0x0001_0001), seed);
    setup.limit_s = 600;
    setup
}

/// Runs it, and sees that no node holds anything wrong.
fn run(setup: Setup) -> (Mesh, Outcome) {
    let nodes = setup.chips.len();
    let mut mesh = Mesh::new(setup);
    let outcome = mesh.run();
    for node in 0..nodes {
        assert_eq!(mesh.slot(node).wrong, 0, "node {node} stored a page of no image");
    }
    (mesh, outcome)
}

fn all_done(mesh: &Mesh, nodes: impl IntoIterator<Item = usize>) {
    for node in nodes {
        assert!(mesh.is_done(node), "node {node} lacks the image");
    }
}

#[test]
fn a_mesh_of_many_hops_ends_with_the_right_bytes() {
    let (mesh, outcome) = run(setup(row(7), 1));
    all_done(&mesh, 0..7);
    assert_eq!(outcome.router_bytes, 150_000, "the root fetched once");
}

#[test]
fn a_third_of_all_frames_may_be_lost() {
    for (links, nodes) in [(together(20), 20), (row(5), 5)] {
        let mut setup = setup(links, 2);
        setup.loss = 0.3;
        let (mesh, _) = run(setup);
        all_done(&mesh, 0..nodes);
    }
}

#[test]
fn loss_in_long_bursts_only_delays() {
    let mut setup = setup(together(10), 3);
    setup.bursts = Some(Bursts { good_ms: 2_000.0, bad_ms: 700.0, loss: 0.98 });
    let (mesh, _) = run(setup);
    all_done(&mesh, 0..10);
}

#[test]
fn strangers_who_forge_replay_or_corrupt_frames_achieve_nothing() {
    for malice in [Malice::Forge, Malice::Replay, Malice::Corrupt] {
        let mut quiet = setup(together(8), 4);
        quiet.key = Some(KEY);
        let (_, undisturbed) = run(quiet);
        let mut setup = setup(together(9), 4);
        setup.key = Some(KEY);
        setup.hostile = vec![(8, Hostile::new(malice))];
        let (mesh, outcome) = run(setup);
        all_done(&mesh, 0..8);
        assert_eq!(
            mesh.wrong_blocks, 0,
            "{malice:?}: a sealed mesh does not even put their packets together"
        );
        let (slow, usual) = (outcome.time_until(1.0).unwrap(), undisturbed.time_until(1.0).unwrap());
        assert!(slow < 4.0 * usual, "{malice:?}: {slow} s instead of {usual} s");
    }
}

#[test]
fn without_a_key_a_forger_delays_but_nobody_stores_what_he_sends() {
    let mut setup = setup(together(6), 5);
    setup.hostile = vec![(5, Hostile::new(Malice::Corrupt))];
    setup.limit_s = 120;
    run(setup);
}

#[test]
fn a_member_that_answers_with_garbage_is_found_out() {
    for seed in 0..5 {
        let mut setup = setup(together(8), seed);
        setup.key = Some(KEY);
        setup.hostile = vec![(7, Hostile::new(Malice::Garbage))];
        let (mesh, _) = run(setup);
        all_done(&mesh, 0..7);
        assert!(mesh.wrong_blocks > 0, "seed {seed}: garbage came in, and was recognised");
    }
}

#[test]
fn a_member_that_asks_without_end_captures_nobody() {
    let (_, usual) = run(setup(together(8), 6));
    let mut setup = setup(together(9), 6);
    setup.key = Some(KEY);
    setup.hostile = vec![(8, Hostile::new(Malice::Greedy))];
    let (mesh, outcome) = run(setup);
    all_done(&mesh, 0..8);
    let (slow, usual) = (outcome.time_until(1.0).unwrap(), usual.time_until(1.0).unwrap());
    assert!(slow < 5.0 * usual, "{slow} s instead of {usual} s");
}

#[test]
fn two_sources_do_not_harm_each_other() {
    let mut setup = setup(row(8), 7);
    setup.sources = vec![(0, 0), (7, 0)];
    let (mesh, _) = run(setup);
    all_done(&mesh, 0..8);
}

#[test]
fn a_divided_mesh_catches_up_when_it_is_whole_again() {
    let mut setup = setup(together(10), 8);
    let groups = (0..10).map(|node| u8::from(node >= 5)).collect();
    setup.faults = vec![(1_500, Fault::Divide(groups)), (40_000, Fault::Divide(vec![0; 10]))];
    let (mesh, outcome) = run(setup);
    all_done(&mesh, 0..10);
    assert!(outcome.finished_s[2].unwrap() < 40.0, "the source's side did not wait");
    assert!(outcome.finished_s[7].unwrap() > 40.0);
}

#[test]
fn a_node_that_dies_whenever_it_has_stored_a_block_still_ends_with_all_of_them() {
    let mut setup = setup(together(4), 9);
    setup.restarts_at_every_block = Some(2);
    let (mesh, _) = run(setup);
    all_done(&mesh, 0..4);
}

#[test]
fn restarts_at_any_moment_cost_nothing_that_was_stored() {
    for at in (1_000..6_000).step_by(333) {
        let mut setup = setup(row(4), 10);
        setup.faults = vec![(at, Fault::Restart(1)), (at + 700, Fault::Restart(3))];
        let (mesh, _) = run(setup);
        all_done(&mesh, 0..4);
    }
}

#[test]
fn when_a_source_fails_another_holder_goes_on() {
    let mut setup = setup(together(6), 11);
    setup.sources = vec![(0, 0), (5, 0)];
    setup.faults = vec![(2_000, Fault::SourceFails(0))];
    let (mesh, _) = run(setup);
    all_done(&mesh, 1..6);
}

#[test]
fn a_source_whose_server_fails_goes_on_when_it_is_back() {
    let mut setup = setup(together(5), 12);
    setup.faults = vec![(2_000, Fault::SourceFails(0)), (30_000, Fault::SourceReturns(0))];
    let (mesh, outcome) = run(setup);
    all_done(&mesh, 0..5);
    assert!(outcome.time_until(1.0).unwrap() > 30.0);
}

#[test]
fn a_node_without_room_passes_on_what_it_cannot_keep() {
    let mut mesh = Mesh::new(setup(row(4), 13));
    mesh.slot_mut(1).full_from = Some(10);
    let outcome = mesh.run();
    assert!(outcome.finished_s[1].is_none(), "it has no room");
    all_done(&mesh, [0, 2, 3]);
}

#[test]
fn pages_that_stand_on_flash_from_before_are_not_sent_again() {
    let whole = run(setup(together(4), 14)).1;
    let held = |pages: &[u16]| {
        let setup = setup(together(4), 14);
        let image = Rc::clone(&setup.images[0]);
        let mut mesh = Mesh::new(setup);
        for node in 1..4 {
            mesh.slot_mut(node).load(&image, u16::MAX);
            pages.iter().for_each(|page| mesh.slot_mut(node).erase(*page));
        }
        let outcome = mesh.run();
        all_done(&mesh, 0..4);
        outcome.kinds[2]
    };
    let packets = held(&[9, 20, 21]);
    assert!(packets < 160, "three pages and the list, not {packets} of {} packets", whole.kinds[2]);
}

#[test]
fn latecomers_are_served_by_neighbours() {
    let mut setup = setup(row(4), 15);
    // The source goes away when its neighbour has everything; the last node was off all the time.
    setup.faults = vec![(0, Fault::Leave(3)), (60_000, Fault::Leave(0)), (65_000, Fault::Return(3))];
    let (mesh, outcome) = run(setup);
    all_done(&mesh, 1..4);
    assert!(outcome.finished_s[3].unwrap() > 65.0);
}

#[test]
fn a_new_root_with_the_same_image_finds_what_the_old_one_had_brought() {
    let whole = run(setup(together(6), 19)).1.kinds[2];
    let mut setup = setup(together(6), 19);
    // The new root casts anew, so its object is another one, with the same pages.
    setup.images.push(image(150_000, C3, 0x0002_0001));
    setup.faults = vec![(3_000, Fault::Leave(0)), (8_000, Fault::Supersede(5, 1))];
    let (mesh, outcome) = run(setup);
    all_done(&mesh, 1..6);
    assert!((1..6).all(|node| mesh.image(node) == Some(1)));
    let packets = outcome.kinds[2];
    assert!(packets * 10 < whole * 13, "{packets} packets, {whole} without the change");
}

#[test]
fn a_newer_image_takes_the_place_of_an_older_one_in_the_midst_of_it() {
    let mut setup = setup(row(5), 16);
    setup.images.push(image(120_000, C3, 0x0002_0001));
    setup.faults = vec![(4_000, Fault::Supersede(0, 1))];
    let (mesh, _) = run(setup);
    for node in 0..5 {
        assert_eq!(mesh.image(node), Some(1), "node {node}");
    }
    all_done(&mesh, 0..5);
}

#[test]
fn nodes_of_another_chip_pass_on_what_they_cannot_use() {
    for seed in 0..4 {
        let mut setup = setup(row(6), seed);
        setup.images.push(image(110_000, S3, 0x0001_0001));
        setup.remote = Some(1);
        setup.chips = vec![C3, S3, C3, C3, S3, C3];
        let (mesh, outcome) = run(setup);
        all_done(&mesh, 0..6);
        assert_eq!(mesh.image(4), Some(1), "it has the image for its own chip");
        let once = 150_000.0 + 110_000.0;
        assert!(outcome.router_bytes as f64 <= 1.3 * once, "seed {seed}: {} bytes", outcome.router_bytes);
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    let times = |seed| run(setup(row(5), seed)).1.finished_s;
    assert_eq!(times(17), times(17));
    assert_ne!(times(17), times(18));
}

#[test]
fn the_models_of_other_ways_survive_weak_links() {
    for seed in 0..10 {
        for way in [Way::Direct, Way::UnicastTree, Way::Mupgrade] {
            let circumstances = Circumstances {
                links: Links::from_signals(vec![vec![-97.0; 6]; 6]),
                rate: Rate::Mbit1,
                image_bytes: 60_000,
                loss: 0.05,
                bursts: None,
                presses_per_minute: 60.0,
                limit_s: 600,
                seed,
            };
            let outcome = rivals::run(way, &circumstances);
            assert!(outcome.airtime_s > 0.0, "{way:?}, seed {seed}");
        }
    }
}

#[test]
fn whatever_happens_to_small_meshes_all_reachable_nodes_end_with_the_right_bytes() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let nodes = random.between(2, 9) as usize;
        // A random connected mesh: each node hears an earlier one, and some others.
        let mut links = Vec::new();
        for node in 1..nodes {
            let mut hears = vec![random.below(node as u64) as usize];
            hears.extend((0..node).filter(|_| random.chance(0.25)));
            for other in hears {
                links.push((node, other, -(random.between(50, 90) as f64)));
            }
        }
        let mut signals = vec![vec![f64::NEG_INFINITY; nodes]; nodes];
        for (a, b, signal) in links {
            (signals[a][b], signals[b][a]) = (signal, signal);
        }
        let size = random.between(1, 90_000) as u32;
        let image = Image::new(size, C3, 0x0001_0001, seed).unwrap();
        let rate = [Rate::Mbit1, Rate::Mbit6][random.below(2) as usize];
        let mut setup = Setup::new(Links::from_signals(signals), rate, Rc::clone(&image), seed);
        setup.loss = random.below(30) as f64 / 100.0;
        setup.v2 = random.chance(0.2);
        setup.limit_s = 900;
        for _ in 0..random.below(6) {
            let at = random.between(0, 20_000);
            let node = random.between(1, nodes as u64 - 1) as usize;
            match random.below(4) {
                0 => setup.faults.push((at, Fault::Restart(node))),
                1 => {
                    setup.faults.push((at, Fault::Leave(node)));
                    setup.faults.push((at + random.between(1, 20_000), Fault::Return(node)));
                }
                2 => {
                    let groups = (0..nodes).map(|_| random.below(2) as u8).collect();
                    setup.faults.push((at, Fault::Divide(groups)));
                    setup.faults.push((at + random.between(1, 20_000), Fault::Divide(vec![0; nodes])));
                }
                _ => {
                    setup.faults.push((at, Fault::SourceFails(0)));
                    setup.faults.push((at + random.between(1, 20_000), Fault::SourceReturns(0)));
                }
            }
        }
        // What was left or divided first may end divided last: everything is mended in the end.
        setup.faults.push((45_000, Fault::Divide(vec![0; nodes])));
        setup.faults.push((45_000, Fault::SourceReturns(0)));
        (1..nodes).for_each(|node| setup.faults.push((45_001, Fault::Return(node))));
        let mut mesh = Mesh::new(setup);
        let outcome = mesh.run();
        for node in 0..nodes {
            assert_eq!(mesh.slot(node).wrong, 0, "seed {seed}: node {node} stored something else");
            assert!(mesh.slot(node).holds(&image), "seed {seed}: node {node} of {nodes} lacks the image");
        }
        assert!(outcome.router_bytes as f64 <= 1.05 * f64::from(size), "seed {seed}");
    }
}
