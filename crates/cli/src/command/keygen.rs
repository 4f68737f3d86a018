//! `rootcast keygen`

use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::output::Output;
use clap::{Args, ValueEnum};
use rootcast_trust::sign::{KeyKind, SigningKey};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Make a key to sign app images with
///
/// Writes signing-key.pem (the private key: keep it safe, it is readable by you alone), signing-key.pub.pem (the public
/// key) and signing-key.digest (what nodes trust it by). espsecure reads both keys.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast keygen keys
  rootcast keygen keys --scheme rsa3072      for chips with hardware secure boot by RSA")]
pub struct Keygen {
    /// Folder for the files; made if it is not there
    dir: PathBuf,

    /// Signature scheme
    #[arg(long, value_enum, default_value_t = Scheme::Ecdsa256)]
    scheme: Scheme,

    /// Replace keys that are there already
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scheme {
    /// RSA-3072 with PSS: every chip with Secure Boot V2
    Rsa3072,
    /// ECDSA with P-256: smaller and quicker
    Ecdsa256,
}

#[derive(Serialize)]
struct Made {
    scheme: String,
    private_key: PathBuf,
    public_key: PathBuf,
    digest: String,
}

impl Keygen {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let [private_key, public_key, digest] =
            ["signing-key.pem", "signing-key.pub.pem", "signing-key.digest"].map(|name| self.dir.join(name));
        files::make_folder(&self.dir)?;
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        // All or none: a new public key beside an old private one would be a trap.
        for path in [&private_key, &public_key, &digest] {
            if existing == Existing::Keep && path.exists() {
                return Err(Error::Exists { path: path.clone() });
            }
        }
        let kind = match self.scheme {
            Scheme::Rsa3072 => KeyKind::Rsa3072,
            Scheme::Ecdsa256 => KeyKind::EcdsaP256,
        };
        let failed = |error| Error::Sign { path: private_key.clone(), error };
        let key = SigningKey::generate(kind).map_err(failed)?;
        let pem = key.to_pem().map_err(failed)?;
        files::write(&private_key, pem.as_bytes(), existing, Readers::Owner)?;
        let public_pem = rcgen::KeyPair::from_pem(&pem)
            .map_err(|error| Error::PublicKey { path: public_key.clone(), error })?
            .public_key_pem();
        files::write(&public_key, public_pem.as_bytes(), existing, Readers::Default)?;
        let text = key.key_digest().to_string();
        files::write(&digest, format!("{text}\n").as_bytes(), existing, Readers::Default)?;
        output.show(&Made { scheme: kind.to_string(), private_key, public_key, digest: text })
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "made a key for {}", self.scheme)?;
        writeln!(
            f,
            "  private key   {}  (keep it safe; whoever has it can update your nodes)",
            self.private_key.display()
        )?;
        writeln!(f, "  public key    {}", self.public_key.display())?;
        writeln!(f, "  key digest    {}", self.digest)
    }
}
