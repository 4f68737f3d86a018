//! The control plane on PostgreSQL. Skipped, with a printed reason, where it is not installed.
#![cfg(unix)]

mod peers;

use peers::PATIENCE;
use peers::postgres::Postgres;
use rootcast_control::engine::Order;
use rootcast_control::mqtt::{Endpoint, Link, Trust};
use rootcast_control::plane::{ControlPlane, Setup};
use rootcast_control::service::ServiceError;
use rootcast_control::service::events::EventFilter;
use rootcast_control::service::releases::{NewImage, NewRelease};
use rootcast_control::service::rollouts::{After, RolloutRequest};
use rootcast_control::service::tokens::{NewToken, Role};
use rootcast_image::ChipId;
use rootcast_image::writer::AppImageBuilder;
use rootcast_rollout::Spec;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_sessions_end_with_their_log_out_their_token_and_their_time() {
    let Some(postgres) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::loopback(folder.path().to_owned()).on_free_ports();
    setup.database = Some(postgres.url());
    let plane = ControlPlane::start(setup).await.unwrap();
    let service = plane.service();
    let first = plane.first_token().unwrap();
    let new = NewToken { name: "a guest".into(), role: Role::Viewer };
    let guest = service.create_token(new).await.unwrap();
    assert!(service.open_session("rc_0000000000000000_00").await.unwrap().is_none());

    let (secret, who) = service.open_session(first).await.unwrap().unwrap();
    assert_eq!(who.role, Role::Admin);
    assert_eq!(service.session(&secret).await.unwrap(), Some(who));
    let (guests, who) = service.open_session(&guest.token).await.unwrap().unwrap();
    assert_eq!(service.session(&guests).await.unwrap().unwrap().name, "a guest");
    service.close_session(&secret).await.unwrap();
    assert_eq!(service.session(&secret).await.unwrap(), None, "logged out");
    service.close_session(&secret).await.unwrap();

    // Sessions in the store: found until their time has come, and forgotten with the next log-in.
    let store = &service.store;
    store.add_session("early", &who.token, 1_000, 2_000).await.unwrap();
    assert!(store.session_token("early", 1_999).await.unwrap().is_some());
    assert!(store.session_token("early", 2_000).await.unwrap().is_none());
    store.add_session("next", &who.token, 2_000, 9_000).await.unwrap();
    assert!(store.session_token("early", 1_000).await.unwrap().is_none(), "forgotten");
    // The oldest makes room: a token has fifty at most.
    for number in 0..50 {
        store.add_session(&format!("s{number}"), &who.token, 3_000 + number, 9_000).await.unwrap();
    }
    assert!(store.session_token("next", 4_000).await.unwrap().is_none(), "one too many");
    assert!(store.session_token("s0", 4_000).await.unwrap().is_none(), "and another, for the one before");
    assert!(store.session_token("s1", 4_000).await.unwrap().is_some());
    assert!(service.session(&guests).await.unwrap().is_some(), "it is the newest");
    service.revoke_token(&guest.view.id).await.unwrap();
    assert_eq!(service.session(&guests).await.unwrap(), None, "revoked");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_everything_is_kept_and_a_paused_rollout_stays_paused_over_a_restart() {
    let Some(postgres) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let setup = || {
        let mut setup = Setup::loopback(folder.path().to_owned()).on_free_ports();
        setup.database = Some(postgres.url());
        setup
    };
    let plane = ControlPlane::start(setup()).await.unwrap();
    assert!(plane.first_token().is_some());
    let service = plane.service();
    let (address, _) = plane.broker_addresses().unwrap();
    let endpoint =
        Endpoint { host: "127.0.0.1".into(), port: address.port(), tls: false, login: None, identity: None };
    let link = Link::open(&endpoint, &Trust::PublicAuthorities, &[]).await.unwrap();
    let running = "11".repeat(32);
    let status = format!(
        r#"{{"deviceId":7,"type":"switch","isRoot":1,"parentId":7,"meshLayer":1,"uptime":9,"chip":5,"version":"1.0.0","running":"{running}","rootcast":1}}"#
    );
    let deadline = Instant::now() + PATIENCE;
    while service.all_nodes().await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the node is not heard of");
        // The control plane may not have subscribed yet.
        link.publish("/switch/state/root", status.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let app = AppImageBuilder::new(ChipId::ESP32C3).version("1.1.0").size(20_000).build().unwrap();
    let file = service.upload(app).await.unwrap();
    let images = vec![NewImage { sha256: file.sha256, node_type: None }];
    let release = NewRelease { notes: "it's \"new\"".into(), images, ..NewRelease::default() };
    let release = service.create_release(&release, "test").await.unwrap();
    let spec = Spec { start_at: Some(4_000_000_000), ..Spec::default() };
    let request = RolloutRequest { release: release.id.clone(), name: "later".into(), spec };
    let rollout = service.create_rollout(request, "test").await.unwrap();
    service.order(&rollout.id, Order::Pause, Some(rollout.revision), "test").await.unwrap();
    let stale = service.order(&rollout.id, Order::Resume, Some(rollout.revision), "test").await;
    assert!(stale.is_err(), "its revision has moved on");
    link.close().await;
    plane.stop().await;

    let plane = ControlPlane::start(setup()).await.unwrap();
    assert!(plane.first_token().is_none(), "a second first token");
    let service = plane.service();
    let node = &service.all_nodes().await.unwrap()[0];
    assert_eq!(
        (node.id, node.version.as_deref(), node.running.as_deref()),
        (7, Some("1.0.0"), Some(running.as_str()))
    );
    let found = service.rollout(&rollout.id).await.unwrap();
    assert_eq!(
        (found.phase.as_str(), found.reason.as_str(), found.counts[0].nodes),
        ("paused", "paused by test", 1)
    );
    assert_eq!(service.updates(&rollout.id, &After::default()).await.unwrap().items[0].node, 7);
    assert_eq!(service.release(&release.id).await.unwrap().notes, "it's \"new\"");
    let filter = EventFilter { rollout: Some(rollout.id.clone()), ..EventFilter::default() };
    assert_eq!(service.events(&filter).await.unwrap().items.len(), 2);
    service.order(&rollout.id, Order::Abort, None, "test").await.unwrap();
    assert_eq!(service.rollout(&rollout.id).await.unwrap().phase, "aborted");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_begin_a_rollout_to_the_same_node_at_once_one_is_refused() {
    let Some(postgres) = Postgres::start() else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let setup = |folder: &tempfile::TempDir| {
        let mut setup = Setup::loopback(folder.path().to_owned()).on_free_ports();
        setup.database = Some(postgres.url());
        setup.files = Some(folders[0].path().join("shared"));
        setup
    };
    let one = ControlPlane::start(setup(&folders[0])).await.unwrap();
    let (address, _) = one.broker_addresses().unwrap();
    let endpoint =
        Endpoint { host: "127.0.0.1".into(), port: address.port(), tls: false, login: None, identity: None };
    let link = Link::open(&endpoint, &Trust::PublicAuthorities, &[]).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while one.service().all_nodes().await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the node is not heard of");
        let status = r#"{"deviceId":7,"type":"switch","isRoot":1,"parentId":7,"meshLayer":1,"uptime":9,"chip":5,"version":"1.0.0","rootcast":1}"#;
        link.publish("/switch/state/root", status.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // It finds the node in the database.
    let other = ControlPlane::start(setup(&folders[1])).await.unwrap();

    let app = AppImageBuilder::new(ChipId::ESP32C3).version("1.1.0").size(20_000).build().unwrap();
    let file = one.service().upload(app).await.unwrap();
    let images = vec![NewImage { sha256: file.sha256, node_type: None }];
    let release = NewRelease { images, ..NewRelease::default() };
    let release = one.service().create_release(&release, "test").await.unwrap().id;
    let begin = |plane: &ControlPlane| {
        let (service, release) = (plane.service().clone(), release.clone());
        let spec = Spec { start_at: Some(4_000_000_000), ..Spec::default() };
        async move {
            let request = RolloutRequest { release, name: String::new(), spec };
            service.create_rollout(request, "test").await
        }
    };
    for _ in 0..5 {
        let (a, b) = tokio::join!(begin(&one), begin(&other));
        let (begun, refused) = match (a, b) {
            (Ok(begun), Err(refused)) | (Err(refused), Ok(begun)) => (begun, refused),
            both => panic!("one of the two, not {both:?}"),
        };
        assert!(matches!(refused, ServiceError::Conflict(_)), "{refused:?}");
        assert!(refused.to_string().contains(&begun.id), "{refused}");
        one.service().order(&begun.id, Order::Abort, None, "test").await.unwrap();
    }
    link.close().await;
    one.stop().await;
    other.stop().await;
}
