//! What the node was provisioned with: the namespace `rootcast` of its NVS partition.
//!
//! | key | type | what | without it |
//! |---|---|---|---|
//! | `node_id` | u64 | the node's id; the emulated board only | the station MAC |
//! | `node_type` | text | `switch`, `relay8`, `relay16` | `switch` |
//! | `root` | u8 | 1: root | leaf |
//! | `trust` | blob | digests of the keys that may sign images, 32 bytes each, at most four | none |
//! | `unsigned` | u8 | 1: unsigned images are accepted while no key is trusted | they are refused |
//! | `topics` | text | prefix of the MQTT topics | the original's topics |
//! | `broker` | text | `mqtt://host[:1883]` or `mqtts://host[:8883]` | a root without broker |
//! | `mqtt_user`, `mqtt_pass` | text | the broker's login | none |
//! | `ca` | blob | CA certificates, PEM | https is refused as unknown CA |
//! | `mesh_key` | blob | 32 bytes | no mesh |
//! | `wifi_ssid`, `wifi_pass` | text | the network | a leaf without a router |
//! | `channel` | u8 | the radio's channel for a leaf without router, 1 to 13 | 1 |
//! | `sntp` | text | time server, `host[:123]` | `pool.ntp.org` |
//! | `trust_record` | blob | release keys with their purposes; the core reads and changes it | releases are not believed |
//! | `releases` | u8 | 1: signed releases only | bare images as well |
//! | `need_time` | u8 | 1: a release with a time limit is refused while the time is not known | it is taken |
//! | `vendor` | text | whose releases it takes: a domain | `rootcast.local` |
//! | `hw_rev` | text | the board's revision | none |
//! | `direct` | u8 | 1: downloads from the server itself, never from neighbours | pages are shared |
//!
//! Nothing here makes a node fail: what is missing or damaged is as if it were not there, and said in the log.

use crate::mesh::MESH_KEY_BYTES;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use esp_nvs::platform::{Crc, software_crc32};
use esp_nvs::{Key, Nvs};
use rootcast_image::partition::{TABLE_BYTES, TABLE_OFFSET};
use rootcast_image::{ChipId, PartitionTable};
use rootcast_node::{SettingKey, SettingLost, Settings};
use rootcast_trust::KeyDigest;
use rootcast_trust::release::{ReleasePolicy, VendorId};
use rootcast_wire::{NodeId, NodeType, Topics};

/// The updater's namespace.
const NAMESPACE: Key = Key::from_str("rootcast");

/// What provisioning says.
#[derive(Clone, Default)]
pub struct Provisioned {
    /// The node's id, where provisioning gives it.
    pub node_id: Option<NodeId>,
    /// Switch, relay.
    pub node_type: NodeType,
    /// Whether it is the root.
    pub is_root: bool,
    /// Whose images it installs.
    pub trusted_keys: Vec<KeyDigest>,
    /// Whether it installs unsigned images while no key is trusted.
    pub allow_unsigned: bool,
    /// The topics.
    pub topics: Topics,
    /// The broker.
    pub broker: Option<Broker>,
    /// CA certificates, PEM.
    pub ca_pem: Vec<u8>,
    /// The mesh's key.
    pub mesh_key: Option<[u8; MESH_KEY_BYTES]>,
    /// Name of the network; empty for none.
    pub wifi_ssid: String,
    /// Its password.
    pub wifi_password: String,
    /// Radio channel of a node without a network.
    pub channel: Option<u8>,
    /// Time server.
    pub sntp: Option<(String, u16)>,
    /// Whether the node never takes pages from neighbours.
    pub direct_only: bool,
    /// Whether bare images, and releases without a known time, are taken.
    pub release_policy: ReleasePolicy,
    /// The domain of the vendor whose releases it takes; empty for the default.
    pub vendor: String,
    /// The board's revision; empty for none.
    pub hardware_revision: String,
}

/// Where the broker is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
    /// User name; empty for none.
    pub user: String,
    /// Password.
    pub password: String,
}

impl Broker {
    /// Reads `mqtt://host:port`, `mqtts://host:port` or `host:port`; the port may be left out.
    pub fn parse(url: &str) -> Option<Self> {
        let (tls, rest) = match url.split_once("://") {
            None => (false, url),
            Some(("mqtt" | "tcp", rest)) => (false, rest),
            Some(("mqtts" | "ssl", rest)) => (true, rest),
            Some(_) => return None,
        };
        let (host, port) = host_and_port(rest.trim_end_matches('/'), if tls { 8883 } else { 1883 })?;
        Some(Self { host, port, tls, ..Self::default() })
    }
}

fn host_and_port(text: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
        None => (text, default),
    };
    (!host.is_empty() && !host.contains(['/', '@', ' '])).then(|| (host.to_string(), port))
}

