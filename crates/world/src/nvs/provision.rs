//! What a node has to know about itself, written into NVS once, by whoever installs it.
//!
//! Entries of the namespace `rootcast`, all optional but the id:
//!
//! | key | type | what |
//! |---|---|---|
//! | `node_id` | u64 | the station MAC as a number; virtual nodes only, a chip has it in its fuses |
//! | `node_type` | text | `switch`, `relay8`, … |
//! | `root` | u8 | 1: this node talks to the broker |
//! | `trust` | blob | digests of the keys that may sign images, 32 bytes each |
//! | `unsigned` | u8 | 1: unsigned images are accepted while no key is trusted |
//! | `topics` | text | prefix of the MQTT topics |
//! | `broker` | text | the broker's URL |
//! | `ca` | blob | CA certificates that firmware servers are verified against, PEM |
//! | `wifi_ssid`, `wifi_pass` | text | the network |

use super::NAMESPACE;
use super::contents::{Contents, Value};
use super::store::{StoreError, namespace, nvs_key};
use crate::flash::{SECTOR_BYTES, Sectors, VirtualFlash};
use esp_nvs::{Key, Nvs};
use heapless::Vec as FixedVec;
use rootcast_image::ChipId;
use rootcast_node::Settings;
use rootcast_trust::KeyDigest;
use rootcast_wire::{NodeId, NodeType, Topics};
use std::fmt;
use std::ops::Range;

/// What a node is provisioned with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provisioning {
    /// Who it is.
    pub node_id: NodeId,
    /// What it is.
    pub node_type: NodeType,
    /// Whether it is the mesh's root.
    pub is_root: bool,
    /// Whose images it installs.
    pub trusted_keys: Vec<KeyDigest>,
    /// Whether it installs unsigned images while no key is trusted.
    pub allow_unsigned: bool,
    /// Prefix of the MQTT topics, empty for the original's.
    pub topic_prefix: String,
    /// The broker's URL.
    pub broker: String,
    /// CA certificates, PEM.
    pub ca_pem: Vec<u8>,
    /// Name of the network.
    pub wifi_ssid: String,
    /// Its password.
    pub wifi_password: Secret,
}

/// Text that no log shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "not shown" })
    }
}

/// Why a node cannot be provisioned so, or is not.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ProvisioningError {
    /// NVS does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no entry `node_id`.
    #[error("nvs holds no node id: this flash was not provisioned for a virtual node")]
    NoNodeId,
    /// More keys than a node can trust.
    #[error("{found} trusted keys, a node takes at most {most}")]
    TooManyKeys {
        /// Keys given.
        found: usize,
        /// Room for keys.
        most: usize,
    },
    /// A prefix that no topic can begin with.
    #[error("topic prefix: {0}")]
    Topics(#[from] rootcast_wire::topic::TopicError),
    /// NVS needs three sectors at least, one of them always free.
    #[error("an nvs partition has at least 12,288 bytes in whole sectors, not {found}")]
    PartitionSize {
        /// Its bytes.
        found: u32,
    },
}

