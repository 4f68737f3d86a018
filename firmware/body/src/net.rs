//! The way out of the mesh: Ethernet or Wi-Fi below, DHCP, DNS and TCP by smoltcp, as futures that the body's loop polls.
//!
//! Nothing wakes anybody: the loop polls network and futures in turn, and sleeps until the next deadline.

use alloc::vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use rootcast_wire::ErrorCode;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::{dhcpv4, dns, tcp, udp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DnsQueryType, EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv4Cidr,
};

/// Bytes of a download's receive window: what a server may send ahead while a page is written.
const DOWNLOAD_WINDOW_BYTES: usize = 12 * 1024;
/// Bytes of the broker's receive window.
const BROKER_WINDOW_BYTES: usize = 3 * 1024;
/// Bytes of a send buffer.
const SEND_BYTES: usize = 4 * 1024;
/// How long a connection may take to be made, and how long a silent one is kept.
const TCP_PATIENCE: Duration = Duration::from_secs(20);

/// The port that time servers answer to.
const TIME_CLIENT_PORT: u16 = 50_123;

/// The two connections that a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// To the firmware server.
    Download,
    /// To the broker.
    Broker,
}

struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    random: u16,
    address: Option<Ipv4Cidr>,
    /// The time server's name is being looked up.
    time_query: Option<dns::QueryHandle>,
}

/// The network.
pub struct Net {
    stack: RefCell<Stack>,
    dhcp: SocketHandle,
    dns: SocketHandle,
    time: SocketHandle,
    lines: [SocketHandle; 2],
}

