//! `rootcast keygen`

use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::output::Output;
use clap::{Args, ValueEnum};
use rootcast_trust::sign::{KeyKind, SigningKey, random_bytes};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Make a key to sign app images with, for releases (--release), or for a mesh's radio (--mesh)
///
/// Writes signing-key.pem (the private key: keep it safe, it is readable by you alone), signing-key.pub.pem (the public
/// key) and signing-key.digest (what nodes trust it by). espsecure reads both keys.
///
/// With --release the files are release-key.pem, release-key.pub.pem (what nodes trust it by: rootcast provision
/// --release-key) and release-key.id (its name in releases and reports). With --mesh it is mesh.key: 32 random bytes in
/// hexadecimal digits, which all nodes of a mesh share (rootcast provision --mesh-key).
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast keygen keys
  rootcast keygen keys --scheme rsa3072      for chips with hardware secure boot by RSA
  rootcast keygen keys --release             for releases")]
pub struct Keygen {
    /// Folder for the files; made if it is not there
    dir: PathBuf,

    /// Signature scheme
    #[arg(long, value_enum, default_value_t = Scheme::Ecdsa256, conflicts_with = "release")]
    scheme: Scheme,

    /// Make a key for releases: ECDSA with P-256
    #[arg(long)]
    release: bool,

    /// Make the key of a mesh's radio
    #[arg(long, conflicts_with_all = ["release", "scheme"])]
    mesh: bool,

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
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
}

impl Keygen {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        if self.mesh {
            return self.make_mesh_key(output);
        }
        let names = match self.release {
            false => ["signing-key.pem", "signing-key.pub.pem", "signing-key.digest"],
            true => ["release-key.pem", "release-key.pub.pem", "release-key.id"],
        };
        let [private_key, public_key, name_file] = names.map(|name| self.dir.join(name));
        files::make_folder(&self.dir)?;
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        // All or none: a new public key beside an old private one would be a trap.
        for path in [&private_key, &public_key, &name_file] {
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
        let key_id = key.release_key().filter(|_| self.release).map(|key| key.id().to_string());
        let digest = (!self.release).then(|| key.key_digest().to_string());
        let name = key_id.as_ref().or(digest.as_ref()).map(String::as_str).unwrap_or_default();
        files::write(&name_file, format!("{name}\n").as_bytes(), existing, Readers::Default)?;
        output.show(&Made { scheme: kind.to_string(), private_key, public_key, digest, key_id })
    }
}

impl Keygen {
    fn make_mesh_key(&self, output: &mut Output) -> Result<(), Error> {
        let path = self.dir.join("mesh.key");
        files::make_folder(&self.dir)?;
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let key: [u8; 32] = random_bytes().map_err(|error| Error::Sign { path: path.clone(), error })?;
        let text = rootcast_wire::text::Hex(&key).to_string();
        files::write(&path, format!("{text}\n").as_bytes(), existing, Readers::Owner)?;
        output.show(&MadeMeshKey { mesh_key: path })
    }
}

#[derive(Serialize)]
struct MadeMeshKey {
    mesh_key: PathBuf,
}

impl fmt::Display for MadeMeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "made a mesh key")?;
        writeln!(
            f,
            "  mesh key      {}  (keep it safe; whoever has it can speak in your mesh)",
            self.mesh_key.display()
        )
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
        if let Some(digest) = &self.digest {
            writeln!(f, "  key digest    {digest}")?;
        }
        if let Some(id) = &self.key_id {
            writeln!(f, "  key id        {id}")?;
        }
        Ok(())
    }
}
