//! A received message becomes what was heard of which node of which mesh.
//!
//! A mesh is known by what stands before its topics: its prefix. The mesh without a prefix is the one named "".

use rootcast_wire::report::ReportError;
use rootcast_wire::status::{Presence, StatusError, StatusMessage, parse_status};
use rootcast_wire::{NodeId, NodeStatus, Report, Topics};

/// The longest prefix that is taken as a mesh's name, in levels: `site/house`.
const MAX_LEVELS: usize = 3;

const STATES: &str = "/switch/state/root";
const REPORTS: &str = "/switch/ota/";

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A node says how it is.
    Status(NodeStatus),
    /// A root is connected, or gone.
    Presence(Presence),
    /// A step of an update.
    Report(Box<Report>),
}

/// Why a message is turned down. Nothing comes of it but a count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// Not one of our topics.
    #[error("the topic is none of ours")]
    Topic,
    /// The prefix is no mesh's name.
    #[error("the topic's prefix cannot be a mesh's name")]
    Mesh,
    /// No status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// No report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A node reports for another one.
    #[error("node {said} is named in a report on the topic of node {topic}")]
    Foreign {
        /// Whose topic it is.
        topic: NodeId,
        /// Whom the message names.
        said: NodeId,
    },
}

/// What to subscribe to: meshes whose prefix has up to three levels.
pub fn filters() -> Vec<String> {
    (0..=MAX_LEVELS)
        .flat_map(|levels| {
            let prefix = "+/".repeat(levels);
            // Without a prefix a topic begins with a slash: an empty first level, which `+` matches.
            let prefix = prefix.trim_end_matches('/').to_owned();
            [format!("{prefix}{STATES}"), format!("{prefix}{REPORTS}+")]
        })
        .skip(2)
        .collect()
}

/// What a message says, and of which mesh.
pub fn hear(topic: &str, payload: &[u8]) -> Result<(String, Heard), Unheard> {
    if let Some(mesh) = topic.strip_suffix(STATES) {
        let heard = match parse_status(payload)? {
            StatusMessage::Status(status) => Heard::Status(status),
            StatusMessage::Presence(presence) => Heard::Presence(presence),
        };
        return Ok((mesh_name(mesh)?, heard));
    }
    let (mesh, id) = topic.rsplit_once(REPORTS).ok_or(Unheard::Topic)?;
    let id: NodeId = id.parse().map_err(|_| Unheard::Topic)?;
    let report = Report::parse_json(payload)?;
    if report.device != id {
        return Err(Unheard::Foreign { topic: id, said: report.device });
    }
    Ok((mesh_name(mesh)?, Heard::Report(Box::new(report))))
}

fn mesh_name(prefix: &str) -> Result<String, Unheard> {
    match Topics::new(prefix) {
        Ok(topics) if topics.prefix() == prefix => Ok(prefix.to_owned()),
        _ => Err(Unheard::Mesh),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootcast_wire::{NodeType, UpdateState};

    fn report(id: u64) -> Vec<u8> {
        let mut json = String::new();
        Report::new(NodeId(id), NodeType::Switch, UpdateState::Trial).write_json(&mut json).unwrap();
        json.into_bytes()
    }

    #[test]
    fn a_mesh_is_known_by_its_prefix() {
        let of = |topic: &str| hear(topic, &report(7)).map(|(mesh, _)| mesh);
        assert_eq!(of("/switch/ota/7"), Ok(String::new()));
        assert_eq!(of("home/switch/ota/7"), Ok("home".into()));
        assert_eq!(of("/a/b/switch/ota/7"), Ok("/a/b".into()));
        let status = br#"{"deviceId":7,"type":"switch"}"#;
        assert_eq!(hear("home/switch/state/root", status).unwrap().0, "home");
    }

    #[test]
    fn filters_match_the_mesh_without_a_prefix_and_those_with_one() {
        let all = filters();
        assert_eq!(all.len(), 6);
        assert_eq!(all[0], "+/switch/state/root");
        assert_eq!(all[5], "+/+/+/switch/ota/+");
    }

    #[test]
    fn what_is_malformed_or_for_another_node_is_turned_down() {
        let refuse = |topic: &str, payload: &[u8]| hear(topic, payload).unwrap_err();
        assert_eq!(refuse("/relay/state/7", b"A1"), Unheard::Topic);
        assert_eq!(refuse("/switch/ota/x", &report(7)), Unheard::Topic);
        assert_eq!(
            refuse("/switch/ota/8", &report(7)),
            Unheard::Foreign { topic: NodeId(8), said: NodeId(7) }
        );
        let long = format!("{}/switch/state/root", "p".repeat(65));
        assert_eq!(refuse(&long, br#"{"deviceId":7}"#), Unheard::Mesh);
        for garbage in [&b""[..], b"{", b"[]", b"null", &[0xff; 8000], b"{\"deviceId\":-1}"] {
            assert!(hear("/switch/state/root", garbage).is_err());
            assert!(hear("/switch/ota/7", garbage).is_err());
        }
    }
}
