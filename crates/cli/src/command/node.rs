//! `rootcast node`

use crate::error::Error;
use crate::output::Output;
use crate::watch::now;
use crate::{arguments, files};
use clap::Args;
use rootcast_image::header::HEADER_BYTES;
use rootcast_image::partition::TABLE_OFFSET;
use rootcast_image::{ChipId, ImageHeader, PartitionTable, SlotId};
use rootcast_trust::KeyDigest;
use rootcast_wire::{NodeId, NodeType};
use rootcast_world::board::Board;
use rootcast_world::body::sockets::{
    BrokerAddress, NodeHandle, NodeOptions, NodeRunner, NodeView, PowerView, Trust, udp,
};
use rootcast_world::bootloader::Bootloader;
use rootcast_world::flash::{FlashFile, Sectors, VirtualFlash};
use rootcast_world::machine::Machine;
use rootcast_world::nvs::{Contents, Provisioning};
use rootcast_world::random::Random;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Run one virtual node: the production code on a flash that is a file
///
/// One node of a mesh is the root: it talks to the broker and passes frames on over UDP on this machine. The others
/// find it at --root-address. Who a node is and whom it trusts stands in the nvs of its flash; what is given here comes
/// before. The flash outlives the process: run it again and it boots what it would boot.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast flash --app build/app.bin -o root.flash && cp root.flash leaf.flash
  rootcast node --flash root.flash --root --broker mqtt://127.0.0.1:1883 --ca ca.pem --allow-unsigned
  rootcast node --flash leaf.flash --ca ca.pem --allow-unsigned")]
pub struct NodeArguments {
    /// The node's flash: a whole chip, as rootcast flash or esptool read-flash makes it
    #[arg(long, value_name = "FILE")]
    flash: PathBuf,

    /// Be the root of the mesh
    #[arg(long)]
    root: bool,

    /// The broker, for the root: mqtt://USER:PASSWORD@HOST:PORT or mqtts://…
    #[arg(long, env = "ROOTCAST_BROKER", hide_env_values = true, value_parser = arguments::Broker)]
    broker: Option<BrokerAddress>,

    /// CA certificate (PEM) of a broker with TLS; without it, public CAs are trusted
    #[arg(long, value_name = "FILE")]
    broker_ca: Option<PathBuf>,

    /// Where the root listens for the others (UDP, on this machine only); port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value_t = default_address())]
    listen: SocketAddr,

    /// Where the root is
    #[arg(long, value_name = "ADDRESS", default_value_t = default_address())]
    root_address: SocketAddr,

    /// CA certificates (PEM) of firmware servers; without it those in nvs, else public CAs
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Install only images signed by this key; may be given several times
    #[arg(long, value_name = "DIGEST", value_parser = arguments::key_digest)]
    trust: Vec<KeyDigest>,

    /// Install unsigned images while no key is trusted
    #[arg(long)]
    allow_unsigned: bool,

    /// MAC address of the node; without it the one in nvs, else one that follows from the flash file's path
    #[arg(long, value_name = "MAC")]
    id: Option<NodeId>,

    /// What the node is: switch, relay8, …
    #[arg(long = "type", value_name = "TYPE", value_parser = node_type)]
    node_type: Option<NodeType>,

    /// What stands before the mesh's topics
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Share of frames that get lost on their way from this node, 0 to 0.9
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = arguments::share)]
    loss: f64,
}

fn default_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, udp::DEFAULT_PORT))
}

fn node_type(text: &str) -> Result<NodeType, String> {
    NodeType::from_name(text).ok_or_else(|| "a node type has 1 to 16 bytes".to_string())
}

/// A node as it was started.
#[derive(Serialize)]
struct Started {
    event: &'static str,
    node: String,
    id: u64,
    #[serde(rename = "type")]
    node_type: String,
    root: bool,
    chip: String,
    /// Where a root listens, or a leaf looks for it.
    mesh: SocketAddr,
    broker: Option<String>,
    unsigned_allowed: bool,
    releases_only: bool,
}

