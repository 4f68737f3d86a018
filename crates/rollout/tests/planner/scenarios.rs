//! What an operator expects to happen.

use crate::fleet::{Fate, NEW, OLD, STEP, World, mesh};
use rootcast_rollout::bandwidth;
use rootcast_rollout::retry::retry;
use rootcast_rollout::window::Window;
use rootcast_rollout::{Action, Limits, Phase, Running, Spec, State, Wave, WaveSize, assign, plan};
use rootcast_wire::NodeId;

fn spec() -> Spec {
    Spec { soak_s: 20, deadline_s: 600, answer_s: 30, ..Spec::default() }
}

fn three_layers() -> World {
    World::new(spec(), mesh("home", 1, &[2, 4]))
}

#[test]
fn a_rollout_goes_from_the_leaves_to_the_root_and_succeeds() {
    let mut world = three_layers();
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Succeeded, "{:?}", world.log);
    assert_eq!(world.states(State::Succeeded), 7);
    assert_eq!(world.triggers.len(), 7, "each once");
    let order: Vec<u64> = world.triggers.iter().map(|(_, id, _)| id.0).collect();
    assert_eq!(order.last(), Some(&1), "the root is last: {order:?}");
    let at = |id| order.iter().position(|it| *it == id);
    assert!(at(2) > at(7), "2 carries the layer below: {order:?}");
}

#[test]
fn an_image_that_crashes_stops_in_the_canary_and_the_rest_is_never_triggered() {
    let mut world = three_layers();
    for id in 1..=7 {
        world.fate(id, Fate::RollsBack);
    }
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Stopped);
    assert_eq!(world.triggers.len(), 1, "{:?}", world.triggers);
    assert_eq!((world.states(State::RolledBack), world.states(State::Aborted)), (1, 6));
    let reason = world.log.last().unwrap();
    assert_eq!(reason, "stopped: 1 of 1 in the canary failed, 0 allowed: 1 × rolled back (trial_crashed)");
}

#[test]
fn a_node_that_only_says_done_is_no_success() {
    let mut world = three_layers();
    let canary = assign(&world.rollout.spec, &world.release, &world.fleet).assigned[0].node;
    world.fate(canary.0, Fate::Lies);
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Stopped);
    assert_eq!(world.state(canary.0), State::Failed);
}

#[test]
fn a_node_that_dies_is_lost_and_counts() {
    let mut world = three_layers();
    let canary = assign(&world.rollout.spec, &world.release, &world.fleet).assigned[0].node;
    world.fate(canary.0, Fate::Dies);
    world.run(200);
    assert_eq!((world.rollout.phase, world.state(canary.0)), (Phase::Stopped, State::Lost));
    assert!(world.log[0].contains("fell silent while"), "{:?}", world.log);
}

#[test]
fn a_deaf_node_is_reminded_and_then_failed() {
    let mut world = three_layers();
    let canary = assign(&world.rollout.spec, &world.release, &world.fleet).assigned[0].node;
    world.fate(canary.0, Fate::Deaf);
    world.run(200);
    assert_eq!(world.triggers.iter().filter(|(_, id, _)| *id == canary).count(), 5);
    assert_eq!(world.state(canary.0), State::Failed);
}

#[test]
fn nothing_begins_after_a_pause_and_a_resume_goes_on() {
    let mut world = three_layers();
    world.run(3);
    let before = world.triggers.len();
    (world.rollout.phase, world.is_paused) = (Phase::Paused, true);
    world.run(50);
    assert_eq!(world.triggers.len(), before);
    assert_eq!(world.states(State::Succeeded), before, "what was going on came to its end");
    (world.rollout.phase, world.is_paused) = (Phase::Running, false);
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Succeeded);
}

#[test]
fn an_abort_drops_what_has_not_switched_and_keeps_what_has() {
    let mut world =
        World::new(Spec { waves: vec![Wave::of(WaveSize::Rest)], ..spec() }, mesh("home", 1, &[8]));
    world.run(2);
    world.rollout.phase = Phase::Aborted;
    world.run(200);
    assert!(world.rollout.has_ended());
    assert_eq!(world.states(State::Aborted), 9);
    assert!(world.fleet.nodes.values().all(|node| node.running == Some(Running::Image(OLD))));
}

