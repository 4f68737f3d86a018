//! Files and releases. A file is uploaded first and has its content's name, so that the same file twice is one file; a
//! release names files.

use super::page::{check_text, cut, one_more, page_size};
use super::{Service, ServiceError};
use crate::clock::{rfc3339, to_db};
use crate::id;
use crate::store::event::EventRow;
use crate::store::release::{ImageRow, ReleaseRow, url_of};
use rootcast_image::{AppImage, ChipId, ImageVerifier};
use rootcast_wire::NodeType;
use rootcast_wire::text::{Hex, from_hex};
use serde::{Deserialize, Serialize};
use std::path::Path;
use utoipa::{IntoParams, ToSchema};

/// The largest file, in bytes: the largest flash of these chips.
pub const MAX_FILE_BYTES: usize = 16 << 20;
/// The most images of a release.
const MAX_IMAGES: usize = 64;
/// The longest notes, in bytes.
const MAX_NOTES_BYTES: usize = 4_096;

/// A file that was uploaded.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// SHA-256 over the file: by this a release names it.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// ESP-IDF's number of the chip it is for.
    pub chip: u16,
    /// The same in words.
    pub chip_name: String,
    /// The project in its app descriptor.
    pub project: String,
    /// The version there.
    pub version: String,
    /// The image hash, by which nodes report what they run.
    pub image_hash: String,
    /// The first half of `app_elf_sha256`, if it has one.
    pub elf: Option<String>,
    /// Whether a signature sector follows the image.
    pub signed: bool,
    /// Where nodes find it.
    pub url: String,
}

/// Where files are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HostView {
    /// Where nodes find them, with the slash at its end.
    pub files_url: String,
    /// Where they are uploaded with `PUT`, with the slash at its end.
    pub upload_url: String,
    /// The certificate (PEM) to trust there, if it is of the development CA.
    pub ca: Option<String>,
}

fn file_name(sha256: &str) -> String {
    format!("{sha256}.bin")
}

fn look_at(bytes: &[u8], files_url: &str) -> Result<FileView, ServiceError> {
    let refuse =
        |error| ServiceError::Invalid(format!("this is no app image that a node would take: {error}"));
    let mut verifier = ImageVerifier::new();
    verifier.push(bytes).map_err(refuse)?;
    let image = verifier.finish().map_err(refuse)?;
    Ok(describe(&image, files_url))
}

fn describe(image: &AppImage, files_url: &str) -> FileView {
    let chip: ChipId = image.header.chip;
    let sha256 = Hex(&image.file_sha256).to_string();
    let elf = &image.descriptor.elf_sha256;
    FileView {
        size: image.file_len.into(),
        chip: chip.0,
        chip_name: chip.to_string(),
        project: image.descriptor.project_name.to_string(),
        version: image.descriptor.version.to_string(),
        image_hash: image.hash.to_string(),
        elf: elf.iter().any(|byte| *byte != 0).then(|| Hex(elf.get(..16).unwrap_or_default()).to_string()),
        signed: image.file_len > image.signed_len,
        url: format!("{files_url}{}", file_name(&sha256)),
        sha256,
    }
}

/// Writes a whole file or none: what is cut in the middle leaves nothing behind under the file's name.
fn keep(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let path = folder.join(name);
    if path.exists() {
        return Ok(());
    }
    let part = folder.join(format!(".{name}.{}", std::process::id()));
    let written = std::fs::write(&part, bytes)
        .and_then(|()| std::fs::File::open(&part)?.sync_all())
        .and_then(|()| std::fs::rename(&part, &path));
    if written.is_err() {
        // Best effort: the error that matters is the one above.
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// Two images for the same nodes would leave it open which one they get.
fn check_distinct(sorted: &[ImageRow]) -> Result<(), ServiceError> {
    let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
    let twice = pairs.find(|(a, b)| (a.chip, &a.node_type) == (b.chip, &b.node_type));
    let Some((image, _)) = twice else { return Ok(()) };
    Err(ServiceError::Invalid(format!(
        "two images are for chip {} and {}: give them different node types",
        u16::try_from(image.chip).map(|chip| ChipId(chip).to_string()).unwrap_or_default(),
        if image.node_type.is_empty() { "every type" } else { &image.node_type }
    )))
}

/// A release to make: of files that were uploaded, or of what lies behind a URL.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRelease {
    /// Its version; absent = what its images say.
    #[serde(default)]
    pub version: Option<String>,
    /// Words about it.
    #[serde(default)]
    pub notes: String,
    /// Its images, which were uploaded.
    #[serde(default)]
    pub images: Vec<NewImage>,
    /// In place of images: where nodes find an app image or a signed release. It is checked as they will check it.
    #[serde(default)]
    pub url: Option<String>,
    /// Certificates (PEM) of the authorities that nodes trust there; absent = Mozilla's, and for the built-in host its own.
    #[serde(default)]
    pub ca: Option<String>,
}

/// What a release is made of.
pub(super) struct ReleaseParts {
    pub version: String,
    pub project: String,
    pub manifest: Option<String>,
    pub sequence: Option<i64>,
    /// Without the release's id.
    pub images: Vec<ImageRow>,
}

/// An image of a release to make.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewImage {
    /// SHA-256 of a file that was uploaded.
    pub sha256: String,
    /// The node type it is for; absent = every type of its chip.
    #[serde(default)]
    pub node_type: Option<String>,
}

