//! `rootcast rollout pause`, `resume`, `abort` and `retry`

use super::show::Summary;
use crate::arguments;
use crate::client::{Server, part};
use crate::error::Error;
use crate::output::Output;
use clap::Args;
use rootcast_control::service::rollouts::RolloutView;

/// Trigger nobody more until the rollout is resumed; what is going on comes to its end
#[derive(Args)]
pub struct Pause {
    #[command(flatten)]
    which: Which,
}

/// Go on with a paused rollout
#[derive(Args)]
pub struct Resume {
    #[command(flatten)]
    which: Which,
}

/// End a rollout: nobody more is triggered, and who has not switched drops the update
#[derive(Args)]
pub struct Abort {
    #[command(flatten)]
    which: Which,
}

/// Try again with the nodes that did not make it
#[derive(Args)]
pub struct Retry {
    /// Install even an image that failed its trial on a node before
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
struct Which {
    /// The rollout's id
    rollout: String,

    #[command(flatten)]
    server: Server,
}

impl Which {
    fn order(&self, order: &str, query: &[(&str, String)], output: &mut Output) -> Result<(), Error> {
        let client = self.server.client()?;
        arguments::runtime()?.block_on(async {
            let path = format!("/rollouts/{}/{order}", part(&self.rollout));
            let rollout: RolloutView = client.order(&path, query).await?;
            output.show(&Summary(rollout))
        })
    }
}

impl Pause {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        self.which.order("pause", &[], output)
    }
}

impl Resume {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        self.which.order("resume", &[], output)
    }
}

impl Abort {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        self.which.order("abort", &[], output)
    }
}

impl Retry {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        self.which.order("retry", &[("force", self.force.to_string())], output)
    }
}