#[test]
fn a_retry_is_for_the_failed_only() {
    let mut world = three_layers();
    world.rollout.spec.waves = vec![Wave { max_failures: 7, ..Wave::of(WaveSize::Rest) }];
    for update in world.rollout.updates.values_mut() {
        update.wave = 0;
    }
    world.fate(7, Fate::Fails);
    world.fate(6, Fate::Fails);
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Partial);
    world.fates.clear();
    let (before, now) = (world.triggers.len(), world.now);
    assert_eq!(retry(&mut world.rollout, now), [NodeId(6), NodeId(7)]);
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Succeeded, "{:?}", world.log);
    let again: Vec<_> = world.triggers[before..].iter().map(|(_, id, attempt)| (id.0, *attempt)).collect();
    assert_eq!(again, [(6, 2), (7, 2)]);
}

#[test]
fn a_node_that_is_away_gets_its_update_when_it_returns() {
    let mut world = three_layers();
    world.fleet.nodes.get_mut(&NodeId(7)).unwrap().online = false;
    world.run(100);
    assert_eq!((world.rollout.phase, world.states(State::Succeeded)), (Phase::Running, 6));
    world.fleet.nodes.get_mut(&NodeId(7)).unwrap().online = true;
    world.run(100);
    assert_eq!((world.rollout.phase, world.states(State::Succeeded)), (Phase::Succeeded, 7));
}

#[test]
fn a_node_that_stays_away_is_skipped_when_the_rollouts_life_ends() {
    let mut world = three_layers();
    world.rollout.spec.life_s = 2_000;
    world.fleet.nodes.get_mut(&NodeId(7)).unwrap().online = false;
    world.run(300);
    assert_eq!((world.rollout.phase, world.state(7)), (Phase::Partial, State::Skipped));
    assert!(world.rollout.updates[&NodeId(7)].reason.contains("away"));
}

#[test]
fn nobody_begins_where_there_is_no_way_to_a_root() {
    let mut world = three_layers();
    world.fleet.nodes.get_mut(&NodeId(1)).unwrap().online = false;
    world.run(50);
    assert!(world.triggers.is_empty());
    let holds = plan(&world.rollout, &world.fleet, world.now).holds;
    assert!(holds.contains_key("no root of its mesh is present"), "{holds:?}");
}

#[test]
fn a_mesh_that_gets_worse_is_held() {
    let mut world = World::new(spec(), mesh("home", 1, &[20]));
    world.run(2);
    let before = world.triggers.len();
    for id in 18..=21 {
        world.fleet.nodes.get_mut(&NodeId(id)).unwrap().online = false;
    }
    world.run(30);
    assert_eq!(world.triggers.len(), before);
    let holds = plan(&world.rollout, &world.fleet, world.now).holds;
    assert!(holds.keys().any(|reason| reason.contains("mesh home got worse: 4")), "{holds:?}");
    for id in 18..=21 {
        world.fleet.nodes.get_mut(&NodeId(id)).unwrap().online = true;
    }
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Succeeded);
}

#[test]
fn a_leaf_that_moves_below_a_parent_of_an_earlier_wave_changes_places_with_it() {
    let mut world = World::new(spec(), mesh("home", 1, &[4]));
    let canary = assign(&world.rollout.spec, &world.release, &world.fleet).assigned[0].node;
    let other = NodeId(canary.0 + 1);
    world.fleet.nodes.get_mut(&other).unwrap().parent = Some(canary);
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Succeeded, "{:?}", world.log);
    assert_eq!(world.triggers[0].1, other);
    assert_eq!(world.triggers.len(), 5);
}

