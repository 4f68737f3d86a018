//! `rootcast provision`

use crate::command::flash::read_table;
use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::output::Output;
use crate::provision::{Lines, Source, mesh_key, secret};
use crate::release::key::KeyArgument;
use crate::{arguments, size};
use clap::Args;
use rootcast_image::ChipId;
use rootcast_trust::KeyDigest;
use rootcast_trust::release::{DEFAULT_VENDOR_DOMAIN, ReleasePolicy};
use rootcast_wire::{NodeId, NodeType};
use rootcast_world::body::sockets::BrokerAddress;
use rootcast_world::nvs::{Contents, Provisioning, Secret};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Make what a node needs to know, as an NVS partition to flash: network, broker, mesh key, trusted keys, policy
///
/// One firmware image serves every house: what differs stands in the board's nvs partition, and outlives every update.
/// The file holds secrets and is readable by you alone. Passwords are asked for on a terminal, or come from a file
/// (--…-file) or the environment (ROOTCAST_WIFI_PASSWORD, ROOTCAST_BROKER with user and password), and so stay out of
/// the shell's history and the list of processes.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast keygen keys --mesh && rootcast keygen keys --release
  rootcast provision --wifi-ssid house --broker mqtts://ann@broker.example --ca ca.pem --mesh-key keys/mesh.key \\
      --release-key keys/release-key.pub.pem --releases-only --type relay8 -o nvs.bin
  rootcast provision --mesh-key keys/mesh.key --channel 6 --trust $(cat keys/signing-key.digest) -o leaf-nvs.bin
  rootcast inspect nvs.bin")]
pub struct Provision {
    /// Name of the Wi-Fi network
    #[arg(long, value_name = "NAME")]
    wifi_ssid: Option<String>,

    /// File with the network's password; - for standard input
    #[arg(long, value_name = "FILE", requires = "wifi_ssid")]
    wifi_password_file: Option<PathBuf>,

    /// The network has no password
    #[arg(long, requires = "wifi_ssid", conflicts_with = "wifi_password_file")]
    wifi_open: bool,

    /// The broker: mqtt://USER@HOST:PORT or mqtts://…; a password in it is taken too, best from ROOTCAST_BROKER
    #[arg(long, value_name = "URL", env = "ROOTCAST_BROKER", hide_env_values = true, value_parser = arguments::Broker)]
    broker: Option<BrokerAddress>,

    /// File with the broker's password; - for standard input
    #[arg(long, value_name = "FILE", requires = "broker")]
    broker_password_file: Option<PathBuf>,

    /// What stands before the mesh's topics
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,

    /// CA certificates (PEM) that firmware servers and the broker are verified against
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// File with the mesh's key, the same for all its nodes: rootcast keygen DIR --mesh
    #[arg(long, value_name = "FILE")]
    mesh_key: Option<PathBuf>,

    /// The node is the mesh's root: it talks to the broker
    #[arg(long)]
    root: bool,

    /// What the node is: switch, relay8, …
    #[arg(long = "type", value_name = "TYPE", default_value = "switch", value_parser = node_type)]
    node_type: NodeType,

    /// The board's revision, where images differ by it
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,

    /// Install only images signed by this key; may be given several times
    #[arg(long, value_name = "DIGEST", value_parser = arguments::key_digest)]
    trust: Vec<KeyDigest>,

    /// Follow releases signed by this key (PEM); =releases, =keys or =all says what it may sign; may be given several times
    #[arg(long, value_name = "KEY[=PURPOSE]")]
    release_key: Vec<KeyArgument>,

    /// Take signed releases only, and no bare images
    #[arg(long, requires = "release_key")]
    releases_only: bool,

    /// Refuse a release with a time limit while the time is not known
    #[arg(long)]
    require_time: bool,

    /// Install unsigned images while no key is trusted
    #[arg(long, conflicts_with = "trust")]
    allow_unsigned: bool,

