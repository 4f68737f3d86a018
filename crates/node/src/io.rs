//! What passes between a node and its body.

use crate::install::ImageFacts;
use crate::platform::ResetReason;
use rootcast_wire::{ErrorCode, NodeId, UpdateState};

/// What the body tells the node.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A mesh frame has arrived.
    Frame(&'a [u8]),
    /// A mesh frame has arrived straight from a neighbour, with this signal in dBm.
    NeighbourFrame {
        /// The frame.
        bytes: &'a [u8],
        /// Strength of its signal in dBm.
        signal_dbm: i8,
    },
    /// The node's place in the mesh.
    Mesh(MeshState),
    /// The root's connection to the broker stands; subscriptions have to be made anew.
    MqttConnected,
    /// The root's connection to the broker is gone.
    MqttDisconnected,
    /// A message on a subscribed topic.
    MqttMessage {
        /// Its topic.
        topic: &'a str,
        /// Its payload.
        payload: &'a [u8],
    },
    /// The connection asked for by [`Output::Connect`] stands, its certificate verified.
    StreamConnected,
    /// Bytes have come over the connection.
    StreamData(&'a [u8]),
    /// The other side has closed the connection.
    StreamClosed,
    /// The connection could not be made or kept, for this reason.
    StreamFailed(ErrorCode),
    /// The application's own judgement of itself, for the trial.
    ApplicationHealth(bool),
    /// The time of day, in seconds since 1970, from a source that the body trusts.
    WallClock {
        /// Seconds since 1970, UTC.
        unix_s: u64,
    },
}

/// A node's place in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MeshState {
    /// The radio is up.
    pub started: bool,
    /// The node has its place in the mesh; for a root: the network.
    pub joined: bool,
    /// Distance from the router, 1 for the root.
    pub layer: u8,
    /// The parent; the root's is itself.
    pub parent: NodeId,
    /// Signal of the link to the parent in dBm.
    pub signal_dbm: i8,
}

/// What the node wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// Show this colour.
    Led(Colour),
    /// Send a frame.
    SendFrame {
        /// To whom.
        to: Destination,
        /// The frame.
        bytes: &'a [u8],
    },
    /// Subscribe, QoS 1.
    Subscribe {
        /// The topic.
        topic: &'a str,
    },
    /// Publish.
    Publish {
        /// The topic.
        topic: &'a str,
        /// The payload, JSON.
        payload: &'a [u8],
        /// Quality of service, 0 or 1.
        qos: u8,
        /// Whether the broker keeps it.
        retain: bool,
    },
    /// Open a connection; one that is open is closed first.
    Connect {
        /// Host name or address.
        host: &'a str,
        /// TCP port.
        port: u16,
        /// Whether to speak TLS and verify chain, host and validity.
        tls: bool,
    },
    /// Send bytes over the connection.
    Send(&'a [u8]),
    /// Close the connection.
    Close,
    /// Restart the chip. Nothing is wanted after it.
    Restart,
}

/// Whom a frame is for. Bringing it there, over as many hops as it takes, is the body's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The root.
    Root,
    /// Every node of the mesh.
    Everybody,
    /// Whoever hears it: one transmission, passed on by nobody.
    Neighbours,
    /// One node.
    Node(NodeId),
}

/// What a node's LED says. The meanings are the original firmware's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// No mesh.
    Red,
    /// The mesh is started but not joined.
    Yellow,
    /// In the mesh.
    Green,
    /// An update is going on.
    Blue,
}

/// What a body knows when it starts the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BootInfo {
    /// A flash address that the running code executes from.
    pub code_address: u32,
    /// Why the chip started.
    pub reset: ResetReason,
}

/// How far a node is, for a display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The state last reported, `None` before any update.
    pub state: Option<UpdateState>,
    /// The code last reported.
    pub error: Option<ErrorCode>,
    /// Share of the file on flash, 0 to 100.
    pub percent: u8,
    /// Bytes of the file on flash.
    pub bytes: u32,
    /// Size of the file, once known.
    pub size: Option<u32>,
    /// How manieth download this is.
    pub attempt: u8,
    /// The running image.
    pub running: Option<&'a ImageFacts>,
}
