//! A node on the emulated board: root or leaf, as its NVS partition says.
//!
//! Two kinds of network devices, told apart by their MAC address: one given by a manufacturer (such as Espressif's
//! 24:0A:C4) is the radio and gives the node its id, a locally administered one (QEMU's 52:54:00) is the way to the
//! router. The radio carries link frames in UDP datagrams, port 47100, to the broadcast address or to one node's
//! hardware address. Between the radios is whatever a test puts there; it writes the signal's strength into the
//! datagrams' time to live: 60 is -60 dBm.
//!
//! An image whose version ends in `-crash` panics, in `-hang` hangs, in `-sick` reports itself unhealthy, all two seconds
//! after its start: for tests of the trial. This board exists for tests.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt::Write;
use core::mem::MaybeUninit;
use rootcast_body::board::Board;
use rootcast_body::body::{self, Node, Start};
use rootcast_image::ChipId;
use rootcast_node::{Colour, ResetReason};
use rootcast_wire::NodeId;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Address, Ipv4Packet,
    Ipv4Repr, UdpPacket, UdpRepr,
};
use virt::flash::Flash;
use virt::uart::Uart;
use virt::virtio::{Nic, Random};
use virt::{clock, reset, retained, start};

#[global_allocator]
static HEAP: embedded_alloc::LlffHeap = embedded_alloc::LlffHeap::empty();

/// The node core: in static memory, so that its size is known when the program is linked.
static mut NODE: MaybeUninit<Node> = MaybeUninit::uninit();

/// The port of link frames.
const PORT: u16 = 47_100;
/// Ethernet, IPv4 and UDP in front of a link frame.
const HEADERS: usize = 14 + 20 + 8;

#[unsafe(no_mangle)]
extern "C" fn rust_main(code_address: u32) -> ! {
    clock::feed_watchdog();
    virt::uart::start_log();
    let (heap, bytes) = start::heap_range();
    // SAFETY: the linker script gives this memory to nobody else; called once.
    unsafe { HEAP.init(heap, bytes) };
    let devices = virt::virtio::find();
    log::info!("heap: {} of {bytes} B free with {} network devices", HEAP.free(), devices.nics.len());
    let (radio, uplink): (Vec<Nic>, Vec<Nic>) =
        devices.nics.into_iter().partition(|nic| nic.mac()[0] & 2 == 0);
    // SAFETY: the only driver in this program.
    let flash = unsafe { Flash::new() };
    let station =
        radio.first().map_or(0, |nic| nic.mac().iter().fold(0, |id, byte| id << 8 | u64::from(*byte)));
    let mut board = Virt {
        flash,
        radio: radio.into_iter().next(),
        uplink: uplink.into_iter().next(),
        random: devices.random,
        mischief: Mischief::None,
        deepest: 0,
    };
    let start = Start {
        chip: ChipId::VIRT,
        chip_revision: 0,
        station: NodeId(station),
        code_address,
        reset: retained::take_reset_reason(),
        believes_own_clock: true,
    };
    // SAFETY: the one reference, as this function is called once.
    let place = unsafe { &mut *(&raw mut NODE) };
    let (provisioned, node) = body::boot(&mut board, &start, place);
    let Some(node) = node else {
        let _ = writeln!(Uart, "this flash cannot be updated");
        reset::power_off()
    };
    board.mischief = Mischief::of(node.progress().running.map_or("", |facts| &facts.version));
    body::run(&mut board, &start, provisioned, node)
}

/// What a bad image does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mischief {
    None,
    Crash,
    Hang,
}

impl Mischief {
    fn of(version: &str) -> Self {
        match version {
            version if version.ends_with("-crash") => Self::Crash,
            version if version.ends_with("-hang") => Self::Hang,
            _ => Self::None,
        }
    }
}

struct Virt {
    flash: Flash,
    radio: Option<Nic>,
    uplink: Option<Nic>,
    random: Option<Random>,
    mischief: Mischief,
    deepest: usize,
}

/// When a bad image shows what it is, in milliseconds after the emulator's start.
const MISCHIEF_MS: u64 = 2_000;

impl Board for Virt {
    type Flash = Flash;
    type Uplink = Nic;

    fn now_ms(&self) -> u64 {
        clock::now_ms()
    }

