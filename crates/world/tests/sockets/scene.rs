//! A broker, a firmware host and a mesh.

use crate::operator::Operator;
use rootcast_control::broker::{BrokerConfig, BrokerLimits, EmbeddedBroker, RunningBroker};
use rootcast_hosting::host::HostOptions;
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageHash, ImageVerifier, PartitionTable};
use rootcast_node::Backoff;
use rootcast_wire::UpdateState;
use rootcast_world::body::mesh::Link;
use rootcast_world::body::radio::RadioPace;
use rootcast_world::body::sockets::{BrokerAddress, NodeOptions, Swarm, Trust};
use rootcast_world::factory::{Fleet, Topology};
use rootcast_world::machine::Machine;
use rootcast_world::nvs::{Contents, Value};

pub const CHIP: ChipId = ChipId::ESP32C3;

/// A mesh that forms at once.
pub const PACE: RadioPace = RadioPace { start: (5, 20), join: (10, 50), notice: (50, 100) };

pub fn image(version: &str, size: usize) -> Vec<u8> {
    AppImageBuilder::new(CHIP).version(version).size(size).seed(version.len() as u64).build().unwrap()
}

pub fn hash(image: &[u8]) -> ImageHash {
    let mut verifier = ImageVerifier::new();
    verifier.push(image).unwrap();
    verifier.finish().unwrap().hash
}

pub fn application_nvs() -> Contents {
    Contents([(("buttons".into(), "clicks".into()), Value::U32(77))].into())
}

/// Machines that do not wait long for anything.
pub fn machines(topology: &Topology, app: &[u8]) -> Vec<Machine> {
    let table = PartitionTable::default_4mb();
    let mut fleet = Fleet::new(CHIP, &table, app);
    fleet.application_nvs = application_nvs();
    let mut machines = fleet.machines(topology).unwrap();
    for machine in &mut machines {
        let settings = machine.settings_mut();
        settings.trial_minimum_ms = 200;
        settings.hello_ms = 1_000;
        settings.stall_ms = 1_000;
        settings.retry = Backoff { first_ms: 50, longest_ms: 200, attempts: 4 };
    }
    machines
}

pub struct Scene {
    pub broker: RunningBroker,
    pub host: FirmwareHost,
    pub topology: Topology,
    pub swarm: Swarm,
    pub operator: Operator,
    pub old: Vec<u8>,
    pub new: Vec<u8>,
}

impl Scene {
    pub async fn new(nodes: usize, host: impl FnOnce(HostOptions, &DevelopmentCa) -> HostOptions) -> Self {
        Self::with(nodes, host, |_| {}).await
    }

    pub async fn with(
        nodes: usize,
        host: impl FnOnce(HostOptions, &DevelopmentCa) -> HostOptions,
        change: impl FnOnce(&mut NodeOptions),
    ) -> Self {
        // Larger than usual, so that what is too large for a node still reaches it.
        let limits = BrokerLimits { max_packet_bytes: 4 << 20, ..BrokerLimits::default() };
        let config = BrokerConfig { limits, ..BrokerConfig::loopback() };
        let broker = EmbeddedBroker::start(config).await.unwrap();
        let ca = DevelopmentCa::generate().unwrap();
        let (old, new) = (image("1.0.0", 60_000), image("1.1.0-rc", 64_000));
        let files = Files::new();
        files.insert("/fw.bin", new.clone());
        let identity = ca.server_identity(&[]).unwrap();
        let host_options = host(HostOptions::https(identity).on_free_port(), &ca);
        let host = FirmwareHost::start(host_options, files).await.unwrap();
        let topology = Topology::three_layers(nodes, 1);
        let address = broker.address();
        let broker_address =
            BrokerAddress { host: address.ip().to_string(), port: address.port(), tls: false, login: None };
        let mut options = NodeOptions {
            broker: Some(broker_address),
            trust: Trust::authorities(&[ca.certificate_der().clone()]).unwrap(),
            reset: (5, 20),
            watchdog_ms: 300,
            ..NodeOptions::default()
        };
        change(&mut options);
        let machines = machines(&topology, &old);
        let mut operator = Operator::connect(address).await;
        let link = Link { delay_ms: (1, 3), ..Link::default() };
        let swarm = Swarm::start(&topology, machines, link, PACE, options);
        // Every node has told its status: the mesh stands.
        operator
            .hear_until(|operator| {
                topology.members.iter().all(|member| {
                    let id = format!("\"deviceId\":{}", member.id);
                    operator.others.iter().any(|(_, payload)| payload.contains(&id))
                })
            })
            .await;
        Self { broker, host, topology, swarm, operator, old, new }
    }

    pub async fn run_until_all(&mut self, state: UpdateState) {
        let members = &self.topology.members;
        self.operator
            .hear_until(|operator| members.iter().all(|member| operator.has_reported(member.id, state)))
            .await;
    }

    /// Stops everything and checks what must never change.
    pub async fn finish(self, running: &[u8]) {
        let nvs = PartitionTable::default_4mb().nvs().map(|p| p.offset..p.offset + p.size).unwrap();
        let views = self.swarm.views();
        for view in &views {
            assert_eq!(view.running, Some(hash(running)), "{view:?}");
            assert_eq!(view.violations, 0, "{view:?}");
        }
        for machine in self.swarm.stop().await {
            let machine = machine.expect("no node panicked");
            let contents = Contents::read(machine.board.flash.sectors(), &nvs).unwrap();
            assert_eq!(contents.of_others(), application_nvs());
        }
        self.broker.stop().await;
    }
}
