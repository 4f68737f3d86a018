//! Broker, host and mesh, started on free ports of this machine.

use super::chaos::{self, BadServer, Survived};
use super::images::{Images, Kind};
use crate::error::Error;
use crate::watch::{Fleet, Led, Sight};
use rootcast_control::broker::{BrokerConfig, EmbeddedBroker, RunningBroker};
use rootcast_hosting::{DevelopmentCa, Files, FirmwareHost, HostOptions};
use rootcast_image::{ImageHash, PartitionTable};
use rootcast_node::Colour;
use rootcast_trust::release::{Purposes, TrustedKey};
use rootcast_wire::NodeId;
use rootcast_world::body::mesh::Link;
use rootcast_world::body::radio::RadioPace;
use rootcast_world::body::sockets::{BrokerAddress, Command, NodeOptions, NodeView, PowerView, Swarm, Trust};
use rootcast_world::bootloader::Bootloader;
use rootcast_world::factory::{Fleet as Factory, Topology};
use rootcast_world::flash::Sectors;
use rootcast_world::machine::Machine;
use rootcast_world::nvs::{Contents, Provisioning, Value};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;

/// How long all downloads together take at least, so that there is something to see.
const SHOW_TIME: Duration = Duration::from_secs(6);
/// The same where things go wrong meanwhile.
const CHAOS_TIME: Duration = Duration::from_secs(12);
/// The host is never slower than this, in bytes a second.
const LEAST_RATE: u64 = 1_000_000;
/// How long connections may take to end when the demo is over.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes of each chip.
const FLASH_BYTES: u32 = 4 << 20;
/// A server that comes back finds its port free, unless another program was quicker: then it tries so often.
const PORT_TRIES: u32 = 20;
/// Pause between two such tries.
const PORT_PAUSE: Duration = Duration::from_millis(250);

/// What the demo is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Nodes in the mesh, the root among them.
    pub nodes: usize,
    /// Share of frames that each link loses, 0 to 1.
    pub loss: f64,
    /// Whether everything is to go wrong.
    pub chaos: bool,
    /// Decides what is left to chance.
    pub seed: u64,
}

/// A node as it was before.
#[derive(Clone, Debug)]
pub struct Before {
    /// Who.
    pub id: NodeId,
    /// What kind of node it is, as an index into the images' kinds.
    pub kind: usize,
    /// The image that it is to run in the end.
    pub new: Option<ImageHash>,
    /// What its chip held.
    pub sectors: Sectors,
}

/// A running installation.
pub struct Stage {
    broker: Mutex<Option<RunningBroker>>,
    broker_at: SocketAddr,
    host: Mutex<Option<FirmwareHost>>,
    /// How the host is started again.
    host_options: HostOptions,
    files: Files,
    bad_server: Option<Arc<BadServer>>,
    broker_restarts: AtomicU64,
    host_restarts: AtomicU64,
    swarm: Swarm,
    views: Vec<watch::Receiver<NodeView>>,
    /// What is triggered.
    pub url: String,
    /// The table on every chip.
    pub table: PartitionTable,
    /// Every node as it was before.
    pub before: Vec<Before>,
}

