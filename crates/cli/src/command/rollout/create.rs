//! `rootcast rollout create`

use super::show::Summary;
use super::watch::follow;
use crate::client::Server;
use crate::error::Error;
use crate::output::Output;
use crate::{arguments, files};
use clap::Args;
use rootcast_control::service::rollouts::{DryAssigned, DryRun, DryUnassigned, RolloutRequest, RolloutView};
use rootcast_rollout::{Spec, Wave, WaveSize};
use rootcast_wire::Mode;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Begin a rollout of a release
///
/// Without --spec: one canary, then the rest; no failure is tolerated; a node has to stay healthy for a minute. --spec
/// takes everything that the API takes; options given beside it come before.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast rollout create l019ab2c4d5e6f7a8b9c0 --dry-run
  rootcast rollout create l019ab2c4d5e6f7a8b9c0 --mesh home --canary 10% --soak 10m --watch
  rootcast rollout create l019ab2c4d5e6f7a8b9c0 --bandwidth 2MB/s --mesh-bandwidth 50kB/s --dry-run
  rootcast rollout create l019ab2c4d5e6f7a8b9c0 --spec rollout.json")]
pub struct Create {
    /// The release's id: rootcast releases lists them
    release: String,

    /// What to call the rollout
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,

    /// Say who would get what, and who not, and why; do nothing
    #[arg(long, conflicts_with = "watch")]
    dry_run: bool,

    /// A file (JSON) with selection, waves, limits, times
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,

    /// Only nodes of this mesh; may be given several times
    #[arg(long)]
    mesh: Vec<String>,

    /// Only nodes of this type; may be given several times
    #[arg(long = "type", value_name = "TYPE")]
    node_type: Vec<String>,

    /// Only nodes with this tag; may be given several times
    #[arg(long)]
    tag: Vec<String>,

    /// Only this node (its id); may be given several times
    #[arg(long, value_name = "ID")]
    node: Vec<rootcast_wire::NodeId>,

    /// The first wave: a number of nodes, or a share of them (10%)
    #[arg(long, value_name = "N", value_parser = wave_size)]
    canary: Option<WaveSize>,

    /// Failures that the waves after the canary tolerate
    #[arg(long, value_name = "N")]
    max_failures: Option<u32>,

    /// How long a node has to stay healthy before it counts: 90s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = arguments::duration)]
    soak: Option<Duration>,

    /// How long a node may take from its trigger until it runs the new image
    #[arg(long, value_name = "TIME", value_parser = arguments::duration)]
    deadline: Option<Duration>,

    /// Bytes a second that nodes may ask for in all, on average: 50kB/s, 2MB/s, 4Mbit/s. Starts are spaced so that the
    /// whole images of the nodes that begin stay within it
    #[arg(long, value_name = "RATE", value_parser = arguments::rate)]
    bandwidth: Option<u64>,

    /// The same for each mesh: what its uplink can bear
    #[arg(long, value_name = "RATE", value_parser = arguments::rate)]
    mesh_bandwidth: Option<u64>,

    /// How the image travels: direct or spread; without it, the mesh decides
    #[arg(long, value_parser = arguments::mode)]
    mode: Option<Mode>,

    /// Let nodes go back to an older version
    #[arg(long)]
    allow_downgrade: bool,

    /// Install even an image that failed its trial on a node before
    #[arg(long)]
    force: bool,

    /// Follow it to its end
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    server: Server,
}

fn wave_size(text: &str) -> Result<WaveSize, String> {
    let read = match text.strip_suffix('%') {
        Some(percent) => {
            percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(WaveSize::Percent)
        }
        None => text.parse().ok().filter(|count| *count > 0).map(WaveSize::Count),
    };
    read.ok_or_else(|| format!("\"{text}\" is no number of nodes; write 2 or 10%"))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Would<'a>(&'a DryAssigned);

