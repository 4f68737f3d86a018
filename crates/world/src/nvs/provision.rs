//! What a node has to know about itself, written into NVS once, by whoever installs it.
//!
//! Entries of the namespace `rootcast`, all optional; what is not said is not written:
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
//! | `mqtt_user`, `mqtt_pass` | text | the broker's login |
//! | `mesh_key` | blob | 32 bytes that all nodes of the mesh share |
//! | `channel` | u8 | the radio's channel of a node without a network, 1 to 13 |
//! | `sntp` | text | time server, `host[:123]` |
//! | `direct` | u8 | 1: downloads from the server itself, never from neighbours |
//! | `trust_record` | blob | release keys with their purposes (`rootcast_trust::release::TrustRecord`); releases change it |
//! | `releases` | u8 | 1: signed releases only, no bare images |
//! | `need_time` | u8 | 1: a release with a time limit is refused while the time is not known |
//! | `vendor` | text | whose releases it takes: a domain |
//! | `hw_rev` | text | the board's revision, where images differ by it |

use super::NAMESPACE;
use super::contents::{Contents, Value};
use super::store::{StoreError, namespace, nvs_key};
use crate::flash::{SECTOR_BYTES, Sectors, VirtualFlash};
use esp_nvs::{Key, Nvs};
use heapless::Vec as FixedVec;
use rootcast_image::ChipId;
use rootcast_node::Settings;
use rootcast_trust::KeyDigest;
use rootcast_trust::release::{MAX_TRUST_RECORD_BYTES, ReleasePolicy, TrustRecord, TrustedKey, VendorId};
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
    /// The broker's user, empty for none.
    pub mqtt_user: String,
    /// The user's password.
    pub mqtt_password: Secret,
    /// What all nodes of the mesh share.
    pub mesh_key: Option<MeshKey>,
    /// The radio's channel of a node without a network.
    pub channel: Option<u8>,
    /// The time server, empty for the firmware's own choice.
    pub sntp: String,
    /// Whether it never takes pages from neighbours.
    pub direct_only: bool,
    /// Whose releases it follows, at first.
    pub release_keys: Vec<TrustedKey>,
    /// Whether it takes bare images and releases without a known time.
    pub release_policy: ReleasePolicy,
    /// The domain of the vendor whose releases it takes, empty for the default.
    pub vendor: String,
    /// The board's revision, empty for none.
    pub hardware_revision: String,
}

