//! Processes of `rootcast node` in the mesh of emulated boards.
//!
//! A process speaks the unprotected datagrams of a mesh on one machine (`rootcast_world::body::sockets::udp`, where the
//! layout stands) and takes the bridge for its root. On the air the bridge is one radio for each process: the same link
//! code as a board's ([`rootcast_body::mesh`]), with the mesh's key. A process has its place in the mesh while its radio
//! has one.

use rootcast_body::mesh::{Heard, MAX_LINK_FRAME_BYTES, Mesh, MeshKey};
use rootcast_node::{Destination, Instant};
use rootcast_wire::NodeId;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Clock};

const MAGIC: [u8; 4] = *b"RCU1";
const HEAD_BYTES: usize = 20;
const TO_ROOT: u64 = 0;
const TO_EVERYBODY: u64 = u64::MAX;
/// Ethernet, IPv4 and UDP in front of a link frame.
const LINK_HEADERS: usize = 14 + 20 + 8;
/// The port of link frames.
const LINK_PORT: u16 = 47_100;

/// The bridge, until it is dropped.
pub struct Bridge {
    /// Where processes find their root.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A process's radio.
pub struct Radio {
    /// The process's node id.
    pub id: u64,
    /// UDP ports: the radio's own, and the air's.
    pub ports: (u16, u16),
}

impl Bridge {
    /// Opens the bridge between `root`'s mesh with this key and processes with these radios.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub fn open(root: u64, key: &[u8; 32], radios: &[Radio]) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let members = radios.iter().map(|radio| Member::open(radio, key)).collect::<io::Result<Vec<_>>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let carrier = Carrier { root, socket, members, begin: Clock::now() };
        let until = Arc::clone(&stop);
        let thread = Some(thread::spawn(move || carrier.run(&until)));
        Ok(Self { address, stop, thread })
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Member {
    id: NodeId,
    mesh: Mesh,
    radio: UdpSocket,
    air: SocketAddr,
    /// Where the process was heard from last.
    process: Option<SocketAddr>,
}

impl Member {
    fn open(radio: &Radio, key: &[u8; 32]) -> io::Result<Self> {
        let (own, air) = radio.ports;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, own))?;
        socket.set_nonblocking(true)?;
        let id = NodeId(radio.id);
        let mesh = Mesh::new(id, false, MeshKey::new(key), radio.id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Ok(Self { id, mesh, radio: socket, air: SocketAddr::from((Ipv4Addr::LOCALHOST, air)), process: None })
    }
}

struct Carrier {
    root: u64,
    socket: UdpSocket,
    members: Vec<Member>,
    begin: Clock,
}

impl Carrier {
    fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let mut busy = self.hear_processes();
            for index in 0..self.members.len() {
                busy |= self.hear_air(index);
                busy |= self.speak(index);
            }
            if !busy {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn now(&self) -> Instant {
        Instant(u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(0))
    }

    fn hear_processes(&mut self) -> bool {
        let (mut bytes, mut busy) = ([0; 2048], false);
        // A few at a time: what a radio is given waits in a short queue.
        for _ in 0..4 {
            let Ok((length, from)) = self.socket.recv_from(&mut bytes) else { break };
            busy = true;
            let now = self.now();
            let Some((head, frame)) = bytes[..length].split_first_chunk::<HEAD_BYTES>() else { continue };
            let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap_or_default());
            let (sender, to) = (number(4), number(12));
            let Some(member) = self.members.iter_mut().find(|member| member.id.0 == sender) else { continue };
            if !head.starts_with(&MAGIC) {
                continue;
            }
            member.process = Some(from);
            if !frame.is_empty() {
                let to = match to {
                    TO_ROOT => Destination::Root,
                    TO_EVERYBODY => Destination::Neighbours,
                    node => Destination::Node(NodeId(node)),
                };
                member.mesh.send(now, to, frame);
            } else if member.mesh.state().joined {
                let _ = self.socket.send_to(&datagram(self.root, sender, &[]), from);
            }
        }
        busy
    }