    fn flash(&mut self) -> &mut Flash {
        &mut self.flash
    }

    fn fill_random(&mut self, bytes: &mut [u8]) {
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            let got = self.random.as_mut().and_then(|random| random.request_entropy(room).ok());
            match got {
                Some(count) if count > 0 => filled += count,
                // Keys made of nothing are worse than no node.
                _ => panic!("no source of randomness: start QEMU with -device virtio-rng-device"),
            }
        }
    }

    fn uplink(&mut self) -> Option<&mut Nic> {
        self.uplink.as_mut()
    }

    fn uplink_is_up(&mut self) -> bool {
        self.uplink.is_some()
    }

    fn radio_send(&mut self, to: Option<NodeId>, frame: &[u8]) {
        let Some(radio) = &mut self.radio else { return };
        let own = radio.mac();
        let to = to.map_or([0xFF; 6], mac);
        radio.send(HEADERS + frame.len(), |bytes| wrap(own, to, frame, bytes));
    }

    fn radio_receive(&mut self, into: &mut [u8]) -> Option<(NodeId, i8, usize)> {
        let radio = self.radio.as_mut()?;
        loop {
            if let Some(heard) = radio.receive(|bytes| unwrap(bytes, into))? {
                return Some(heard);
            }
        }
    }

    fn wall_clock(&mut self) -> Option<u64> {
        Some(clock::unix_s())
    }

    fn show(&mut self, colour: Colour) {
        log::info!("led {colour:?}");
    }

    fn feed_watchdog(&mut self) {
        clock::feed_watchdog();
        if self.mischief != Mischief::None && clock::now_ms() > MISCHIEF_MS {
            match self.mischief {
                Mischief::Crash => panic!("this image was made to crash"),
                _ => loop {
                    core::hint::spin_loop();
                },
            }
        }
    }

    fn free_heap(&self) -> usize {
        HEAP.free()
    }

    fn idle(&mut self, until_ms: u64) {
        let (used, of) = start::stack_use();
        if used > self.deepest {
            self.deepest = used;
            log::info!("stack: {used} of {of} B used at most");
        }
        // Nothing wakes us when a packet arrives: short naps.
        clock::sleep_until(until_ms.min(clock::now_ms() + 1));
    }

    fn restart(&mut self) -> ! {
        reset::restart(ResetReason::Software)
    }
}

fn mac(id: NodeId) -> [u8; 6] {
    let bytes = id.0.to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// An address that belongs to a hardware address, for those who look at the datagrams.
fn address(mac: [u8; 6]) -> Ipv4Address {
    if mac == [0xFF; 6] { Ipv4Address::BROADCAST } else { Ipv4Address::new(169, 254, mac[4], mac[5]) }
}

fn wrap(from: [u8; 6], to: [u8; 6], frame: &[u8], bytes: &mut [u8]) {
    let checksums = ChecksumCapabilities::default();
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(from),
        dst_addr: EthernetAddress(to),
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut ethernet_frame = EthernetFrame::new_unchecked(bytes);
    ethernet.emit(&mut ethernet_frame);
    let udp = UdpRepr { src_port: PORT, dst_port: PORT };
    let ip = Ipv4Repr {
        src_addr: address(from),
        dst_addr: address(to),
        next_header: IpProtocol::Udp,
        payload_len: 8 + frame.len(),
        hop_limit: 64,
    };
    let mut packet = Ipv4Packet::new_unchecked(ethernet_frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let (source, target) = (ip.src_addr.into(), ip.dst_addr.into());
    udp.emit(&mut datagram, &source, &target, frame.len(), |room| room.copy_from_slice(frame), &checksums);
}

fn unwrap(bytes: &[u8], into: &mut [u8]) -> Option<(NodeId, i8, usize)> {
    let ethernet = EthernetFrame::new_checked(bytes).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if packet.next_header() != IpProtocol::Udp {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    if datagram.dst_port() != PORT {
        return None;
    }
    let frame = datagram.payload();
    into.get_mut(..frame.len())?.copy_from_slice(frame);
    let from = ethernet.src_addr().0.iter().fold(0, |id, byte| id << 8 | u64::from(*byte));
    Some((NodeId(from), -(packet.hop_limit().min(127) as i8), frame.len()))
}
