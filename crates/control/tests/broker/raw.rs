//! MQTT 3.1.1 by hand, for what no decent client sends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// CONNECT, MQTT 3.1.1, clean session, keep alive 60 s, client id "raw" (MQTT 3.1.1 §3.1).
const CONNECT: [u8; 17] = [0x10, 15, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x02, 0, 60, 0, 3, b'r', b'a', b'w'];
/// CONNACK, no session present, accepted (§3.2).
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

/// A connection that has passed CONNECT and CONNACK.
pub async fn connect(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&CONNECT).await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, CONNACK);
    stream
}

/// A PUBLISH with QoS 0 whose whole packet has `packet_bytes` bytes (§3.3).
pub fn publish_packet(topic: &str, packet_bytes: usize) -> Vec<u8> {
    // Fixed header: one byte of type, three of length, which suits lengths of 16 KiB to 2 MiB.
    let length = packet_bytes - 4;
    assert!((16_384..2_097_152).contains(&length));
    let mut packet = vec![0x30, 0x80 | (length & 0x7F) as u8, 0x80 | (length >> 7 & 0x7F) as u8];
    packet.push((length >> 14) as u8);
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.resize(packet_bytes, b'x');
    packet
}

/// Waits until the broker closes the connection.
pub async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // A reset is as good a close as an orderly one.
    let _ = stream.read_to_end(&mut rest).await;
}
