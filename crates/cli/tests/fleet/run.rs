//! A rollout over many meshes, while the control plane is killed, the broker and the database restart.

use super::mesh::{Mesh, REPORTS, World};
use super::peers::mosquitto::Mosquitto;
use super::peers::postgres::Postgres;
use super::plane::Plane;
use rootcast_control::mqtt::Endpoint;
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageVerifier};
use rootcast_world::random::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long the control plane is away after it was killed.
const AWAY: Duration = Duration::from_millis(500);
/// How long the broker and the database are.
const RESTART: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Clone, Debug)]
pub struct Course {
    pub meshes: u64,
    pub nodes: u64,
    pub kills: u64,
    pub broker_restarts: u64,
    pub database_restarts: u64,
    pub postgres: bool,
    pub mosquitto: bool,
    pub seed: u64,
    pub step_ms: (u64, u64),
    /// How often a node says how it is; real ones do every 15 seconds.
    pub status: Duration,
    pub limit: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub rollout: Duration,
    /// Reports that a broker had, in all.
    pub reports: u64,
    /// With statuses.
    pub messages: u64,
    /// The most that the control plane took, in bytes.
    pub memory: u64,
    pub kills: u64,
    /// Rows of the log of triggers that are reminders.
    pub reminders: usize,
    /// Nodes that were named by more than one message.
    pub named_twice: usize,
}

/// An image, and its hash.
pub fn image(version: &str) -> (Vec<u8>, [u8; 32]) {
    let app = AppImageBuilder::new(ChipId::ESP32C3).version(version).size(20_000).build().unwrap();
    let mut verifier = ImageVerifier::new();
    verifier.push(&app).unwrap();
    let hash = verifier.finish().unwrap().hash.0;
    (app, hash)
}

/// Meshes around a broker.
pub async fn meshes(course: &Course, broker: &str) -> (Arc<World>, Vec<Mesh>) {
    let port = broker.trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, tls: false, login: None, identity: None };
    let world = Arc::new(World {
        endpoint,
        old: image("1.0.0").1,
        new: image("1.1.0").1,
        old_version: "1.0.0".to_owned(),
        new_version: "1.1.0".to_owned(),
        step_ms: course.step_ms,
        status: course.status,
        reports: AtomicU64::new(0),
        messages: AtomicU64::new(0),
    });
    let mut meshes = Vec::new();
    for index in 0..course.meshes {
        meshes.push(Mesh::start(world.clone(), index, course.nodes, course.seed).await);
    }
    (world, meshes)
}

/// Uploads the new image, and begins its rollout to everybody; returns the rollout's id.
pub async fn begin(plane: &Plane) -> String {
    let file = plane.post("/files", image("1.1.0").0, "application/octet-stream").await;
    let json_of = |value: Value| value.to_string().into_bytes();
    let release = json!({"images": [{"sha256": file["sha256"]}]});
    let release = plane.post("/releases", json_of(release), "application/json").await;
    let spec = json!({
        "waves": [{"size": {"percent": 10}}, {"size": "rest"}],
        "soak_s": 2, "answer_s": 20, "deadline_s": 900,
        "limits": {"total": 4000, "per_mesh": 50, "per_subtree": 50}
    });
    let rollout = json!({"release": release["id"], "name": "everybody", "spec": spec});
    let rollout = plane.post("/rollouts", json_of(rollout), "application/json").await;
    rollout["id"].as_str().unwrap().to_owned()
}

