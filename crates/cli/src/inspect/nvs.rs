//! NVS partitions: how full, which keys, and what a node would make of them. Values are shown only of Rootcast's own
//! entries, and of those only what is no secret; passwords and the mesh's key are "set" and no more.

use super::rows::row;
use crate::size::Binary;
use esp_nvs::mem_flash::MemFlash;
use esp_nvs::raw::ItemType;
use esp_nvs::{Key, Nvs};
use rootcast_image::PAGE_BYTES;
use rootcast_wire::NodeId;
use rootcast_world::flash::Sectors;
use rootcast_world::nvs::{Contents, NAMESPACE, Provisioning};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// An NVS partition.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Sectors of the partition.
    pages: usize,
    /// Sectors that hold something.
    pages_used: usize,
    /// Entries that hold something.
    entries_used: u32,
    /// Key and type, by namespace.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// What the updater's entries say to a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Node>,
    /// Why it cannot be read, if so.
    problem: Option<String>,
}

/// What a node was provisioned with, but for its secrets.
#[derive(Clone, Debug, Serialize)]
struct Node {
    /// Of virtual nodes; a chip has its own.
    id: Option<u64>,
    #[serde(rename = "type")]
    node_type: String,
    root: bool,
    hardware_revision: Option<String>,
    wifi_ssid: Option<String>,
    wifi_password: Set,
    broker: Option<String>,
    mqtt_user: Option<String>,
    mqtt_password: Set,
    topic_prefix: String,
    mesh_key: Set,
    channel: Option<u8>,
    sntp: Option<String>,
    direct_only: bool,
    /// Bytes of CA certificates.
    ca_bytes: usize,
    image_keys: Vec<String>,
    release_keys: Vec<ReleaseKey>,
    unsigned_allowed: bool,
    releases_only: bool,
    time_required: bool,
    vendor: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct ReleaseKey {
    key_id: String,
    purposes: String,
}

/// Whether there is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Set {
    Set,
    NotSet,
}

impl Set {
    const fn of(there: bool) -> Self {
        if there { Self::Set } else { Self::NotSet }
    }
}

