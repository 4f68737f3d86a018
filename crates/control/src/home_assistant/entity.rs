//! What is said of a node.
//!
//! Home Assistant's schema is strict: one key that it does not know, or a null version, and it drops the whole message. The keys
//! here are those of its MQTT `update` integration and of MQTT discovery's `device` and `origin`.

use crate::service::nodes::NodeView;
use rootcast_image::ChipId;
use serde::Serialize;

/// Where Home Assistant looks for entities unless told otherwise.
pub const DISCOVERY_PREFIX: &str = "homeassistant";
/// What the install button sends.
pub const PAYLOAD_INSTALL: &str = "install";
/// The longest version that Home Assistant keeps as a state, in characters.
const MAX_VERSION: usize = 255;

/// The topics of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTopics {
    /// Discovery, retained.
    pub discovery: String,
    /// State, retained.
    pub state: String,
    /// Availability, retained.
    pub availability: String,
    /// The install button.
    pub install: String,
}

impl EntityTopics {
    /// The topics of a node.
    pub fn of(node: u64, prefix: &str) -> Self {
        Self {
            discovery: format!("{prefix}/update/rootcast_{node}/config"),
            state: format!("rootcast/update/{node}/state"),
            availability: format!("rootcast/update/{node}/availability"),
            install: format!("rootcast/update/{node}/install"),
        }
    }

    /// The node whose install button has this topic.
    pub fn node_of_install(topic: &str) -> Option<u64> {
        topic.strip_prefix("rootcast/update/")?.strip_suffix("/install")?.parse().ok()
    }
}

/// What to subscribe to for every install button.
pub const INSTALL_FILTER: &str = "rootcast/update/+/install";

/// A discovery message.
#[derive(Clone, Debug, Serialize)]
pub struct Discovery {
    /// Null: the entity is called as its device.
    name: Option<String>,
    unique_id: String,
    device_class: &'static str,
    entity_category: &'static str,
    state_topic: String,
    command_topic: String,
    payload_install: &'static str,
    availability_topic: String,
    payload_available: &'static str,
    payload_not_available: &'static str,
    title: String,
    device: Device,
    origin: Origin,
}

#[derive(Clone, Debug, Serialize)]
struct Device {
    identifiers: [String; 1],
    connections: [[String; 2]; 1],
    name: String,
    manufacturer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sw_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via_device: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Origin {
    name: &'static str,
    sw_version: &'static str,
}

/// What a release offers to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The release's id.
    pub release: String,
    /// Its version.
    pub version: String,
    /// Words about it.
    pub notes: String,
}

/// A state message. Versions are never null: a node that does not say its version has no state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// What runs.
    pub installed_version: String,
    /// What there is.
    pub latest_version: String,
    /// Words about it, cut at 255 characters as Home Assistant would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_summary: Option<String>,
    /// Whether an update is going on.
    pub in_progress: bool,
    /// How far it is; null while none is going on.
    pub update_percentage: Option<u8>,
}

/// The discovery message of a node; `root` is the id of its mesh's root.
pub fn discovery(node: &NodeView, root: Option<u64>, prefix: &str) -> Discovery {
    let topics = EntityTopics::of(node.id, prefix);
    let chip = node.chip.and_then(|chip| u16::try_from(chip).ok()).map(|chip| ChipId(chip).to_string());
    Discovery {
        name: None,
        unique_id: format!("rootcast_{}_firmware", node.id),
        device_class: "firmware",
        entity_category: "config",
        state_topic: topics.state,
        command_topic: topics.install,
        payload_install: PAYLOAD_INSTALL,
        availability_topic: topics.availability,
        payload_available: "online",
        payload_not_available: "offline",
        title: "Firmware".to_owned(),
        device: Device {
            identifiers: [format!("rootcast_{}", node.id)],
            connections: [["mac".to_owned(), node.mac.clone()]],
            name: node.name.clone().unwrap_or_else(|| format!("{} {}", node.node_type, node.mac)),
            manufacturer: "Rootcast",
            model: chip,
            sw_version: node.version.clone().filter(|version| !version.is_empty()),
            via_device: root.filter(|root| *root != node.id).map(|root| format!("rootcast_{root}")),
        },
        origin: Origin { name: "Rootcast", sw_version: env!("CARGO_PKG_VERSION") },
    }
}

/// The state of a node, or nothing if it does not say its version.
pub fn state(node: &NodeView, offer: Option<&Offer>, progress: Option<u8>) -> Option<State> {
    let cut = |text: &str| text.chars().take(MAX_VERSION).collect::<String>();
    let installed = cut(node.version.as_deref().filter(|version| !version.is_empty())?);
    Some(State {
        latest_version: offer.map_or_else(|| installed.clone(), |offer| cut(&offer.version)),
        release_summary: offer.map(|offer| cut(&offer.notes)).filter(|notes| !notes.is_empty()),
        installed_version: installed,
        in_progress: progress.is_some(),
        update_percentage: progress.map(|progress| progress.min(100)),
    })
}
