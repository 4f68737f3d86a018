//! `rootcast releases`

use crate::client::{Client, Server, part};
use crate::error::Error;
use crate::output::Output;
use crate::{arguments, files};
use clap::{Args, Subcommand};
use rootcast_control::service::releases::{
    FileView, HostView, NewImage, NewRelease, ReleasePage, ReleaseView,
};
use rootcast_hosting::publish::{Destination, Environment, PublishOptions, files_of_release, publish_set};
use rootcast_image::ChipId;
use rootcast_trust::release::UnverifiedRelease;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// The control plane's releases: list them, add one, remove one
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  rootcast releases
  rootcast releases add build/app.bin
  rootcast releases add lamp.bin:relay8 switch.bin:switch --version 1.4.0
  rootcast releases add public/release.suit
  rootcast releases add https://github.com/me/lamp/releases/download/v1.4.0/lamp.bin
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

/// Make a release of app images, of a signed release, or of what lies behind a URL
///
/// Chip, version and hashes are read from the images. Several images make one release for several chips or node types. A signed
/// release (release.suit) is uploaded with all that it refers to; its nodes take patches where it has some. What lies behind a URL
/// stays there: it is checked as nodes will check it, and they are sent to it.
#[derive(Args)]
struct Add {
    /// App images (.bin), where FILE:TYPE is for nodes of this type only; or one signed release; or one URL
    #[arg(required = true, value_name = "FILE[:TYPE]|URL")]
    images: Vec<String>,

    /// CA certificates (PEM) that nodes trust at the URL, in place of Mozilla's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

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
        let is_url = |text: &str| text.starts_with("https://") || text.starts_with("http://");
        let new = match self.images.as_slice() {
            [url] if is_url(url) => self.elsewhere(url.clone())?,
            [file] => match files_of_release(Path::new(file)) {
                Ok(Some(files)) => self.elsewhere(upload_release(&files, client).await?)?,
                // What is no file, and what is no release, is an image or has its error there.
                _ => self.of_images(client).await?,
            },
            many if many.iter().any(|text| is_url(text)) => {
                let text = "a release is made of one URL, or of files: give several images as a signed release there";
                return Err(Error::Usage(text.to_string()));
            }
            _ => self.of_images(client).await?,
        };
        let release: ReleaseView = client.post("/releases", &new).await?;
        output.show(&Line(release))
    }

    fn elsewhere(&self, url: String) -> Result<NewRelease, Error> {
        let ca = self.ca.as_deref().map(files::read).transpose()?;
        let ca = ca.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(NewRelease { url: Some(url), ca, ..self.of(Vec::new()) })
    }

    fn of(&self, images: Vec<NewImage>) -> NewRelease {
        let (version, notes) = (self.version.clone(), self.notes.clone());
        NewRelease { version, notes, images, ..NewRelease::default() }
    }

    async fn of_images(&self, client: &Client) -> Result<NewRelease, Error> {
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
        Ok(self.of(images))
    }
}

/// Uploads a signed release with all its files to the control plane's host, into a folder of its own; returns its URL.
async fn upload_release(files: &[PathBuf], client: &Client) -> Result<String, Error> {
    let Some(release) = files.last() else { return Err(Error::Usage("give a file".to_string())) };
    let folder = folder_of(release)?;
    let host: HostView = client.get("/host", &[]).await?;
    let ca = host.ca.unwrap_or_default();
    let flaw = "holds a certificate that cannot be used";
    let authorities = CertificateDer::pem_slice_iter(ca.as_bytes()).collect::<Result<Vec<_>, _>>();
    let options = PublishOptions {
        public_base: Some(format!("{}{folder}", host.files_url)),
        authorities: authorities
            .map_err(|_| Error::Flawed { path: "the control plane's CA".into(), flaw })?,
        environment: Environment::of([("ROOTCAST_TOKEN", client.token())]),
        ..PublishOptions::default()
    };
    let destination = Destination::Host { base: format!("{}{folder}", host.upload_url) };
    let published = publish_set(files, &destination, &options, &|_, _| {}).await.map_err(Error::Publish)?;
    let url = published.into_iter().find(|it| it.is_release).and_then(|it| it.url);
    url.ok_or_else(|| Error::Flawed { path: release.clone(), flaw: "was not published" })
}

/// `1.2.0-1795580000`: what a release calls itself, and its place in the order of releases.
fn folder_of(release: &Path) -> Result<String, Error> {
    let bytes = files::read(release)?;
    let read = UnverifiedRelease::read(&bytes)
        .map_err(|error| Error::Release { path: release.to_path_buf(), error })?;
    let version = read.claims().texts().version.unwrap_or("release");
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let version: String = version.chars().map(plain).collect();
    Ok(format!("{}-{}", version.trim_matches('.'), read.claims().sequence_number()))
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
            if !image.patches_from.is_empty() {
                writeln!(f, "    by patch from {}", image.patches_from.join(", "))?;
            }
        }
        if let (Some(url), Some(number)) = (&release.manifest_url, release.sequence_number) {
            writeln!(f, "  signed release {number}: {url}")?;
        }
        for warning in &release.warnings {
            writeln!(f, "  note: {warning}")?;
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
