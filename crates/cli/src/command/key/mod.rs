//! `rootcast key`

mod id;
mod rotate;

use crate::error::Error;
use crate::output::Output;
use clap::{Args, Subcommand};

/// Name release keys, and change the ones that nodes trust
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast key id keys/release-key.pub.pem
  rootcast key rotate --key keys/release-key.pem --new new-keys/release-key.pub.pem -o rotation/release.suit")]
pub struct Key {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Subcommand)]
enum KeyCommand {
    Id(id::Id),
    Rotate(Box<rotate::Rotate>),
}

impl Key {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        match self.command {
            KeyCommand::Id(command) => command.run(output),
            KeyCommand::Rotate(command) => command.run(output),
        }
    }
}