impl Net {
    /// The network on a device with this MAC address. `seed` is random.
    pub fn new(device: &mut impl Device, mac: [u8; 6], seed: u64, now_ms: u64) -> Self {
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        config.random_seed = seed;
        let interface = Interface::new(config, device, instant(now_ms));
        let mut sockets = SocketSet::new(vec![]);
        let tcp = |window: usize| {
            let mut socket = tcp::Socket::new(
                tcp::SocketBuffer::new(vec![0; window]),
                tcp::SocketBuffer::new(vec![0; SEND_BYTES]),
            );
            socket.set_timeout(Some(TCP_PATIENCE));
            socket.set_keep_alive(Some(Duration::from_secs(10)));
            socket.set_nagle_enabled(false);
            socket
        };
        let lines = [sockets.add(tcp(DOWNLOAD_WINDOW_BYTES)), sockets.add(tcp(BROKER_WINDOW_BYTES))];
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 2], vec![0; 128]);
        let time = sockets.add(udp::Socket::new(buffer(), buffer()));
        let dhcp = sockets.add(dhcpv4::Socket::new());
        let dns = sockets.add(dns::Socket::new(&[], vec![]));
        let stack = Stack { interface, sockets, random: seed as u16, address: None, time_query: None };
        Self { stack: RefCell::new(stack), dhcp, dns, time, lines }
    }

    /// Lets the network do what is due. To be called often.
    pub fn poll(&self, device: &mut impl Device, now_ms: u64) {
        let stack = &mut *self.stack.borrow_mut();
        let _ = stack.interface.poll(instant(now_ms), device, &mut stack.sockets);
        match stack.sockets.get_mut::<dhcpv4::Socket>(self.dhcp).poll() {
            None => {}
            Some(dhcpv4::Event::Configured(lease)) => {
                let dns = lease.dns_servers.first().copied().unwrap_or(Ipv4Address::UNSPECIFIED);
                let router = lease.router.unwrap_or(Ipv4Address::UNSPECIFIED);
                log::info!("net: address {}, router {router}, dns {dns}", lease.address);
                let address = lease.address;
                stack.address = Some(address);
                stack.interface.update_ip_addrs(|addresses| {
                    addresses.clear();
                    let _ = addresses.push(IpCidr::Ipv4(address));
                });
                let routes = stack.interface.routes_mut();
                match lease.router {
                    Some(router) => drop(routes.add_default_ipv4_route(router)),
                    None => drop(routes.remove_default_ipv4_route()),
                }
                let servers: heapless::Vec<IpAddress, 3> =
                    lease.dns_servers.iter().take(3).map(|server| IpAddress::Ipv4(*server)).collect();
                stack.sockets.get_mut::<dns::Socket>(self.dns).update_servers(&servers);
            }
            Some(dhcpv4::Event::Deconfigured) => {
                if stack.address.take().is_some() {
                    log::warn!("net: address lost");
                }
                stack.interface.update_ip_addrs(|addresses| addresses.clear());
                stack.interface.routes_mut().remove_default_ipv4_route();
            }
        }
    }

    /// When [`Net::poll`] has something to do even if nothing arrives.
    pub fn deadline(&self, now_ms: u64) -> Option<u64> {
        let stack = &mut *self.stack.borrow_mut();
        let at = stack.interface.poll_at(instant(now_ms), &stack.sockets)?;
        Some(u64::try_from(at.total_millis()).unwrap_or(0))
    }

    /// Whether there is an address.
    pub fn is_up(&self) -> bool {
        self.stack.borrow().address.is_some()
    }

    /// The Wi-Fi is gone or back: asks for an address anew.
    pub fn restart(&self) {
        let stack = &mut *self.stack.borrow_mut();
        stack.sockets.get_mut::<dhcpv4::Socket>(self.dhcp).reset();
    }

    /// The address of a host by its name, or by itself where it is an address.
    ///
    /// # Errors
    /// [`ErrorCode::DnsFailed`].
    pub async fn resolve(&self, host: &str) -> Result<IpAddress, ErrorCode> {
        if let Ok(address) = host.parse::<core::net::Ipv4Addr>() {
            return Ok(IpAddress::Ipv4(address));
        }
        let query = {
            let Stack { interface, sockets, .. } = &mut *self.stack.borrow_mut();
            let socket = sockets.get_mut::<dns::Socket>(self.dns);
            socket
                .start_query(interface.context(), host, DnsQueryType::A)
                .map_err(|_| ErrorCode::DnsFailed)?
        };
        let mut guard = Query { net: self, query: Some(query) };
        poll_fn(|_| {
            let mut stack = self.stack.borrow_mut();
            match stack.sockets.get_mut::<dns::Socket>(self.dns).get_query_result(query) {
                Err(dns::GetQueryResultError::Pending) => Poll::Pending,
                answer => {
                    // smoltcp has taken the query's place back.
                    guard.query = None;
                    let first = answer.ok().and_then(|addresses| addresses.first().copied());
                    Poll::Ready(first.ok_or(ErrorCode::DnsFailed))
                }
            }
        })
        .await
    }

    /// Opens a TCP connection. An earlier one of this line is dropped.
    ///
    /// # Errors
    /// [`ErrorCode::ConnectFailed`].
    pub async fn connect(&self, line: Line, address: IpAddress, port: u16) -> Result<Tcp<'_>, ErrorCode> {
        let handle = self.lines[line as usize];
        {
            let stack = &mut *self.stack.borrow_mut();
            stack.random = stack.random.wrapping_mul(25_173).wrapping_add(13_849);
            let local = 49_152 + stack.random % 16_384;
            let socket = stack.sockets.get_mut::<tcp::Socket>(handle);
            socket.abort();
            socket
                .connect(stack.interface.context(), IpEndpoint::new(address, port), local)
                .map_err(|_| ErrorCode::ConnectFailed)?;
        }
        let tcp = Tcp { net: self, handle };
        poll_fn(|_| {
            let mut stack = self.stack.borrow_mut();
            match stack.sockets.get_mut::<tcp::Socket>(handle).state() {
                tcp::State::Established => Poll::Ready(Ok(())),
                tcp::State::SynSent => Poll::Pending,
                _ => Poll::Ready(Err(ErrorCode::ConnectFailed)),
            }
        })
        .await?;
        Ok(tcp)
    }

    /// Drops the connection of a line at once.
    pub fn drop_line(&self, line: Line) {
        self.stack.borrow_mut().sockets.get_mut::<tcp::Socket>(self.lines[line as usize]).abort();
    }

    /// Asks a time server. A name is looked up first: the question then goes out at one of the next calls.
    pub fn ask_time(&self, host: &str, port: u16, question: &[u8]) {
        let Some(address) = self.look_up(host) else { return };
        let mut stack = self.stack.borrow_mut();
        let socket = stack.sockets.get_mut::<udp::Socket>(self.time);
        if socket.is_open() || socket.bind(TIME_CLIENT_PORT).is_ok() {
            // Lost like any datagram: the caller asks again.
            let _ = socket.send_slice(question, IpEndpoint::new(address, port));
        }
    }

    fn look_up(&self, host: &str) -> Option<IpAddress> {
        if let Ok(address) = host.parse::<core::net::Ipv4Addr>() {
            return Some(IpAddress::Ipv4(address));
        }
        let Stack { interface, sockets, time_query, .. } = &mut *self.stack.borrow_mut();
        let socket = sockets.get_mut::<dns::Socket>(self.dns);
        let query = match time_query {
            Some(query) => *query,
            None => *time_query.insert(socket.start_query(interface.context(), host, DnsQueryType::A).ok()?),
        };
        match socket.get_query_result(query) {
            Err(dns::GetQueryResultError::Pending) => None,
            answer => {
                *time_query = None;
                answer.ok().and_then(|addresses| addresses.first().copied())
            }
        }
    }

    /// A datagram that came back, cut to the room given.
    pub fn receive_datagram(&self, into: &mut [u8]) -> Option<usize> {
        let mut stack = self.stack.borrow_mut();
        let socket = stack.sockets.get_mut::<udp::Socket>(self.time);
        socket.recv_slice(into).ok().map(|(length, _)| length)
    }
}