/// A node as it is now.
#[derive(Serialize, PartialEq)]
struct Seen {
    event: &'static str,
    power: String,
    joined: bool,
    led: Option<String>,
    state: Option<&'static str>,
    error: Option<&'static str>,
    version: String,
    running: Option<String>,
    on_trial: bool,
}

impl NodeArguments {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let broker = match (&self.broker, self.root) {
            (None, true) => return Err(Error::Usage("a root needs --broker mqtt://HOST:PORT".to_string())),
            (broker, root) => broker.clone().filter(|_| root),
        };
        let failed = |reason: String| Error::Node { flash: self.flash.clone(), reason };
        let (file, sectors) = FlashFile::open(&self.flash).map_err(Error::FlashFile)?;
        let table_bytes = sectors.bytes(TABLE_OFFSET..TABLE_OFFSET + 0xC00);
        let table = PartitionTable::parse(&table_bytes)
            .map_err(|error| Error::Table { path: self.flash.clone(), error })?;
        let chip =
            chip_of(&sectors, &table).ok_or_else(|| failed("no slot holds an app image".to_string()))?;
        let provisioning = self.provisioning(&sectors, &table)?;
        let mut settings = provisioning.settings(chip).map_err(|error| failed(error.to_string()))?;
        settings.pace = udp::PACE;
        let options = NodeOptions {
            broker: broker.clone(),
            broker_trust: self.authorities(self.broker_ca.as_deref(), &[])?,
            trust: self.authorities(self.ca.as_deref(), &provisioning.ca_pem)?,
            seed: provisioning.node_id.0,
            ..NodeOptions::default()
        };
        let board = Board::new(VirtualFlash::on_file(file, sectors), Random::new(random_seed()));
        let machine = Machine::new(board, Bootloader::new(chip, false), settings);
        let runtime = arguments::runtime()?;
        runtime.block_on(self.live(machine, &provisioning, chip, options, broker, output))
    }

    async fn live(
        &self,
        machine: Machine,
        who: &Provisioning,
        chip: ChipId,
        options: NodeOptions,
        broker: Option<BrokerAddress>,
        output: &mut Output,
    ) -> Result<(), Error> {
        let (port, mesh) = match self.root {
            true => udp::root(self.listen, who.node_id, self.loss).await?,
            false => (udp::leaf(self.root_address, who.node_id, self.loss).await?, self.root_address),
        };
        output.show(&Started {
            event: "started",
            node: mac(who.node_id),
            id: who.node_id.0,
            node_type: who.node_type.to_string(),
            root: self.root,
            chip: chip.to_string(),
            mesh,
            broker: broker.map(|broker| broker.to_string()),
            unsigned_allowed: who.allow_unsigned && who.trusted_keys.is_empty(),
            releases_only: who.release_policy.require_release,
        })?;
        let node = NodeRunner::start(machine, port, &Arc::new(options));
        let watched = watch(&node, output).await;
        // The flash file is written through: nothing is left to be saved.
        node.stop().await;
        watched
    }

    /// What the nvs says, with what was given before it.
    fn provisioning(&self, sectors: &Sectors, table: &PartitionTable) -> Result<Provisioning, Error> {
        let mut provisioning = Provisioning::default();
        if let Some(nvs) = table.nvs() {
            let contents =
                Contents::read(sectors, &(nvs.offset..nvs.offset + nvs.size)).map_err(|error| {
                    Error::Node { flash: self.flash.clone(), reason: format!("nvs: {error}") }
                })?;
            provisioning = Provisioning::from_contents(&contents);
        }
        if provisioning.node_id == NodeId::default() {
            provisioning.node_id = id_from(&self.flash);
        }
        provisioning.is_root = self.root;
        provisioning.allow_unsigned |= self.allow_unsigned;
        if let Some(id) = self.id {
            provisioning.node_id = id;
        }
        if let Some(node_type) = &self.node_type {
            provisioning.node_type = node_type.clone();
        }
        if let Some(prefix) = &self.prefix {
            provisioning.topic_prefix.clone_from(prefix);
        }
        if !self.trust.is_empty() {
            provisioning.trusted_keys.clone_from(&self.trust);
        }
        Ok(provisioning)
    }

    /// The authorities in a file, else in the nvs, else the public ones.
    fn authorities(&self, file: Option<&Path>, stored: &[u8]) -> Result<Trust, Error> {
        let given = match file {
            Some(path) => return Ok(Trust::authorities(&files::read_certificates(path)?)?),
            None => stored,
        };
        if given.is_empty() { Ok(Trust::public_authorities()) } else { Ok(Trust::from_pem(given)?) }
    }
}