#[test]
fn triggers_wait_for_a_maintenance_window() {
    let mut world = three_layers();
    // 1 000 000 000 ms after 1970 is 1970-01-12T13:46:40Z.
    world.rollout.spec.windows = vec![Window { days: vec![], from: "14:00".into(), to: "15:00".into() }];
    world.run(70);
    assert!(world.triggers.is_empty());
    world.run(300);
    assert_eq!(world.rollout.phase, Phase::Succeeded);
    assert!(world.triggers.iter().all(|(at, ..)| (840..900).contains(&(at.0 / 60_000 % 1440))));
}

#[test]
fn a_schedule_is_kept() {
    let mut world = three_layers();
    world.rollout.spec.start_at = Some(1_000_500);
    world.run(49);
    assert_eq!((world.rollout.phase, world.triggers.len()), (Phase::Scheduled, 0));
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Succeeded);
}

#[test]
fn limits_hold_in_every_mesh_and_in_all_together() {
    let mut nodes = mesh("a", 1, &[9]);
    nodes.extend(mesh("b", 101, &[9]));
    nodes.extend(mesh("c", 201, &[3, 6]));
    let limits = Limits { total: 7, per_mesh: 3, per_subtree: 2, ..Limits::default() };
    let waves = vec![Wave::of(WaveSize::Percent(10)), Wave::of(WaveSize::Rest)];
    let mut world = World::new(Spec { limits, waves, ..spec() }, nodes);
    world.run(500);
    assert_eq!((world.rollout.phase, world.states(State::Succeeded)), (Phase::Succeeded, 30));
}

/// A house with a root and five leaves, and another one, of images of 1 MB.
fn two_houses(limits: Limits) -> World {
    let mut nodes = mesh("a", 1, &[5]);
    nodes.extend(mesh("b", 101, &[5]));
    World::new(Spec { limits, waves: vec![Wave::of(WaveSize::Rest)], ..spec() }, nodes)
}

#[test]
fn a_limit_on_bytes_holds_starts_back_until_the_image_before_is_paid_for_and_says_until_when() {
    let mut world = two_houses(Limits {
        bytes_per_second: Some(20_000),
        mesh_bytes_per_second: None,
        ..Limits::default()
    });
    world.step();
    assert_eq!(world.starts.len(), 1, "one image at once");
    let holds = plan(&world.rollout, &world.fleet, world.now).holds;
    // 1 000 000 000 ms after 1970 is 1970-01-12T13:46:40Z; an image takes 50 s.
    let reason = "the rollout's limit of 20 kB/s allows the next start at 1970-01-12T13:47:30Z";
    assert!(holds.contains_key(reason), "{holds:?}");
    world.run(300);
    assert_eq!(world.rollout.phase, Phase::Succeeded, "{:?}", world.log);
    let times: Vec<u64> = world.starts.iter().map(|(at, ..)| (at.0 - 1_000_000_000) / 1_000).collect();
    assert_eq!(times.len(), 12);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 50), "{times:?}");
    assert!(times[9] <= 500, "and no longer than that: {times:?}");
    assert_eq!(world.triggers.len(), 12, "nobody was reminded");
}

#[test]
fn a_mesh_with_a_thin_uplink_does_not_hold_the_others_back() {
    let mut world = two_houses(Limits { mesh_bytes_per_second: Some(10_000), ..Limits::default() });
    world.step();
    let meshes: Vec<&str> = world.starts.iter().map(|(_, mesh, _)| mesh.as_str()).collect();
    assert_eq!(meshes, ["a", "b"]);
    let holds = plan(&world.rollout, &world.fleet, world.now).holds;
    assert!(!holds.keys().any(|reason| reason.contains("the rollout's limit")), "{holds:?}");
    world.run(300);
    assert_eq!((world.rollout.phase, world.starts.len()), (Phase::Succeeded, 12));
}

