//! Publishing: put an image where nodes can fetch it, and say what to trigger.
//!
//! ```text
//!  file ──▶ Artifact ──▶ Destination ──▶ stored, never half ──▶ read back and compared ──▶ Published
//!           read once,    folder, s3, gs,                                                  URL, checksums,
//!           verified,     az, github, host                                                 lines to run
//!           named
//! ```
//!
//! Names carry version and chip and are never reused for other content unless asked (`replace`): a URL that once worked keeps meaning the
//! same bytes. Credentials come from where each ecosystem keeps them ([`Environment`]), never from arguments.
//!
//! | module | purpose |
//! |---|---|
//! | `artifact` | a file read, verified and named |
//! | `set` | a release with its images: all or nothing |
//! | `destination` | where to: `DIR`, `s3://`, `gs://`, `az://`, `github://`, `https://` |
//! | `folder` | a folder that a web server serves |
//! | `object` | S3, Google Cloud Storage, Azure Blob Storage |
//! | `object_stores`, `gcs_emulator` | opening them |
//! | `github` | assets of GitHub releases |
//! | `remote` | another Rootcast's host |
//! | `environment`, `aws_profile` | credentials |
//! | `lines` | the commands that trigger what was published |

mod artifact;
mod aws_profile;
mod destination;
mod environment;
mod error;
mod folder;
mod gcs_emulator;
mod github;
mod http;
mod lines;
mod object;
mod object_stores;
mod remote;
mod set;

use std::path::Path;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use serde::Serialize;

pub use artifact::{Artifact, ImageFacts};
pub use destination::Destination;
pub use environment::Environment;
pub use error::PublishError;
pub use lines::{mosquitto_line, shell_quote, trigger_json, trigger_line};
pub use set::{OnSetProgress, files_of_release, publish_set};

/// How to publish.
#[derive(Debug, Clone, Default)]
pub struct PublishOptions {
    /// The version in the name; default: the one in the image's app descriptor.
    pub version: Option<String>,
    /// The first part of the name; default: the file's name without its ending.
    pub name: Option<String>,
    /// Keep the file's own name, for files that something refers to by it; without effect on releases.
    pub keep_name: bool,
    /// Whether other content under the same name may be replaced.
    pub replace: bool,
    /// Sign the URL for this long, where the store can (S3, GCS with a service account's key, Azure with an account key).
    pub presign: Option<Duration>,
    /// The address under which the destination is served, if it is not the store's own: a web server, a CDN.
    pub public_base: Option<String>,
    /// The broker for the lines to run, `mqtt://host[:port]`; default `mqtt://localhost`.
    pub broker: Option<String>,
    /// The prefix of the trigger's topic; default none.
    pub topic_prefix: String,
    /// CA certificates to trust besides the system's, for hosts and stores of one's own.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Credentials and endpoints.
    pub environment: Environment,
}

/// How far an upload is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Bytes the destination has.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What became of the name at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is new there.
    Uploaded,
    /// The very same content was there already.
    AlreadyThere,
    /// Other content was there and was replaced, as asked.
    Replaced,
}

/// What was published, where, and what to run next.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    /// The name at the destination.
    pub name: String,
    /// The address for nodes. Absent for a folder whose web address was not given.
    pub url: Option<String>,
    /// What happened.
    pub outcome: Outcome,
    /// SHA-256 of the file, in hex, read back from the destination and compared.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// What the image says about itself; absent for other files.
    pub image: Option<ImageFacts>,
    /// Whether it is a signed release.
    pub is_release: bool,
    /// The `mosquitto_pub` command that triggers it.
    pub mosquitto_line: Option<String>,
    /// The `rootcast trigger` command that triggers it.
    pub trigger_line: Option<String>,
    /// Things to know or to mend, in plain words.
    pub notes: Vec<String>,
}

/// What a destination says after storing.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) url: Option<String>,
    pub(crate) outcome: Outcome,
    pub(crate) notes: Vec<String>,
}

/// Told how far an upload is; may be called from any thread.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

/// Publishes one file. Either it is whole at the destination and compared, or nothing changed there.
pub async fn publish(
    file: &Path,
    destination: &Destination,
    options: &PublishOptions,
    progress: OnProgress<'_>,
) -> Result<Published, PublishError> {
    let artifact = Artifact::read(file, options)?;
    publish_artifact(&artifact, destination, options, progress).await
}

/// Publishes what is in memory already.
pub async fn publish_artifact(
    artifact: &Artifact,
    destination: &Destination,
    options: &PublishOptions,
    progress: OnProgress<'_>,
) -> Result<Published, PublishError> {
    let total = artifact.bytes.len() as u64;
    progress(Progress { done: 0, total });
    let stored = match destination {
        Destination::Folder(folder) => folder::store(artifact, folder, options).await?,
        Destination::S3 { .. } | Destination::Gcs { .. } | Destination::Azure { .. } => {
            object::store(artifact, destination, options, progress).await?
        }
        Destination::GitHub(release) => github::store(artifact, release, options).await?,
        Destination::Host { base } => remote::store(artifact, base, options).await?,
    };
    progress(Progress { done: total, total });
    let url = stored.url;
    let broker = options.broker.as_deref().unwrap_or("mqtt://localhost");
    Ok(Published {
        name: artifact.name.clone(),
        mosquitto_line: url.as_ref().map(|url| mosquitto_line(broker, &options.topic_prefix, url)),
        trigger_line: url.as_ref().map(|url| trigger_line(broker, url)),
        url,
        outcome: stored.outcome,
        sha256: crate::content::hex(&artifact.sha256),
        size: total,
        image: artifact.image.clone(),
        is_release: crate::release_files::is_release(&artifact.bytes),
        notes: stored.notes,
    })
}
