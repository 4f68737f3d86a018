//! A mesh of processes on one machine: frames over UDP on loopback, the root in the middle.
//!
//! Every datagram begins alike, all numbers little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `RCU1` |
//! | 4 | 8 | the node that sends it |
//! | 12 | 8 | the node it is for; 0 the root, 2^64 - 1 everybody |
//! | 20 | rest | one frame; none: "I am here" |
//!
//! A leaf says that it is here once a second, and the root answers: while it does, the leaf is in the mesh. The root
//! passes on what is for others. There is no protection: this is a laboratory's mesh, for loopback only.

use super::port::{Ear, MeshPort, ToMesh};
use crate::body::radio::RadioEvent;
use crate::random::Random;
use rootcast_node::spread::Pace;
use rootcast_node::{Destination, MeshState};
use rootcast_wire::{MAX_FRAME_BYTES, NodeId};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

/// Where a root listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 47100;

/// The rhythm in which processes share pages: quick, but with room for every process to come to its turn.
pub const PACE: Pace = Pace { packet_us: 500, packets_per_frame: 1, latency_ms: 5 };

const MAGIC: [u8; 4] = *b"RCU1";
const HEAD_BYTES: usize = 20;
const ROOT: u64 = 0;
const EVERYBODY: u64 = u64::MAX;

/// How often a leaf says that it is here.
const BEACON: Duration = Duration::from_secs(1);
/// Silence after which the other side counts as gone.
const SILENCE: Duration = Duration::from_secs(4);
/// Leaves that a root knows at most, as many as its core keeps track of.
const MOST_LEAVES: usize = rootcast_node::MAX_PEERS;
/// The strength of every signal: the other process is near.
const SIGNAL_DBM: i8 = -45;

/// Why there is no mesh.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// The root's port is taken or not allowed.
    #[error("the root cannot listen on {address}: {source}; choose another port (0 picks a free one)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No socket.
    #[error("no UDP socket: {0}")]
    Socket(#[from] io::Error),
    /// Frames without protection stay on this machine.
    #[error("the mesh of processes works on loopback only, {0} is elsewhere")]
    NotLoopback(SocketAddr),
}

/// Opens the root's end of a mesh at `address`; port 0 picks a free one. Says where it listens. Each frame sent is lost
/// with the probability `loss`.
///
/// # Errors
/// [`UdpError`].
pub async fn root(address: SocketAddr, id: NodeId, loss: f64) -> Result<(MeshPort, SocketAddr), UdpError> {
    if !address.ip().is_loopback() {
        return Err(UdpError::NotLoopback(address));
    }
    let socket = UdpSocket::bind(address).await.map_err(|source| UdpError::Listen { address, source })?;
    let address = socket.local_addr()?;
    Ok((open(socket, id, None, loss), address))
}

/// Opens a leaf's end of the mesh whose root listens at `root`.
///
/// # Errors
/// [`UdpError`].
pub async fn leaf(root: SocketAddr, id: NodeId, loss: f64) -> Result<MeshPort, UdpError> {
    if !root.ip().is_loopback() {
        return Err(UdpError::NotLoopback(root));
    }
    let own: SocketAddr = match root {
        SocketAddr::V4(_) => SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, 0).into(),
    };
    Ok(open(UdpSocket::bind(own).await?, id, Some(root), loss))
}

fn open(socket: UdpSocket, id: NodeId, root: Option<SocketAddr>, loss: f64) -> MeshPort {
    let (to_mesh, said) = mpsc::unbounded_channel();
    let (port, ear) = MeshPort::new(0, to_mesh);
    let random = Random::new(id.0);
    let end = End {
        socket,
        id,
        root,
        ear,
        loss,
        random,
        up: None,
        state: MeshState::default(),
        peers: BTreeMap::new(),
    };
    tokio::spawn(end.run(said));
    port
}

/// One process's end.
struct End {
    socket: UdpSocket,
    id: NodeId,
    /// The root's address, for a leaf.
    root: Option<SocketAddr>,
    ear: Ear,
    loss: f64,
    random: Random,
    /// Whether the node runs, and whether it joins.
    up: Option<bool>,
    state: MeshState,
    /// Who was heard, where and when: the leaves, or the root.
    peers: BTreeMap<NodeId, (SocketAddr, Instant)>,
}

impl End {
    async fn run(mut self, mut said: mpsc::UnboundedReceiver<(usize, ToMesh)>) {
        let mut buffer = [0; HEAD_BYTES + MAX_FRAME_BYTES + 1];
        let mut beacon = interval(BEACON);
        loop {
            tokio::select! {
                what = said.recv() => match what {
                    None => return,
                    Some((_, ToMesh::Up { joins })) => self.up(joins).await,
                    Some((_, ToMesh::Down)) => (self.up, self.state) = (None, MeshState::default()),
                    Some((_, ToMesh::Frame { to, bytes })) => self.send(to, &bytes).await,
                },
                // An error here is an ICMP answer to an earlier datagram: the other side is not there (yet).
                received = self.socket.recv_from(&mut buffer) => if let Ok((length, from)) = received {
                    let datagram = buffer.get(..length).unwrap_or(&[]);
                    self.receive(datagram, from).await;
                },
                _ = beacon.tick() => self.look_around().await,
            }
        }
    }

