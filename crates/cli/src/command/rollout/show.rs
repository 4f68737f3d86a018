//! `rootcast rollout list` and `rootcast rollout show`

use crate::arguments;
use crate::client::{Server, part};
use crate::error::Error;
use crate::output::Output;
use clap::Args;
use rootcast_control::service::rollouts::{RolloutPage, RolloutView, UpdatePage, UpdateView};
use serde::Serialize;
use std::fmt;

/// List rollouts, newest first
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    server: Server,
}

/// Show a rollout: how it stands, why, and each node's part
#[derive(Args)]
pub struct Show {
    /// The rollout's id
    rollout: String,

    #[command(flatten)]
    server: Server,
}

/// A rollout as it stands.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Summary(pub RolloutView);

/// One node's part.
#[derive(Serialize)]
#[serde(transparent)]
struct Part(UpdateView);

#[derive(Serialize)]
struct Count {
    rollouts: usize,
}

impl List {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let client = self.server.client()?;
        arguments::runtime()?.block_on(async {
            let (mut rollouts, mut before) = (0, None);
            loop {
                let query: Vec<_> = before.map(|before| ("before", before)).into_iter().collect();
                let page: RolloutPage = client.get("/rollouts", &query).await?;
                for rollout in page.items {
                    rollouts += 1;
                    output.show(&Summary(rollout))?;
                }
                before = page.next;
                if before.is_none() {
                    return output.show(&Count { rollouts });
                }
            }
        })
    }
}

impl Show {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let client = self.server.client()?;
        arguments::runtime()?.block_on(async {
            let path = format!("/rollouts/{}", part(&self.rollout));
            let rollout: RolloutView = client.get(&path, &[]).await?;
            let mut after = None;
            loop {
                let mut query = vec![("limit", "1000".to_string())];
                query.extend(after.map(|after| ("after", after)));
                let page: UpdatePage = client.get(&format!("{path}/updates"), &query).await?;
                for update in page.items {
                    output.show(&Part(update))?;
                }
                after = page.next;
                if after.is_none() {
                    return output.show(&Summary(rollout));
                }
            }
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.0;
        write!(f, "{}  {}", it.id, it.phase)?;
        if !it.name.is_empty() {
            write!(f, "  \"{}\"", it.name)?;
        }
        writeln!(f, "  release {}  {}", it.release, it.reason)?;
        for count in &it.counts {
            writeln!(f, "  wave {}: {} {}", count.wave, count.nodes, count.state.replace('_', " "))?;
        }
        for (reason, nodes) in &it.holds {
            writeln!(f, "  waiting: {nodes} × {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.0;
        write!(f, "wave {}  node {}  {}", it.wave, it.node, it.state.replace('_', " "))?;
        if it.state == "downloading" {
            write!(f, " {} %", it.progress)?;
        }
        if !it.reason.is_empty() {
            write!(f, ": {}", it.reason)?;
        }
        Ok(())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rollouts {
            0 => f.write_str("no rollout yet: rootcast rollout create RELEASE"),
            1 => f.write_str("1 rollout"),
            rollouts => write!(f, "{rollouts} rollouts"),
        }
    }
}