#[derive(Serialize)]
#[serde(transparent)]
struct WouldNot<'a>(&'a DryUnassigned);

#[derive(Serialize)]
struct Count {
    event: &'static str,
    assigned: usize,
    unassigned: usize,
    /// How long limits on bytes a second stretch it at least, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    least_s: Option<u64>,
    #[serde(skip)]
    life_s: u32,
}

impl Create {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let request = self.request()?;
        let client = self.server.client()?;
        arguments::runtime()?.block_on(async {
            if self.dry_run {
                let plan: DryRun = client.post("/rollouts/dry-run", &request).await?;
                for node in &plan.assigned {
                    output.show(&Would(node))?;
                }
                for node in &plan.unassigned {
                    output.show(&WouldNot(node))?;
                }
                let (assigned, unassigned) = (plan.assigned.len(), plan.unassigned.len());
                let (least_s, life_s) = (plan.least_s, request.spec.life_s);
                return output.show(&Count { event: "dry_run", assigned, unassigned, least_s, life_s });
            }
            let rollout: RolloutView = client.post("/rollouts", &request).await?;
            let id = rollout.id.clone();
            output.show(&Summary(rollout))?;
            if self.watch { follow(&client, &id, output).await } else { Ok(()) }
        })
    }

    fn request(&self) -> Result<RolloutRequest, Error> {
        let mut spec: Spec = match &self.spec {
            None => Spec::default(),
            Some(path) => serde_json::from_slice(&files::read(path)?)
                .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?,
        };
        let selection = &mut spec.selection;
        selection.meshes.extend(self.mesh.iter().cloned());
        selection.types.extend(self.node_type.iter().cloned());
        selection.tags.extend(self.tag.iter().cloned());
        selection.nodes.extend(self.node.iter().map(|id| id.0));
        if let Some(size) = self.canary {
            spec.waves = vec![Wave::of(size), Wave::of(WaveSize::Rest)];
        }
        if let Some(failures) = self.max_failures {
            for wave in spec.waves.iter_mut().skip(1) {
                wave.max_failures = failures;
            }
        }
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        spec.soak_s = self.soak.map_or(spec.soak_s, seconds);
        spec.deadline_s = self.deadline.map_or(spec.deadline_s, seconds);
        let limits = &mut spec.limits;
        limits.bytes_per_second = self.bandwidth.or(limits.bytes_per_second);
        limits.mesh_bytes_per_second = self.mesh_bandwidth.or(limits.mesh_bytes_per_second);
        if let Some(mode) = self.mode {
            spec.mode = Some(mode.name().to_string());
        }
        spec.allow_downgrade |= self.allow_downgrade;
        spec.force |= self.force;
        spec.check().map_err(|error| Error::Usage(error.to_string()))?;
        Ok(RolloutRequest { release: self.release.clone(), name: self.name.clone(), spec })
    }
}

/// Seconds as people say them, to two units.
fn spoken(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, name) in units {
        if left >= unit && parts.len() < 2 {
            parts.push(format!("{} {name}", left / unit));
            left %= unit;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

impl fmt::Display for Would<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wave {}  node {}", self.0.wave, self.0.node)?;
        if self.0.by_patch {
            write!(f, "  by patch")?;
        }
        if let Some(note) = &self.0.note {
            write!(f, "  ({note})")?;
        }
        Ok(())
    }
}

impl fmt::Display for WouldNot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not     node {}  {}", self.0.node, self.0.reason)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} would get the release, {} would not; nothing was done",
            self.assigned, self.unassigned
        )?;
        let Some(least) = self.least_s.filter(|least| *least > 0) else { return Ok(()) };
        let time = spoken(least);
        write!(f, "\nthe limit on bytes a second spreads the starts over at least {time}")?;
        if least > self.life_s.into() {
            let life = spoken(self.life_s.into());
            write!(f, ", and the rollout lives for {life}: whose turn does not come is left out")?;
        }
        Ok(())
    }
}