/// A DNS query that is cancelled when its future is dropped.
struct Query<'a> {
    net: &'a Net,
    query: Option<dns::QueryHandle>,
}

impl Drop for Query<'_> {
    fn drop(&mut self) {
        if let Some(query) = self.query.take() {
            let mut stack = self.net.stack.borrow_mut();
            stack.sockets.get_mut::<dns::Socket>(self.net.dns).cancel_query(query);
        }
    }
}

fn instant(milliseconds: u64) -> Instant {
    Instant::from_millis(i64::try_from(milliseconds).unwrap_or(i64::MAX))
}

/// A TCP connection.
#[derive(Clone)]
pub struct Tcp<'a> {
    net: &'a Net,
    handle: SocketHandle,
}

impl ErrorType for Tcp<'_> {
    type Error = ErrorKind;
}

impl Read for Tcp<'_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| {
            let mut stack = self.net.stack.borrow_mut();
            let socket = stack.sockets.get_mut::<tcp::Socket>(self.handle);
            if socket.can_recv() {
                return Poll::Ready(socket.recv_slice(into).map_err(|_| ErrorKind::ConnectionReset));
            }
            if socket.may_recv() {
                return Poll::Pending;
            }
            // Closed in good order by the other side, or lost.
            let closed = matches!(socket.state(), tcp::State::CloseWait | tcp::State::TimeWait);
            Poll::Ready(if closed { Ok(0) } else { Err(ErrorKind::ConnectionReset) })
        })
        .await
    }
}

impl Write for Tcp<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| {
            let mut stack = self.net.stack.borrow_mut();
            let socket = stack.sockets.get_mut::<tcp::Socket>(self.handle);
            if socket.can_send() {
                return Poll::Ready(socket.send_slice(bytes).map_err(|_| ErrorKind::ConnectionReset));
            }
            if socket.may_send() { Poll::Pending } else { Poll::Ready(Err(ErrorKind::ConnectionReset)) }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
