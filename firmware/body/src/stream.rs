//! One connection after the other, plain or TLS, between the network and whoever wants bytes carried.
//!
//! [`Port`] is the near end: the body's loop asks for a connection, gives bytes, takes events. [`carry`] is the far end:
//! a future without end that makes the connections. Both sides are polled by the one loop, so plain cells are enough.

use crate::net::{Line, Net, Tcp};
use crate::tls::{self, Provider, Roots};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::{Read, Write};
use embedded_tls::{Aes128GcmSha256, TlsConfig, TlsConnection, TlsContext};
use rand_chacha::ChaCha12Rng;
use rootcast_wire::ErrorCode;

/// Bytes handed over at a time.
const CHUNK_BYTES: usize = 2 * 1024;
/// Bytes that may wait to be sent.
const MAX_WAITING_BYTES: usize = 8 * 1024;

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to speak TLS and verify the server.
    pub tls: bool,
}

/// What a connection has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// It stands; with TLS: the server is verified.
    Connected,
    /// Bytes have come.
    Data(Vec<u8>),
    /// The other side has closed it.
    Closed,
    /// It could not be made or kept.
    Failed(ErrorCode),
}

/// The near end of a line.
#[derive(Default)]
pub struct Port(RefCell<State>);

#[derive(Default)]
struct State {
    wanted: Option<Target>,
    /// Rises whenever the wanted connection changes: an older one is given up.
    generation: u32,
    waiting: Vec<u8>,
    event: Option<(u32, Event)>,
}

impl Port {
    /// Asks for a connection; one that is open is given up.
    pub fn connect(&self, target: Target) {
        let mut state = self.0.borrow_mut();
        state.generation = state.generation.wrapping_add(1);
        state.wanted = Some(target);
        state.waiting.clear();
    }

    /// Gives the connection up.
    pub fn close(&self) {
        let mut state = self.0.borrow_mut();
        state.generation = state.generation.wrapping_add(1);
        state.wanted = None;
        state.waiting.clear();
    }

