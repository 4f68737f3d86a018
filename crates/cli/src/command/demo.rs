//! `rootcast demo`

use crate::arguments;
use crate::demo::{Evidence, Images, Stage, Wishes, keep};
use crate::error::Error;
use crate::mqtt::{Link, Trust};
use crate::output::Output;
use crate::size::Bytes;
use crate::watch::{End, Fleet, Summary, View, follow};
use clap::Args;
use rootcast_image::ChipId;
use rootcast_wire::trigger::Targets;
use rootcast_wire::{Mode, Topics, Trigger};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Update a whole virtual mesh on this machine, and watch it
///
/// Starts an MQTT broker and an HTTPS host with a certificate of its own, forms a mesh of virtual nodes that run the
/// production code on virtual flash, publishes one MQTT message, and follows every node to its end. Succeeds only if
/// every node runs the new image, confirmed, with its nvs untouched.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast demo
  rootcast demo --nodes 200 --loss 0.1
  rootcast demo --from v2.5.0.bin --to v2.5.1.bin --keep chips")]
pub struct Demo {
    /// Nodes in the mesh, the root among them
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    nodes: u16,

    /// Share of frames that each link of the mesh loses, 0 to 0.9
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = arguments::share)]
    loss: f64,

    /// How the image travels: every node fetches it (direct), or the root does and the mesh shares it (spread)
    #[arg(long, value_parser = arguments::mode)]
    mode: Option<Mode>,

    /// The app image that the nodes run at first; their chip follows from it
    #[arg(long, value_name = "OLD.bin")]
    from: Option<PathBuf>,

    /// The file to update to; the nodes will refuse what is no image for them
    #[arg(long, value_name = "NEW.bin")]
    to: Option<PathBuf>,

    /// The nodes' chip, without --from
    #[arg(long, default_value = "ESP32-C3", value_parser = arguments::chip, conflicts_with = "from")]
    chip: ChipId,

    /// Decides what is left to chance: MAC addresses, delays, losses
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Keep the content of every node's flash in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// How long the mesh may take to form.
const FORM_LIMIT: Duration = Duration::from_secs(60);
/// How long the update may take.
const UPDATE_LIMIT: Duration = Duration::from_secs(900);
/// How often the forming mesh is looked at.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    nodes: u16,
    chip: String,
    broker: String,
    url: &'a str,
    image_bytes: usize,
    image_hash: Option<String>,
    key_digest: String,
}

#[derive(Serialize)]
struct Ended<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(flatten)]
    evidence: &'a Evidence,
}

impl Demo {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let images = Images::prepare(self.from.as_deref(), self.to.as_deref(), self.chip, self.mode)?;
        arguments::runtime()?.block_on(self.play(&images, output))
    }

    async fn play(&self, images: &Images, output: &mut Output) -> Result<(), Error> {
        let wishes = Wishes { nodes: self.nodes.into(), loss: self.loss, seed: self.seed };
        let stage = Stage::set(images, wishes).await?;
        output.show(&Started {
            event: "started",
            nodes: self.nodes,
            chip: images.chip.to_string(),
            broker: stage.broker().to_string(),
            url: &stage.url,
            image_bytes: images.new.len(),
            image_hash: images.new_hash.map(|hash| hash.to_string()),
            key_digest: images.key.key_digest().to_string(),
        })?;
        let followed = self.update(&stage, output).await;
        let (table, before, violations) = (stage.table.clone(), stage.before.clone(), stage.violations());
        let mut machines = stage.strike().await;
        let (end, summary) = followed?;
        let evidence = Evidence::find(
            &mut machines,
            &before,
            &table,
            images.new_hash,
            |id| summary.says_updated(id),
            violations,
        );
        if let Some(folder) = &self.keep {
            keep(folder, &machines, &images.new_name, &images.new)?;
        }
        output.show(&Ended { summary: &summary, evidence: &evidence })?;
        let nodes = usize::from(self.nodes);
        match end {
            End::Interrupted => {
                Err(Error::Interrupted { what_now: "The mesh was virtual: nothing is left behind." })
            }
            End::Timeout => Err(Error::NotFinished { after: UPDATE_LIMIT }),
            End::Done if summary.updated < nodes => Err(Error::NotUpdated { nodes: nodes - summary.updated }),
            End::Done if !evidence.flaws.is_empty() || evidence.forbidden_writes > 0 => Err(Error::Evidence),
            End::Done => Ok(()),
        }
    }

    /// Waits for the mesh, triggers, and follows to the end.
    async fn update(&self, stage: &Stage, output: &mut Output) -> Result<(End, Summary), Error> {
        let broker = stage.broker();
        let failed = |error| Error::Broker { broker: broker.to_string(), error };
        let topics = Topics::default();
        let filters = [topics.all_reports().to_string(), topics.root_state().to_string()];
        let mut link = Link::open(&broker, &Trust::PublicAuthorities, &filters).await.map_err(failed)?;
        let mut fleet = Fleet::new(topics.clone(), Targets::all(), None);
        fleet.expect(self.nodes.into());
        let mut view = View::new(output, "The mesh forms".to_string());
        if !form(stage, &mut fleet, &mut view).await? {
            return Ok((End::Interrupted, Summary::of(&fleet, Duration::ZERO)));
        }
        let topic = topics.root_command();
        let message = self.trigger(&stage.url);
        link.publish(&topic, message.as_bytes()).await.map_err(failed)?;
        view.note(output, &format!("  trigger  {topic} {message}"))?;
        view.set_title(format!("Updating from {}", stage.url));
        let ended =
            follow(&mut link, &mut fleet, view, output, UPDATE_LIMIT, |fleet| stage.show(fleet)).await;
        link.close().await;
        let (end, time) = ended?;
        Ok((end, Summary::of(&fleet, time)))
    }

    /// The message that anybody could publish by hand.
    fn trigger(&self, url: &str) -> String {
        let mut trigger = Trigger::new();
        // The URL was made here and is short.
        let _ = trigger.url.push_str(url);
        trigger.mode = self.mode;
        let mut message = String::new();
        // Writing to a String cannot fail.
        let _ = trigger.write_json(&mut message);
        message
    }
}

/// Waits until every node is in the mesh. False if somebody pressed Ctrl-C before.
async fn form(stage: &Stage, fleet: &mut Fleet, view: &mut View) -> Result<bool, Error> {
    let start = Instant::now();
    while !stage.has_formed() {
        if start.elapsed() > FORM_LIMIT {
            return Err(Error::NoMesh { after: FORM_LIMIT });
        }
        stage.show(fleet);
        view.redraw(fleet, start.elapsed())?;
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = tokio::signal::ctrl_c() => return Ok(false),
        }
    }
    Ok(true)
}

impl fmt::Display for Started<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "A mesh of {} virtual {} nodes on this machine", self.nodes, self.chip)?;
        writeln!(f, "  broker   {}", self.broker)?;
        writeln!(f, "  image    {} ({})", self.url, Bytes(self.image_bytes as u64))
    }
}

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.summary)?;
        let Evidence { boot_new_image, nvs_unchanged, forbidden_writes, flaws } = self.evidence;
        write!(
            f,
            "Their flash says: {boot_new_image} boot the new image, {nvs_unchanged} have their nvs untouched"
        )?;
        match forbidden_writes {
            0 => writeln!(f, ", nothing was written where it must not be.")?,
            times => writeln!(f, ", {times} writes where none may be.")?,
        }
        flaws.iter().try_for_each(|flaw| writeln!(f, "  {flaw}"))
    }
}