/// Prints what changes, until somebody presses Ctrl-C.
async fn watch(node: &NodeHandle, output: &mut Output) -> Result<(), Error> {
    let mut view = node.view();
    let mut last = None;
    loop {
        let seen = Seen::of(&view.borrow_and_update());
        if last.as_ref() != Some(&seen) && !seen.is_passing() {
            output.show(&seen)?;
            last = Some(seen);
        }
        tokio::select! {
            changed = view.changed() => if changed.is_err() {
                return Err(Error::NodeEnded);
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// The chip that the first image found is for: only such a chip can have been flashed with it.
fn chip_of(sectors: &Sectors, table: &PartitionTable) -> Option<ChipId> {
    let slots = [SlotId::Factory].into_iter().chain((0..16).map(SlotId::Ota));
    slots.filter_map(|slot| table.slot(slot)).find_map(|partition| {
        let mut header = [0; HEADER_BYTES];
        sectors.read(partition.offset, &mut header);
        Some(ImageHeader::parse(&header)?.chip)
    })
}

/// A MAC address that is the same whenever the same file is used: locally administered, so that it is nobody else's.
fn id_from(flash: &Path) -> NodeId {
    let path = flash.canonicalize().unwrap_or_else(|_| flash.to_path_buf());
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    NodeId::from_mac([0x02, digest[0], digest[1], digest[2], digest[3], digest[4]])
}

/// Different at every start, as a chip's random numbers are.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

fn mac(id: NodeId) -> String {
    id.mac().map(|byte| format!("{byte:02x}")).join(":")
}

impl Seen {
    /// Whether the node is only just starting: the core has said nothing yet.
    fn is_passing(&self) -> bool {
        self.power == "off" || (self.power == "running" && (self.led.is_none() || self.running.is_none()))
    }

    fn of(view: &NodeView) -> Self {
        Self {
            event: "node",
            power: match &view.power {
                PowerView::Off => "off".to_string(),
                PowerView::Resetting => "restarting".to_string(),
                PowerView::Running => "running".to_string(),
                PowerView::Hung => "hung".to_string(),
                PowerView::Dead(reason) => format!("dead: {reason}"),
            },
            joined: view.joined,
            led: view.led.map(|led| format!("{led:?}").to_lowercase()),
            state: view.state.map(|state| state.name()),
            error: view.error.map(|error| error.name()),
            version: view.version.clone(),
            running: view.running.map(|hash| hash.to_string()),
            on_trial: view.on_trial,
        }
    }
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.root { ", root" } else { "" };
        writeln!(f, "node {} ({}{role}), {}", self.node, self.node_type, self.chip)?;
        match &self.broker {
            Some(broker) => writeln!(f, "  broker   {broker}\n  mesh     listens at {} (UDP)", self.mesh)?,
            None => writeln!(f, "  mesh     root at {} (UDP)", self.mesh)?,
        }
        if self.releases_only {
            writeln!(f, "  policy   signed releases only, no bare images")?;
        }
        match self.unsigned_allowed {
            true => writeln!(f, "  UNSIGNED IMAGES ARE INSTALLED: no key is trusted"),
            false => Ok(()),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", now(), self.power)?;
        if let (Some(led), "running") = (&self.led, self.power.as_str()) {
            let image = self.running.as_deref().and_then(|hash| hash.get(..8)).unwrap_or("?");
            let joined = if self.joined { "in the mesh" } else { "not in the mesh" };
            let trial = if self.on_trial { ", on trial" } else { "" };
            write!(f, " {} ({image}){trial}, {joined}, {led}", self.version)?;
            if let Some(state) = self.state {
                write!(f, ", {state}")?;
            }
            if let Some(error) = self.error {
                write!(f, ": {error}")?;
            }
        }
        Ok(())
    }
}
