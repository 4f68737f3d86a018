//! `rootcast rollout`
//!
//! | file | what it does |
//! |---|---|
//! | `create` | `create`, with `--dry-run` |
//! | `show` | `list` and `show` |
//! | `watch` | `watch` |
//! | `order` | `pause`, `resume`, `abort`, `retry` |

mod create;
mod order;
mod show;
mod watch;

use crate::error::Error;
use crate::output::Output;
use clap::{Args, Subcommand};

/// Roll a release out in waves, watch it, stop it
///
/// A rollout goes from canaries to all, leaves before parents, and stops by itself when more nodes fail than a wave
/// allows. A node counts as updated only when it was seen running the new image after its restart, for the soak time.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast rollout create l019ab2c4d5e6f7a8b9c0 --dry-run
  rootcast rollout create l019ab2c4d5e6f7a8b9c0 --canary 2 --soak 10m --watch
  rootcast rollout list
  rootcast rollout show r019ab2c4d5e6f7a8b9c0
  rootcast rollout pause r019ab2c4d5e6f7a8b9c0")]
pub struct RolloutCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Create(Box<create::Create>),
    List(show::List),
    Show(show::Show),
    Watch(watch::Watch),
    Pause(order::Pause),
    Resume(order::Resume),
    Abort(order::Abort),
    Retry(order::Retry),
}

impl RolloutCommand {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        match self.action {
            Action::Create(command) => command.run(output),
            Action::List(command) => command.run(output),
            Action::Show(command) => command.run(output),
            Action::Watch(command) => command.run(output),
            Action::Pause(command) => command.run(output),
            Action::Resume(command) => command.run(output),
            Action::Abort(command) => command.run(output),
            Action::Retry(command) => command.run(output),
        }
    }
}
