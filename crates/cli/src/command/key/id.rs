//! `rootcast key id`

use crate::error::Error;
use crate::output::Output;
use crate::release::key::read_public;
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Print a release key's id: the name by which releases, nodes and reports call it
///
/// The id is the key's COSE thumbprint (RFC 9679, SHA-256). A release carries its first 8 bytes.
#[derive(Args)]
#[command(after_help = "Example:
  rootcast key id keys/release-key.pub.pem")]
pub struct Id {
    /// A release key, public or private (PEM)
    key: PathBuf,
}

#[derive(Serialize)]
struct Named {
    key_id: String,
}

impl Id {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let key_id = read_public(&self.key)?.id().to_string();
        output.show(&Named { key_id })
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.key_id)
    }
}