/// The key of a mesh. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MeshKey(pub [u8; 32]);

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not shown")
    }
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
    /// More release keys than a record holds.
    #[error("{found} release keys, a node takes at most {most}")]
    TooManyReleaseKeys {
        /// Keys given.
        found: usize,
        /// Room for keys.
        most: usize,
    },
    /// A hardware revision that is too long.
    #[error("a hardware revision has at most 16 bytes, \"{0}\" has more")]
    HardwareRevision(String),
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
        for (key, value) in self.entries()? {
            put(&mut nvs, &namespace(), &Key::from_str(key), &value)?;
        }
        Ok(nvs.into_inner().sectors().bytes(0..bytes))
    }

    /// The entries of the namespace `rootcast`, in the order in which they are written.
    ///
    /// # Errors
    /// [`ProvisioningError::TooManyReleaseKeys`].
    pub fn entries(&self) -> Result<Vec<(&'static str, Value)>, ProvisioningError> {
        let mut entries = Vec::new();
        if self.node_id != NodeId::default() {
            entries.push(("node_id", Value::U64(self.node_id.0)));
        }
        entries.extend([
            ("node_type", Value::Text(self.node_type.name().to_owned())),
            ("root", Value::U8(self.is_root.into())),
            ("unsigned", Value::U8(self.allow_unsigned.into())),
        ]);
        let ReleasePolicy { require_release, require_time } = self.release_policy;
        for (key, flag) in
            [("releases", require_release), ("need_time", require_time), ("direct", self.direct_only)]
        {
            if flag {
                entries.push((key, Value::U8(1)));
            }
        }
        entries.extend(self.channel.map(|channel| ("channel", Value::U8(channel))));
        let trust: Vec<u8> = self.trusted_keys.iter().flat_map(|key| key.0).collect();
        let mesh_key = self.mesh_key.map_or_else(Vec::new, |key| key.0.to_vec());
        let blobs = [
            ("trust", trust),
            ("trust_record", self.trust_record()?),
            ("mesh_key", mesh_key),
            ("ca", self.ca_pem.clone()),
        ];
        let blobs = blobs.into_iter().filter(|(_, blob)| !blob.is_empty());
        entries.extend(blobs.map(|(key, blob)| (key, Value::Blob(blob))));
        let texts = [
            ("topics", &self.topic_prefix),
            ("broker", &self.broker),
            ("mqtt_user", &self.mqtt_user),
            ("mqtt_pass", &self.mqtt_password.0),
            ("wifi_ssid", &self.wifi_ssid),
            ("wifi_pass", &self.wifi_password.0),
            ("sntp", &self.sntp),
            ("vendor", &self.vendor),
            ("hw_rev", &self.hardware_revision),
        ];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
        entries.extend(texts.map(|(key, text)| (key, Value::Text(text.clone()))));
        Ok(entries)
    }

    /// The record of a node that has not accepted a release yet; empty where no key is trusted for them.
    fn trust_record(&self) -> Result<Vec<u8>, ProvisioningError> {
        if self.release_keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut record = TrustRecord::default();
        let most = record.release_keys.capacity();
        record.release_keys = FixedVec::from_slice(&self.release_keys)
            .map_err(|_| ProvisioningError::TooManyReleaseKeys { found: self.release_keys.len(), most })?;
        Ok(record.encode(&mut [0; MAX_TRUST_RECORD_BYTES]).to_vec())
    }

    /// Reads what the NVS partition in `range` says about a virtual node.
    ///
    /// # Errors
    /// [`ProvisioningError`].
    pub fn read(sectors: &Sectors, range: &Range<u32>) -> Result<Self, ProvisioningError> {
        let provisioning = Self::from_contents(&Contents::read(sectors, range)?);
        if provisioning.node_id == NodeId::default() {
            Err(ProvisioningError::NoNodeId)
        } else {
            Ok(provisioning)
        }
    }

    /// What these entries say. What is missing or of another type is as if it were not there, as it is for a node.
    #[must_use]
    pub fn from_contents(contents: &Contents) -> Self {
        let text = |key| match contents.get(NAMESPACE, key) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let blob = |key| match contents.get(NAMESPACE, key) {
            Some(Value::Blob(blob)) => blob.clone(),
            _ => Vec::new(),
        };
        let flag = |key| contents.get(NAMESPACE, key) == Some(&Value::U8(1));
        let node_id = match contents.get(NAMESPACE, "node_id") {
            Some(Value::U64(id)) => NodeId(*id),
            _ => NodeId::default(),
        };
        let trust = blob("trust");
        let (trust, _) = trust.as_chunks::<32>();
        let record = TrustRecord::decode(&blob("trust_record")).unwrap_or_default();
        Self {
            node_id,
            node_type: NodeType::from_name(&text("node_type")).unwrap_or_default(),
            is_root: flag("root"),
            trusted_keys: trust.iter().copied().map(KeyDigest).collect(),
            allow_unsigned: flag("unsigned"),
            topic_prefix: text("topics"),
            broker: text("broker"),
            ca_pem: blob("ca"),
            wifi_ssid: text("wifi_ssid"),
            wifi_password: Secret(text("wifi_pass")),
            mqtt_user: text("mqtt_user"),
            mqtt_password: Secret(text("mqtt_pass")),
            mesh_key: blob("mesh_key").try_into().ok().map(MeshKey),
            channel: match contents.get(NAMESPACE, "channel") {
                Some(Value::U8(channel @ 1..=13)) => Some(*channel),
                _ => None,
            },
            sntp: text("sntp"),
            direct_only: flag("direct"),
            release_keys: record.release_keys.to_vec(),
            release_policy: ReleasePolicy {
                require_release: flag("releases"),
                require_time: flag("need_time"),
            },
            vendor: text("vendor"),
            hardware_revision: text("hw_rev"),
        }
    }

    /// The node core's settings that follow from it, on this chip; patience and the like stay at their defaults.
    ///
    /// # Errors
    /// [`ProvisioningError`].
    pub fn settings(&self, chip: ChipId) -> Result<Settings, ProvisioningError> {
        let mut settings = Settings::new(self.node_id, self.node_type.clone(), chip);
        settings.is_root = self.is_root;
        settings.allow_unsigned = self.allow_unsigned;
        settings.can_spread = !self.direct_only;
        settings.release_policy = self.release_policy;
        if !self.vendor.is_empty() {
            settings.vendor = VendorId::of_domain(&self.vendor);
        }
        if !self.hardware_revision.is_empty() {
            let revision = heapless::String::try_from(self.hardware_revision.as_str());
            let too_long = |_| ProvisioningError::HardwareRevision(self.hardware_revision.clone());
            settings.hardware_revision = Some(revision.map_err(too_long)?);
        }
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
