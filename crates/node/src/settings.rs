//! What a node is told about itself, by its body and by provisioning.

use crate::spread::Pace;
use crate::time::Backoff;
use heapless::{String, Vec};
use rootcast_image::{ChipId, Target};
use rootcast_trust::KeyDigest;
use rootcast_trust::release::{DEFAULT_VENDOR_DOMAIN, ReleasePolicy, TrustedKey, VendorId};
use rootcast_wire::{NodeId, NodeType, Topics};

/// Keys that a node can trust at once: one in use, one coming, one going, one in the safe.
pub const MAX_TRUSTED_KEYS: usize = 4;

/// Who the node is, whom it trusts, and how patient it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Station MAC as a number.
    pub id: NodeId,
    /// Switch, relay or another kind.
    pub node_type: NodeType,
    /// Whether this node talks to the broker for the mesh.
    pub is_root: bool,
    /// The chip it runs on.
    pub chip: ChipId,
    /// The chip's revision, major × 100 + minor.
    pub chip_revision: u16,
    /// What the chip's anti-rollback fuses say.
    pub secure_version: u32,
    /// Digests of the keys that may sign images.
    pub trusted_keys: Vec<KeyDigest, MAX_TRUSTED_KEYS>,
    /// Whether an image without signature is accepted while no key is trusted.
    pub allow_unsigned: bool,
    /// Keys that may sign releases, until the first release accepted says otherwise.
    pub release_keys: Vec<TrustedKey, MAX_TRUSTED_KEYS>,
    /// Whether bare images and releases without a time are accepted.
    pub release_policy: ReleasePolicy,
    /// Whose firmware the node takes.
    pub vendor: VendorId,
    /// The board's revision, where images differ by it.
    pub hardware_revision: Option<String<16>>,
    /// The mesh's MQTT topics.
    pub topics: Topics,
    /// Tries and pauses of a download.
    pub retry: Backoff,
    /// Silence of a server, in milliseconds, after which it counts as stalled.
    pub stall_ms: u32,
    /// Time that a new image has to prove itself, in milliseconds.
    pub trial_deadline_ms: u32,
    /// Time that a new image must be up at least before it is confirmed, in milliseconds.
    pub trial_minimum_ms: u32,
    /// Whether the application's own word ([`crate::Input::ApplicationHealth`]) is needed for a confirmation.
    pub needs_application_health: bool,
    /// Whether the node takes pages from its neighbours and hands them on.
    pub can_spread: bool,
    /// The rhythm of its radio.
    pub pace: Pace,
    /// How long a node waits for a neighbour's page before it asks the server itself, in milliseconds.
    pub spread_patience_ms: u32,
    /// How often a node announces itself, in milliseconds.
    pub hello_ms: u32,
    /// Downloads at the same time in the mesh, unless the trigger says otherwise.
    pub max_parallel: u16,
    /// How long a leaf waits for the root's word before it starts a download by itself, in milliseconds.
    pub grant_patience_ms: u32,
    /// How long the root waits for its leaves without hearing of progress before it restarts itself, in milliseconds.
    pub root_patience_ms: u32,
    /// How long a cast is repeated to nodes that did not get it, in milliseconds.
    pub cast_lifetime_ms: u32,
}

impl Settings {
    /// The settings of a house: patient, careful, and no key trusted yet.
    #[must_use]
    pub fn new(id: NodeId, node_type: NodeType, chip: ChipId) -> Self {
        Self {
            id,
            node_type,
            is_root: false,
            chip,
            chip_revision: 0,
            secure_version: 0,
            trusted_keys: Vec::new(),
            allow_unsigned: false,
            release_keys: Vec::new(),
            release_policy: ReleasePolicy::default(),
            vendor: VendorId::of_domain(DEFAULT_VENDOR_DOMAIN),
            hardware_revision: None,
            topics: Topics::default(),
            retry: Backoff { first_ms: 2_000, longest_ms: 300_000, attempts: 8 },
            stall_ms: 30_000,
            trial_deadline_ms: 300_000,
            trial_minimum_ms: 5_000,
            needs_application_health: false,
            can_spread: true,
            pace: Pace::default(),
            spread_patience_ms: 600_000,
            hello_ms: 15_000,
            max_parallel: 4,
            grant_patience_ms: 120_000,
            root_patience_ms: 600_000,
            cast_lifetime_ms: 24 * 3_600_000,
        }
    }

    pub(crate) const fn target(&self, slot_size: u32) -> Target {
        Target {
            chip: self.chip,
            revision: self.chip_revision,
            secure_version: self.secure_version,
            slot_size,
        }
    }
}
