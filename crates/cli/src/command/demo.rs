//! `rootcast demo`

use crate::arguments;
use crate::demo::{Attached, Evidence, Images, LOSS, Place, Plan, Stage, Survived, Wishes, keep};
use crate::error::Error;
use crate::files;
use crate::mqtt::{Event, Link, Trust, endpoint};
use crate::output::Output;
use crate::size::Bytes;
use crate::watch::{End, Fleet, Summary, View, follow};
use clap::Args;
use rootcast_image::ChipId;
use rootcast_wire::trigger::Targets;
use rootcast_wire::{Mode, Topics, Trigger};
use rootcast_world::body::sockets::BrokerAddress;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, sleep};

/// Update a whole virtual mesh on this machine, and watch it
///
/// Starts an MQTT broker and an HTTPS host with a certificate of its own, forms a mesh of virtual nodes that run the
/// production code on virtual flash, publishes one MQTT message, and follows every node to its end. Succeeds only if
/// every node runs the new image, confirmed, with its settings in nvs as they were.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast demo
  rootcast demo --nodes 200 --loss 0.1
  rootcast demo --from v2.5.0.bin --to v2.5.1.bin --keep chips
  rootcast demo --mixed
  rootcast demo --delta
  rootcast demo --chaos --seed 7
  rootcast demo --attach")]
pub struct Demo {
    /// Nodes in the mesh, the root among them
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    nodes: u16,

    /// Share of frames that each link of the mesh loses, 0 to 0.9 [default: 0, with --chaos 0.1]
    #[arg(long, value_name = "P", value_parser = arguments::share)]
    loss: Option<f64>,

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

    /// Two chips and three node types: one signed release, and each node ends with its own image
    #[arg(long, conflicts_with_all = ["from", "to", "chip", "delta"])]
    mixed: bool,

    /// Update by a patch: nodes that run the old image fetch it, every fourth runs another build and fetches the image
    #[arg(long)]
    delta: bool,

    /// Let everything go wrong meanwhile: power, radio, broker, host, downloads
    #[arg(long)]
    chaos: bool,

    /// Update nothing: join the mesh to a running rootcast serve by its broker, until Ctrl-C. Two app images to roll out
    /// are written to --keep: one that works, one that crashes
    #[arg(long, value_name = "BROKER", num_args = 0..=1, default_missing_value = "mqtt://127.0.0.1:1883",
        value_parser = arguments::Broker,
        conflicts_with_all = ["mixed", "delta", "chaos", "from", "to", "mode"])]
    attach: Option<BrokerAddress>,

    /// The CA that the control plane's nodes trust, with --attach; without it, the one in the platform's data folder
    #[arg(long, value_name = "FILE", requires = "attach")]
    ca: Option<PathBuf>,

    /// Decides what is left to chance: MAC addresses, delays, losses, what goes wrong and when
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Keep the content of every node's flash in this folder; with --attach, the images [default there: .]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// How long the mesh may take to form.
const FORM_LIMIT: Duration = Duration::from_secs(60);
/// How long the update may take.
const UPDATE_LIMIT: Duration = Duration::from_secs(900);
/// How often the forming mesh is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Nodes that --mixed needs for three node types, and --delta for two base images.
const LEAST_MIXED: u16 = 7;
const LEAST_DELTA: u16 = 4;

#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    nodes: u16,
    chip: String,
    broker: String,
    url: &'a str,
    image_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_bytes: Option<usize>,
    image_hash: Option<String>,
    key_digest: String,
    /// Nodes of each kind, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<(String, usize)>,
}

#[derive(Serialize)]
struct Joined<'a> {
    event: &'static str,
    nodes: u16,
    broker: String,
    good: &'a Path,
    bad: &'a Path,
}

#[derive(Serialize)]
struct Left {
    event: &'static str,
}

#[derive(Serialize)]
struct Ended<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(flatten)]
    evidence: &'a Evidence,
    #[serde(skip_serializing_if = "Option::is_none")]
    survived: Option<Survived>,
}