impl Provisioned {
    /// Reads the NVS partition that the partition table on `flash` names.
    pub fn read(flash: &mut impl NorFlash) -> Self {
        let Some(mut nvs) = open(flash) else {
            log::warn!("nvs: no readable partition; this node knows no network, no mesh and no key");
            return Self::default();
        };
        let mut text = |key: &str| nvs.get::<String>(&NAMESPACE, &Key::from_str(key)).unwrap_or_default();
        let (node_type, topics, broker) = (text("node_type"), text("topics"), text("broker"));
        let (user, password) = (text("mqtt_user"), text("mqtt_pass"));
        let (wifi_ssid, wifi_password, sntp) = (text("wifi_ssid"), text("wifi_pass"), text("sntp"));
        let (vendor, hardware_revision) = (text("vendor"), text("hw_rev"));
        let mut blob = |key: &str| nvs.get::<Vec<u8>>(&NAMESPACE, &Key::from_str(key)).unwrap_or_default();
        let (trust, ca_pem, mesh_key) = (blob("trust"), blob("ca"), blob("mesh_key"));
        let mut number = |key: &str| nvs.get::<u8>(&NAMESPACE, &Key::from_str(key)).ok();
        let (root, unsigned, channel, direct) =
            (number("root"), number("unsigned"), number("channel"), number("direct"));
        let release_policy = ReleasePolicy {
            require_release: number("releases") == Some(1),
            require_time: number("need_time") == Some(1),
        };
        let node_id = nvs.get::<u64>(&NAMESPACE, &Key::from_str("node_id")).ok();
        let broker = Broker::parse(&broker).map(|broker| Broker { user, password, ..broker });
        Self {
            node_id: node_id.map(NodeId).filter(|id| *id <= NodeId::MAX),
            node_type: NodeType::from_name(&node_type).unwrap_or_default(),
            is_root: root == Some(1),
            trusted_keys: trust.as_chunks::<32>().0.iter().copied().map(KeyDigest).collect(),
            allow_unsigned: unsigned == Some(1),
            topics: Topics::new(&topics).unwrap_or_default(),
            broker,
            ca_pem,
            mesh_key: mesh_key.try_into().ok(),
            wifi_ssid,
            wifi_password,
            channel: channel.filter(|channel| (1..=13).contains(channel)),
            sntp: host_and_port(if sntp.is_empty() { "pool.ntp.org" } else { &sntp }, crate::sntp::PORT),
            direct_only: direct == Some(1),
            release_policy,
            vendor,
            hardware_revision,
        }
    }

    /// The node core's settings on this chip. A digest beyond the four that a node can trust is left out.
    pub fn node_settings(&self, id: NodeId, chip: ChipId, chip_revision: u16) -> Settings {
        let mut settings = Settings::new(id, self.node_type.clone(), chip);
        settings.chip_revision = chip_revision;
        settings.is_root = self.is_root;
        settings.allow_unsigned = self.allow_unsigned;
        settings.topics = self.topics.clone();
        settings.trusted_keys = self.trusted_keys.iter().take(4).copied().collect();
        settings.can_spread = !self.direct_only;
        settings.release_policy = self.release_policy;
        if !self.vendor.is_empty() {
            settings.vendor = VendorId::of_domain(&self.vendor);
        }
        settings.hardware_revision = heapless::String::try_from(self.hardware_revision.as_str())
            .ok()
            .filter(|revision| !revision.is_empty());
        settings
    }
}

/// Reads a blob of the node core.
pub fn load(flash: &mut impl NorFlash, key: SettingKey, into: &mut [u8]) -> Option<usize> {
    let value = open(flash)?.get::<Vec<u8>>(&NAMESPACE, &Key::from_str(key.name())).ok()?;
    into.get_mut(..value.len())?.copy_from_slice(&value);
    Some(value.len())
}

/// Stores a blob of the node core.
///
/// # Errors
/// [`SettingLost`].
pub fn store(flash: &mut impl NorFlash, key: SettingKey, value: &[u8]) -> Result<(), SettingLost> {
    let mut nvs = open(flash).ok_or(SettingLost)?;
    nvs.set(&NAMESPACE, &Key::from_str(key.name()), value).map_err(|error| {
        log::warn!("nvs: {} not stored: {error:?}", key.name());
        SettingLost
    })
}

/// The NVS partition. It is opened for each use: that takes no memory in between, and needs to be done rarely.
fn open<F: NorFlash>(flash: &mut F) -> Option<Nvs<NvsFlash<'_, F>>> {
    let mut bytes = [0; TABLE_BYTES];
    flash.read(TABLE_OFFSET, &mut bytes).ok()?;
    let table = PartitionTable::parse(&bytes).ok()?;
    let nvs = table.nvs()?;
    Nvs::new(nvs.offset as usize, nvs.size as usize, NvsFlash(flash)).ok()
}

struct NvsFlash<'a, F>(&'a mut F);

impl<F> Crc for NvsFlash<'_, F> {
    fn crc32(init: u32, data: &[u8]) -> u32 {
        software_crc32(init, data)
    }
}

impl<F: NorFlash> ErrorType for NvsFlash<'_, F> {
    type Error = F::Error;
}

impl<F: NorFlash> ReadNorFlash for NvsFlash<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> NorFlash for NvsFlash<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.write(offset, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_with_and_without_scheme_and_port() {
        let broker =
            |host: &str, port, tls| Some(Broker { host: host.into(), port, tls, ..Broker::default() });
        assert_eq!(Broker::parse("mqtt://10.0.2.2:1999"), broker("10.0.2.2", 1999, false));
        assert_eq!(Broker::parse("mqtt://broker.lan/"), broker("broker.lan", 1883, false));
        assert_eq!(Broker::parse("mqtts://broker.lan"), broker("broker.lan", 8883, true));
        assert_eq!(Broker::parse("broker.lan:1"), broker("broker.lan", 1, false));
        for wrong in ["", "http://x", "mqtt://", "mqtt://x:0", "mqtt://x:70000", "mqtt://u:p@x"] {
            assert_eq!(Broker::parse(wrong), None, "{wrong}");
        }
    }
}
