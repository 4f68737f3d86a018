//! `rootcast publish`

use crate::error::Error;
use crate::output::Output;
use crate::size::Bytes;
use crate::{arguments, files};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rootcast_hosting::publish::{
    Destination, Environment, Outcome, Progress, PublishError, PublishOptions, Published, publish_set,
};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// Put images where nodes can fetch them, and say what to trigger
///
/// Images are verified first, uploaded whole or not at all, read back and compared. The name says version and chip
/// (app-1.0.1-esp32c3.bin) and is not used again for other content. A release is published with its images: all of them
/// first, the release last. Credentials come from where each store's own tools keep them, never from arguments.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast publish build/app.bin --to /srv/firmware --url https://fw.example.com
  rootcast publish build/app.bin --to s3://my-bucket/esp --presign 24h
  rootcast publish release.suit lamp.bin lamp.bin.pages --to github://owner/repo@v1.0.1

Destinations, and where their credentials come from:
  DIR                       a folder that a web server serves
  s3://BUCKET/PREFIX        AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; AWS_ENDPOINT_URL for other makes
  gs://BUCKET/PREFIX        GOOGLE_APPLICATION_CREDENTIALS
  az://CONTAINER/PREFIX     AZURE_STORAGE_CONNECTION_STRING
  github://OWNER/REPO@TAG   GITHUB_TOKEN
  https://HOST/PATH         ROOTCAST_TOKEN: another Rootcast's host that takes uploads, or that of rootcast serve")]
pub struct Publish {
    /// App images (.bin), and releases (.suit) with all that they refer to
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Where to: DIR, s3://, gs://, az://, github://, https://
    #[arg(long, value_name = "DEST")]
    to: String,

    /// The address under which the destination is served, if not its own: a web server, a CDN
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// The version in the name; without it, the one in the image
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,

    /// The first part of the name; without it, the file's name
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// Replace other content of the same name
    #[arg(long)]
    replace: bool,

    /// Sign the URL for so long, up to 7 days (S3, GCS, Azure)
    #[arg(long, value_name = "TIME", value_parser = arguments::duration)]
    presign: Option<Duration>,

    /// The broker in the lines to run: mqtt://HOST:PORT
    #[arg(long, env = "ROOTCAST_BROKER", hide_env_values = true)]
    broker: Option<String>,

    /// What stands before the mesh's topics
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,

    /// CA certificates (PEM) of the destination, besides the public ones
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
}

/// What is printed for each file.
#[derive(Serialize)]
struct Shown<'a> {
    event: &'static str,
    #[serde(flatten)]
    published: &'a Published,
    /// Whether the lines to run belong to it: of a set, they belong to the release alone.
    #[serde(skip)]
    to_trigger: bool,
}

impl Publish {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let destination: Destination =
            self.to.parse().map_err(|error: PublishError| Error::Usage(error.to_string()))?;
        let mut authorities = Vec::new();
        for path in &self.ca {
            authorities.extend(files::read_certificates(path)?);
        }
        let options = PublishOptions {
            version: self.version.clone(),
            name: self.name.clone(),
            keep_name: false,
            replace: self.replace,
            presign: self.presign,
            public_base: self.url.clone(),
            broker: self.broker.clone(),
            topic_prefix: self.prefix.clone(),
            authorities,
            environment: Environment::process(),
        };
        let bars = Bars::new(output.is_json());
        let told = |name: &str, state: Progress| bars.show(name, state);
        let published = arguments::runtime()?.block_on(async {
            tokio::select! {
                published = publish_set(&self.files, &destination, &options, &told) => {
                    published.map_err(Error::Publish)
                }
                _ = tokio::signal::ctrl_c() => Err(Error::Interrupted {
                    what_now: "Nothing is half published; run it again to finish.",
                }),
            }
        });
        bars.end();
        let published = published?;
        let release = published.iter().any(|published| published.is_release);
        for published in &published {
            let to_trigger = !release || published.is_release;
            output.show(&Shown { event: "published", published, to_trigger })?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published = self.published;
        let outcome = match published.outcome {
            Outcome::Uploaded => "published",
            Outcome::AlreadyThere => "there already, the same:",
            Outcome::Replaced => "replaced",
        };
        writeln!(f, "{outcome} {} ({})", published.name, Bytes(published.size))?;
        writeln!(f, "  sha256   {}", published.sha256)?;
        if let Some(image) = &published.image {
            let signed = if image.signed { "signed" } else { "NOT SIGNED" };
            writeln!(f, "  image    {} {}, {}, {signed}", image.project, image.version, image.chip)?;
        }
        if let Some(url) = &published.url {
            writeln!(f, "  url      {url}")?;
        }
        for note in &published.notes {
            writeln!(f, "  note     {note}")?;
        }
        if let (true, Some(mosquitto), Some(trigger)) =
            (self.to_trigger, &published.mosquitto_line, &published.trigger_line)
        {
            writeln!(f, "\nTrigger it:\n  {trigger}\nor:\n  {mosquitto}")?;
        }
        Ok(())
    }
}

/// A bar for the file that is on its way; nothing without a terminal.
struct Bars {
    bar: Mutex<(String, ProgressBar)>,
    target: fn() -> ProgressDrawTarget,
}

impl Bars {
    fn new(json: bool) -> Self {
        // indicatif draws on a terminal only.
        let target = if json { ProgressDrawTarget::hidden } else { ProgressDrawTarget::stderr };
        Self { bar: Mutex::new((String::new(), ProgressBar::hidden())), target }
    }

    fn show(&self, name: &str, state: Progress) {
        let Ok(mut current) = self.bar.lock() else { return };
        if current.0 != name {
            current.1.finish_and_clear();
            let bar = ProgressBar::with_draw_target(Some(state.total), (self.target)());
            if let Ok(style) =
                ProgressStyle::with_template("{prefix}  {bar:30} {bytes} of {total_bytes}  {bytes_per_sec}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_string());
            *current = (name.to_string(), bar);
        }
        current.1.set_position(state.done);
    }

    fn end(&self) {
        if let Ok(current) = self.bar.lock() {
            current.1.finish_and_clear();
        }
    }
}