    /// Gives bytes to send. What does not fit is not taken: the connection then ends in an error of the protocol above.
    pub fn send(&self, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        let room = MAX_WAITING_BYTES.saturating_sub(state.waiting.len());
        state.waiting.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or(&[]));
    }

    /// Bytes that may be given to [`Port::send`].
    pub fn room(&self) -> usize {
        MAX_WAITING_BYTES.saturating_sub(self.0.borrow().waiting.len())
    }

    /// The next event of the connection that is wanted.
    pub fn take_event(&self) -> Option<Event> {
        let mut state = self.0.borrow_mut();
        let (generation, event) = state.event.take()?;
        (generation == state.generation).then_some(event)
    }

    fn is_current(&self, generation: u32) -> bool {
        self.0.borrow().generation == generation
    }

    /// Waits until a connection is wanted.
    async fn next_target(&self) -> (u32, Target) {
        poll_fn(|_| {
            let mut state = self.0.borrow_mut();
            match state.wanted.take() {
                Some(target) => Poll::Ready((state.generation, target)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Waits until the last event was taken, then leaves this one.
    async fn tell(&self, generation: u32, event: Event) {
        let mut event = Some(event);
        poll_fn(|_| {
            let mut state = self.0.borrow_mut();
            if state.event.is_some() {
                return Poll::Pending;
            }
            state.event = event.take().map(|event| (generation, event));
            Poll::Ready(())
        })
        .await;
    }

    /// Waits for bytes to send.
    async fn next_bytes(&self) -> Vec<u8> {
        poll_fn(|_| {
            let mut state = self.0.borrow_mut();
            if state.waiting.is_empty() {
                return Poll::Pending;
            }
            let count = state.waiting.len().min(CHUNK_BYTES);
            Poll::Ready(state.waiting.drain(..count).collect())
        })
        .await
    }
}

/// What every connection needs.
pub struct Means<'a> {
    /// The network.
    pub net: &'a Net,
    /// Whom servers are verified against.
    pub roots: &'a Roots,
    /// Seconds since 1970, once known.
    pub unix_s: &'a Cell<Option<u64>>,
    /// Random numbers, seeded from hardware.
    pub random: &'a RefCell<ChaCha12Rng>,
}

/// Makes the connections that `port` asks for, one after the other, for ever.
pub async fn carry(line: Line, port: &Port, means: &Means<'_>) {
    loop {
        let (generation, target) = port.next_target().await;
        let connection = one(line, port, means, generation, &target);
        let end = while_current(port, generation, connection).await;
        // Good manners towards a server that is not asked any more; a new connection begins with a clean socket.
        means.net.drop_line(line);
        match end {
            None => {}
            Some(Ok(())) => port.tell(generation, Event::Closed).await,
            Some(Err(code)) => port.tell(generation, Event::Failed(code)).await,
        }
    }
}

/// Runs a future until it ends or its connection is not wanted any more.
async fn while_current<T>(port: &Port, generation: u32, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if !port.is_current(generation) {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}

async fn one(
    line: Line,
    port: &Port,
    means: &Means<'_>,
    generation: u32,
    target: &Target,
) -> Result<(), ErrorCode> {
    // Without a trusted time no certificate's validity can be checked: not even a connection is made.
    let now_unix = if target.tls { means.unix_s.get().ok_or(ErrorCode::ClockNotSet)? } else { 0 };
    let address = means.net.resolve(&target.host).await?;
    let tcp = means.net.connect(line, address, target.port).await?;
    if target.tls {
        over_tls(tcp, port, means, generation, target, now_unix).await
    } else {
        port.tell(generation, Event::Connected).await;
        both_ways(&mut tcp.clone(), &mut tcp.clone(), port, generation).await
    }
}

async fn over_tls(
    tcp: Tcp<'_>,
    port: &Port,
    means: &Means<'_>,
    generation: u32,
    target: &Target,
    now_unix: u64,
) -> Result<(), ErrorCode> {
    let mut read_buffer = vec![0; tls::READ_BUFFER_BYTES];
    let mut write_buffer = vec![0; tls::WRITE_BUFFER_BYTES];
    let verdict = Cell::new(None);
    let is_name = target.host.parse::<core::net::IpAddr>().is_err();
    let mut config = TlsConfig::new().enable_rsa_signatures();
    if is_name {
        config = config.with_server_name(&target.host);
    }
    let random = tls::fork(&mut means.random.borrow_mut());
    let provider = Provider::new(random, means.roots, target.host.clone(), now_unix, &verdict);
    let mut connection: TlsConnection<'_, Tcp<'_>, Aes128GcmSha256> =
        TlsConnection::new(tcp, &mut read_buffer, &mut write_buffer);
    // Boxed: the handshake's state is large, and most of a connection's life is after it.
    let opened = Box::pin(connection.open(TlsContext::new(&config, provider))).await;
    if let Err(error) = opened {
        log::warn!("tls: {}: {error:?}", target.host);
        return Err(verdict.get().unwrap_or(ErrorCode::TlsFailed));
    }
    port.tell(generation, Event::Connected).await;
    let (mut reader, mut writer) = connection.split();
    both_ways(&mut reader, &mut writer, port, generation).await
}

/// Carries bytes until one side has ended it.
async fn both_ways(
    reader: &mut impl Read,
    writer: &mut impl Write,
    port: &Port,
    generation: u32,
) -> Result<(), ErrorCode> {
    let mut inward = pin!(async {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match reader.read(&mut chunk).await {
                // TLS says so when the other side has said goodbye.
                Ok(0) => return Ok(()),
                Ok(count) => {
                    port.tell(generation, Event::Data(chunk.get(..count).unwrap_or(&[]).to_vec())).await
                }
                Err(error) => {
                    log::debug!("stream: {error:?}");
                    return Ok(());
                }
            }
        }
    });
    let mut outward = pin!(async {
        loop {
            let bytes = port.next_bytes().await;
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return Err(ErrorCode::ConnectionLost);
            }
        }
    });
    poll_fn(|context| {
        if let Poll::Ready(end) = inward.as_mut().poll(context) {
            return Poll::Ready(end);
        }
        outward.as_mut().poll(context)
    })
    .await
}