    /// Whose releases the node takes
    #[arg(long, value_name = "DOMAIN", default_value = DEFAULT_VENDOR_DOMAIN)]
    vendor: String,

    /// Radio channel of a node that does not know the network
    #[arg(long, value_name = "1-13", value_parser = clap::value_parser!(u8).range(1..=13))]
    channel: Option<u8>,

    /// Time server: HOST or HOST:PORT
    #[arg(long, value_name = "HOST")]
    sntp: Option<String>,

    /// Always download from the server itself, never from neighbours
    #[arg(long)]
    direct: bool,

    /// MAC address, for virtual nodes: a chip has its own
    #[arg(long, value_name = "MAC")]
    id: Option<NodeId>,

    /// The board's partition table, which says where nvs is: a CSV or binary file, `default` or `original`
    #[arg(long, value_name = "TABLE", default_value = "default")]
    table: PathBuf,

    /// The board's chip, for the lines that flash it
    #[arg(long, value_name = "CHIP", default_value = "esp32c3", value_parser = chip)]
    chip: ChipId,

    /// The NVS partition
    #[arg(short, long, value_name = "NVS.bin")]
    output: PathBuf,
}

#[derive(Serialize)]
struct Provisioned {
    file: PathBuf,
    size: u32,
    offset: u32,
    /// Names of what is in it, never the values.
    entries: Vec<&'static str>,
    notes: Vec<&'static str>,
    /// Lines to run.
    flash: Lines,
}

impl Provision {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let table = read_table(&self.table)?;
        let missing = |what| Error::Usage(format!("{} has no {what} partition", self.table.display()));
        let nvs = table.nvs().ok_or_else(|| missing("nvs"))?;
        let (offset, room) = (nvs.offset, nvs.size);
        let provisioning = self.provisioning()?;
        let failed = |error| Error::Provision { error };
        // What the node would make of it: too many keys, a prefix that is none.
        provisioning.settings(self.chip).map_err(failed)?;
        let partition = provisioning.to_partition(room, &Contents::default()).map_err(failed)?;
        let entries = provisioning.entries().map_err(failed)?.into_iter().map(|(key, _)| key).collect();
        files::write(&self.output, &partition, Existing::Replace, Readers::Owner)?;
        output.show(&Provisioned {
            flash: Lines::new(self.chip, &self.table, offset, &self.output),
            file: self.output,
            size: room,
            offset,
            entries,
            notes: notes(&provisioning),
        })
    }

    fn provisioning(&self) -> Result<Provisioning, Error> {
        let login = self.broker.as_ref().and_then(|broker| broker.login.clone());
        let mqtt_password = match (&login, &self.broker_password_file) {
            (Some(_), Some(file)) => secret("the broker's password", Source::File(file))?,
            (Some((_, password)), None) if !password.is_empty() => password.clone(),
            (Some((user, _)), None) => {
                secret(&format!("{user}'s password at the broker"), Source::Prompt("--broker-password-file"))?
            }
            (None, Some(_)) => {
                return Err(Error::Usage("a password needs a user: --broker mqtt://USER@HOST".to_string()));
            }
            (None, None) => String::new(),
        };
        let wifi_password = match (&self.wifi_ssid, &self.wifi_password_file) {
            (None, _) => String::new(),
            (Some(_), _) if self.wifi_open => String::new(),
            (Some(_), Some(file)) => secret("the network's password", Source::File(file))?,
            (Some(name), None) => secret(
                &format!("the password of {name}"),
                Source::Environment("ROOTCAST_WIFI_PASSWORD", "--wifi-password-file, or --wifi-open"),
            )?,
        };
        check_network(self.wifi_ssid.as_deref(), &wifi_password, self.wifi_open)?;
        Ok(Provisioning {
            node_id: self.id.unwrap_or_default(),
            node_type: self.node_type.clone(),
            is_root: self.root,
            trusted_keys: self.trust.clone(),
            allow_unsigned: self.allow_unsigned,
            topic_prefix: self.prefix.clone(),
            broker: self.broker.as_ref().map(url_without_login).unwrap_or_default(),
            ca_pem: self.ca_pem()?,
            wifi_ssid: self.wifi_ssid.clone().unwrap_or_default(),
            wifi_password: Secret(wifi_password),
            mqtt_user: login.map(|(user, _)| user).unwrap_or_default(),
            mqtt_password: Secret(mqtt_password),
            mesh_key: self.mesh_key.as_deref().map(mesh_key).transpose()?,
            channel: self.channel,
            sntp: self.sntp.clone().unwrap_or_default(),
            direct_only: self.direct,
            release_keys: self.release_key.iter().map(KeyArgument::read).collect::<Result<_, _>>()?,
            release_policy: ReleasePolicy {
                require_release: self.releases_only,
                require_time: self.require_time,
            },
            vendor: if self.vendor == DEFAULT_VENDOR_DOMAIN { String::new() } else { self.vendor.clone() },
            hardware_revision: self.revision.clone().unwrap_or_default(),
        })
    }

    fn ca_pem(&self) -> Result<Vec<u8>, Error> {
        let Some(path) = &self.ca else { return Ok(Vec::new()) };
        files::read_certificates(path)?;
        files::read(path)
    }
}