impl Stage {
    /// Starts everything; the mesh begins to form.
    pub async fn set(images: &Images, wishes: Wishes) -> Result<Self, Error> {
        let broker = EmbeddedBroker::start(BrokerConfig::loopback()).await?;
        let authority = DevelopmentCa::generate()?;
        let files = Files::new();
        for (name, bytes) in &images.files {
            files.insert(&format!("/{name}"), bytes.clone());
        }
        let all_bytes = images.image_bytes() as u64 * wishes.nodes as u64;
        let show_time = if wishes.chaos { CHAOS_TIME } else { SHOW_TIME };
        let mut options = HostOptions::https(authority.server_identity(&[])?).on_free_port();
        options.limit_total = Some((all_bytes / show_time.as_secs()).max(LEAST_RATE));
        let bad_server = wishes.chaos.then(|| BadServer::new(wishes.nodes, wishes.seed));
        if let Some(server) = &bad_server {
            let lengths: HashMap<String, u64> =
                images.files.iter().map(|(name, bytes)| (format!("/{name}"), bytes.len() as u64)).collect();
            options.faults = Some(server.source(move |path| lengths.get(path).copied().unwrap_or(0)));
        }
        let host = FirmwareHost::start(options.clone(), files.clone()).await?;
        options.address = host.address();
        let url = host.url(&images.entry);

        let table = PartitionTable::default_4mb();
        let topology = Topology::three_layers(wishes.nodes, wishes.seed);
        let kind_of = |index: usize| (images.kind_of)(index, &topology.members[index]);
        let address = broker.address();
        let provisioning = provisioning(images, &format!("mqtt://{address}"), authority.certificate_pem());
        let mut machines = machines(images, &table, &topology, &provisioning, wishes.seed)?;
        if wishes.chaos {
            machines.iter_mut().for_each(|machine| chaos::hurry(machine.settings_mut()));
        }
        let before = |(index, machine): (usize, &Machine)| Before {
            id: machine.settings().id,
            kind: kind_of(index),
            new: images.kinds.get(kind_of(index)).and_then(|kind| kind.new_hash),
            sectors: machine.board.flash.sectors().clone(),
        };
        let before = machines.iter().enumerate().map(before).collect();
        let link = Link { loss: wishes.loss, ..Link::default() };
        let trust = Trust::authorities(std::slice::from_ref(authority.certificate_der()))
            .map_err(|error| Error::Usage(error.to_string()))?;
        let options_of_nodes = NodeOptions {
            broker: Some(broker_address(address)),
            trust,
            seed: wishes.seed,
            ..NodeOptions::default()
        };
        let swarm = Swarm::start(&topology, machines, link, RadioPace::default(), options_of_nodes);
        let views = swarm.watch();
        Ok(Self {
            broker: Mutex::new(Some(broker)),
            broker_at: address,
            host: Mutex::new(Some(host)),
            host_options: options,
            files,
            bad_server,
            broker_restarts: AtomicU64::default(),
            host_restarts: AtomicU64::default(),
            swarm,
            views,
            url,
            table,
            before,
        })
    }

    /// Where the broker is.
    pub fn broker(&self) -> BrokerAddress {
        broker_address(self.broker_at)
    }

    /// Whether every node is in the mesh.
    pub fn has_formed(&self) -> bool {
        self.views.iter().all(|view| view.borrow().joined)
    }

    /// Tells the fleet what is to be seen of every node.
    pub fn show(&self, fleet: &mut Fleet) {
        show(&self.views, fleet);
    }

    /// Rules that nodes broke on their flash. There is none for which that is right.
    pub fn violations(&self) -> u64 {
        self.views.iter().map(|view| view.borrow().violations).sum()
    }

    /// How a node is called in a line.
    pub fn name(&self, node: usize) -> String {
        let Some(view) = self.views.get(node).map(|view| view.borrow()) else { return String::new() };
        let mac = view.id.mac().map(|byte| format!("{byte:02x}")).join(":");
        let role = if view.is_root { " (the root)" } else { "" };
        format!("{} {mac}{role}", view.node_type)
    }

    /// Does something to one node.
    pub async fn command(&self, node: usize, command: Command) {
        self.swarm.command(node, command).await;
    }

