//! Ways for a host to misbehave on purpose.
//!
//! Tests and demonstrations need servers that fail like real ones. A [`Faults`] looks at each request and says what shall go wrong with its
//! answer; [`CertificateFault`] makes the certificates that real servers get wrong.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::OffsetDateTime;

use crate::authority::{authority_params, common_name, private_key, refused, server_params};
use crate::{DevelopmentCa, HostingError, ServerIdentity};

/// What a [`Faults`] sees of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// The number of this request since the host started, from 1.
    pub number: u64,
    /// `GET`, `HEAD`, …
    pub method: &'a str,
    /// The path with its query.
    pub target: &'a str,
    /// The `Range` header, if any.
    pub range: Option<&'a str>,
}

/// Decides what goes wrong with which request.
pub trait Faults: Send + Sync {
    /// The fault for this request; [`Fault::default`] is none.
    fn fault(&self, request: &RequestView<'_>) -> Fault;
}

impl<F: Fn(&RequestView<'_>) -> Fault + Send + Sync> Faults for F {
    fn fault(&self, request: &RequestView<'_>) -> Fault {
        self(request)
    }
}

/// The faults of a host; cheap to clone.
#[derive(Clone)]
pub struct FaultSource(pub(crate) Arc<dyn Faults>);

impl FaultSource {
    /// From a type of one's own.
    pub fn new(faults: impl Faults + 'static) -> Self {
        Self(Arc::new(faults))
    }

    /// From a closure.
    pub fn from_fn(faults: impl Fn(&RequestView<'_>) -> Fault + Send + Sync + 'static) -> Self {
        Self(Arc::new(faults))
    }

    /// The same fault for every request.
    pub fn always(fault: Fault) -> Self {
        Self::from_fn(move |_| fault.clone())
    }
}

impl fmt::Debug for FaultSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultSource")
    }
}

/// What goes wrong with one answer; several can be combined.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    /// Wait this long before the answer begins.
    pub delay: Duration,
    /// Send this many bytes of the body, then nothing more, and keep the connection open.
    pub stall_after: Option<u64>,
    /// Send this many bytes of the body, then cut the connection.
    pub cut_after: Option<u64>,
    /// State this `Content-Length` instead of the true one. Longer: the connection ends early. Shorter: the content is truncated.
    pub content_length: Option<u64>,
    /// Send no `Content-Length` (HTTP/1.1: chunked).
    pub no_content_length: bool,
    /// Ignore `Range` and do not offer it, as `python3 -m http.server` does.
    pub no_range: bool,
    /// Answer with this status and a short HTML page.
    pub status: Option<u16>,
    /// Answer 302 to this address (absolute or relative).
    pub redirect: Option<String>,
    /// Serve these bytes instead.
    pub content: Option<Bytes>,
    /// What happens to the entity tag.
    pub etag: EtagFault,
    /// Send the content with `Content-Encoding: gzip`, asked for or not.
    pub gzip: bool,
    /// Send this `Content-Type`.
    pub content_type: Option<String>,
}

/// What happens to the entity tag of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EtagFault {
    /// The true tag of the content that is sent.
    #[default]
    True,
    /// The tag of the content that the host really has, also when `content` replaces it: a change that the tag hides.
    Stale,
    /// No tag (and no time) at all.
    Missing,
    /// The true tag, marked weak.
    Weak,
    /// This text.
    Is(String),
}

/// gzip with stored blocks (RFC 1952, RFC 1951 §3.2.4): no compression, but every client must decode it.
pub(crate) fn gzip_stored(content: &[u8]) -> Bytes {
    const STORED_BLOCK_BYTES: usize = 0xFFFF;
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut blocks = content.chunks(STORED_BLOCK_BYTES).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        let length = block.len() as u16;
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend(crc32(content).to_le_bytes());
    out.extend((content.len() as u32).to_le_bytes());
    out.into()
}

