//! `rootcast releases`

use crate::client::{Client, Server, part};
use crate::error::Error;
use crate::output::Output;
use crate::{arguments, files};
use clap::{Args, Subcommand};
use rootcast_control::service::releases::{FileView, NewImage, NewRelease, ReleasePage, ReleaseView};
use rootcast_image::ChipId;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The control plane's releases: list them, add one, remove one
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  rootcast releases
  rootcast releases add build/app.bin
  rootcast releases add lamp.bin:relay8 switch.bin:switch --version 1.4.0
  rootcast releases remove l019ab2c4d5e6f7a8b9c0"
)]
pub struct Releases {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    server: Server,
}

#[derive(Subcommand)]
enum Action {
    Add(Add),
    Remove(Remove),
}

/// Upload app images and make a release of them
///
/// Chip, version and hashes are read from the images. Several images make one release for several chips or node types.
#[derive(Args)]
struct Add {
    /// App images (.bin); FILE:TYPE is for nodes of this type only
    #[arg(required = true, value_name = "FILE[:TYPE]")]
    images: Vec<String>,

    /// The release's version; without it, the one in the images
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,

    /// Words about it
    #[arg(long, value_name = "TEXT", default_value = "")]
    notes: String,

    #[command(flatten)]
    server: Server,
}

/// Remove a release that no rollout names
#[derive(Args)]
struct Remove {
    /// The release's id
    release: String,

    #[command(flatten)]
    server: Server,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Line(ReleaseView);

#[derive(Serialize)]
struct Removed {
    event: &'static str,
    release: String,
}

#[derive(Serialize)]
struct Count {
    releases: usize,
}

impl Releases {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let server = match &self.action {
            None => &self.server,
            Some(Action::Add(add)) => &add.server,
            Some(Action::Remove(remove)) => &remove.server,
        };
        let client = server.client()?;
        arguments::runtime()?.block_on(async {
            match &self.action {
                None => list(&client, output).await,
                Some(Action::Add(add)) => add.run(&client, output).await,
                Some(Action::Remove(remove)) => {
                    client.delete(&format!("/releases/{}", part(&remove.release))).await?;
                    output.show(&Removed { event: "removed", release: remove.release.clone() })
                }
            }
        })
    }
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Error> {
    let (mut releases, mut before) = (0, None);
    loop {
        let query: Vec<_> = before.map(|before| ("before", before)).into_iter().collect();
        let page: ReleasePage = client.get("/releases", &query).await?;
        for release in page.items {
            releases += 1;
            output.show(&Line(release))?;
        }
        before = page.next;
        if before.is_none() {
            return output.show(&Count { releases });
        }
    }
}

impl Add {
    async fn run(&self, client: &Client, output: &mut Output) -> Result<(), Error> {
        let mut images = Vec::new();
        for image in &self.images {
            let (path, node_type) = match image.rsplit_once(':') {
                // A file of this very name comes first: names may have colons.
                Some((path, node_type)) if !PathBuf::from(image).exists() => {
                    (path, Some(node_type.to_string()))
                }
                _ => (image.as_str(), None),
            };
            let file: FileView = client.upload("/files", files::read(&PathBuf::from(path))?).await?;
            images.push(NewImage { sha256: file.sha256, node_type });
        }
        let new = NewRelease { version: self.version.clone(), notes: self.notes.clone(), images };
        let release: ReleaseView = client.post("/releases", &new).await?;
        output.show(&Line(release))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = &self.0;
        writeln!(
            f,
            "{}  {} {}  made {} by {}",
            release.id, release.project, release.version, release.created_at, release.created_by
        )?;
        for image in &release.images {
            let chip = u16::try_from(image.chip).map(|chip| ChipId(chip).to_string()).unwrap_or_default();
            let whom = image.node_type.as_deref().unwrap_or("every type");
            let signed = if image.signed { "signed" } else { "unsigned" };
            writeln!(f, "  {chip}, {whom}: {} bytes, {signed}, {}", image.size, image.url)?;
        }
        Ok(())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.releases {
            0 => f.write_str("no release yet: rootcast releases add APP.bin"),
            1 => f.write_str("1 release"),
            releases => write!(f, "{releases} releases"),
        }
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removed {}", self.release)
    }
}