/// An image of a release.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageView {
    /// ESP-IDF's number of the chip it is for.
    pub chip: i64,
    /// The type it is for; absent = every type.
    pub node_type: Option<String>,
    /// Bytes.
    pub size: i64,
    /// SHA-256 over the file.
    pub sha256: String,
    /// The image hash.
    pub image_hash: String,
    /// Whether it is signed.
    pub signed: bool,
    /// Where nodes find it.
    pub url: String,
    /// The image hashes of those who get a patch in its place.
    pub patches_from: Vec<String>,
}

/// A release.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReleaseView {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its project.
    pub project: String,
    /// Words about it.
    pub notes: String,
    /// When it was made.
    pub created_at: String,
    /// By whom.
    pub created_by: String,
    /// The signed release that nodes are sent to, if it is one.
    pub manifest_url: Option<String>,
    /// Its place in the order of signed releases: nodes follow none before the last one that they followed.
    pub sequence_number: Option<i64>,
    /// Its images.
    pub images: Vec<ImageView>,
    /// What is worth knowing about how it is served; said when it is made.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A page of releases.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReleasePage {
    /// The releases, newest first.
    pub items: Vec<ReleaseView>,
    /// Give this as `before` for the next page; absent on the last one.
    pub next: Option<String>,
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Before {
    /// Only those before this id.
    pub before: Option<String>,
    /// Items of the page: 1 to 1,000, 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

fn view(row: ReleaseRow, images: Vec<ImageRow>, files_url: &str) -> ReleaseView {
    let image = |row: ImageRow| ImageView {
        chip: row.chip,
        node_type: Some(row.node_type).filter(|name| !name.is_empty()),
        size: row.size,
        url: url_of(&row.file, files_url),
        patches_from: serde_json::from_str(&row.patches).unwrap_or_default(),
        sha256: row.sha256,
        image_hash: row.image_hash,
        signed: row.signed != 0,
    };
    ReleaseView {
        id: row.id,
        version: row.version,
        project: row.project,
        notes: row.notes,
        created_at: rfc3339(row.created_at),
        created_by: row.created_by,
        manifest_url: row.manifest.map(|place| url_of(&place, files_url)),
        sequence_number: row.sequence,
        images: images.into_iter().map(image).collect(),
        warnings: Vec::new(),
    }
}

impl Service {
    /// Where files are.
    pub fn host(&self) -> HostView {
        HostView {
            files_url: self.files_url.to_string(),
            upload_url: self.upload_url.to_string(),
            ca: self.ca.as_deref().map(str::to_owned),
        }
    }

    /// Checks an app image as a node would check it, and keeps it.
    pub async fn upload(&self, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<FileView, ServiceError> {
        let (folder, files_url) = (self.files.clone(), self.files_url.clone());
        let work = tokio::task::spawn_blocking(move || {
            let bytes = bytes.as_ref();
            let view = look_at(bytes, &files_url)?;
            keep(&folder, &file_name(&view.sha256), bytes).map_err(|error| {
                tracing::error!(%error, "an upload cannot be kept");
                ServiceError::Unavailable(format!("the file cannot be kept: {error}"))
            })?;
            Ok(view)
        });
        work.await.map_err(|error| ServiceError::Unavailable(error.to_string()))?
    }

    /// Makes a release.
    pub async fn create_release(&self, new: &NewRelease, by: &str) -> Result<ReleaseView, ServiceError> {
        check_text("notes", &new.notes.replace('\n', " "), MAX_NOTES_BYTES)?;
        let (parts, warnings) = match &new.url {
            Some(_) if !new.images.is_empty() => {
                let text = "give \"images\" that were uploaded, or a \"url\", not both";
                return Err(ServiceError::Invalid(text.to_owned()));
            }
            Some(url) => self.look_elsewhere(url, new).await?,
            None => (self.parts_of_files(new).await?, Vec::new()),
        };
        let version = new.version.clone().unwrap_or(parts.version);
        check_text("version", &version, rootcast_wire::trigger::MAX_VERSION_BYTES)?;
        if version.is_empty() {
            return Err(ServiceError::Invalid(
                "the images say no version: give the release's version".to_owned(),
            ));
        }
        let now = self.clock.now();
        let row = ReleaseRow {
            id: id::fresh('l', now)?,
            version,
            project: parts.project,
            notes: new.notes.clone(),
            created_at: to_db(now),
            created_by: by.to_owned(),
            manifest: parts.manifest,
            sequence: parts.sequence,
        };
        let mut images = parts.images;
        images.sort_by(|a, b| (a.chip, &a.node_type).cmp(&(b.chip, &b.node_type)));
        for image in &mut images {
            image.release_id.clone_from(&row.id);
        }
        check_distinct(&images)?;
        self.store.add_release(&row, &images).await?;
        let text = format!("{by} made release {} of {} images", row.version, images.len());
        let mut event = EventRow { at: to_db(now), kind: "release".to_owned(), text, ..EventRow::default() };
        event.seq = self.store.add_event(&event).await?;
        self.engine.tell(event);
        Ok(ReleaseView { warnings, ..view(row, images, &self.files_url) })
    }

    async fn parts_of_files(&self, new: &NewRelease) -> Result<ReleaseParts, ServiceError> {
        if new.images.is_empty() || new.images.len() > MAX_IMAGES {
            return Err(ServiceError::Invalid(format!(
                "a release has 1 to {MAX_IMAGES} images, or a \"url\""
            )));
        }
        let (mut images, mut version, mut project) = (Vec::new(), new.version.clone(), None);
        for image in &new.images {
            let file = self.file(&image.sha256).await?;
            let node_type = image.node_type.clone().unwrap_or_default();
            if !node_type.is_empty() && NodeType::from_name(&node_type).is_none() {
                return Err(ServiceError::Invalid(format!(
                    "{node_type:?} is no node type: it has 1 to 16 bytes"
                )));
            }
            let said = version.get_or_insert_with(|| file.version.clone());
            if *said != file.version && new.version.is_none() {
                return Err(ServiceError::Invalid(format!(
                    "the images have different versions, {said} and {}: give the release's version",
                    file.version
                )));
            }
            project.get_or_insert_with(|| file.project.clone());
            images.push(ImageRow {
                release_id: String::new(),
                chip: file.chip.into(),
                node_type,
                file: file_name(&file.sha256),
                size: i64::try_from(file.size).unwrap_or(i64::MAX),
                sha256: file.sha256,
                image_hash: file.image_hash,
                elf: file.elf,
                signed: file.signed.into(),
                patches: "[]".to_owned(),
            });
        }
        let (version, project) = (version.unwrap_or_default(), project.unwrap_or_default());
        Ok(ReleaseParts { version, project, manifest: None, sequence: None, images })
    }

    /// Looks at an uploaded file again: what is on the disk counts, not what was said about it.
    pub async fn file(&self, sha256: &str) -> Result<FileView, ServiceError> {
        // Hexadecimal digits only: no path leads out of the folder.
        let digest: [u8; 32] = from_hex(sha256).ok_or_else(|| {
            ServiceError::Invalid(format!("{sha256:?} is no SHA-256: it has 64 hexadecimal digits"))
        })?;
        let digest = Hex(&digest).to_string();
        let path = self.files.join(file_name(&digest));
        let files_url = self.files_url.clone();
        let work = tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(path).map_err(|_| {
                ServiceError::Invalid(format!("no file with SHA-256 {digest} was uploaded: upload it first"))
            })?;
            look_at(&bytes, &files_url)
        });
        work.await.map_err(|error| ServiceError::Unavailable(error.to_string()))?
    }

    /// Releases, newest first.
    pub async fn releases(&self, page: &Before) -> Result<ReleasePage, ServiceError> {
        let size = page_size(page.limit)?;
        let rows = self.store.releases(page.before.as_deref(), one_more(size)).await?;
        let (rows, next) = cut(rows, size, |row| row.id.clone());
        let mut items = Vec::new();
        for row in rows {
            let images = self.store.images(&row.id).await?;
            items.push(view(row, images, &self.files_url));
        }
        Ok(ReleasePage { items, next })
    }

    /// One release.
    pub async fn release(&self, id: &str) -> Result<ReleaseView, ServiceError> {
        let row =
            self.store.release(id).await?.ok_or_else(|| ServiceError::NotFound("such release".to_owned()))?;
        let images = self.store.images(id).await?;
        Ok(view(row, images, &self.files_url))
    }

    /// Removes a release that no rollout names; files that no other release names go with it.
    pub async fn remove_release(&self, id: &str) -> Result<(), ServiceError> {
        if self.store.release_is_used(id).await? {
            let text = "a rollout names this release: its history needs it";
            return Err(ServiceError::Conflict(text.to_owned()));
        }
        let images = self.store.images(id).await?;
        if !self.store.delete_release(id).await? {
            return Err(ServiceError::NotFound("such release".to_owned()));
        }
        for image in images {
            // Only what was uploaded as a file of its own is ours to remove.
            let is_ours = image.file == file_name(&image.sha256);
            if is_ours && !self.store.file_is_used(&image.file).await? {
                // The release is gone; a file too many does no harm.
                let _ = std::fs::remove_file(self.files.join(&image.file));
            }
        }
        Ok(())
    }
}