impl Demo {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        if let Some(broker) = &self.attach {
            return arguments::runtime()?.block_on(self.attach_to(broker, output));
        }
        let (from, to) = (self.from.as_deref(), self.to.as_deref());
        let images = match (self.mixed, self.delta) {
            (true, _) if self.nodes < LEAST_MIXED => return Err(too_few("--mixed", LEAST_MIXED)),
            (_, true) if self.nodes < LEAST_DELTA => return Err(too_few("--delta", LEAST_DELTA)),
            (true, _) => Images::for_mixed_mesh()?,
            (_, true) => Images::with_patch(from, to, self.chip)?,
            _ => Images::of_one_kind(from, to, self.chip)?,
        };
        arguments::runtime()?.block_on(self.play(&images, output))
    }

    async fn play(&self, images: &Images, output: &mut Output) -> Result<(), Error> {
        let loss = self.loss.unwrap_or(if self.chaos { LOSS } else { 0.0 });
        let wishes = Wishes { nodes: self.nodes.into(), loss, chaos: self.chaos, seed: self.seed };
        let stage = Stage::set(images, wishes).await?;
        output.show(&self.started(images, &stage))?;
        let followed = self.update(&stage, output).await;
        let (table, before, violations) = (stage.table.clone(), stage.before.clone(), stage.violations());
        let survived = stage.survived();
        let mut machines = stage.strike().await;
        let (end, summary) = followed?;
        let evidence = Evidence::find(&mut machines, &before, &table, images, &summary, violations);
        if let Some(folder) = &self.keep {
            keep(folder, &machines, images)?;
        }
        output.show(&Ended { summary: &summary, evidence: &evidence, survived })?;
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

    /// A mesh around a control plane, until Ctrl-C.
    async fn attach_to(&self, broker: &BrokerAddress, output: &mut Output) -> Result<(), Error> {
        let ca = match &self.ca {
            Some(path) => path.clone(),
            None => arguments::data_folder()?.join("rootcast-ca.pem"),
        };
        let folder = self.keep.clone().unwrap_or_else(|| PathBuf::from("."));
        // Is it there at all? A mesh that waits for ever would not say so.
        let failed = |error| Error::Broker { broker: broker.to_string(), error };
        let trust = Trust::Authorities(files::read_certificates(&ca)?);
        let topics = Topics::default();
        let filters = [topics.all_reports().to_string()];
        let mut link = Link::open(&endpoint(broker), &trust, &filters).await.map_err(failed)?;
        let place = Place { broker, ca: &ca, folder: &folder };
        let loss = self.loss.unwrap_or(0.0);
        let mesh = Attached::start(&place, self.chip, self.nodes.into(), loss, self.seed)?;
        output.show(&Joined {
            event: "attached",
            nodes: self.nodes,
            broker: broker.to_string(),
            good: &mesh.good,
            bad: &mesh.bad,
        })?;
        let mut fleet = Fleet::new(topics, Targets::all(), None);
        fleet.expect(self.nodes.into());
        let mut view = View::new(output, format!("A mesh at {broker}; Ctrl-C ends it"));
        let (start, mut was_formed) = (Instant::now(), false);
        let stopped = arguments::stopped();
        tokio::pin!(stopped);
        loop {
            mesh.show(&mut fleet);
            view.redraw(&fleet, start.elapsed())?;
            if !was_formed && mesh.has_formed() {
                was_formed = true;
                view.note(output, "every node is in the mesh")?;
            }
            tokio::select! {
                () = &mut stopped => break,
                () = sleep(LOOK) => {}
                event = link.next() => match event {
                    Event::Message { topic, payload, .. } => {
                        let change = fleet.hear(&topic, &payload, start.elapsed());
                        view.changed(output, &fleet, change, start.elapsed())?;
                    }
                    Event::Oversized { .. } => {}
                    Event::Lost => view.note(output, "The connection to the broker is gone; trying again.")?,
                    Event::Back => view.note(output, "The connection to the broker is back.")?,
                },
            }
        }
        drop(view);
        mesh.stop().await;
        output.show(&Left { event: "stopped" })
    }

    fn started<'a>(&self, images: &Images, stage: &'a Stage) -> Started<'a> {
        let mut chips: Vec<String> = images.kinds.iter().map(|kind| kind.chip.to_string()).collect();
        chips.dedup();
        let of_kind = |index: usize| stage.before.iter().filter(|before| before.kind == index).count();
        let kinds = images.kinds.iter().enumerate().map(|(index, kind)| (kind.name.clone(), of_kind(index)));
        let only = images.kinds.first().filter(|_| images.kinds.len() == 1);
        Started {
            event: "started",
            nodes: self.nodes,
            chip: chips.join(" and "),
            broker: stage.broker().to_string(),
            url: &stage.url,
            image_bytes: images.image_bytes(),
            patch_bytes: images.patch.map(|sizes| sizes.patch),
            image_hash: only.and_then(|kind| kind.new_hash).map(|hash| hash.to_string()),
            key_digest: images.key.key_digest().to_string(),
            kinds: if only.is_some() { Vec::new() } else { kinds.collect() },
        }
    }

    /// Waits for the mesh, triggers, and follows to the end.
    async fn update(&self, stage: &Stage, output: &mut Output) -> Result<(End, Summary), Error> {
        let broker = stage.broker();
        let failed = |error| Error::Broker { broker: broker.to_string(), error };
        let topics = Topics::default();
        let filters = [topics.all_reports().to_string(), topics.root_state().to_string()];
        let mut link =
            Link::open(&endpoint(&broker), &Trust::PublicAuthorities, &filters).await.map_err(failed)?;
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
        let (say, mut said) = unbounded_channel();
        let chaos = async {
            if self.chaos {
                Plan::new(self.nodes.into(), self.seed).strike(stage, &say).await;
            }
            std::future::pending::<()>().await;
        };
        let look = |fleet: &mut Fleet| {
            stage.show(fleet);
            std::iter::from_fn(|| said.try_recv().ok()).collect()
        };
        let ended = tokio::select! {
            ended = follow(&mut link, &mut fleet, view, output, UPDATE_LIMIT, look) => Some(ended),
            () = chaos => None,
        };
        link.close().await;
        // Chaos goes on for ever.
        let (end, time) = ended.unwrap_or(Ok((End::Interrupted, Duration::ZERO)))?;
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

fn too_few(mode: &str, least: u16) -> Error {
    Error::Usage(format!("{mode} needs at least {least} nodes"))
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
        if !self.kinds.is_empty() {
            let kinds = self.kinds.iter().map(|(name, nodes)| format!("{nodes} {name}"));
            writeln!(f, "  nodes    {}", kinds.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(f, "  broker   {}", self.broker)?;
        match (self.patch_bytes, self.kinds.is_empty()) {
            (Some(patch), _) => writeln!(
                f,
                "  release  {} (image {}, patch {})",
                self.url,
                Bytes(self.image_bytes as u64),
                Bytes(patch as u64)
            ),
            (None, false) => writeln!(f, "  release  {}", self.url),
            (None, true) => writeln!(f, "  image    {} ({})", self.url, Bytes(self.image_bytes as u64)),
        }
    }
}

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "A mesh of {} virtual nodes joins {}", self.nodes, self.broker)?;
        writeln!(f, "  to roll out            {}", self.good.display())?;
        writeln!(f, "  one that crashes       {}", self.bad.display())
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The mesh was virtual: nothing is left behind but the images.")
    }
}

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.summary)?;
        let Evidence { boot_new_image, nvs_unchanged, forbidden_writes, flaws, kinds, patch } = self.evidence;
        write!(
            f,
            "Their flash says: {boot_new_image} boot the new image, {nvs_unchanged} have their settings in nvs"
        )?;
        match forbidden_writes {
            0 => writeln!(f, ", nothing was written where it must not be.")?,
            times => writeln!(f, ", {times} writes where none may be.")?,
        }
        match patch {
            Some(patch) => writeln!(
                f,
                "By patch: {} nodes fetched {}, {} less than {} images; in full, for want of the base: {} nodes, {}.",
                patch.by_patch,
                Bytes(patch.by_patch_bytes),
                Bytes(patch.saved_bytes),
                patch.by_patch,
                patch.in_full,
                Bytes(patch.in_full_bytes)
            )?,
            None => kinds.iter().try_for_each(|kind| {
                let image = kind.image.as_deref().and_then(|hash| hash.get(..8)).unwrap_or("?");
                writeln!(
                    f,
                    "  {:<16} {} of {} nodes boot image {image}",
                    kind.name, kind.boot_new_image, kind.nodes
                )
            })?,
        }
        if let Some(survived) = self.survived {
            writeln!(f, "{survived}")?;
        }
        flaws.iter().try_for_each(|flaw| writeln!(f, "  {flaw}"))
    }
}
