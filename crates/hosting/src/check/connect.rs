//! Name, connection, handshake: three steps to a stream, with the certificates left for judgement.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rootcast_node::fetch::Url;
use rootcast_wire::ErrorCode;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};

use super::options::CheckOptions;
use super::report::{Notes, StepId, warning};
use super::tls::{Offer, Shaken, shake};

const DNS_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream, secured or not.
pub(super) enum Stream {
    Plain(TcpStream),
    Secure(Box<Shaken>),
}

impl Stream {
    /// The certificates of a secured stream.
    pub(super) fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Plain(_) => None,
            Self::Secure(shaken) => Some(&shaken.chain),
        }
    }
}

/// Opens a stream to a URL's host and notes each step; nothing if it cannot be had.
pub(super) async fn open(url: &Url, options: &CheckOptions, notes: &mut Notes<'_>) -> Option<Stream> {
    let addresses = find(url, options, notes).await?;
    let stream = reach(&addresses, notes).await?;
    if !url.is_https() {
        return Some(Stream::Plain(stream));
    }
    secure(stream, url, &addresses, notes).await.map(|shaken| Stream::Secure(Box::new(shaken)))
}

/// Opens a stream again, without notes.
pub(super) async fn reopen(url: &Url, options: &CheckOptions) -> io::Result<Stream> {
    let addresses = lookup(url, options).await?;
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&*addresses)).await??;
    if !url.is_https() {
        return Ok(Stream::Plain(stream));
    }
    match shake(stream, url.host(), Offer::Node).await {
        Ok(shaken) => Ok(Stream::Secure(Box::new(shaken))),
        Err(_) => {
            let stream = TcpStream::connect(&*addresses).await?;
            shake(stream, url.host(), Offer::Tls12).await.map(|shaken| Stream::Secure(Box::new(shaken)))
        }
    }
}

async fn lookup(url: &Url, options: &CheckOptions) -> io::Result<Vec<SocketAddr>> {
    if let Some((_, address)) = options.resolve.iter().find(|(name, _)| name.eq_ignore_ascii_case(url.host()))
    {
        return Ok(vec![*address]);
    }
    let found = tokio::time::timeout(DNS_TIMEOUT, lookup_host((url.host(), url.port()))).await??;
    Ok(found.collect())
}

async fn find(url: &Url, options: &CheckOptions, notes: &mut Notes<'_>) -> Option<Vec<SocketAddr>> {
    let host = url.host();
    let addresses = match lookup(url, options).await {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) => {
            notes.fail(StepId::Dns, ErrorCode::DnsFailed, format!("{host} has no address"));
            return None;
        }
        Err(error) => {
            notes.fail(StepId::Dns, ErrorCode::DnsFailed, format!("{host} is not found: {error}"));
            return None;
        }
    };
    let mut listed: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    listed.dedup();
    let found = if host.parse::<IpAddr>().is_ok() {
        "the URL has an address, no name".to_owned()
    } else {
        format!("{host} is {}", listed.join(", "))
    };
    if addresses.iter().all(|address| address.ip().is_loopback()) {
        let advice = "nodes would look for the server on themselves: use this machine's name or address in their network";
        notes.warn(StepId::Dns, warning::LOOPBACK_ADDRESS, format!("{found}: this very machine"), advice);
    } else if addresses.iter().all(SocketAddr::is_ipv6) {
        let advice = "give the server an IPv4 address: nodes have no IPv6";
        notes.warn(StepId::Dns, warning::IPV6_ONLY, format!("{found}: IPv6 only"), advice);
    } else {
        notes.ok(StepId::Dns, found);
    }
    Some(addresses)
}

async fn reach(addresses: &[SocketAddr], notes: &mut Notes<'_>) -> Option<TcpStream> {
    let mut last = String::new();
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                notes.ok(StepId::Tcp, format!("connected to {address}"));
                return Some(stream);
            }
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        }
    }
    notes.fail(StepId::Tcp, ErrorCode::ConnectFailed, last);
    None
}

async fn secure(
    stream: TcpStream,
    url: &Url,
    addresses: &[SocketAddr],
    notes: &mut Notes<'_>,
) -> Option<Shaken> {
    let refused = match shake(stream, url.host(), Offer::Node).await {
        Ok(shaken) => {
            notes
                .ok(StepId::Tls, format!("{} with AES-128-GCM and P-256, as nodes speak it", shaken.version));
            return Some(shaken);
        }
        Err(error) => error,
    };
    for (offer, what) in [
        (
            Offer::Tls13,
            "the server speaks TLS 1.3, but not with AES-128-GCM and P-256, which is what nodes speak",
        ),
        (Offer::Tls12, "the server speaks TLS 1.2 only; nodes speak TLS 1.3 only"),
    ] {
        let Ok(stream) = TcpStream::connect(addresses).await else { continue };
        if let Ok(shaken) = shake(stream, url.host(), offer).await {
            let advice = match offer {
                Offer::Tls12 => "switch TLS 1.3 on (nginx: ssl_protocols TLSv1.2 TLSv1.3)",
                _ => {
                    "allow TLS_AES_128_GCM_SHA256 and the group P-256 (nginx: ssl_ecdh_curve X25519:prime256v1)"
                }
            };
            notes.fail_with(StepId::Tls, ErrorCode::TlsFailed, what, advice);
            return Some(shaken);
        }
    }
    let advice = match refused.kind() {
        io::ErrorKind::InvalidData => {
            "something other than TLS answers on this port: http:// instead of https://, or another port?"
        }
        _ => ErrorCode::TlsFailed.advice(),
    };
    notes.fail_with(StepId::Tls, ErrorCode::TlsFailed, format!("no handshake: {refused}"), advice);
    None
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Secure(shaken) => Pin::new(&mut shaken.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secure(shaken) => Pin::new(&mut shaken.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(shaken) => Pin::new(&mut shaken.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(shaken) => Pin::new(&mut shaken.stream).poll_shutdown(cx),
        }
    }
}
