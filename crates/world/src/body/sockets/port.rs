//! A node's way into its mesh, whatever the mesh is made of.

use crate::body::radio::RadioEvent;
use rootcast_node::Destination;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Frames that wait for a node at most; a node that is too slow loses the next ones, as a radio does.
const MOST_WAITING: usize = 1024;

/// What a node tells its radio.
#[derive(Debug)]
pub(super) enum ToMesh {
    /// The application has started. One that does not join never gets beyond a running radio.
    Up { joins: bool },
    /// The node is gone.
    Down,
    /// A frame to send.
    Frame { to: Destination, bytes: Arc<[u8]> },
}

/// One node's end of a mesh.
#[derive(Debug)]
pub struct MeshPort {
    node: usize,
    to_mesh: mpsc::UnboundedSender<(usize, ToMesh)>,
    heard: mpsc::Receiver<RadioEvent>,
}

/// The mesh's end: where what a node hears is put.
pub(super) type Ear = mpsc::Sender<RadioEvent>;

impl MeshPort {
    pub(super) fn new(node: usize, to_mesh: mpsc::UnboundedSender<(usize, ToMesh)>) -> (Self, Ear) {
        let (ear, heard) = mpsc::channel(MOST_WAITING);
        (Self { node, to_mesh, heard }, ear)
    }

    pub(super) fn tell(&self, what: ToMesh) {
        // A mesh that is gone hears nothing any more.
        let _ = self.to_mesh.send((self.node, what));
    }

    /// The next thing heard; waits for ever when the mesh is gone.
    pub(super) async fn hear(&mut self) -> RadioEvent {
        match self.heard.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// Forgets what arrived while nobody listened.
    pub(super) fn clear(&mut self) {
        while self.heard.try_recv().is_ok() {}
    }
}
