//! What a node wants done, outliving the borrow of the node.

use rootcast_node::{Colour, Destination, Output};
use std::sync::Arc;

/// An [`Output`] that owns what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Led(Colour),
    Frame(Destination, Arc<[u8]>),
    Subscribe(String),
    Publish { topic: String, payload: Vec<u8>, qos: u8, retain: bool },
    Connect { host: String, port: u16, tls: bool },
    Send(Vec<u8>),
    Close,
    Restart,
}

impl From<Output<'_>> for Wish {
    fn from(output: Output<'_>) -> Self {
        match output {
            Output::Led(colour) => Self::Led(colour),
            Output::SendFrame { to, bytes } => Self::Frame(to, bytes.into()),
            Output::Subscribe { topic } => Self::Subscribe(topic.to_owned()),
            Output::Publish { topic, payload, qos, retain } => {
                Self::Publish { topic: topic.to_owned(), payload: payload.to_vec(), qos, retain }
            }
            Output::Connect { host, port, tls } => Self::Connect { host: host.to_owned(), port, tls },
            Output::Send(bytes) => Self::Send(bytes.to_vec()),
            Output::Close => Self::Close,
            Output::Restart => Self::Restart,
        }
    }
}