/// CRC-32 as gzip wants it (RFC 1952 §8), bit by bit: this runs in tests only.
fn crc32(content: &[u8]) -> u32 {
    !content.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

/// What servers get wrong about their certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateFault {
    /// It ended yesterday.
    Expired,
    /// It begins tomorrow.
    NotYetValid,
    /// It is for `other.example`.
    WrongHost,
    /// It signed itself.
    SelfSigned,
    /// An authority that nobody was given signed it.
    UnknownAuthority,
    /// A plain server certificate, issued by the authority for another host, signed it.
    LeafAsCa,
    /// An intermediate signed it, and the server does not send the intermediate.
    MissingIntermediate,
    /// As it should be with an intermediate: the control.
    WithIntermediate,
}

impl CertificateFault {
    /// Every fault, and the control.
    pub const ALL: [Self; 8] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongHost,
        Self::SelfSigned,
        Self::UnknownAuthority,
        Self::LeafAsCa,
        Self::MissingIntermediate,
        Self::WithIntermediate,
    ];
}

impl DevelopmentCa {
    /// A server identity for `names` with one fault.
    pub fn faulty_identity(
        &self,
        fault: CertificateFault,
        names: &[&str],
    ) -> Result<ServerIdentity, HostingError> {
        let now = OffsetDateTime::now_utc();
        let day = time::Duration::DAY;
        let (from, to) = (now - day, now + day * 30);
        match fault {
            CertificateFault::Expired => self.issue(names, now - day * 30, now - day),
            CertificateFault::NotYetValid => self.issue(names, now + day, now + day * 30),
            CertificateFault::WrongHost => self.issue(&["other.example"], from, to),
            CertificateFault::UnknownAuthority => DevelopmentCa::generate()?.issue(names, from, to),
            CertificateFault::SelfSigned => {
                let key = KeyPair::generate().map_err(refused)?;
                let certificate = server_params(names, from, to)?.self_signed(&key).map_err(refused)?;
                Ok(ServerIdentity::from_der(vec![certificate.der().clone()], private_key(&key)))
            }
            CertificateFault::LeafAsCa => {
                let params = server_params(&["leaf.example"], from, to)?;
                self.through(params, names, from, to, true)
            }
            CertificateFault::MissingIntermediate | CertificateFault::WithIntermediate => {
                let params = intermediate_params(now)?;
                self.through(params, names, from, to, fault == CertificateFault::WithIntermediate)
            }
        }
    }

    /// A chain of two: `middle` signed by this authority, the server's certificate signed by `middle`.
    fn through(
        &self,
        middle: CertificateParams,
        names: &[&str],
        from: OffsetDateTime,
        to: OffsetDateTime,
        send_middle: bool,
    ) -> Result<ServerIdentity, HostingError> {
        let middle_key = KeyPair::generate().map_err(refused)?;
        let middle_certificate = middle.signed_by(&middle_key, &self.issuer).map_err(refused)?;
        let issuer = Issuer::new(middle, middle_key);
        let key = KeyPair::generate().map_err(refused)?;
        let certificate = server_params(names, from, to)?.signed_by(&key, &issuer).map_err(refused)?;
        let mut chain = vec![certificate.der().clone()];
        if send_middle {
            chain.push(middle_certificate.der().clone());
        }
        Ok(ServerIdentity::from_der(chain, private_key(&key)))
    }
}

fn intermediate_params(now: OffsetDateTime) -> Result<CertificateParams, HostingError> {
    let key = KeyPair::generate().map_err(refused)?;
    let mut params = authority_params(&key, now);
    params.distinguished_name = common_name("Rootcast development intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_the_format_of_rfc_1952() {
        let made = gzip_stored(b"123456789");
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(made.get(..10), Some(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff][..]));
        assert_eq!(made.get(10..15), Some(&[1, 9, 0, 0xf6, 0xff][..]));
        assert_eq!(made.len(), 10 + 5 + 9 + 8);
    }
}
