//! A mesh with real sockets, and the operator's side of it.

use std::time::Duration;

use rootcast_control::broker::{BrokerConfig, EmbeddedBroker, RunningBroker};
use rootcast_hosting::DevelopmentCa;
use rootcast_image::{ChipId, ImageVerifier, PartitionTable};
use rootcast_node::{Backoff, Settings};
use rootcast_trust::KeyDigest;
use rootcast_wire::{ErrorCode, Report, UpdateState};
use rootcast_world::body::mesh::Link;
use rootcast_world::body::radio::RadioPace;
use rootcast_world::body::sockets::{BrokerAddress, NodeOptions, Swarm, Trust};
use rootcast_world::factory::{Fleet, Topology};
use rootcast_world::nvs::Provisioning;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::images::image;
use crate::operator::Operator;

/// The longest that one update may take: a busy machine is no failure.
const LONGEST: Duration = Duration::from_secs(90);
/// How long the nodes wait for a server that says nothing.
pub const STALL: Duration = Duration::from_millis(1_000);

/// A running mesh of ESP32-C3 nodes, its broker and an operator.
pub struct Mesh {
    broker: RunningBroker,
    swarm: Swarm,
    operator: Operator,
    topology: Topology,
    triggers: u32,
}

/// How an update ended at the root.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Confirmed,
    Not(ErrorCode),
}

impl Mesh {
    /// Starts nodes that run version 1.0.0, trust the CA, and take images signed by these keys (without keys: unsigned ones).
    pub async fn start(nodes: usize, ca: &DevelopmentCa, trusted_keys: Vec<KeyDigest>) -> Self {
        Self::start_with(nodes, ca, trusted_keys, |_| {}).await
    }

    /// The same, with other settings.
    pub async fn start_with(
        nodes: usize,
        ca: &DevelopmentCa,
        trusted_keys: Vec<KeyDigest>,
        change: impl Fn(&mut Settings),
    ) -> Self {
        let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await.unwrap();
        let address = broker.address();
        let topology = Topology::three_layers(nodes, 1);
        let table = PartitionTable::default_4mb();
        let old = image("1.0.0", 60_000);
        let mut fleet = Fleet::new(ChipId::ESP32C3, &table, &old);
        let allow_unsigned = trusted_keys.is_empty();
        fleet.provisioning = Provisioning { trusted_keys, allow_unsigned, ..fleet.provisioning.clone() };
        let mut machines = fleet.machines(&topology).unwrap();
        for machine in &mut machines {
            let settings = machine.settings_mut();
            settings.trial_minimum_ms = 200;
            settings.hello_ms = 1_000;
            settings.stall_ms = STALL.as_millis() as u32;
            settings.retry = Backoff { first_ms: 20, longest_ms: 100, attempts: 3 };
            change(settings);
        }
        let options = NodeOptions {
            broker: Some(BrokerAddress {
                host: address.ip().to_string(),
                port: address.port(),
                tls: false,
                login: None,
            }),
            trust: Trust::authorities(std::slice::from_ref(ca.certificate_der())).unwrap(),
            reset: (5, 20),
            watchdog_ms: 300,
            ..NodeOptions::default()
        };
        let mut operator = Operator::connect(address).await;
        let pace = RadioPace { start: (5, 20), join: (10, 50), notice: (50, 100) };
        let swarm = Swarm::start(
            &topology,
            machines,
            Link { loss: 0.0, delay_ms: (1, 3), ..Link::default() },
            pace,
            options,
        );
        operator
            .hear_until(|operator| {
                topology.members.iter().all(|member| {
                    let id = format!("\"deviceId\":{}", member.id);
                    operator.others.iter().any(|(_, payload)| payload.contains(&id))
                })
            })
            .await;
        Self { broker, swarm, operator, topology, triggers: 0 }
    }

    /// Triggers a URL and waits until every node is confirmed and runs this image.
    pub async fn update(&mut self, url: &str, new: &[u8]) {
        let rollout = self.trigger(url, json!({})).await;
        let members = self.topology.members.clone();
        let ended = |operator: &Operator, state: fn(UpdateState) -> bool| {
            let of_this = |report: &&Report| report.rollout.as_str() == rollout && state(report.state);
            members
                .iter()
                .filter(|member| {
                    operator
                        .reports
                        .get(&member.id)
                        .is_some_and(|reports| reports.iter().any(|r| of_this(&r)))
                })
                .count()
        };
        let done = |operator: &Operator| ended(operator, UpdateState::is_final) == members.len();
        let heard = timeout(LONGEST, self.operator.hear_until(done)).await;
        let confirmed = ended(&self.operator, |state| state == UpdateState::Confirmed);
        assert!(heard.is_ok() && confirmed == members.len(), "{url}: {:#?}", self.operator.reports);
        let mut verifier = ImageVerifier::new();
        verifier.push(new).unwrap();
        let hash = verifier.finish().unwrap().hash;
        for view in self.swarm.views() {
            assert_eq!((view.running, view.violations), (Some(hash), 0), "{url}: {view:?}");
        }
    }

    /// Triggers a URL, with more fields of the trigger, and says how it ended at the root.
    pub async fn outcome(&mut self, url: &str, more: Value) -> End {
        let root = self.topology.members[0].id;
        let before = self.operator.reports.get(&root).map_or(0, Vec::len);
        let rollout = self.trigger(url, more).await;
        let last = |operator: &Operator| {
            let reports = operator.reports.get(&root)?;
            // A trigger that makes no sense is answered without its rollout.
            let of_this = |r: &&Report| r.rollout.as_str() == rollout || r.rollout.is_empty();
            reports.iter().skip(before).find(|r| of_this(r) && r.state.is_final()).cloned()
        };
        let heard = timeout(LONGEST, self.operator.hear_until(|operator| last(operator).is_some())).await;
        assert!(heard.is_ok(), "{url}: no end: {:#?}", self.operator.reports);
        match last(&self.operator).unwrap() {
            report if report.state == UpdateState::Confirmed => End::Confirmed,
            report => End::Not(report.error.expect("an end that is not good has a code")),
        }
    }

    async fn trigger(&mut self, url: &str, more: Value) -> String {
        self.triggers += 1;
        let rollout = format!("t{}", self.triggers);
        // Every node is to meet the server itself.
        let mut message = json!({ "type": "ota_trigger", "url": url, "rollout": rollout, "mode": "direct" });
        for (name, value) in more.as_object().unwrap() {
            message[name] = value.clone();
        }
        self.operator.publish(message.to_string()).await;
        rollout
    }

    pub async fn stop(self) {
        assert!(self.swarm.stop().await.iter().all(Option::is_some), "no node panicked");
        self.broker.stop().await;
    }
}
