//! A CA of the test's own, and a broker that asks for its certificates.
#![allow(dead_code, reason = "each test binary uses its part")]

use crate::mosquitto::Mosquitto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;
use std::path::Path;

/// A CA that nobody else knows.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    /// A new one of this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name, and its key, both PEM.
    pub fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A broker that lets in only who has a certificate of its CA, and takes the user's name from there. Puts `ca.pem`,
/// `client.pem` and `client.key` into `folder`, and `foreign.pem` and `foreign.key` of another CA.
pub fn broker_for_certificates(folder: &Path) -> Option<Mosquitto> {
    let ca = Ca::new("the house");
    fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let (certificate, key) = ca.issue("control-plane");
    fs::write(folder.join("client.pem"), certificate).unwrap();
    fs::write(folder.join("client.key"), key).unwrap();
    let (certificate, key) = Ca::new("another").issue("control-plane");
    fs::write(folder.join("foreign.pem"), certificate).unwrap();
    fs::write(folder.join("foreign.key"), key).unwrap();
    let (certificate, key) = ca.issue("localhost");
    let configuration = "log_type all\nallow_anonymous false\ncafile ca.pem\ncertfile cert.pem\nkeyfile key.pem\n\
                         require_certificate true\nuse_identity_as_username true\nacl_file acl";
    Mosquitto::start(configuration, |broker| {
        fs::write(broker.join("ca.pem"), ca.pem()).unwrap();
        fs::write(broker.join("cert.pem"), certificate).unwrap();
        fs::write(broker.join("key.pem"), key).unwrap();
        fs::write(broker.join("acl"), "user control-plane\ntopic readwrite #\n").unwrap();
    })
}
