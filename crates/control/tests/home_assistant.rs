//! Home Assistant's side of a real broker: what it finds, and what its install button does.
#![cfg(unix)]

mod peers;

use peers::PATIENCE;
use peers::mosquitto::Mosquitto;
use rootcast_control::broker::{BrokerConfig, EmbeddedBroker};
use rootcast_control::home_assistant::{HomeAssistant, Options};
use rootcast_control::mqtt::{Endpoint, Event, Link, Trust};
use rootcast_control::plane::{BrokerChoice, ControlPlane, Setup};
use rootcast_control::service::releases::{NewImage, NewRelease};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageVerifier};
use rootcast_wire::{NodeId, NodeType, Report, UpdateState};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The keys that Home Assistant's MQTT `update` schema knows, with those of every MQTT entity; one more, and the message is
/// dropped. From its public source, `components/mqtt/update.py` and `schemas.py`; abbreviations left out.
const DISCOVERY_KEYS: [&str; 30] = [
    "availability",
    "availability_mode",
    "availability_topic",
    "availability_template",
    "command_topic",
    "default_entity_id",
    "device",
    "device_class",
    "display_precision",
    "enabled_by_default",
    "encoding",
    "entity_category",
    "entity_picture",
    "icon",
    "json_attributes_template",
    "json_attributes_topic",
    "latest_version_template",
    "latest_version_topic",
    "name",
    "object_id",
    "origin",
    "payload_available",
    "payload_install",
    "payload_not_available",
    "qos",
    "release_summary",
    "release_url",
    "state_topic",
    "title",
    "unique_id",
];
/// The keys of its `device`.
const DEVICE_KEYS: [&str; 12] = [
    "configuration_url",
    "connections",
    "hw_version",
    "identifiers",
    "manufacturer",
    "model",
    "model_id",
    "name",
    "serial_number",
    "suggested_area",
    "sw_version",
    "via_device",
];
/// The keys of a state message.
const STATE_KEYS: [&str; 8] = [
    "installed_version",
    "latest_version",
    "title",
    "release_summary",
    "release_url",
    "entity_picture",
    "in_progress",
    "update_percentage",
];

fn keys_are_among(what: &Value, known: &[&str]) {
    let known: BTreeSet<&str> = known.iter().copied().collect();
    for key in what.as_object().unwrap().keys() {
        assert!(known.contains(key.as_str()), "{key} is not in the schema: {what}");
    }
}

/// What Home Assistant would do with a state message: take it or drop it.
fn check_state(state: &Value) {
    keys_are_among(state, &STATE_KEYS);
    assert!(state["installed_version"].is_string() && state["latest_version"].is_string(), "{state}");
    assert!(state["in_progress"].is_boolean(), "{state}");
    let percentage = &state["update_percentage"];
    assert!(percentage.is_null() || percentage.as_u64().is_some_and(|it| it <= 100), "{state}");
}

fn check_discovery(discovery: &Value) {
    keys_are_among(discovery, &DISCOVERY_KEYS);
    keys_are_among(&discovery["device"], &DEVICE_KEYS);
    keys_are_among(&discovery["origin"], &["name", "sw_version", "support_url"]);
    assert!(discovery["name"].is_null() && discovery["unique_id"].is_string(), "{discovery}");
    assert_eq!(discovery["device_class"], "firmware");
}

/// A client that keeps what was last said on each topic.
struct Client {
    link: Link,
    last: BTreeMap<String, String>,
}

impl Client {
    /// Hears until something holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&BTreeMap<String, String>) -> bool) {
        let hear = async {
            while !holds(&self.last) {
                if let Event::Message { topic, payload, .. } = self.link.next().await {
                    self.last.insert(topic, String::from_utf8(payload).unwrap());
                }
            }
        };
        let heard = tokio::time::timeout(PATIENCE, hear).await;
        assert!(heard.is_ok(), "never: {what}: {:#?}", self.last);
    }

    fn json(&self, topic: &str) -> Value {
        serde_json::from_str(&self.last[topic]).unwrap()
    }

    async fn say(&self, topic: &str, payload: &str) {
        self.link.publish(topic, payload.as_bytes()).await.unwrap();
    }
}