    fn hear_air(&mut self, index: usize) -> bool {
        let (now, root) = (self.now(), self.root);
        let Some(member) = self.members.get_mut(index) else { return false };
        let (mut bytes, mut busy) = ([0; 2048], false);
        while let Ok(length) = member.radio.recv(&mut bytes) {
            busy = true;
            let Some((from, signal_dbm, frame)) = unwrap(&mut bytes[..length]) else { continue };
            let Heard::Frame { bytes, signal_dbm } = member.mesh.heard(now, from, signal_dbm, frame) else {
                continue;
            };
            // A process takes what is for everybody as heard from a neighbour.
            let to = if signal_dbm.is_some() { TO_EVERYBODY } else { member.id.0 };
            if let Some(process) = member.process {
                let _ = self.socket.send_to(&datagram(root, to, bytes), process);
            }
        }
        busy
    }

    fn speak(&mut self, index: usize) -> bool {
        let now = self.now();
        let Some(member) = self.members.get_mut(index) else { return false };
        if member.mesh.deadline() <= now {
            member.mesh.handle_timeout(now);
        }
        let mut busy = false;
        while let Some(outgoing) = member.mesh.poll(now) {
            busy = true;
            let _ = member.radio.send_to(&wrap(member.id, outgoing.to, &outgoing.frame), member.air);
        }
        busy
    }
}

fn datagram(from: u64, to: u64, frame: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &from.to_le_bytes(), &to.to_le_bytes(), frame].concat()
}

/// A link frame as the boards' radios carry it: in UDP, IPv4 and Ethernet.
fn wrap(from: NodeId, to: Option<NodeId>, frame: &[u8]) -> Vec<u8> {
    let mac = |id: NodeId| id.0.to_be_bytes()[2..].to_vec();
    let address = |id: NodeId| [169, 254, id.0.to_be_bytes()[6], id.0.to_be_bytes()[7]];
    let length = |more: usize| u16::try_from(more + frame.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = to.map_or(vec![0xFF; 6], mac);
    bytes.extend(mac(from));
    bytes.extend([0x08, 0x00]);
    // The header's checksum and the time to live are the air's to set.
    bytes.extend([0x45, 0]);
    bytes.extend(length(20 + 8));
    bytes.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    bytes.extend(address(from));
    bytes.extend(to.map_or([255; 4], address));
    for port in [LINK_PORT, LINK_PORT] {
        bytes.extend(port.to_be_bytes());
    }
    bytes.extend(length(8));
    // RFC 768: no checksum.
    bytes.extend([0, 0]);
    bytes.extend_from_slice(frame);
    bytes
}

/// Sender, signal and link frame of what the air brings.
fn unwrap(bytes: &mut [u8]) -> Option<(NodeId, i8, &mut [u8])> {
    let (head, frame) = bytes.split_first_chunk_mut::<LINK_HEADERS>()?;
    let from = head[6..12].iter().fold(0, |id, byte| id << 8 | u64::from(*byte));
    let is_link = head[12..14] == [8, 0] && head[23] == 17 && head[36..38] == LINK_PORT.to_be_bytes();
    let is_short = frame.len() <= MAX_LINK_FRAME_BYTES;
    (is_link && is_short).then(|| (NodeId(from), -(head[22].min(127) as i8), frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_comes_out_as_it_went_in() {
        let mut bytes = wrap(NodeId(0x240A_C400_0007), None, b"a link frame");
        assert_eq!(bytes.len(), LINK_HEADERS + 12);
        let (from, signal_dbm, frame) = unwrap(&mut bytes).unwrap();
        assert_eq!((from.0, signal_dbm, &frame[..]), (0x240A_C400_0007, -64, &b"a link frame"[..]));
        assert!(unwrap(&mut bytes[..LINK_HEADERS - 1]).is_none());
        bytes[36] = 0;
        assert!(unwrap(&mut bytes).is_none(), "another port");
    }
}
