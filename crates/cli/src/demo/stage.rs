//! Broker, host and mesh, started on free ports of this machine.

use super::Images;
use crate::error::Error;
use rootcast_control::broker::{BrokerConfig, EmbeddedBroker, RunningBroker};
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};
use rootcast_image::PartitionTable;
use rootcast_node::Colour;
use rootcast_wire::NodeId;
use rootcast_world::body::mesh::Link;
use rootcast_world::body::radio::RadioPace;
use rootcast_world::body::sockets::{BrokerAddress, NodeOptions, NodeView, PowerView, Swarm, Trust};
use rootcast_world::bootloader::Bootloader;
use rootcast_world::factory::{Fleet as Factory, Topology};
use rootcast_world::flash::Sectors;
use rootcast_world::machine::Machine;
use rootcast_world::nvs::{Contents, Provisioning, Value};
use std::time::Duration;
use tokio::sync::watch;

use crate::watch::{Fleet, Led, Sight};

/// How long all downloads together take at least, so that there is something to see.
const SHOW_TIME: Duration = Duration::from_secs(6);
/// The host is never slower than this, in bytes a second.
const LEAST_RATE: u64 = 1_000_000;
/// How long connections may take to end when the demo is over.
const GRACE: Duration = Duration::from_secs(2);

/// What the demo is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Nodes in the mesh, the root among them.
    pub nodes: usize,
    /// Share of frames that each link loses, 0 to 1.
    pub loss: f64,
    /// Decides what is left to chance.
    pub seed: u64,
}

/// A running installation.
pub struct Stage {
    broker: RunningBroker,
    host: FirmwareHost,
    swarm: Swarm,
    views: Vec<watch::Receiver<NodeView>>,
    /// Where the new image is.
    pub url: String,
    /// The table on every chip.
    pub table: PartitionTable,
    /// What every chip held before.
    pub before: Vec<(NodeId, Sectors)>,
}

/// Bytes of each chip.
const FLASH_BYTES: u32 = 4 << 20;

impl Stage {
    /// Starts everything; the mesh begins to form.
    pub async fn set(images: &Images, wishes: Wishes) -> Result<Self, Error> {
        let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await?;
        let authority = DevelopmentCa::generate()?;
        let files = Files::new();
        files.insert(&format!("/{}", images.new_name), images.new.clone());
        let all_bytes = images.new.len() as u64 * wishes.nodes as u64;
        let mut options = HostOptions::https(authority.server_identity(&[])?).on_free_port();
        options.limit_total = Some((all_bytes / SHOW_TIME.as_secs()).max(LEAST_RATE));
        let host = FirmwareHost::start(options, files).await?;
        let url = host.url(&images.new_name);

        let table = PartitionTable::default_4mb();
        let topology = Topology::three_layers(wishes.nodes, wishes.seed);
        let address = broker.address();
        let machines =
            machines(images, &table, &topology, &authority, &format!("mqtt://{address}"), wishes.seed)?;
        let before = machines.iter().map(|it| (it.settings().id, it.board.flash.sectors().clone())).collect();
        let link = Link { loss: wishes.loss, ..Link::default() };
        let trust = Trust::authorities(std::slice::from_ref(authority.certificate_der()))
            .map_err(|error| Error::Usage(error.to_string()))?;
        let broker_address =
            BrokerAddress { host: address.ip().to_string(), port: address.port(), tls: false, login: None };
        let options =
            NodeOptions { broker: Some(broker_address), trust, seed: wishes.seed, ..NodeOptions::default() };
        let swarm = Swarm::start(&topology, machines, link, RadioPace::default(), options);
        let views = swarm.watch();
        Ok(Self { broker, host, swarm, views, url, table, before })
    }

    /// Where the broker is.
    pub fn broker(&self) -> BrokerAddress {
        let address = self.broker.address();
        BrokerAddress { host: address.ip().to_string(), port: address.port(), tls: false, login: None }
    }

    /// Whether every node is in the mesh.
    pub fn has_formed(&self) -> bool {
        self.views.iter().all(|view| view.borrow().joined)
    }

    /// Tells the fleet what is to be seen of every node.
    pub fn show(&self, fleet: &mut Fleet) {
        for view in &self.views {
            let view = view.borrow();
            let led = match (&view.power, view.led) {
                (PowerView::Running | PowerView::Hung, Some(Colour::Red)) => Led::Red,
                (PowerView::Running | PowerView::Hung, Some(Colour::Yellow)) => Led::Yellow,
                (PowerView::Running | PowerView::Hung, Some(Colour::Green)) => Led::Green,
                (PowerView::Running | PowerView::Hung, Some(Colour::Blue)) => Led::Blue,
                _ => Led::Off,
            };
            fleet.see(Sight {
                id: view.id,
                node_type: &view.node_type,
                is_root: view.is_root,
                layer: view.layer,
                parent: view.parent,
                led,
                version: &view.version,
                percent: view.percent,
                bytes: view.bytes,
                rate: view.bytes_per_s,
            });
        }
    }

    /// Rules that nodes broke on their flash. There is none for which that is right.
    pub fn violations(&self) -> u64 {
        self.views.iter().map(|view| view.borrow().violations).sum()
    }

    /// Ends everything and hands out the nodes' boards.
    pub async fn strike(self) -> Vec<Option<Machine>> {
        let machines = self.swarm.stop().await;
        self.host.stop(GRACE).await;
        self.broker.stop().await;
        machines
    }
}

fn machines(
    images: &Images,
    table: &PartitionTable,
    topology: &Topology,
    authority: &DevelopmentCa,
    broker: &str,
    seed: u64,
) -> Result<Vec<Machine>, Error> {
    let mut factory = Factory::new(images.chip, table, &images.old);
    factory.flash_bytes = FLASH_BYTES;
    factory.loader = Bootloader::new(images.chip, false);
    factory.provisioning = Provisioning {
        trusted_keys: vec![images.key.key_digest()],
        allow_unsigned: false,
        broker: broker.to_string(),
        ca_pem: authority.certificate_pem().into_bytes(),
        ..Provisioning::default()
    };
    // What an application keeps there: it must be the same afterwards.
    factory.application_nvs = Contents(
        [
            (("buttons".to_string(), "names".to_string()), Value::Text("hall, kitchen, stairs".to_string())),
            (("buttons".to_string(), "presses".to_string()), Value::U32(4711)),
        ]
        .into(),
    );
    factory.seed = seed;
    Ok(factory.machines(topology)?)
}
