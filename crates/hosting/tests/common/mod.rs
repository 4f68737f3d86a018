//! A small HTTP client with the certificates and versions of the test's choice.
#![allow(dead_code, missing_docs)]

pub mod azure;
pub mod images;
pub mod peers;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rootcast_hosting::DevelopmentCa;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer, read to its end or to where it broke.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Why the body ended early, if it did.
    pub broken: Option<String>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub async fn read(response: Response<hyper::body::Incoming>) -> Answer {
    let (head, mut incoming) = response.into_parts();
    let (mut body, mut broken) = (Vec::new(), None);
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(error) => {
                broken = Some(error.to_string());
                break;
            }
        }
    }
    Answer { status: head.status, version: head.version, headers: head.headers, body, broken }
}

pub async fn tls(
    address: SocketAddr,
    ca: &DevelopmentCa,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate_der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}

pub type Http1 = http1::SendRequest<Empty<Bytes>>;

pub async fn http1(address: SocketAddr, ca: &DevelopmentCa) -> Http1 {
    let stream = tls(address, ca, &["http/1.1"]).await.unwrap();
    let (send, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

pub async fn plain(address: SocketAddr) -> Http1 {
    let stream = TcpStream::connect(address).await.unwrap();
    let (send, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

pub async fn http2(address: SocketAddr, ca: &DevelopmentCa) -> http2::SendRequest<Empty<Bytes>> {
    let stream = tls(address, ca, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

pub async fn ask(send: &mut Http1, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send.ready().await.unwrap();
    read(send.send_request(request(method, path, headers)).await.unwrap()).await
}

/// Bytes that are not all alike.
pub fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}
