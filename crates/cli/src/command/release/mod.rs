//! `rootcast release`

pub mod create;
mod verify;

use crate::error::Error;
use crate::output::Output;
use clap::{Args, Subcommand};

/// Make and verify signed releases: one file and one trigger for a mesh of several chips and node types
///
/// A release says which image is for whom, and is signed. It lies beside its images on any host; its URL is used in the
/// trigger in place of an image's.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast keygen keys --release
  rootcast release create --version 1.2.0 --key keys/release-key.pem switch.bin:switch relay.bin:relay8 -o public
  rootcast release verify public/release.suit --release-key keys/release-key.pub.pem
  rootcast inspect public/release.suit")]
pub struct Release {
    #[command(subcommand)]
    command: ReleaseCommand,
}

#[derive(Subcommand)]
enum ReleaseCommand {
    Create(Box<create::Create>),
    Verify(verify::Verify),
}

impl Release {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        match self.command {
            ReleaseCommand::Create(command) => command.run(output),
            ReleaseCommand::Verify(command) => command.run(output),
        }
    }
}
