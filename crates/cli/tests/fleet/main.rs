//! Many meshes: a rollout that survives whatever dies meanwhile, and two processes that share the work.
//! `cargo xtask bench fleet` does the same with 10,000 nodes.
#![cfg(unix)]

mod mesh;
#[path = "../../../control/tests/peers/mod.rs"]
mod peers;
mod plane;
mod run;

use peers::mosquitto::Mosquitto;
use peers::postgres::Postgres;
use plane::Plane;
use run::{Course, Outcome, begin, meshes, nobody_is_lost_or_doubled, until};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(240);

fn course() -> Course {
    Course {
        meshes: 10,
        nodes: 20,
        kills: 3,
        broker_restarts: 0,
        database_restarts: 0,
        postgres: false,
        mosquitto: false,
        seed: 7,
        step_ms: (50, 150),
        status: Duration::from_secs(2),
        limit: PATIENCE,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_embedded_kills_lose_nothing_and_double_nothing() {
    run::run(&course()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_and_mosquitto_restarts_of_both_lose_nothing_and_double_nothing() {
    let course =
        Course { postgres: true, mosquitto: true, broker_restarts: 1, database_restarts: 1, ..course() };
    run::run(&course).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_share_a_hundred_meshes_one_dies_and_the_other_takes_over() {
    let (Some(postgres), Some(mosquitto)) = (Postgres::start(), Mosquitto::start()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str, token: Option<String>| {
        Plane::start(&folder.path().join(name), Some(postgres.url()), Some(mosquitto.url()), token)
    };
    let mut first = start("first", None);
    let second = start("second", Some(first.token.clone()));
    let course = Course { meshes: 100, nodes: 3, step_ms: (200, 600), ..course() };
    let (world, meshes) = meshes(&course, &mosquitto.url()).await;
    let nodes = course.meshes * course.nodes;
    for plane in [&first, &second] {
        until("each holds half of the meshes and knows every node", PATIENCE, async || {
            plane.metric("rootcast_meshes_held").await == Some(course.meshes / 2)
                && plane.metric("rootcast_nodes_online").await == Some(nodes)
        })
        .await;
    }

    let rollout = begin(&first).await;
    until("both have triggered", PATIENCE, async || {
        first.metric("rootcast_triggers_published_total").await > Some(0)
            && second.metric("rootcast_triggers_published_total").await > Some(0)
            && world.reports.load(Relaxed) > nodes
    })
    .await;
    first.kill();
    let killed = Instant::now();
    until("the other has taken over", Duration::from_secs(30), async || {
        second.metric("rootcast_meshes_held").await == Some(course.meshes)
            && second.metric("rootcast_leads").await == Some(1)
    })
    .await;
    println!("taken over after {:?}", killed.elapsed());
    until("the rollout has ended", PATIENCE, async || {
        let view = second.get(&format!("/rollouts/{rollout}")).await.unwrap();
        view["phase"].as_str().is_some_and(|phase| !["scheduled", "running"].contains(&phase))
    })
    .await;
    let mut outcome = Outcome::default();
    nobody_is_lost_or_doubled(&second, &rollout, &meshes, &mut outcome).await;
    assert_eq!(outcome.named_twice, 0, "{outcome:?}");
}
