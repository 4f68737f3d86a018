//! One message updates a mesh.

use crate::scene::Scene;
use rootcast_hosting::faults::{Fault, FaultSource, RequestView};
use rootcast_node::Colour;
use rootcast_wire::UpdateState;
use rootcast_world::body::behaviour::Behaviour;
use rootcast_world::body::sockets::{BrokerView, Command};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn one_message_updates_a_root_and_eleven_leaves_over_tls() {
    for mode in ["direct", "spread"] {
        let mut scene = Scene::new(12, |options, _| options).await;
        let url = scene.host.url("/fw.bin");
        let message = format!(r#"{{"type":"ota_trigger","url":"{url}","mode":"{mode}"}}"#);
        scene.operator.publish(message).await;
        scene.run_until_all(UpdateState::Confirmed).await;
        let root = &scene.swarm.views()[0];
        assert!(root.is_root && root.broker == BrokerView::Connected);
        for view in scene.swarm.views() {
            assert_eq!((view.led, view.starts), (Some(Colour::Green), 2), "{mode}: {view:?}");
            assert_eq!(view.version, "1.1.0-rc");
        }
        let new = scene.new.clone();
        scene.finish(&new).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_hangs_or_crashes_ends_on_the_old_one() {
    for behaviour in [Behaviour::Hangs { after_ms: 50 }, Behaviour::Crashes { after_ms: 0 }] {
        let new = crate::scene::hash(&crate::scene::image("1.1.0-rc", 64_000));
        let change = |options: &mut rootcast_world::body::sockets::NodeOptions| {
            options.behaviours.insert(new, behaviour);
        };
        let mut scene = Scene::with(3, |options, _| options, change).await;
        let url = scene.host.url("/fw.bin");
        scene.operator.trigger(&url).await;
        scene.run_until_all(UpdateState::RolledBack).await;
        let old = scene.old.clone();
        scene.finish(&old).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_power_for_a_while_is_updated_when_it_returns() {
    let mut scene = Scene::new(4, |options, _| options).await;
    scene.swarm.command(3, Command::CutPower(Duration::from_millis(1_500))).await;
    let url = scene.host.url("/fw.bin");
    scene.operator.trigger(&url).await;
    scene.run_until_all(UpdateState::Confirmed).await;
    let new = scene.new.clone();
    scene.finish(&new).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_root_loses_power_the_broker_tells_its_last_will() {
    let mut scene = Scene::new(2, |options, _| options).await;
    scene.swarm.command(0, Command::CutPower(Duration::from_millis(200))).await;
    let ungraceful = |payload: &String| payload.contains("disconnected") && payload.contains("ungraceful");
    scene
        .operator
        .hear_until(|operator| operator.others.iter().any(|(_, payload)| ungraceful(payload)))
        .await;
    let old = scene.old.clone();
    scene.finish(&old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pre_signed_url_of_1500_bytes_leads_every_node_to_the_image() {
    let signature = "5".repeat(1_450);
    let expected =
        format!("/fw.bin?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900&X-Amz-Signature={signature}");
    let path = expected.clone();
    // As S3 does it: whoever has not the whole signature is turned away.
    let doorman = move |request: &RequestView<'_>| {
        let status = (request.target != expected).then_some(403);
        Fault { status, ..Fault::default() }
    };
    let mut scene = Scene::new(5, |options, _| options.with_faults(FaultSource::from_fn(doorman))).await;
    let url = scene.host.url(&path);
    assert!(url.len() > 1_500);
    scene.operator.trigger(&url).await;
    scene.run_until_all(UpdateState::Confirmed).await;
    let new = scene.new.clone();
    scene.finish(&new).await;
}
