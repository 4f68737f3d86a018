//! `rootcast sign`

use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::output::Output;
use clap::Args;
use rootcast_trust::sign::{SigningKey, append_signature, sign_image};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};

/// Sign an app image, as espsecure sign-data does (Secure Boot V2)
///
/// Pads the image to a multiple of 4096 bytes and adds a signature sector with one signature for each key, up to three.
/// Nodes take the image if one of them is by a key they trust. Signatures that are there already are replaced, or with
/// --append kept.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast sign build/app.bin --key keys/signing-key.pem -o signed.bin
  rootcast sign signed.bin --key new-keys/signing-key.pem --append -o signed.bin     to change keys")]
pub struct Sign {
    /// The app image
    app: PathBuf,

    /// A private key (PEM); give up to three
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<PathBuf>,

    /// The signed image
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,

    /// Keep the signatures that are there
    #[arg(long)]
    append: bool,
}

#[derive(Serialize)]
struct Signed {
    file: PathBuf,
    file_size: usize,
    file_sha256: String,
    key_digests: Vec<String>,
}

impl Sign {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let app = files::read(&self.app)?;
        let keys = self.key.iter().map(|path| read_key(path)).collect::<Result<Vec<_>, _>>()?;
        let sign = if self.append { append_signature } else { sign_image };
        let signed = sign(&app, &keys).map_err(|error| Error::Sign { path: self.app, error })?;
        files::write(&self.output, &signed, Existing::Replace, Readers::Default)?;
        output.show(&Signed {
            file: self.output,
            file_size: signed.len(),
            file_sha256: rootcast_wire::text::Hex(&Sha256::digest(&signed)).to_string(),
            key_digests: keys.iter().map(|key| key.key_digest().to_string()).collect(),
        })
    }
}

/// Reads a private key.
fn read_key(path: &Path) -> Result<SigningKey, Error> {
    let pem = files::read(path)?;
    SigningKey::from_pem(&String::from_utf8_lossy(&pem))
        .map_err(|error| Error::Sign { path: path.to_path_buf(), error })
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "signed: {}, {} bytes", self.file.display(), self.file_size)?;
        writeln!(f, "  SHA-256   {}", self.file_sha256)?;
        for digest in &self.key_digests {
            writeln!(f, "  key       {digest}")?;
        }
        Ok(())
    }
}