impl From<esp_nvs::error::Error> for ProvisioningError {
    fn from(error: esp_nvs::error::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Provisioning {
    /// An NVS partition of `bytes` bytes that says this, besides the entries of others.
    ///
    /// # Errors
    /// [`ProvisioningError`].
    pub fn to_partition(&self, bytes: u32, others: &Contents) -> Result<Vec<u8>, ProvisioningError> {
        if bytes < 3 * SECTOR_BYTES as u32 || !bytes.is_multiple_of(SECTOR_BYTES as u32) {
            return Err(ProvisioningError::PartitionSize { found: bytes });
        }
        let mut nvs = Nvs::new(0, bytes as usize, VirtualFlash::erased(bytes))?;
        for ((space, key), value) in &others.of_others().0 {
            put(&mut nvs, &nvs_key(space)?, &nvs_key(key)?, value)?;
        }
        for (key, value) in self.entries() {
            put(&mut nvs, &namespace(), &Key::from_str(key), &value)?;
        }
        Ok(nvs.into_inner().sectors().bytes(0..bytes))
    }

    fn entries(&self) -> Vec<(&'static str, Value)> {
        let mut entries = vec![
            ("node_id", Value::U64(self.node_id.0)),
            ("node_type", Value::Text(self.node_type.name().to_owned())),
            ("root", Value::U8(self.is_root.into())),
            ("unsigned", Value::U8(self.allow_unsigned.into())),
        ];
        let trust: Vec<u8> = self.trusted_keys.iter().flat_map(|key| key.0).collect();
        for (key, blob) in [("trust", &trust), ("ca", &self.ca_pem)] {
            if !blob.is_empty() {
                entries.push((key, Value::Blob(blob.clone())));
            }
        }
        let texts = [
            ("topics", &self.topic_prefix),
            ("broker", &self.broker),
            ("wifi_ssid", &self.wifi_ssid),
            ("wifi_pass", &self.wifi_password.0),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        entries.extend(texts.map(|(key, text)| (key, Value::Text(text.clone()))));
        entries
    }

    /// Reads what the NVS partition in `range` says.
    ///
    /// # Errors
    /// [`ProvisioningError`].
    pub fn read(sectors: &Sectors, range: &Range<u32>) -> Result<Self, ProvisioningError> {
        let contents = Contents::read(sectors, range)?;
        let text = |key| match contents.get(NAMESPACE, key) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let blob = |key| match contents.get(NAMESPACE, key) {
            Some(Value::Blob(blob)) => blob.clone(),
            _ => Vec::new(),
        };
        let flag = |key| contents.get(NAMESPACE, key) == Some(&Value::U8(1));
        let Some(Value::U64(id)) = contents.get(NAMESPACE, "node_id") else {
            return Err(ProvisioningError::NoNodeId);
        };
        let trust = blob("trust");
        let (trust, _) = trust.as_chunks::<32>();
        Ok(Self {
            node_id: NodeId(*id),
            node_type: NodeType::from_name(&text("node_type")).unwrap_or_default(),
            is_root: flag("root"),
            trusted_keys: trust.iter().copied().map(KeyDigest).collect(),
            allow_unsigned: flag("unsigned"),
            topic_prefix: text("topics"),
            broker: text("broker"),
            ca_pem: blob("ca"),
            wifi_ssid: text("wifi_ssid"),
            wifi_password: Secret(text("wifi_pass")),
        })
    }

    /// The node core's settings that follow from it, on this chip; patience and the like stay at their defaults.
    ///
    /// # Errors
    /// [`ProvisioningError`].
    pub fn settings(&self, chip: ChipId) -> Result<Settings, ProvisioningError> {
        let mut settings = Settings::new(self.node_id, self.node_type.clone(), chip);
        settings.is_root = self.is_root;
        settings.allow_unsigned = self.allow_unsigned;
        settings.topics = Topics::new(&self.topic_prefix)?;
        settings.trusted_keys =
            FixedVec::from_slice(&self.trusted_keys).map_err(|_| ProvisioningError::TooManyKeys {
                found: self.trusted_keys.len(),
                most: settings.trusted_keys.capacity(),
            })?;
        Ok(settings)
    }
}

fn put(
    nvs: &mut Nvs<VirtualFlash>,
    space: &Key,
    key: &Key,
    value: &Value,
) -> Result<(), esp_nvs::error::Error> {
    match value {
        Value::U8(value) => nvs.set(space, key, *value),
        Value::I8(value) => nvs.set(space, key, *value),
        Value::U16(value) => nvs.set(space, key, *value),
        Value::I16(value) => nvs.set(space, key, *value),
        Value::U32(value) => nvs.set(space, key, *value),
        Value::I32(value) => nvs.set(space, key, *value),
        Value::U64(value) => nvs.set(space, key, *value),
        Value::I64(value) => nvs.set(space, key, *value),
        Value::Text(text) => nvs.set(space, key, text.as_str()),
        Value::Blob(blob) => nvs.set(space, key, blob.as_slice()),
        Value::Unreadable => Ok(()),
    }
}