#[test]
fn a_retry_pays_for_its_images_again_and_for_the_one_before() {
    let mut world = two_houses(Limits { bytes_per_second: Some(10_000), ..Limits::default() });
    for id in world.rollout.updates.keys().copied().collect::<Vec<_>>() {
        world.fate(id.0, Fate::Fails);
    }
    world.run(50);
    assert_eq!((world.rollout.phase, world.starts.len()), (Phase::Stopped, 1));
    world.fates.clear();
    let now = world.now;
    assert_eq!(retry(&mut world.rollout, now).len(), 12);
    world.step();
    assert_eq!(world.starts.len(), 1, "what the first attempt took is not paid for yet");
    world.run(400);
    assert_eq!((world.rollout.phase, world.starts.len()), (Phase::Succeeded, 13));
    assert!(world.starts[1].0.since(now).as_secs() >= 100);
}

#[test]
fn a_clock_that_jumps_back_does_not_hold_a_limited_rollout_until_it_has_caught_up() {
    let mut world = two_houses(Limits { bytes_per_second: Some(50_000), ..Limits::default() });
    world.run(10);
    let started = world.starts.len();
    // The world's own check counts by the clock that jumped.
    world.starts.clear();
    world.now = rootcast_rollout::Moment(world.now.0 - 3_600_000);
    // Whoever is on the way has answered, and the time to answer is over by then.
    for update in world.rollout.updates.values_mut() {
        update.answered = true;
    }
    world.run(10);
    assert!(!world.starts.is_empty(), "after {started} starts, none in 100 s");
}

#[test]
fn a_dry_run_says_how_long_limits_on_bytes_stretch_a_rollout_at_least() {
    let least = |limits: Limits| {
        let world = two_houses(limits);
        let spec = &world.rollout.spec;
        let assignment = assign(spec, &world.release, &world.fleet);
        bandwidth::least_time(&spec.limits, &world.release, &assignment, &world.fleet)
            .map(|time| time.as_secs())
    };
    let limits = Limits::default();
    assert_eq!(least(limits), None);
    // The first image costs no time; eleven in all, five in each mesh.
    assert_eq!(least(Limits { bytes_per_second: Some(10_000), ..limits }), Some(1_100));
    assert_eq!(least(Limits { mesh_bytes_per_second: Some(10_000), ..limits }), Some(500));
    assert_eq!(
        least(Limits { bytes_per_second: Some(1_000_000), mesh_bytes_per_second: Some(1_000), ..limits }),
        Some(5_000)
    );
}

#[test]
fn a_dry_run_says_who_gets_what_and_who_not_and_why() {
    let mut nodes = mesh("home", 1, &[6]);
    nodes.get_mut(&NodeId(2)).unwrap().chip = Some(9);
    nodes.get_mut(&NodeId(3)).unwrap().chip = None;
    nodes.get_mut(&NodeId(4)).unwrap().running = Some(Running::Image(NEW));
    nodes.get_mut(&NodeId(5)).unwrap().version = Some("1.2.0".into());
    nodes.get_mut(&NodeId(6)).unwrap().slot_bytes = Some(900_000);
    nodes.get_mut(&NodeId(7)).unwrap().online = false;
    let world = World::new(spec(), nodes);
    let assignment = assign(&world.rollout.spec, &world.release, &world.fleet);
    let who: Vec<u64> = assignment.assigned.iter().map(|it| it.node.0).collect();
    assert_eq!(who, [1, 7]);
    assert_eq!(assignment.assigned[1].note.as_deref(), Some("it is away"));
    let why: Vec<&str> = assignment.unassigned.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!(
        why,
        [
            "the release has no image for a switch with chip 9",
            "its chip is not known: let the rollout assume it (assume_chip), if the image is for this board",
            "it runs this image already",
            "it runs 1.2.0, which is newer than 1.1.0: say allow_downgrade, if that is meant",
            "its update slot has 900000 bytes, the image has 1000000",
        ]
    );
}

#[test]
fn time_that_jumps_back_starts_nothing_and_ends_nothing() {
    let mut world = three_layers();
    world.run(4);
    let (ends, triggers) = (world.states(State::Succeeded), world.triggers.len());
    world.now = rootcast_rollout::Moment(world.now.0 - 3_600_000);
    world.step();
    assert_eq!((world.states(State::Succeeded), world.triggers.len()), (ends, triggers));
}

