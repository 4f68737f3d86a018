//! `rootcast rollout watch`

use super::show::Summary;
use crate::arguments;
use crate::client::{Client, Server, part};
use crate::command::events::show_new;
use crate::error::Error;
use crate::output::Output;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rootcast_control::service::rollouts::RolloutView;
use std::time::Duration;
use tokio::time::sleep;

/// How often the control plane is asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Follow a rollout to its end: what happens and why, and on a terminal how far it is
///
/// Exit status 0 only if every node that it was for runs the new image. Ctrl-C ends the watching, not the rollout.
#[derive(Args)]
pub struct Watch {
    /// The rollout's id
    rollout: String,

    #[command(flatten)]
    server: Server,
}

impl Watch {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let client = self.server.client()?;
        arguments::runtime()?.block_on(follow(&client, &self.rollout, output))
    }
}

/// Shows what happens in a rollout until everything in it has ended.
pub async fn follow(client: &Client, id: &str, output: &mut Output) -> Result<(), Error> {
    let path = format!("/rollouts/{}", part(id));
    let target = if output.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(ProgressStyle::default_bar());
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let mut last = 0;
    loop {
        // Asked first, so that the events that led to what is seen have been written.
        let rollout: RolloutView = client.get(&path, &[]).await?;
        let from = last;
        last = show_new(client, Some(id), last, output).await?;
        if last != from {
            bar.tick();
        }
        draw(&bar, &rollout);
        if rollout.ended_at.is_some() {
            bar.finish_and_clear();
            let (phase, reason) = (rollout.phase.clone(), rollout.reason.clone());
            output.show(&Summary(rollout))?;
            return if phase == "succeeded" { Ok(()) } else { Err(Error::Rollout { phase, reason }) };
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = arguments::stopped() => {
                bar.finish_and_clear();
                output.show(&Summary(rollout))?;
                return Err(Error::Interrupted { what_now: "The rollout goes on; rootcast rollout abort would end it." });
            }
        }
    }
}

fn draw(bar: &ProgressBar, rollout: &RolloutView) {
    let nodes = |states: &[&str]| -> i64 {
        let counted =
            rollout.counts.iter().filter(|it| states.is_empty() || states.contains(&it.state.as_str()));
        counted.map(|it| it.nodes).sum()
    };
    let position = |count: i64| u64::try_from(count).unwrap_or(0);
    bar.set_length(position(nodes(&[])));
    bar.set_position(position(nodes(&["succeeded"])));
    let failed = nodes(&["failed", "rolled_back", "lost"]);
    bar.set_message(format!(
        "run the new image, {failed} failed · {} · wave {}",
        rollout.phase, rollout.wave
    ));
}
