//! Triggers and aborts, as a mesh's root takes them.

use rootcast_wire::command::Abort;
use rootcast_wire::trigger::{Target, Url, UrlError, Version, check_url};
use rootcast_wire::{Mode, NodeId, Topics, Trigger};

/// What a trigger is to say.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Where the image is.
    pub url: &'a str,
    /// SHA-256 over the file, and its bytes; `None` for a signed release, which says that of its images.
    pub file: Option<([u8; 32], u32)>,
    /// The version it brings.
    pub version: &'a str,
    /// Who is meant; never nobody, which would mean everybody.
    pub nodes: &'a [NodeId],
    /// What nodes report under.
    pub token: &'a str,
    /// How it travels.
    pub mode: Option<Mode>,
    /// Downloads at once.
    pub max_parallel: Option<u16>,
    /// Install even an image that failed before.
    pub force: bool,
}

/// Why a message cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SayError {
    /// The mesh's name is no prefix.
    #[error("{0:?} cannot stand before a topic")]
    Mesh(String),
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Nobody is named, or too many are.
    #[error("a trigger names 1 to {limit} nodes, not {0}", limit = rootcast_wire::trigger::MAX_TARGETS)]
    Targets(usize),
    /// A text is too long.
    #[error("the {0} is too long")]
    TooLong(&'static str),
}

/// The topic and the message of a trigger.
pub fn trigger(mesh: &str, order: &Order<'_>) -> Result<(String, String), SayError> {
    check_url(order.url)?;
    let mut trigger = Trigger::new();
    trigger.url = Url::try_from(order.url).map_err(|_| SayError::TooLong("URL"))?;
    (trigger.sha256, trigger.size) = order.file.unzip();
    trigger.version = Version::try_from(order.version).ok();
    if order.nodes.is_empty() {
        return Err(SayError::Targets(0));
    }
    for id in order.nodes {
        let pushed = trigger.targets.push(Target::Node(*id));
        pushed.map_err(|_| SayError::Targets(order.nodes.len()))?;
    }
    trigger.rollout = Some(order.token.try_into().map_err(|_| SayError::TooLong("rollout's id"))?);
    (trigger.mode, trigger.max_parallel, trigger.force) = (order.mode, order.max_parallel, order.force);
    let mut message = String::new();
    // Writing to a String cannot fail.
    let _ = trigger.write_json(&mut message);
    Ok((root(mesh)?, message))
}

/// The topic and the message that drop what nodes report under `token`.
pub fn abort(mesh: &str, token: &str) -> Result<(String, String), SayError> {
    let abort = Abort { rollout: Some(token.try_into().map_err(|_| SayError::TooLong("rollout's id"))?) };
    let mut message = String::new();
    // Writing to a String cannot fail.
    let _ = abort.write_json(&mut message);
    Ok((root(mesh)?, message))
}

fn root(mesh: &str) -> Result<String, SayError> {
    let topics = Topics::new(mesh).map_err(|_| SayError::Mesh(mesh.to_owned()))?;
    Ok(topics.root_command().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootcast_wire::{Command, parse_command};

    #[test]
    fn a_root_understands_what_is_said() {
        let order = Order {
            url: "https://host/fw.bin",
            file: Some(([7; 32], 1000)),
            version: "1.1.0",
            nodes: &[NodeId(1), NodeId(2)],
            token: "r1.1",
            mode: None,
            max_parallel: Some(4),
            force: false,
        };
        let (topic, message) = trigger("home", &order).unwrap();
        assert_eq!(topic, "home/switch/cmd/root");
        let Ok(Command::Trigger(read)) = parse_command(message.as_bytes()) else { panic!("{message}") };
        assert_eq!((read.rollout.as_deref(), read.targets.entries().len()), (Some("r1.1"), 2));
        assert_eq!((read.sha256, read.size), (Some([7; 32]), Some(1000)));
        let (_, message) = abort("", "r1.1").unwrap();
        assert_eq!(message, r#"{"type":"ota_abort","rollout":"r1.1"}"#);
        assert_eq!(
            trigger("", &Order { nodes: &[], ..order.clone() }),
            Err(SayError::Targets(0)),
            "never everybody"
        );
        assert_eq!(trigger("", &Order { nodes: &[NodeId(1); 33], ..order }), Err(SayError::Targets(33)));
    }
}