    /// Ends the broker with all that it held, and starts it on the same port after a while.
    pub async fn restart_broker(&self, away: Duration) -> Result<(), Error> {
        let mut broker = self.broker.lock().await;
        if let Some(running) = broker.take() {
            running.stop().await;
        }
        sleep(away).await;
        for tries in 1.. {
            let config = BrokerConfig { listen: self.broker_at, ..BrokerConfig::loopback() };
            match EmbeddedBroker::start(config).await {
                Ok(running) => {
                    *broker = Some(running);
                    break;
                }
                Err(error) if tries == PORT_TRIES => return Err(error.into()),
                Err(_) => sleep(PORT_PAUSE).await,
            }
        }
        self.broker_restarts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Ends the host in the middle of what it does, and starts it on the same port after a while.
    pub async fn restart_host(&self, away: Duration) -> Result<(), Error> {
        let mut host = self.host.lock().await;
        drop(host.take());
        sleep(away).await;
        for tries in 1.. {
            match FirmwareHost::start(self.host_options.clone(), self.files.clone()).await {
                Ok(running) => {
                    *host = Some(running);
                    break;
                }
                Err(error) if tries == PORT_TRIES => return Err(error.into()),
                Err(_) => sleep(PORT_PAUSE).await,
            }
        }
        self.host_restarts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What has been survived so far, where things go wrong.
    pub fn survived(&self) -> Option<Survived> {
        let (stalled_downloads, cut_downloads) = self.bad_server.as_ref()?.tally();
        let (frames, frames_lost) = self.swarm.frames();
        let of_views = |count: fn(&NodeView) -> u32| -> u64 {
            self.views.iter().map(|view| u64::from(count(&view.borrow()))).sum()
        };
        Some(Survived {
            power_cuts: of_views(|view| view.power_cuts),
            cuts_in_flash: of_views(|view| view.cuts_in_flash),
            frames,
            frames_lost,
            stalled_downloads,
            cut_downloads,
            broker_restarts: self.broker_restarts.load(Ordering::Relaxed),
            host_restarts: self.host_restarts.load(Ordering::Relaxed),
        })
    }

    /// Ends everything and hands out the nodes' boards.
    pub async fn strike(self) -> Vec<Option<Machine>> {
        let machines = self.swarm.stop().await;
        if let Some(host) = self.host.into_inner() {
            host.stop(GRACE).await;
        }
        if let Some(broker) = self.broker.into_inner() {
            broker.stop().await;
        }
        machines
    }
}

/// Tells a fleet what is to be seen of every node.
pub fn show(views: &[watch::Receiver<NodeView>], fleet: &mut Fleet) {
    for view in views {
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

fn broker_address(at: SocketAddr) -> BrokerAddress {
    BrokerAddress { host: at.ip().to_string(), port: at.port(), tls: false, login: None }
}

/// What every node knows of its surroundings.
pub fn provisioning(images: &Images, broker: &str, ca_pem: String) -> Provisioning {
    Provisioning {
        trusted_keys: vec![images.key.key_digest()],
        allow_unsigned: false,
        broker: broker.to_string(),
        ca_pem: ca_pem.into_bytes(),
        ..Provisioning::default()
    }
}

/// The machines of all nodes, in the topology's order.
pub fn machines(
    images: &Images,
    table: &PartitionTable,
    topology: &Topology,
    provisioning: &Provisioning,
    seed: u64,
) -> Result<Vec<Machine>, Error> {
    // What an application keeps there: it must be the same afterwards.
    let application_nvs = Contents(
        [
            (("buttons".to_string(), "names".to_string()), Value::Text("hall, kitchen, stairs".to_string())),
            (("buttons".to_string(), "presses".to_string()), Value::U32(4711)),
        ]
        .into(),
    );
    let mut all: Vec<(usize, Machine)> = Vec::new();
    for (number, kind) in images.kinds.iter().enumerate() {
        let Kind { chip, old, .. } = kind;
        let of_kind = |(index, member)| ((images.kind_of)(index, member) == number).then_some(index);
        let indices: Vec<usize> = topology.members.iter().enumerate().filter_map(of_kind).collect();
        let mut factory = Factory::new(*chip, table, old);
        factory.flash_bytes = FLASH_BYTES;
        factory.loader = Bootloader::new(*chip, false);
        factory.provisioning = provisioning.clone();
        factory.application_nvs = application_nvs.clone();
        factory.seed = seed;
        all.extend(indices.iter().copied().zip(factory.machines_of(topology, &indices)?));
    }
    all.sort_by_key(|(index, _)| *index);
    let release_key = images.key.release_key().filter(|_| images.is_release);
    let trusting = |(_, mut machine): (usize, Machine)| {
        if let Some(key) = release_key {
            // There is room: it is the first.
            let _ = machine.settings_mut().release_keys.push(TrustedKey::new(key, Purposes::ALL));
        }
        machine
    };
    Ok(all.into_iter().map(trusting).collect())
}