fn status(node: u64, running: &str, version: &str) -> String {
    json!({"deviceId": node, "type": "switch", "isRoot": u8::from(node == 7), "parentId": 7, "meshLayer": 1, "uptime": 100,
        "chip": 5, "version": version, "running": running, "rootcast": 1})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_found_its_install_button_begins_a_rollout_and_progress_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(Setup::loopback(folder.path().to_owned()).on_free_ports()).await.unwrap();
    let (address, _) = plane.broker_addresses().unwrap();
    from_discovery_to_the_new_version(plane, address.port()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_on_mosquitto() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::loopback(folder.path().to_owned()).on_free_ports();
    let endpoint =
        Endpoint { host: "127.0.0.1".into(), port: mosquitto.port, tls: false, login: None, identity: None };
    setup.broker = BrokerChoice::External { endpoint, trust: Trust::PublicAuthorities };
    from_discovery_to_the_new_version(ControlPlane::start(setup).await.unwrap(), mosquitto.port).await;
}

async fn from_discovery_to_the_new_version(plane: ControlPlane, port: u16) {
    let endpoint = Endpoint { host: "127.0.0.1".into(), port, tls: false, login: None, identity: None };
    let options = Options {
        broker: endpoint.clone(),
        trust: Trust::PublicAuthorities,
        prefix: "homeassistant".into(),
        soak_s: 0,
    };
    let bridge = HomeAssistant::start(plane.service().clone(), options);
    let filters = ["homeassistant/#", "rootcast/#", "+/switch/cmd/root"].map(String::from);
    let link = Link::open(&endpoint, &Trust::PublicAuthorities, &filters).await.unwrap();
    let mut client = Client { link, last: BTreeMap::new() };

    let old = "11".repeat(32);
    // The control plane may not have subscribed yet.
    while plane.service().all_nodes().await.unwrap().is_empty() {
        client.say("/switch/state/root", &status(7, &old, "1.0.0")).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (found, state) = ("homeassistant/update/rootcast_7/config", "rootcast/update/7/state");
    client.until("the node is found", |last| last.contains_key(found) && last.contains_key(state)).await;
    check_discovery(&client.json(found));
    check_state(&client.json(state));
    assert_eq!(client.json(found)["command_topic"], "rootcast/update/7/install");
    assert_eq!(client.last["rootcast/update/7/availability"], "online");
    let idle = json!({"installed_version": "1.0.0", "latest_version": "1.0.0", "in_progress": false, "update_percentage": null});
    assert_eq!(client.json(state), idle);

    let app = AppImageBuilder::new(ChipId::ESP32C3).version("1.1.0").size(20_000).build().unwrap();
    let mut verifier = ImageVerifier::new();
    verifier.push(&app).unwrap();
    let new = verifier.finish().unwrap().hash;
    let file = plane.service().upload(app).await.unwrap();
    let notes = "n".repeat(300);
    let images = vec![NewImage { sha256: file.sha256, node_type: None }];
    plane
        .service()
        .create_release(&NewRelease { notes, images, ..NewRelease::default() }, "test")
        .await
        .unwrap();
    client.until("there is an update", |last| last[state].contains("\"latest_version\":\"1.1.0\"")).await;
    check_state(&client.json(state));
    assert_eq!(client.json(state)["release_summary"].as_str().map(str::len), Some(255));

    // Something else than the button sends changes nothing; the button twice begins one rollout.
    for payload in ["INSTALL", "install", "install"] {
        client.say("rootcast/update/7/install", payload).await;
    }
    client.until("the node is triggered", |last| last.contains_key("/switch/cmd/root")).await;
    let trigger = client.json("/switch/cmd/root");
    assert_eq!((&trigger["type"], &trigger["targets"]), (&json!("ota_trigger"), &json!([7])), "{trigger}");

    let mut report = Report::new(NodeId(7), NodeType::Switch, UpdateState::Downloading);
    report.running = [0x11; 32];
    report.progress = 40;
    report.rollout = trigger["rollout"].as_str().unwrap().try_into().unwrap();
    let mut text = String::new();
    report.write_json(&mut text).unwrap();
    client.say("/switch/ota/7", &text).await;
    client.until("progress is shown", |last| last[state].contains("\"update_percentage\":40")).await;
    assert_eq!(client.json(state)["in_progress"], true);

    report.state = UpdateState::Confirmed;
    report.progress = 100;
    report.running = new.0;
    text.clear();
    report.write_json(&mut text).unwrap();
    client.say("/switch/ota/7", &text).await;
    client.say("/switch/state/root", &status(7, &new.to_string(), "1.1.0")).await;
    client
        .until("it is done", |last| {
            last[state].contains("\"installed_version\":\"1.1.0\"")
                && last[state].contains("\"in_progress\":false")
        })
        .await;
    check_state(&client.json(state));
    let rollouts = plane.service().rollouts(&Default::default()).await.unwrap().items;
    assert_eq!((rollouts.len(), rollouts[0].created_by.as_str()), (1, "Home Assistant"));

    bridge.stop().await;
    client.until("it says goodbye", |last| last["rootcast/update/7/availability"] == "offline").await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_keeps_nothing_from_ending() {
    // A broker that nobody listens at any more: the bridge tries again, and ends when told to.
    let folder = tempfile::tempdir().unwrap();
    let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
    let port = broker.address().port();
    broker.stop().await;
    let endpoint = Endpoint { host: "127.0.0.1".into(), port, tls: false, login: None, identity: None };
    let mut setup = Setup::loopback(folder.path().to_owned()).on_free_ports();
    setup.broker = BrokerChoice::External { endpoint: endpoint.clone(), trust: Trust::PublicAuthorities };
    let plane = ControlPlane::start(setup).await.unwrap();
    let options = Options {
        broker: endpoint,
        trust: Trust::PublicAuthorities,
        prefix: "homeassistant".into(),
        soak_s: 0,
    };
    let bridge = HomeAssistant::start(plane.service().clone(), options);
    tokio::time::timeout(PATIENCE, async {
        bridge.stop().await;
        plane.stop().await;
    })
    .await
    .expect("both end");
}
