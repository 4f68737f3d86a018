//! `rootcast inspect`

use crate::error::Error;
use crate::inspect::{Flaw, NoFacts, Sought, inspect};
use crate::output::Output;
use crate::{arguments, files};
use clap::Args;
use rootcast_trust::KeyDigest;
use std::path::PathBuf;

/// Say what is in a file: app image, release, patch, partition table, otadata, NVS, flash image or signature
///
/// The file's content decides what it is, not its name. An app image is checked as a node checks it. Of NVS the keys
/// are shown, and what Rootcast's own entries say to a node, but no secret.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast inspect build/app.bin
  rootcast inspect public/release.suit
  rootcast inspect partitions.csv
  rootcast inspect new.patch --base old.bin        where the patch's bytes go
  rootcast inspect signed.bin --trust $(cat keys/signing-key.digest)
  esptool read-flash 0 ALL flash.bin && rootcast inspect flash.bin --json

Exit status 1 if the file is damaged, or not signed by a trusted key where --trust asks for one.")]
pub struct Inspect {
    /// The file; - for standard input
    file: PathBuf,

    /// Demand a signature by this key; may be given several times
    #[arg(long, value_name = "DIGEST", value_parser = arguments::key_digest)]
    trust: Vec<KeyDigest>,

    /// The image that a patch was made from: tries the patch, and says where its bytes go
    #[arg(long, value_name = "OLD")]
    base: Option<PathBuf>,
}

impl Inspect {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let bytes = files::read(&self.file)?;
        let base = self.base.as_deref().map(files::read).transpose()?;
        let sought = Sought { trusted: &self.trust, base: base.as_deref() };
        let path = files::name(&self.file);
        let inspected = match inspect(path.display().to_string(), &bytes, &sought) {
            Ok(inspected) => inspected,
            Err(NoFacts::Foreign(it)) => {
                return Err(Error::Unknown { path, found: it.found, advice: it.advice });
            }
            Err(NoFacts::Image(error)) => return Err(Error::Image { path, error }),
            Err(NoFacts::Patch(error)) => return Err(Error::BadPatch { path, error }),
            Err(NoFacts::Table(error)) => return Err(Error::Table { path, error }),
            Err(NoFacts::Csv(error)) => return Err(Error::Csv { path, error }),
            Err(NoFacts::Release(error)) => return Err(Error::Release { path, error }),
        };
        output.show(&inspected)?;
        match inspected.facts.flaw() {
            None => Ok(()),
            Some(Flaw::Image(error)) => Err(Error::Image { path, error }),
            Some(Flaw::Signature(error)) => Err(Error::Signature { path, error }),
            Some(Flaw::Patch(error)) => Err(Error::BadPatch { path, error }),
            Some(Flaw::Other(flaw)) => Err(Error::Flawed { path, flaw }),
        }
    }
}