/// Waits until something holds, asked four times a second.
pub async fn until(what: &str, limit: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Runs it. `None`, with a printed reason, where a peer is not installed.
pub async fn run(course: &Course) -> Option<Outcome> {
    let mut postgres = if course.postgres { Some(Postgres::start()?) } else { None };
    let mut mosquitto = if course.mosquitto { Some(Mosquitto::start()?) } else { None };
    let folder = tempfile::tempdir().unwrap();
    let database = postgres.as_ref().map(Postgres::url);
    let mut plane = Plane::start(folder.path(), database, mosquitto.as_ref().map(Mosquitto::url), None);
    let (world, meshes) = meshes(course, &plane.broker).await;
    let in_all = course.meshes * course.nodes;
    until("every node is known", Duration::from_secs(120), async || {
        plane.metric("rootcast_nodes_online").await == Some(in_all)
    })
    .await;

    // Moments are told by what was reported, not by a clock: they fall into every part of the rollout on any machine.
    let mut random = Random::new(course.seed);
    let expected = in_all * REPORTS;
    let mut faults = Vec::new();
    for (fault, count) in [
        (Fault::Kill, course.kills),
        (Fault::Broker, course.broker_restarts),
        (Fault::Database, course.database_restarts),
    ] {
        faults.extend((0..count).map(|_| (random.below(expected), fault)));
    }
    faults.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));

    let (before, messages_before) = (world.reports.load(Relaxed), world.messages.load(Relaxed));
    let began = Instant::now();
    let rollout = begin(&plane).await;
    let mut outcome = Outcome::default();
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        outcome.memory = outcome.memory.max(plane.memory());
        let reported = world.reports.load(Relaxed) - before;
        while let Some((_, fault)) = faults.pop_if(|(at, _)| *at <= reported) {
            match fault {
                Fault::Kill => {
                    plane.kill();
                    outcome.kills += 1;
                    tokio::time::sleep(AWAY).await;
                    plane.launch();
                }
                Fault::Broker => {
                    if let Some(mosquitto) = &mut mosquitto {
                        tokio::task::block_in_place(|| mosquitto.restart(RESTART));
                    }
                }
                Fault::Database => {
                    if let Some(postgres) = &mut postgres {
                        tokio::task::block_in_place(|| postgres.restart(RESTART));
                    }
                }
            }
        }
        if looked.elapsed() > Duration::from_secs(1) {
            looked = Instant::now();
            if let Ok(view) = plane.get(&format!("/rollouts/{rollout}")).await
                && !["scheduled", "running"].contains(&view["phase"].as_str().unwrap_or_default())
            {
                assert_eq!(view["phase"], "succeeded", "{view}");
                break;
            }
        }
        if began.elapsed() > course.limit {
            let view = plane.get(&format!("/rollouts/{rollout}")).await;
            panic!("not within {:?}: {view:?}\n{}", course.limit, plane.log());
        }
    }
    outcome.rollout = began.elapsed();
    outcome.reports = world.reports.load(Relaxed) - before;
    outcome.messages = world.messages.load(Relaxed) - messages_before;
    assert!(faults.is_empty(), "the rollout was over before {faults:?}");
    nobody_is_lost_or_doubled(&plane, &rollout, &meshes, &mut outcome).await;
    Some(outcome)
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Broker,
    Database,
}

/// Checks what the nodes counted against what the control plane wrote down.
pub async fn nobody_is_lost_or_doubled(plane: &Plane, rollout: &str, meshes: &[Mesh], outcome: &mut Outcome) {
    let updates = plane.all(&format!("/rollouts/{rollout}/updates")).await;
    let state: BTreeMap<u64, &str> = updates
        .iter()
        .map(|update| (update["node"].as_u64().unwrap(), update["state"].as_str().unwrap()))
        .collect();
    // The log of triggers: each node's turn came once; whatever else names it is a reminder, and says so.
    let mut turns: BTreeMap<u64, u32> = BTreeMap::new();
    for row in plane.all("/triggers").await.iter().filter(|row| row["rollout"] == rollout) {
        assert_eq!(row["kind"], "trigger", "nothing was aborted: {row}");
        let reason = row["reason"].as_str().unwrap();
        if reason.starts_with("no answer within") {
            outcome.reminders += 1;
            continue;
        }
        for node in row["nodes"].as_array().unwrap() {
            *turns.entry(node.as_u64().unwrap()).or_default() += 1;
        }
    }
    for mesh in meshes {
        for (id, node) in mesh.nodes.lock().unwrap().iter() {
            assert_eq!(state.get(id), Some(&"succeeded"), "node {id}");
            assert_eq!(turns.get(id), Some(&1), "how often the turn of node {id} of {} came", mesh.name);
            assert!(node.runs_new && node.installed == 1, "node {id} of {}: {node:?}", mesh.name);
            outcome.named_twice += usize::from(node.triggered > 1);
        }
    }
}