impl Node {
    fn of(told: &Provisioning) -> Self {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
        let release_key = |key: &rootcast_trust::release::TrustedKey| ReleaseKey {
            key_id: key.key.id().to_string(),
            purposes: key.purposes.to_string(),
        };
        Self {
            id: (told.node_id != NodeId::default()).then_some(told.node_id.0),
            node_type: told.node_type.to_string(),
            root: told.is_root,
            hardware_revision: some(&told.hardware_revision),
            wifi_ssid: some(&told.wifi_ssid),
            wifi_password: Set::of(!told.wifi_password.0.is_empty()),
            // Whoever put user and password into the URL does not see them here.
            broker: some(&told.broker).map(|url| match url.rsplit_once('@') {
                Some((before, host)) => {
                    format!("{}{host}", &before[..before.find("://").map_or(0, |at| at + 3)])
                }
                None => url,
            }),
            mqtt_user: some(&told.mqtt_user),
            mqtt_password: Set::of(!told.mqtt_password.0.is_empty()),
            topic_prefix: told.topic_prefix.clone(),
            mesh_key: Set::of(told.mesh_key.is_some()),
            channel: told.channel,
            sntp: some(&told.sntp),
            direct_only: told.direct_only,
            ca_bytes: told.ca_pem.len(),
            image_keys: told.trusted_keys.iter().map(ToString::to_string).collect(),
            release_keys: told.release_keys.iter().map(release_key).collect(),
            unsigned_allowed: told.allow_unsigned && told.trusted_keys.is_empty(),
            releases_only: told.release_policy.require_release,
            time_required: told.release_policy.require_time,
            vendor: some(&told.vendor),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.root { ", root" } else { "" };
        let revision =
            self.hardware_revision.as_ref().map(|it| format!(", revision {it}")).unwrap_or_default();
        row(f, "node", format_args!("{}{role}{revision}", self.node_type))?;
        if let Some(id) = self.id {
            row(f, "id", id)?;
        }
        let password = |set: Set| if set == Set::Set { "password set" } else { "no password" };
        if let Some(name) = &self.wifi_ssid {
            row(f, "network", format_args!("{name}, {}", password(self.wifi_password)))?;
        }
        if let Some(broker) = &self.broker {
            let user =
                self.mqtt_user.as_ref().map(|it| format!(", user {it}, {}", password(self.mqtt_password)));
            row(f, "broker", format_args!("{broker}{}", user.unwrap_or_default()))?;
        }
        if !self.topic_prefix.is_empty() {
            row(f, "topics", format_args!("{}/switch/…", self.topic_prefix))?;
        }
        let channel = self.channel.map(|it| format!(", channel {it}")).unwrap_or_default();
        let key = if self.mesh_key == Set::Set { "key set" } else { "NO KEY: the radio stays silent" };
        row(f, "mesh", format_args!("{key}{channel}"))?;
        if let Some(sntp) = &self.sntp {
            row(f, "time server", sntp)?;
        }
        if self.direct_only {
            row(f, "pages", "from the server itself, never from neighbours")?;
        }
        match u32::try_from(self.ca_bytes) {
            Ok(0) | Err(_) => {}
            Ok(bytes) => row(f, "CA certificates", format_args!("{}", Binary(bytes)))?,
        }
        for key in &self.image_keys {
            row(f, "image key", key)?;
        }
        for key in &self.release_keys {
            row(f, "release key", format_args!("{}, may sign {}", key.key_id, key.purposes))?;
        }
        if let Some(vendor) = &self.vendor {
            row(f, "vendor", vendor)?;
        }
        let images = if self.releases_only { "signed releases only" } else { "releases and bare images" };
        let unsigned = if self.unsigned_allowed { ", UNSIGNED IMAGES TOO" } else { "" };
        let time = if self.time_required { ", time limits need a known time" } else { "" };
        row(f, "policy", format_args!("{images}{unsigned}{time}"))
    }
}

/// Word 0 of a page that is in use, full, being freed, or corrupt (`nvs_page.hpp`, `PageState`).
const PAGE_STATES: [u32; 5] = [0xFFFF_FFFE, 0xFFFF_FFFC, 0xFFFF_FFF8, 0xFFFF_FFF0, 0];
/// Byte 8 of a page: version 1 or 2.
const PAGE_VERSIONS: [u8; 2] = [0xFF, 0xFE];

/// Whether the bytes of a file are most likely an NVS partition: whole sectors, the first of which is a page in use.
pub fn looks_like_it(file: &[u8]) -> bool {
    let whole = !file.is_empty() && file.len().is_multiple_of(PAGE_BYTES as usize);
    whole && is_page(file) && file.len() / PAGE_BYTES as usize <= usize::from(u16::MAX)
}

/// Whether a page with the right header CRC begins there (bytes 4..28, `nvs_page.cpp`).
fn is_page(page: &[u8]) -> bool {
    let Some(header) = page.first_chunk::<32>() else { return false };
    let &[s0, s1, s2, s3, .., c0, c1, c2, c3] = header;
    PAGE_STATES.contains(&u32::from_le_bytes([s0, s1, s2, s3]))
        && PAGE_VERSIONS.contains(&header[8])
        && rootcast_image::crc::crc32_seed_ones(&header[4..28]) == u32::from_le_bytes([c0, c1, c2, c3])
}

impl Summary {
    /// Reads a partition.
    pub fn of(partition: &[u8]) -> Self {
        let whole = partition.len() / PAGE_BYTES as usize * PAGE_BYTES as usize;
        let partition = &partition[..whole];
        let used = partition.chunks(PAGE_BYTES as usize).filter(|page| page.iter().any(|&byte| byte != 0xFF));
        let mut summary =
            Self { pages: whole / PAGE_BYTES as usize, pages_used: used.count(), ..Self::default() };
        if summary.pages_used > 0
            && let Err(error) = summary.read(partition)
        {
            summary.problem = Some(error.to_string());
        }
        summary
    }

    /// Whether it can be read; an erased one can.
    pub fn is_sound(&self) -> bool {
        self.problem.is_none()
    }

    fn read(&mut self, partition: &[u8]) -> Result<(), esp_nvs::error::Error> {
        // Reading cleans up what a power cut left behind, in this copy.
        let mut nvs = Nvs::new(0, partition.len(), MemFlash::from_bytes(partition.to_vec()))?;
        self.entries_used = nvs.statistics()?.entries_overall.written;
        for entry in nvs.typed_entries() {
            let (namespace, key, kind) = entry?;
            self.namespaces.entry(text(&namespace)).or_default().insert(text(&key), type_name(kind));
        }
        if self.namespaces.contains_key(NAMESPACE) {
            let sectors = Sectors::from_bytes(partition);
            let contents = Contents::read(&sectors, &(0..sectors.size()))?;
            self.node = Some(Node::of(&Provisioning::from_contents(&contents)));
        }
        Ok(())
    }
}

/// ESP-IDF's name of a type (`nvs_type_t`).
fn type_name(kind: ItemType) -> String {
    match kind {
        ItemType::Sized => "string".to_string(),
        ItemType::Blob | ItemType::BlobData | ItemType::BlobIndex => "blob".to_string(),
        number => format!("{number:?}").to_lowercase(),
    }
}

/// A key without control characters.
fn text(key: &Key) -> String {
    key.as_str().chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(problem) = &self.problem {
            row(f, "UNREADABLE", problem)?;
        }
        match self.pages_used {
            0 => row(f, "pages", format_args!("{}, all erased", self.pages))?,
            used => row(
                f,
                "pages",
                format_args!("{used} of {} in use, {} entries", self.pages, self.entries_used),
            )?,
        }
        for (namespace, keys) in &self.namespaces {
            let keys: Vec<String> = keys.iter().map(|(key, kind)| format!("{key} ({kind})")).collect();
            row(f, namespace, keys.join(", "))?;
        }
        self.node.as_ref().map_or(Ok(()), |node| node.fmt(f))
    }
}