/// The broker's URL as it goes into nvs: user and password have entries of their own.
fn url_without_login(broker: &BrokerAddress) -> String {
    let host = if broker.host.contains(':') { format!("[{}]", broker.host) } else { broker.host.clone() };
    format!("{}://{host}:{}", if broker.tls { "mqtts" } else { "mqtt" }, broker.port)
}

/// IEEE 802.11: a name has 1 to 32 bytes, a WPA2 passphrase 8 to 63 characters, or it is 64 hexadecimal digits.
fn check_network(name: Option<&str>, password: &str, open: bool) -> Result<(), Error> {
    let hexadecimal = password.len() == 64 && password.bytes().all(|c| c.is_ascii_hexdigit());
    match name {
        Some(name) if name.is_empty() || name.len() > 32 => {
            Err(Error::Usage("the name of a network has 1 to 32 bytes".to_string()))
        }
        Some(_) if !open && !hexadecimal && !(8..=63).contains(&password.len()) => Err(Error::Usage(
            format!("a network's password has 8 to 63 characters, this one has {}", password.len()),
        )),
        _ => Ok(()),
    }
}

fn notes(provisioning: &Provisioning) -> Vec<&'static str> {
    let mut notes = Vec::new();
    let nobody = provisioning.trusted_keys.is_empty() && provisioning.release_keys.is_empty();
    if nobody && !provisioning.allow_unsigned {
        notes.push("no key is trusted and unsigned images are refused: the node will install nothing (--trust, --release-key)");
    }
    if provisioning.allow_unsigned {
        notes.push("UNSIGNED IMAGES ARE INSTALLED while no key is trusted");
    }
    if provisioning.mesh_key.is_none() {
        notes.push("no mesh key: the node's radio stays silent (--mesh-key)");
    }
    if provisioning.ca_pem.is_empty() {
        notes.push("no CA: a board refuses https as of an unknown CA (--ca)");
    }
    if provisioning.is_root && provisioning.broker.is_empty() {
        notes.push("a root without a broker hears no trigger (--broker)");
    }
    notes
}

fn node_type(text: &str) -> Result<NodeType, String> {
    NodeType::from_name(text).ok_or_else(|| "a node type has 1 to 16 bytes".to_string())
}

fn chip(text: &str) -> Result<ChipId, String> {
    ChipId::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = ChipId::all().map(|chip| chip.name).collect();
        format!("\"{text}\" is no chip that is known: {}", names.join(", "))
    })
}

impl fmt::Display for Provisioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "made {}: {}, for the nvs partition at {:#x}",
            self.file.display(),
            size::Binary(self.size),
            self.offset
        )?;
        writeln!(f, "  holds     {}", self.entries.join(", "))?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        self.flash.fmt(f)
    }
}
