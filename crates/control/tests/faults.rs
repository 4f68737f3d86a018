//! Nodes and clients that misbehave, against the whole control plane: what they say leads nowhere, and others are served.

use rootcast_control::engine::{Order, Standing};
use rootcast_control::mqtt::{Endpoint, Link, Trust};
use rootcast_control::plane::{ControlPlane, Setup};
use rootcast_control::service::releases::{NewImage, NewRelease};
use rootcast_control::service::rollouts::{After, RolloutRequest};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageVerifier};
use rootcast_rollout::{Spec, Wave, WaveSize};
use rootcast_wire::{ErrorCode, NodeId, NodeType, Report, UpdateState};
use sqlx::{Connection as _, SqliteConnection};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long anything may take that should not take long.
const PATIENCE: Duration = Duration::from_secs(60);

struct House {
    plane: ControlPlane,
    link: Link,
    folder: tempfile::TempDir,
}

impl House {
    /// A control plane that knows node 7.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup::loopback(folder.path().to_owned()).on_free_ports();
        let plane = ControlPlane::start(setup).await.unwrap();
        let port = plane.broker_addresses().unwrap().0.port();
        let endpoint = Endpoint { host: "127.0.0.1".into(), port, tls: false, login: None, identity: None };
        let link = Link::open(&endpoint, &Trust::PublicAuthorities, &[]).await.unwrap();
        let house = Self { plane, link, folder };
        house
            .until("node 7 is known", async |house| {
                // The control plane may not have subscribed yet.
                house.status(7, 100).await;
                !house.plane.service().all_nodes().await.unwrap().is_empty()
            })
            .await;
        house
    }

    async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self).await {
            assert!(began.elapsed() < PATIENCE, "never: {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn status(&self, node: u64, uptime: u32) {
        let json = format!(
            r#"{{"deviceId":{node},"type":"switch","isRoot":1,"parentId":{node},"meshLayer":1,"uptime":{uptime},"chip":5,"version":"1.0.0","running":"{}","rootcast":1}}"#,
            "11".repeat(32)
        );
        self.link.publish("/switch/state/root", json.as_bytes()).await.unwrap();
    }

    async fn report(&self, token: &str, state: UpdateState, running: [u8; 32]) {
        let mut report = Report::new(NodeId(7), NodeType::Switch, state);
        report.running = running;
        report.rollout = token.try_into().unwrap();
        let mut json = String::new();
        report.write_json(&mut json).unwrap();
        self.link.publish("/switch/ota/7", json.as_bytes()).await.unwrap();
    }

    /// Begins a rollout to node 7, waits until it is triggered, and returns its id and the new image's hash.
    async fn triggered(&self) -> (String, [u8; 32]) {
        let app = AppImageBuilder::new(ChipId::ESP32C3).version("1.1.0").size(20_000).build().unwrap();
        let mut verifier = ImageVerifier::new();
        verifier.push(&app).unwrap();
        let hash = verifier.finish().unwrap().hash.0;
        let service = self.plane.service();
        let file = service.upload(app).await.unwrap();
        let images = vec![NewImage { sha256: file.sha256, node_type: None }];
        let release = NewRelease { images, ..NewRelease::default() };
        let release = service.create_release(&release, "test").await.unwrap();
        let spec = Spec { soak_s: 0, waves: vec![Wave::of(WaveSize::Rest)], ..Spec::default() };
        let request = RolloutRequest { release: release.id, name: "one".into(), spec };
        let rollout = service.create_rollout(request, "test").await.unwrap().id;
        self.until("node 7 is triggered", async |house| house.state(&rollout).await == "triggered").await;
        (rollout, hash)
    }

    async fn state(&self, rollout: &str) -> String {
        let updates = self.plane.service().updates(rollout, &After::default()).await.unwrap();
        updates.items[0].state.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_other_rollouts_late_ones_and_repeated_ones_change_nothing() {
    let house = House::new().await;
    let (rollout, new) = house.triggered().await;
    let (old, ours) = ([0x11; 32], format!("{rollout}.1"));
    // Of another rollout, of another attempt, of none: none is believed, whatever it says.
    for token in ["r-another.1", &format!("{rollout}.2"), ""] {
        for state in [UpdateState::Failed, UpdateState::RolledBack, UpdateState::Installed] {
            house.report(token, state, old).await;
        }
    }
    house.report(&ours, UpdateState::Installed, old).await;
    house.until("it is installed", async |house| house.state(&rollout).await == "installed").await;
    // Twice, and in the wrong order.
    for state in [UpdateState::Installed, UpdateState::Downloading, UpdateState::Accepted] {
        house.report(&ours, state, old).await;
    }
    house.report(&ours, UpdateState::Restarting, old).await;
    house.until("it restarts", async |house| house.state(&rollout).await == "restarting").await;
    for _ in 0..3 {
        house.report(&ours, UpdateState::Confirmed, new).await;
    }
    house.until("it has succeeded", async |house| house.state(&rollout).await == "succeeded").await;
    house.report(&ours, UpdateState::Failed, old).await;
    house.status(7, 200).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(house.state(&rollout).await, "succeeded", "an end is never left");
    let triggers = house.plane.service().triggers(&After::default()).await.unwrap().items;
    assert_eq!(triggers.len(), 1, "{triggers:?}");
    house.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_fit_a_nodes_slot_fails_with_the_nodes_own_code_and_stops_the_rollout() {
    let house = House::new().await;
    let (rollout, _) = house.triggered().await;
    let mut report = Report::new(NodeId(7), NodeType::Switch, UpdateState::Refused);
    report.running = [0x11; 32];
    report.rollout = format!("{rollout}.1").as_str().try_into().unwrap();
    report.error = Some(ErrorCode::ImageTooLarge);
    report.detail = "20000 bytes, 3616 more than the slot of 16384".try_into().unwrap();
    let mut json = String::new();
    report.write_json(&mut json).unwrap();
    house.link.publish("/switch/ota/7", json.as_bytes()).await.unwrap();
    house.until("it has failed", async |house| house.state(&rollout).await == "failed").await;
    let failed = house.plane.service().failed_updates(&rollout, 10).await.unwrap().remove(0);
    assert_eq!(failed.code.as_deref(), Some("image_too_large"));
    assert_eq!(failed.reason, "refused (image_too_large): 20000 bytes, 3616 more than the slot of 16384");
    house
        .until("the rollout has stopped", async |house| {
            house.plane.service().rollout(&rollout).await.unwrap().phase == "stopped"
        })
        .await;
    let view = house.plane.service().rollout(&rollout).await.unwrap();
    assert!(view.reason.contains("1 × refused (image_too_large)"), "{}", view.reason);
    house.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_floods_keeps_nobody_from_pausing_and_makes_nothing_grow() {
    let house = House::new().await;
    let (rollout, _) = house.triggered().await;
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut floods = Vec::new();
    for flood in 0..4_u64 {
        let (publisher, is_over) = (house.link.publisher(), is_over.clone());
        floods.push(tokio::spawn(async move {
            let mut said = 0_u64;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                // A node of ever new names, reports that are none, and garbage.
                let id = 1_000_000 * (flood + 1) + said;
                let status =
                    format!(r#"{{"deviceId":{id},"type":"switch","parentId":7,"meshLayer":2,"rootcast":1}}"#);
                let garbage = "x".repeat(4_000);
                for (topic, payload) in [
                    ("/switch/state/root".to_owned(), status.as_str()),
                    (format!("/switch/ota/{id}"), r#"{"type":"ota_status"}"#),
                    ("/switch/state/root".to_owned(), garbage.as_str()),
                ] {
                    // A broker that is full says so; that is its right.
                    let _ = publisher.publish(&topic, payload.as_bytes()).await;
                }
                said += 1;
            }
            said
        }));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let service = house.plane.service();
    tokio::time::timeout(PATIENCE, service.order(&rollout, Order::Pause, None, "test"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(service.rollout(&rollout).await.unwrap().phase, "paused");
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut said = 0;
    for flood in floods {
        said += flood.await.unwrap();
    }
    let nodes = service.all_nodes().await.unwrap().len();
    assert!(nodes <= 1_024, "{nodes} nodes of one mesh after {said} names");
    // Node 7 is still heard.
    let (ours, old) = (format!("{rollout}.1"), [0x11; 32]);
    house
        .until("node 7 is heard", async |house| {
            house.report(&ours, UpdateState::Downloading, old).await;
            house.state(&rollout).await == "downloading"
        })
        .await;
    house.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_each_round_waits_for_the_database_nodes_are_heard_and_operators_answered() {
    let house = House::new().await;
    // Somebody else's transaction: every round that has something to write waits for it, seconds long, and fails.
    let database = format!("sqlite://{}", house.folder.path().join("rootcast.db").display());
    let mut other = SqliteConnection::connect(&database).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    house.status(8, 100).await;
    let failed = || house.plane.service().metrics.failed_rounds.load(std::sync::atomic::Ordering::Relaxed);
    house.until("a round has failed", async |_| failed() > 0).await;
    house.status(9, 100).await;
    let mut standing = Standing::default();
    let heard = async {
        while standing.nodes < 3 {
            standing = house.plane.service().standing().await.unwrap();
            house.status(9, 100).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("node 9 is heard of");
    assert_eq!(standing.online, 3, "{standing:?}");
    assert!(!standing.can_write, "{standing:?}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    house
        .until("everything is written", async |house| {
            let nodes = house.plane.service().all_nodes().await.unwrap().len();
            nodes == 3 && house.plane.service().standing().await.unwrap().can_write
        })
        .await;
    house.plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_cut_in_the_middle_leaves_nothing_and_slow_clients_keep_nobody_waiting() {
    let house = House::new().await;
    let address = house.plane.api_url().trim_start_matches("http://").to_owned();
    let token = house.plane.first_token().unwrap().to_owned();
    let app = AppImageBuilder::new(ChipId::ESP32C3).version("1.1.0").size(20_000).build().unwrap();
    let head = |length: usize| {
        format!(
            "POST /api/v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut cut = TcpStream::connect(&address).await.unwrap();
    cut.write_all(head(app.len()).as_bytes()).await.unwrap();
    cut.write_all(&app[..app.len() / 2]).await.unwrap();
    drop(cut);
    // Clients that never end their request's head.
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut client = TcpStream::connect(&address).await.unwrap();
        client.write_all(b"GET /api/v1/nodes HTTP/1.1\r\nX-Slow: ").await.unwrap();
        slow.push(client);
    }
    let files = || std::fs::read_dir(house.folder.path().join("files")).unwrap().count();
    let mut whole = TcpStream::connect(&address).await.unwrap();
    whole.write_all(head(app.len()).as_bytes()).await.unwrap();
    assert_eq!(files(), 0, "nothing of half an upload is kept");
    whole.write_all(&app).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, whole.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(files(), 1);
    // They are sent away after their time.
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, slow[0].read_to_end(&mut rest)).await.unwrap().unwrap();
    house.plane.stop().await;
}
