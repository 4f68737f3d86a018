//! `rootcast events`

use crate::arguments;
use crate::client::{Client, Server};
use crate::error::Error;
use crate::output::Output;
use clap::Args;
use rootcast_control::service::events::{EventPage, EventView};
use serde::Serialize;
use std::fmt;
use std::time::Duration;
use tokio::time::sleep;

/// How often the control plane is asked for news.
const PAUSE: Duration = Duration::from_secs(1);

/// Show what happened, and every decision with its reason
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast events
  rootcast events --rollout r019ab2c4d5e6f7a8b9c0 --last 1000
  rootcast events --follow --json")]
pub struct Events {
    /// Only of this rollout
    #[arg(long, value_name = "ID")]
    rollout: Option<String>,

    /// How many of the past
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    last: u32,

    /// Go on with what happens, until Ctrl-C
    #[arg(long)]
    follow: bool,

    #[command(flatten)]
    server: Server,
}

/// An event: a line.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Line(pub EventView);

impl Events {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let client = self.server.client()?;
        arguments::runtime()?.block_on(async {
            let mut query = vec![("newest", "true".to_string()), ("limit", self.last.to_string())];
            query.extend(self.rollout.clone().map(|id| ("rollout", id)));
            let page: EventPage = client.get("/events", &query).await?;
            let mut last = 0;
            for event in page.items {
                last = event.seq;
                output.show(&Line(event))?;
            }
            if !self.follow {
                return Ok(());
            }
            loop {
                tokio::select! {
                    () = sleep(PAUSE) => last = show_new(&client, self.rollout.as_deref(), last, output).await?,
                    () = arguments::stopped() => return Ok(()),
                }
            }
        })
    }
}

/// Shows what happened after an event, and returns the last one's number.
pub async fn show_new(
    client: &Client,
    rollout: Option<&str>,
    mut after: i64,
    output: &mut Output,
) -> Result<i64, Error> {
    loop {
        let mut query = vec![("after", after.to_string()), ("limit", "500".to_string())];
        query.extend(rollout.map(|id| ("rollout", id.to_string())));
        let page: EventPage = client.get("/events", &query).await?;
        for event in page.items {
            after = event.seq;
            output.show(&Line(event))?;
        }
        if page.next.is_none() {
            return Ok(after);
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = &self.0;
        write!(f, "{}  {:8}", event.at, event.kind)?;
        if let Some(node) = event.node {
            write!(f, "  node {node}")?;
        }
        if let Some(mesh) = event.mesh.as_ref().filter(|mesh| !mesh.is_empty()) {
            write!(f, "  mesh {mesh}")?;
        }
        write!(f, "  {}", event.text)
    }
}