    async fn up(&mut self, joins: bool) {
        self.up = Some(joins);
        self.peers.clear();
        let joined = joins && self.root.is_none();
        let (layer, parent) = if joined { (1, self.id) } else { (0, NodeId::NONE) };
        self.tell(MeshState { started: true, joined, layer, parent, signal_dbm: SIGNAL_DBM });
        self.look_around().await;
    }

    fn tell(&mut self, state: MeshState) {
        self.state = state;
        let _ = self.ear.try_send(RadioEvent::Mesh(state));
    }

    /// Says that the node is here, and notices who is no longer.
    async fn look_around(&mut self) {
        if self.up != Some(true) {
            return;
        }
        self.peers.retain(|_, (_, heard)| heard.elapsed() < SILENCE);
        if let Some(root) = self.root {
            if self.state.joined && self.peers.is_empty() {
                self.tell(MeshState { joined: false, ..self.state });
            }
            self.post(root, self.id, ROOT, &[]).await;
        }
    }

    async fn send(&mut self, to: Destination, frame: &[u8]) {
        if !self.state.joined {
            return;
        }
        let to = match to {
            Destination::Root => ROOT,
            Destination::Everybody | Destination::Neighbours => EVERYBODY,
            Destination::Node(id) => id.0,
        };
        match self.root {
            Some(root) => self.post(root, self.id, to, frame).await,
            None => self.pass_on(self.id, to, frame).await,
        }
    }

    /// The root's work: to whom it is for.
    async fn pass_on(&mut self, from: NodeId, to: u64, frame: &[u8]) {
        let meant = |id: &NodeId| *id != from && (to == EVERYBODY || to == id.0);
        let addresses: Vec<_> =
            self.peers.iter().filter(|(id, _)| meant(id)).map(|(_, (at, _))| *at).collect();
        for address in addresses {
            self.post(address, from, to, frame).await;
        }
    }

    async fn post(&mut self, address: SocketAddr, from: NodeId, to: u64, frame: &[u8]) {
        if !frame.is_empty() && self.random.chance(self.loss) {
            return;
        }
        let datagram = [&MAGIC[..], &from.0.to_le_bytes(), &to.to_le_bytes(), frame].concat();
        // As with any radio, what does not arrive is repeated by whoever needs it.
        let _ = self.socket.send_to(&datagram, address).await;
    }

    async fn receive(&mut self, datagram: &[u8], address: SocketAddr) {
        let Some((from, to, frame)) = parse(datagram) else { return };
        if self.up != Some(true) || from == self.id {
            return;
        }
        match self.root {
            None => {
                if !self.peers.contains_key(&from) && self.peers.len() >= MOST_LEAVES {
                    return;
                }
                self.peers.insert(from, (address, Instant::now()));
                if frame.is_empty() {
                    return self.post(address, self.id, from.0, &[]).await;
                }
                self.pass_on(from, to, frame).await;
            }
            Some(root) if address == root => {
                if frame.is_empty() {
                    self.peers.insert(from, (address, Instant::now()));
                    if !self.state.joined {
                        let signal_dbm = SIGNAL_DBM;
                        self.tell(MeshState {
                            started: true,
                            joined: true,
                            layer: 2,
                            parent: from,
                            signal_dbm,
                        });
                    }
                }
            }
            Some(_) => return,
        }
        let for_us = to == EVERYBODY || to == self.id.0 || (to == ROOT && self.root.is_none());
        if !frame.is_empty() && for_us && self.state.joined {
            // What is for everybody is heard by all alike, as from a neighbour.
            let event = match to {
                EVERYBODY => RadioEvent::NeighbourFrame(Arc::from(frame), SIGNAL_DBM),
                _ => RadioEvent::Frame(Arc::from(frame)),
            };
            let _ = self.ear.try_send(event);
        }
    }
}

fn parse(datagram: &[u8]) -> Option<(NodeId, u64, &[u8])> {
    let (head, frame) = datagram.split_at_checked(HEAD_BYTES)?;
    let number = |at: usize| Some(u64::from_le_bytes(*head.get(at..)?.first_chunk()?));
    let from = NodeId(number(4)?);
    let sound = head.starts_with(&MAGIC) && frame.len() <= MAX_FRAME_BYTES && from.known().is_some();
    (sound && from <= NodeId::MAX).then_some((from, number(12)?, frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_that_is_not_of_this_mesh_is_ignored() {
        let datagram = |from: u64, frame: &[u8]| [&MAGIC[..], &from.to_le_bytes(), &[7; 8], frame].concat();
        let good = datagram(5, b"frame");
        assert_eq!(parse(&good), Some((NodeId(5), u64::from_le_bytes([7; 8]), &b"frame"[..])));
        for length in 0..HEAD_BYTES {
            assert_eq!(parse(&good[..length]), None);
        }
        assert_eq!(parse(&datagram(0, b"")), None, "nobody");
        assert_eq!(parse(&datagram(1 << 48, b"")), None, "no MAC address");
        assert_eq!(parse(&datagram(5, &[0; MAX_FRAME_BYTES + 1])), None);
        let mut other = good;
        other[0] = b'X';
        assert_eq!(parse(&other), None);
    }
}