#[test]
fn who_does_not_listen_starts_nobody_and_calls_nobody_lost() {
    let mut world = three_layers();
    world.run(4);
    let triggers = world.triggers.len();
    world.fleet.listening_since = None;
    world.now = world.now.after(STEP * 360);
    world.step();
    assert_eq!(
        (world.triggers.len(), world.states(State::Lost), world.states(State::Failed)),
        (triggers, 0, 0)
    );
    world.fleet.listening_since = Some(world.now);
    world.run(200);
    assert_eq!(world.rollout.phase, Phase::Succeeded, "{:?}", world.log);
}

#[test]
fn a_canary_is_not_through_because_the_rest_of_it_was_not_heard_of_while_nobody_listened() {
    let limits = Limits { total: 1, ..Limits::default() };
    let waves = vec![Wave::of(WaveSize::Count(3)), Wave::of(WaveSize::Rest)];
    let mut world = World::new(Spec { limits, waves, ..spec() }, mesh("home", 1, &[6]));
    world.run(1);
    // One is triggered; the others of the canary are not, while it goes on.
    world.rollout.phase = Phase::Paused;
    while world.states(State::Succeeded) < 1 {
        world.step();
    }
    world.rollout.phase = Phase::Running;
    // Two of the canary are scheduled still. Nobody was heard of while there was no connection, and nobody yet.
    for node in world.fleet.nodes.values_mut() {
        node.online = false;
    }
    for listening_since in [None, Some(world.now)] {
        world.fleet.listening_since = listening_since;
        let actions = plan(&world.rollout, &world.fleet, world.now).actions;
        assert!(!actions.iter().any(|action| matches!(action, Action::EnterWave { .. })), "{actions:?}");
    }
    // Who is not heard of for long after that is away, and follows.
    let later = world.now.after(STEP * 10);
    let actions = plan(&world.rollout, &world.fleet, later).actions;
    assert!(actions.iter().any(|action| matches!(action, Action::EnterWave { .. })), "{actions:?}");
}

#[test]
fn processes_that_share_the_meshes_trigger_together_what_one_alone_would() {
    let limits = Limits { total: 5, ..Limits::default() };
    let spec = Spec { limits, waves: vec![Wave::of(WaveSize::Rest)], ..spec() };
    let mut nodes = mesh("east", 1, &[6]);
    nodes.extend(mesh("west", 101, &[6]));
    let mut world = World::new(spec, nodes);
    // Of what follows, only whoever leads says that it begins.
    world.fleet.follows = true;
    assert!(plan(&world.rollout, &world.fleet, world.now).actions.is_empty());
    world.fleet.follows = false;
    world.rollout.phase = Phase::Running;

    let triggered = |elsewhere: &str, follows: bool| {
        let mut fleet = world.fleet.clone();
        (fleet.elsewhere, fleet.follows) = ([elsewhere.to_owned()].into(), follows);
        let actions = plan(&world.rollout, &fleet, world.now).actions;
        let nodes = actions.into_iter().filter_map(|action| match action {
            Action::Trigger { mesh, nodes, .. } => {
                assert_ne!(mesh, elsewhere);
                Some(nodes)
            }
            _ => None,
        });
        nodes.flatten().collect::<Vec<_>>()
    };
    let (east, west) = (triggered("west", false), triggered("east", true));
    let mut together = [east, west].concat();
    together.sort_unstable();
    let mut alone = triggered("nowhere", false);
    alone.sort_unstable();
    assert_eq!((&together, together.len()), (&alone, 5));

    // What became of a node is said by whoever has its mesh: here its deadline is nobody's business.
    world.run(1);
    let later = world.now.after(STEP * 360);
    world.fleet.elsewhere = ["east".to_owned(), "west".to_owned()].into();
    world.fleet.follows = true;
    assert!(plan(&world.rollout, &world.fleet, later).actions.is_empty());
}
