//! A client of the operator's MQTT broker, given its address and certificates as the command line has them.

use crate::error::Error;
use crate::files;
use clap::Args;
pub use rootcast_control::mqtt::{BrokerError, Event, Link, Trust};
use rootcast_control::mqtt::{ClientIdentity, Endpoint};
use rootcast_world::body::sockets::BrokerAddress;
use std::path::{Path, PathBuf};

/// Certificates for a broker that speaks TLS.
#[derive(Args)]
pub struct BrokerTls {
    /// CA certificate (PEM) of a broker with TLS; without it, public CAs are trusted
    #[arg(long, value_name = "FILE", env = "ROOTCAST_BROKER_CA")]
    broker_ca: Option<PathBuf>,

    /// Certificate (PEM) that is shown to a broker that asks for one; intermediates follow it in the file
    #[arg(long, value_name = "FILE", requires = "broker_key", env = "ROOTCAST_BROKER_CERT")]
    broker_cert: Option<PathBuf>,

    /// That certificate's private key (PEM, without a password)
    #[arg(long, value_name = "FILE", requires = "broker_cert", env = "ROOTCAST_BROKER_KEY")]
    broker_key: Option<PathBuf>,
}

impl BrokerTls {
    /// The first option that was given, if any.
    pub fn given(&self) -> Option<&'static str> {
        let given = [
            ("broker-ca", &self.broker_ca),
            ("broker-cert", &self.broker_cert),
            ("broker-key", &self.broker_key),
        ];
        given.into_iter().find_map(|(name, file)| file.is_some().then_some(name))
    }

    /// How to reach this broker, and whom to believe that it is.
    pub fn reach(&self, address: &BrokerAddress) -> Result<(Endpoint, Trust), Error> {
        let identity = match (&self.broker_cert, &self.broker_key) {
            (Some(_), Some(_)) if !address.tls => {
                return Err(Error::Usage(format!(
                    "--broker-cert is for a broker with TLS, and {address} has none: write mqtts://"
                )));
            }
            (Some(certificate), Some(key)) => Some(identity(certificate, key)?),
            (None, None) => None,
            // They come from a file: on the command line each requires the other.
            _ => return Err(Error::Usage("broker-cert and broker-key need each other".to_string())),
        };
        let trust = match &self.broker_ca {
            Some(path) => Trust::Authorities(files::read_certificates(path)?),
            None => Trust::PublicAuthorities,
        };
        Ok((Endpoint { identity, ..endpoint(address) }, trust))
    }
}

fn identity(certificate: &Path, key: &Path) -> Result<ClientIdentity, Error> {
    let wrong = |path: &Path, reason: String| Error::BrokerIdentity { path: path.to_owned(), reason };
    let read = |path: &Path| {
        files::read(path).map_err(|error| match error {
            Error::Read { source, .. } => wrong(path, format!("cannot be read: {source}")),
            other => other,
        })
    };
    ClientIdentity::from_pem(&read(certificate)?, &read(key)?)
        .map_err(|error| wrong(if error.is_about_the_key() { key } else { certificate }, error.to_string()))
}

/// Where a broker is, as a link wants it.
pub fn endpoint(address: &BrokerAddress) -> Endpoint {
    let BrokerAddress { host, port, tls, login } = address.clone();
    Endpoint { host, port, tls, login, identity: None }
}
