//! virtio over MMIO: network devices and a source of randomness.

use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use virtio_drivers::device::net::VirtIONet;
use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

const FIRST: usize = 0x1000_1000;
const STEP: usize = 0x1000;
const COUNT: usize = 8;
/// Packets in each direction.
const QUEUE: usize = 8;
/// Room for an Ethernet frame and virtio's header.
const PACKET_BYTES: usize = 1536 + 16;

/// Memory that devices reach: all of it, at its own addresses.
pub struct Memory;

// SAFETY: one address space without translation; pages come zeroed and aligned from the heap.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: the layout's size is not zero.
        let memory = Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).ok();
        let pointer = memory.and_then(|layout| NonNull::new(unsafe { alloc_zeroed(layout) }));
        match pointer {
            Some(pointer) => (pointer.as_ptr() as PhysAddr, pointer),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        if let Ok(layout) = Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE) {
            // SAFETY: allocated by `dma_alloc` with this layout.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as usize as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// A random number generator.
pub type Random = VirtIORng<Memory, MmioTransport<'static>>;

/// A network device.
pub struct Nic(VirtIONet<Memory, MmioTransport<'static>, QUEUE>);

/// What is plugged in.
#[derive(Default)]
pub struct Devices {
    /// Network devices.
    pub nics: Vec<Nic>,
    /// The source of randomness.
    pub random: Option<Random>,
}

/// Looks at every slot of the machine.
pub fn find() -> Devices {
    let mut devices = Devices::default();
    for index in 0..COUNT {
        let header = NonNull::new((FIRST + index * STEP) as *mut VirtIOHeader);
        // SAFETY: the machine's virtio slots; each is opened once.
        let transport = header.and_then(|header| unsafe { MmioTransport::new(header, STEP) }.ok());
        let Some(transport) = transport else { continue };
        match transport.device_type() {
            DeviceType::Network => {
                if let Ok(nic) = VirtIONet::new(transport, PACKET_BYTES) {
                    devices.nics.push(Nic(nic));
                }
            }
            DeviceType::EntropySource => devices.random = VirtIORng::new(transport).ok(),
            _ => {}
        }
    }
    devices
}

impl Nic {
    /// Its MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.0.mac_address()
    }

    /// Sends a frame that is made in the buffer it leaves from.
    pub fn send<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut buffer = self.0.new_tx_buffer(length);
        let result = fill(buffer.packet_mut());
        if self.0.send(buffer).is_err() {
            log::warn!("nic: packet not sent");
        }
        result
    }

    /// The next frame that has arrived.
    pub fn receive<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let buffer = self.0.receive().ok()?;
        let result = take(buffer.packet());
        let _ = self.0.recycle_rx_buffer(buffer);
        Some(result)
    }
}

impl Device for Nic {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Room<'_>)> {
        let bytes = Nic::receive(self, <[u8]>::to_vec)?;
        Some((Received(bytes), Room(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        self.0.can_send().then_some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities.max_burst_size = Some(QUEUE);
        capabilities
    }
}

/// A frame that has arrived.
pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

/// Room for a frame to send.
pub struct Room<'a>(&'a mut Nic);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        self.0.send(length, fill)
    }
}
