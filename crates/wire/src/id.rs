//! Who a node is: its id, the ids that the original dialects know it by, and what kind of node it is.

use core::{fmt, str::FromStr};
use heapless::String;

/// A node's id: its 48-bit station MAC address as a number, most significant byte first.
///
/// The original dialects know the same node by other numbers: see [`NodeId::low32`] and [`NodeId::soft_ap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// No node: in frames, the absence of a parent.
    pub const NONE: NodeId = NodeId(0);
    /// The largest id that a MAC address can make.
    pub const MAX: NodeId = NodeId(0xffff_ffff_ffff);

    /// The id of the node with this station MAC address.
    pub const fn from_mac(mac: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = mac;
        NodeId(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// The station MAC address.
    pub const fn mac(self) -> [u8; 6] {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// The id under which the first original dialect knows this node: the low 32 bits of the station MAC.
    pub const fn low32(self) -> u32 {
        let bytes = self.0.to_be_bytes();
        u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])
    }

    /// The id under which the later original dialect knows this node: its SoftAP MAC, which is the station MAC with one
    /// added to the last byte (ESP-IDF `esp_read_mac`, chips with four universal addresses, which is the default).
    pub const fn soft_ap(self) -> NodeId {
        let [a, b, c, d, e, f] = self.mac();
        NodeId::from_mac([a, b, c, d, e, f.wrapping_add(1)])
    }

    /// The station MAC that belongs to a later-dialect id; the inverse of [`NodeId::soft_ap`].
    pub const fn from_soft_ap(soft_ap: u64) -> NodeId {
        let [a, b, c, d, e, f] = NodeId(soft_ap).mac();
        NodeId::from_mac([a, b, c, d, e, f.wrapping_sub(1)])
    }

    /// True if `id` is this node's own id or one of its aliases.
    pub const fn answers_to(self, id: u64) -> bool {
        self.0 == id || self.low32() as u64 == id || self.soft_ap().0 == id
    }

    /// `None` for [`NodeId::NONE`].
    pub const fn known(self) -> Option<NodeId> {
        if self.0 == 0 { None } else { Some(self) }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<NodeId> for u64 {
    fn from(id: NodeId) -> u64 {
        id.0
    }
}

/// The text is neither a decimal number below 2^48 nor a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node id is a decimal number below 2^48 or a MAC address such as a0:b1:c2:d3:e4:f5")]
pub struct NodeIdError;

impl FromStr for NodeId {
    type Err = NodeIdError;

    /// Reads a decimal number or a MAC address (`a0:b1:c2:d3:e4:f5`, also with `-`).
    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
            return match text.parse() {
                Ok(number) if number <= Self::MAX.0 => Ok(NodeId(number)),
                _ => Err(NodeIdError),
            };
        }
        let mut mac = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut mac {
            let [value] = parts.next().and_then(crate::text::from_hex::<1>).ok_or(NodeIdError)?;
            *byte = value;
        }
        if parts.next().is_some() { Err(NodeIdError) } else { Ok(NodeId::from_mac(mac)) }
    }
}

/// What a node is. Being the root is a role, not a type: see [`crate::status::NodeStatus::is_root`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeType {
    /// A wall switch with buttons.
    #[default]
    Switch,
    /// A relay board of unstated size (the first original dialect's word), or any relay when used as a target.
    Relay,
    /// A relay board with eight outputs (later dialect).
    Relay8,
    /// A relay board with sixteen outputs (later dialect).
    Relay16,
    /// Any other kind, by its own word of at most [`MAX_NODE_TYPE_BYTES`] bytes.
    Other(String<MAX_NODE_TYPE_BYTES>),
}

/// The longest word for a node type, in bytes.
pub const MAX_NODE_TYPE_BYTES: usize = 16;

impl NodeType {
    /// The type for this word; `None` if it is empty or longer than [`MAX_NODE_TYPE_BYTES`].
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "" => return None,
            "switch" => NodeType::Switch,
            "relay" => NodeType::Relay,
            "relay8" => NodeType::Relay8,
            "relay16" => NodeType::Relay16,
            other => NodeType::Other(String::try_from(other).ok()?),
        })
    }

    /// The word for it.
    pub fn name(&self) -> &str {
        match self {
            NodeType::Switch => "switch",
            NodeType::Relay => "relay",
            NodeType::Relay8 => "relay8",
            NodeType::Relay16 => "relay16",
            NodeType::Other(name) => name,
        }
    }

    /// True if a node of type `node` is meant when this type is the target: the same, or any relay for `relay`.
    pub fn covers(&self, node: &NodeType) -> bool {
        self == node || (*self == NodeType::Relay && matches!(node, NodeType::Relay8 | NodeType::Relay16))
    }
}

impl fmt::Display for NodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0xa0, 0xb1, 0xc2, 0xd3, 0xe4, 0xff];

    #[test]
    fn a_node_is_known_by_the_ids_of_both_original_dialects() {
        let node = NodeId::from_mac(MAC);
        assert_eq!(node.0, 0xa0b1_c2d3_e4ff);
        assert_eq!(node.mac(), MAC);
        assert_eq!(node.low32(), 0xc2d3_e4ff);
        assert_eq!(node.soft_ap().0, 0xa0b1_c2d3_e400, "only the last byte is counted up");
        assert_eq!(NodeId::from_soft_ap(node.soft_ap().0), node);
        for alias in [0xa0b1_c2d3_e4ff, 0xc2d3_e4ff, 0xa0b1_c2d3_e400] {
            assert!(node.answers_to(alias));
        }
        assert!(!node.answers_to(0xa0b1_c2d3_e4fe));
    }

    #[test]
    fn an_id_is_read_as_a_number_or_as_a_mac_address() {
        let node = NodeId::from_mac(MAC);
        for text in ["176685338322175", "a0:b1:c2:d3:e4:ff", "A0-B1-C2-D3-E4-FF"] {
            assert_eq!(text.parse(), Ok(node), "{text}");
        }
        for wrong in [
            "",
            "-1",
            "+1",
            "281474976710656",
            "99999999999999999999999",
            "a0:b1:c2:d3:e4",
            "a0:b1:c2:d3:e4:ff:00",
            "a:b:c:d:e:f",
        ] {
            assert_eq!(wrong.parse::<NodeId>(), Err(NodeIdError), "{wrong}");
        }
    }

    #[test]
    fn relay_as_a_target_means_every_relay() {
        assert!(NodeType::Relay.covers(&NodeType::Relay16));
        assert!(!NodeType::Relay8.covers(&NodeType::Relay16));
        assert!(!NodeType::Relay.covers(&NodeType::Switch));
    }

    #[test]
    fn a_type_is_its_word() {
        for word in ["switch", "relay", "relay8", "relay16", "dimmer"] {
            assert_eq!(NodeType::from_name(word).unwrap().name(), word);
        }
        assert_eq!(NodeType::from_name(""), None);
        assert_eq!(NodeType::from_name("seventeen-letters"), None);
    }
}
