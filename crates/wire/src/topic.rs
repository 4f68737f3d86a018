//! MQTT topics. They begin with a slash, as the original's do, unless a prefix stands before them.

use crate::NodeId;
use core::fmt::Write;
use heapless::String;

/// The longest prefix, in bytes.
pub const MAX_PREFIX_BYTES: usize = 64;
/// The longest topic, in bytes: prefix, the longest fixed part, and a 20-digit id.
pub const MAX_TOPIC_BYTES: usize = 128;

/// A topic or a topic filter.
pub type Topic = String<MAX_TOPIC_BYTES>;

/// Why a prefix cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Longer than [`MAX_PREFIX_BYTES`].
    #[error("the topic prefix has {0} bytes, at most {MAX_PREFIX_BYTES} are allowed")]
    PrefixTooLong(usize),
    /// Contains `+`, `#` or a control character, which MQTT does not allow in a topic name (MQTT 3.1.1 §4.7).
    #[error("the topic prefix contains {0:?}, which is not allowed in a topic")]
    PrefixCharacter(char),
}

/// The topics of one installation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    prefix: String<MAX_PREFIX_BYTES>,
}

/// What a topic is for, as found by [`Topics::classify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKind {
    /// [`Topics::root_command`].
    RootCommand,
    /// [`Topics::root_state`]: status, connected, last will.
    RootState,
    /// [`Topics::report`] of this node.
    Report(NodeId),
    /// [`Topics::switch_state`] of the node with this id (an original dialect's id may stand here).
    SwitchState(u64),
    /// [`Topics::relay_state`] of the node with this id (an original dialect's id may stand here).
    RelayState(u64),
}

impl Topics {
    /// Topics below `prefix`; an empty prefix gives the original's topics, `/switch/…`. A slash at the prefix's end is
    /// dropped: the topics bring their own.
    pub fn new(prefix: &str) -> Result<Self, TopicError> {
        let prefix = prefix.trim_end_matches('/');
        if let Some(wrong) = prefix.chars().find(|c| matches!(c, '+' | '#') || c.is_control()) {
            return Err(TopicError::PrefixCharacter(wrong));
        }
        let prefix = String::try_from(prefix).map_err(|_| TopicError::PrefixTooLong(prefix.len()))?;
        Ok(Topics { prefix })
    }

    /// The prefix, without a slash at its end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn make(&self, rest: core::fmt::Arguments<'_>) -> Topic {
        let mut topic = Topic::new();
        // Cannot fail: 64 bytes of prefix and the longest rest below fit MAX_TOPIC_BYTES.
        let _ = write!(topic, "{}{rest}", self.prefix);
        topic
    }

    /// Where the root takes triggers: `<prefix>/switch/cmd/root`.
    pub fn root_command(&self) -> Topic {
        self.make(format_args!("/switch/cmd/root"))
    }

    /// Where the root publishes every node's status, its own, and its last will: `<prefix>/switch/state/root`.
    pub fn root_state(&self) -> Topic {
        self.make(format_args!("/switch/state/root"))
    }

    /// Where the reports of one node appear: `<prefix>/switch/ota/<id>`.
    pub fn report(&self, node: NodeId) -> Topic {
        self.make(format_args!("/switch/ota/{node}"))
    }

    /// Filter for the reports of all nodes: `<prefix>/switch/ota/+`.
    pub fn all_reports(&self) -> Topic {
        self.make(format_args!("/switch/ota/+"))
    }

    /// Commands to one switch, by the id it uses: `<prefix>/switch/cmd/<id>`.
    pub fn switch_command(&self, id: u64) -> Topic {
        self.make(format_args!("/switch/cmd/{id}"))
    }

    /// Button presses and ping answers of one switch: `<prefix>/switch/state/<id>`.
    pub fn switch_state(&self, id: u64) -> Topic {
        self.make(format_args!("/switch/state/{id}"))
    }

    /// Commands to one relay: `<prefix>/relay/cmd/<id>`.
    pub fn relay_command(&self, id: u64) -> Topic {
        self.make(format_args!("/relay/cmd/{id}"))
    }

    /// Output states of one relay: `<prefix>/relay/state/<id>`.
    pub fn relay_state(&self, id: u64) -> Topic {
        self.make(format_args!("/relay/state/{id}"))
    }

    /// Filter for every node's state messages of both kinds: `<prefix>/+/state/+`.
    pub fn all_states(&self) -> Topic {
        self.make(format_args!("/+/state/+"))
    }

    /// What a received topic is for; `None` if it is none of ours.
    pub fn classify(&self, topic: &str) -> Option<TopicKind> {
        let rest = topic.strip_prefix(self.prefix.as_str())?;
        match rest {
            "/switch/cmd/root" => return Some(TopicKind::RootCommand),
            "/switch/state/root" => return Some(TopicKind::RootState),
            _ => {}
        }
        let (kind, id) = rest.rsplit_once('/')?;
        if id.is_empty() || !id.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let id = id.parse().ok().filter(|&id| id <= NodeId::MAX.0)?;
        match kind {
            "/switch/ota" => Some(TopicKind::Report(NodeId(id))),
            "/switch/state" => Some(TopicKind::SwitchState(id)),
            "/relay/state" => Some(TopicKind::RelayState(id)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_prefix_the_topics_are_the_originals() {
        let topics = Topics::new("").unwrap();
        assert_eq!(topics.root_command(), "/switch/cmd/root");
        assert_eq!(topics.root_state(), "/switch/state/root");
        assert_eq!(topics.report(NodeId(42)), "/switch/ota/42");
        assert_eq!(topics.relay_state(7), "/relay/state/7");
    }

    #[test]
    fn a_prefix_stands_before_every_topic() {
        for prefix in ["home", "home/"] {
            assert_eq!(Topics::new(prefix).unwrap().root_command(), "home/switch/cmd/root");
        }
        assert_eq!(Topics::new("/a/b").unwrap().all_reports(), "/a/b/switch/ota/+");
    }

    #[test]
    fn the_longest_topic_fits() {
        let topics = Topics::new(&"p".repeat(64)).unwrap();
        assert!(topics.switch_state(u64::MAX).ends_with("/switch/state/18446744073709551615"));
    }

    #[test]
    fn wildcards_and_oversized_prefixes_are_refused() {
        assert_eq!(Topics::new("a/+"), Err(TopicError::PrefixCharacter('+')));
        assert_eq!(Topics::new("a/\0"), Err(TopicError::PrefixCharacter('\0')));
        assert_eq!(Topics::new(&"p".repeat(65)), Err(TopicError::PrefixTooLong(65)));
    }

    #[test]
    fn a_received_topic_is_recognised() {
        let topics = Topics::new("home").unwrap();
        for kind in [TopicKind::Report(NodeId(9)), TopicKind::SwitchState(9), TopicKind::RelayState(9)] {
            let topic = match kind {
                TopicKind::Report(id) => topics.report(id),
                TopicKind::SwitchState(id) => topics.switch_state(id),
                TopicKind::RelayState(id) => topics.relay_state(id),
                _ => unreachable!(),
            };
            assert_eq!(topics.classify(&topic), Some(kind));
        }
        assert_eq!(topics.classify("home/switch/cmd/root"), Some(TopicKind::RootCommand));
        assert_eq!(topics.classify("home/switch/state/root"), Some(TopicKind::RootState));
        for foreign in [
            "",
            "/switch/ota/9",
            "home/switch/ota/",
            "home/switch/ota/+9",
            "home/switch/ota/x",
            "home/switch/ota/281474976710656",
        ] {
            assert_eq!(topics.classify(foreign), None, "{foreign}");
        }
    }
}
