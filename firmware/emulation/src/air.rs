//! The air between the radios: every frame that a board sends comes here and goes on to whoever hears it.
//!
//! QEMU's `dgram` network carries each Ethernet frame in one UDP datagram on loopback. The strength of the signal is
//! written into the IP header's time to live, where the board reads it.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Who hears whom, and how well.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Signal in dBm, by sender and hearer. Who is not in here is out of range.
    pub signal_dbm: HashMap<(u64, u64), i8>,
    /// Frames lost of a hundred.
    pub loss_percent: u8,
}

impl Links {
    /// Makes two boards hear each other.
    pub fn join(&mut self, a: u64, b: u64, signal_dbm: i8) {
        self.signal_dbm.insert((a, b), signal_dbm);
        self.signal_dbm.insert((b, a), signal_dbm);
    }
}

/// The air.
pub struct Air {
    /// Who hears whom; may be changed at any time.
    pub links: Arc<Mutex<Links>>,
    /// Frames carried so far, one for each hearer.
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    ports: HashMap<u64, (u16, u16)>,
}

impl Air {
    /// Opens the air for these boards. Losses follow `seed`.
    ///
    /// # Errors
    /// When loopback has no free ports.
    pub fn open(ids: &[u64], links: Links, seed: u64) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let air = socket.local_addr()?.port();
        let mut ports = HashMap::new();
        for id in ids {
            // Found free now; QEMU binds it in a moment.
            let own = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            ports.insert(*id, (own, air));
        }
        let links = Arc::new(Mutex::new(links));
        let stop = Arc::new(AtomicBool::new(false));
        let carrier = Carrier {
            socket,
            links: Arc::clone(&links),
            stop: Arc::clone(&stop),
            boards: ports
                .iter()
                .map(|(id, (own, _))| (SocketAddr::from((Ipv4Addr::LOCALHOST, *own)), *id))
                .collect(),
            random: seed | 1,
        };
        let thread = Some(thread::spawn(move || carrier.run()));
        Ok(Self { links, stop, thread, ports })
    }

    /// The UDP ports of a board's radio: its own, and the air's.
    pub fn ports(&self, id: u64) -> (u16, u16) {
        self.ports.get(&id).copied().unwrap_or_default()
    }
}

impl Drop for Air {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Carrier {
    socket: UdpSocket,
    links: Arc<Mutex<Links>>,
    stop: Arc<AtomicBool>,
    boards: HashMap<SocketAddr, u64>,
    random: u64,
}

impl Carrier {
    fn run(mut self) {
        let mut frame = [0; 2048];
        while !self.stop.load(Ordering::Relaxed) {
            if let Ok((length, from)) = self.socket.recv_from(&mut frame)
                && let Some(sender) = self.boards.get(&from).copied()
                && let Some(frame) = frame.get_mut(..length).filter(|frame| frame.len() >= 34)
            {
                self.carry(sender, frame);
            }
        }
    }

    fn carry(&mut self, sender: u64, frame: &mut [u8]) {
        let to = frame[..6].iter().fold(0, |id, byte| id << 8 | u64::from(*byte));
        let links = self.links.lock().map(|links| links.clone()).unwrap_or_default();
        let boards: Vec<_> = self.boards.iter().map(|(address, id)| (*address, *id)).collect();
        for (address, hearer) in boards {
            let Some(signal) = links.signal_dbm.get(&(sender, hearer)) else { continue };
            // The broadcast address, or this board's own.
            if (to != 0xFFFF_FFFF_FFFF && to != hearer) || self.draw() % 100 < u64::from(links.loss_percent) {
                continue;
            }
            set_time_to_live(frame, signal.unsigned_abs());
            let _ = self.socket.send_to(frame, address);
        }
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// Changes the time to live, and the header's checksum with it.
fn set_time_to_live(frame: &mut [u8], ttl: u8) {
    let header = &mut frame[14..34];
    header[8] = ttl;
    header[10..12].fill(0);
    let words = header.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    let folded = (folded & 0xFFFF) + (folded >> 16);
    header[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}
