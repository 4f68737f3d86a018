//! Rules that hold for every fleet, every fate and every operator: checked by [`World`] after every step, in fleets made at
//! random.

use crate::fleet::{Fate, World, mesh};
use proptest::collection::vec;
use proptest::prelude::*;
use rootcast_rollout::{Limits, Phase, Spec, State, Wave, WaveSize};
use rootcast_wire::NodeId;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Updates),
        2 => Just(Fate::RollsBack),
        2 => Just(Fate::Fails),
        1 => Just(Fate::Deaf),
        1 => Just(Fate::Dies),
        1 => Just(Fate::Lies),
    ]
}

fn wave() -> impl Strategy<Value = Wave> {
    let size = prop_oneof![(1u32..5).prop_map(WaveSize::Count), (1u8..60).prop_map(WaveSize::Percent)];
    (size, 0u32..3, 0u8..50, 0u8..100).prop_map(|(size, max_failures, percent, min_success_percent)| Wave {
        size,
        max_failures,
        max_failures_percent: percent,
        min_success_percent,
    })
}

fn spec() -> impl Strategy<Value = Spec> {
    let limits = (1u32..12, 1u32..8, 1u32..5).prop_map(|(total, per_mesh, per_subtree)| Limits {
        total,
        per_mesh,
        per_subtree,
        ..Limits::default()
    });
    (vec(wave(), 0..3), 0u32..60, limits).prop_map(|(mut waves, soak_s, limits)| {
        waves.push(Wave { max_failures: 2, ..Wave::of(WaveSize::Rest) });
        Spec { waves, soak_s, limits, deadline_s: 300, answer_s: 30, life_s: 4_000, ..Spec::default() }
    })
}

/// What an operator or the weather does at some step.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pause,
    Resume,
    Abort,
    /// A node goes away or comes back.
    Toggle(usize),
    /// A node says that another one is its parent now, which may be nonsense.
    Reparent(usize, usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Pause),
        3 => Just(Event::Resume),
        1 => Just(Event::Abort),
        6 => any::<usize>().prop_map(Event::Toggle),
        6 => (any::<usize>(), any::<usize>()).prop_map(|(node, parent)| Event::Reparent(node, parent)),
    ]
}

/// Lets a rollout live to its end, or for 6,000 seconds, with what happens in between.
fn live(world: &mut World, ids: &[NodeId], events: &[(usize, Event)]) {
    for step in 0..600 {
        for (_, event) in events.iter().filter(|(at, _)| *at == step) {
            let id = |index: &usize| ids[index % ids.len()];
            let can_change = matches!(world.rollout.phase, Phase::Running | Phase::Paused);
            match event {
                Event::Pause if can_change => {
                    (world.rollout.phase, world.is_paused) = (Phase::Paused, true);
                }
                Event::Resume if can_change => {
                    (world.rollout.phase, world.is_paused) = (Phase::Running, false);
                }
                Event::Abort if can_change => world.rollout.phase = Phase::Aborted,
                Event::Toggle(index) => {
                    let node = world.fleet.nodes.get_mut(&id(index)).unwrap();
                    node.online = !node.online;
                }
                Event::Reparent(index, parent) => {
                    let parent = id(parent);
                    world.fleet.nodes.get_mut(&id(index)).unwrap().parent = Some(parent);
                }
                _ => {}
            }
        }
        world.step();
        if world.rollout.has_ended() {
            break;
        }
    }
}

fn rate() -> impl Strategy<Value = Option<u64>> {
    // From an image in 20 minutes to two a second.
    prop::option::weighted(0.7, prop_oneof![800u64..20_000, 20_000u64..2_000_000])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_node_ends_in_exactly_one_end_and_no_rule_is_broken(
        spec in spec(),
        meshes in vec(vec(1u64..5, 0..4), 1..4),
        fates in vec(fate(), 40),
        events in vec((1usize..120, event()), 0..12),
    ) {
        let mut nodes = std::collections::BTreeMap::new();
        for (index, layers) in meshes.iter().enumerate() {
            nodes.extend(mesh(&format!("m{index}"), 1 + 100 * index as u64, layers));
        }
        let ids: Vec<NodeId> = nodes.keys().copied().collect();
        let mut world = World::new(spec, nodes);
        world.fates = ids.iter().copied().zip(fates).collect();
        live(&mut world, &ids, &events);
        // Its life is over by now, whatever was paused: everybody has an end, and a reason for it.
        prop_assert!(
            world.rollout.updates.values().all(|update| update.state.is_end() && !update.reason.is_empty()),
            "{:?}",
            world.rollout.updates
        );
        prop_assert!(world.rollout.phase.is_over(), "{:?}", world.rollout.phase);
        let succeeded = world.states(State::Succeeded);
        let proven = world.fleet.nodes.values()
            .filter(|node| node.running == Some(rootcast_rollout::Running::Image(crate::fleet::NEW)))
            .count();
        prop_assert!(succeeded <= proven, "more successes than nodes that run the new image");
    }

    /// The rule itself stands in [`World`], and knows only when who was triggered.
    #[test]
    fn bytes_asked_for_in_any_time_stay_within_the_rate_and_one_image_over_every_retry(
        spec in spec(),
        rates in (rate(), rate()),
        other_image in 100_000u64..1_000_000,
        meshes in vec(vec(1u64..5, 0..4), 1..4),
        fates in vec(fate(), 40),
        events in vec((1usize..120, event()), 0..12),
    ) {
        let mut nodes = std::collections::BTreeMap::new();
        for (index, layers) in meshes.iter().enumerate() {
            nodes.extend(mesh(&format!("m{index}"), 1 + 100 * index as u64, layers));
        }
        for (_, node) in nodes.iter_mut().filter(|(id, _)| id.0 % 3 == 0) {
            node.chip = Some(9);
        }
        let ids: Vec<NodeId> = nodes.keys().copied().collect();
        let (bytes_per_second, mesh_bytes_per_second) = rates;
        let limits = Limits { bytes_per_second, mesh_bytes_per_second, ..spec.limits };
        let mut world =
            World::with_images(Spec { limits, ..spec }, nodes, &[(5, 1_000_000), (9, other_image)]);
        world.fates = ids.iter().copied().zip(fates).collect();
        live(&mut world, &ids, &events);
        for _ in 0..2 {
            let now = world.now;
            world.is_paused = false;
            rootcast_rollout::retry::retry(&mut world.rollout, now);
            live(&mut world, &ids, &[]);
        }
        prop_assert!(world.rollout.updates.values().all(|update| update.state.is_end()));
    }
}
