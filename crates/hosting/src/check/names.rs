//! Reading certificates for people: whose, from whom, until when.

use rustls_pki_types::TrustAnchor;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};

/// What a person wants to know of a certificate.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) subject_der: Vec<u8>,
    pub(super) issuer_der: Vec<u8>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) names: Vec<String>,
}

impl Facts {
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|extension| extension.value.general_names.iter().filter_map(text).collect())
            .unwrap_or_default();
        Some(Self {
            subject: name(certificate.subject()),
            issuer: name(certificate.issuer()),
            subject_der: content(certificate.subject().as_raw()).to_vec(),
            issuer_der: content(certificate.issuer().as_raw()).to_vec(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            names,
        })
    }

    pub(super) fn self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// Whether the issuer's name is that of a trusted authority.
    pub(super) fn issued_by_any(&self, anchors: &[TrustAnchor<'_>]) -> bool {
        anchors.iter().any(|anchor| anchor.subject.as_ref() == self.issuer_der)
    }
}

/// The common name, or all of the name.
fn name(name: &X509Name<'_>) -> String {
    match name.iter_common_name().next().and_then(|common| common.as_str().ok()) {
        Some(common) => common.to_owned(),
        None => name.to_string(),
    }
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(dns) => Some((*dns).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => Some(std::net::Ipv4Addr::from(v4).to_string()),
            Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string()),
        },
        _ => None,
    }
}

/// A DER sequence without tag and length, as trust anchors keep names.
fn content(der: &[u8]) -> &[u8] {
    let header = match der.get(1) {
        Some(length) if *length < 0x80 => 2,
        Some(length) => 2 + usize::from(length & 0x7F),
        None => 0,
    };
    der.get(header..).unwrap_or_default()
}
