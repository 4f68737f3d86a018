//! Releases and their images.

use super::{Store, StoreError};
use sqlx::FromRow;

/// A release as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ReleaseRow {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Its project.
    pub project: String,
    /// Words about it.
    pub notes: String,
    /// When it was made.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// The signed release that nodes are sent to in place of an image: a URL, or a name on the host.
    pub manifest: Option<String>,
    /// Its place in the order of releases.
    pub sequence: Option<i64>,
}

/// An image as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ImageRow {
    /// Its release.
    pub release_id: String,
    /// ESP-IDF's number of the chip it is for.
    pub chip: i64,
    /// The type it is for; empty = every type.
    pub node_type: String,
    /// A URL, or a name on the host.
    pub file: String,
    /// Bytes of the file.
    pub size: i64,
    /// SHA-256 over the file.
    pub sha256: String,
    /// The image hash.
    pub image_hash: String,
    /// The first half of `app_elf_sha256`.
    pub elf: Option<String>,
    /// Whether it carries a signature sector.
    pub signed: i64,
    /// JSON: the image hashes of those who get a patch in its place.
    pub patches: String,
}

/// Where nodes find what is kept as a URL or as a name on the host.
pub fn url_of(place: &str, files_url: &str) -> String {
    match place.contains("://") {
        true => place.to_owned(),
        false => format!("{files_url}{place}"),
    }
}

impl Store {
    /// Releases, newest first, those before `before` only.
    pub async fn releases(&self, before: Option<&str>, limit: i64) -> Result<Vec<ReleaseRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM releases WHERE id < $1 ORDER BY id DESC LIMIT $2");
        Ok(query.bind(before.unwrap_or("~")).bind(limit).fetch_all(&self.pool).await?)
    }

    /// A release.
    pub async fn release(&self, id: &str) -> Result<Option<ReleaseRow>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM releases WHERE id = $1").bind(id).fetch_optional(&self.pool).await?)
    }

    /// The images of a release, in a fixed order: an update's `variant` counts in it.
    pub async fn images(&self, release: &str) -> Result<Vec<ImageRow>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM images WHERE release_id = $1 ORDER BY chip, node_type");
        Ok(query.bind(release).fetch_all(&self.pool).await?)
    }

    /// Adds a release with its images. False if it is there already.
    pub async fn add_release(&self, release: &ReleaseRow, images: &[ImageRow]) -> Result<bool, StoreError> {
        let mut work = self.pool.begin().await?;
        let added = sqlx::query(
            "INSERT INTO releases (id, version, project, notes, created_at, created_by, manifest, sequence) \
             VALUES ($1,$2,$3,$4,$5,$6,$7,$8) \
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(&release.id)
        .bind(&release.version)
        .bind(&release.project)
        .bind(&release.notes)
        .bind(release.created_at)
        .bind(&release.created_by)
        .bind(&release.manifest)
        .bind(release.sequence)
        .execute(&mut *work)
        .await?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        for image in images {
            sqlx::query(
                "INSERT INTO images (release_id, chip, node_type, file, size, sha256, image_hash, elf, signed, patches) \
                 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)",
            )
            .bind(&image.release_id)
            .bind(image.chip)
            .bind(&image.node_type)
            .bind(&image.file)
            .bind(image.size)
            .bind(&image.sha256)
            .bind(&image.image_hash)
            .bind(&image.elf)
            .bind(image.signed)
            .bind(&image.patches)
            .execute(&mut *work)
            .await?;
        }
        work.commit().await?;
        Ok(true)
    }

    /// Whether a rollout names this release.
    pub async fn release_is_used(&self, id: &str) -> Result<bool, StoreError> {
        let row: Option<(i64,)> =
            sqlx::query_as("SELECT revision FROM rollouts WHERE release_id = $1 LIMIT 1")
                .bind(id)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.is_some())
    }

    /// Removes a release that no rollout names. False if there is none.
    pub async fn delete_release(&self, id: &str) -> Result<bool, StoreError> {
        let mut work = self.pool.begin().await?;
        sqlx::query("DELETE FROM images WHERE release_id = $1").bind(id).execute(&mut *work).await?;
        let deleted = sqlx::query("DELETE FROM releases WHERE id = $1").bind(id).execute(&mut *work).await?;
        work.commit().await?;
        Ok(deleted.rows_affected() > 0)
    }

    /// How many images are kept in a file of this name.
    pub async fn file_is_used(&self, file: &str) -> Result<bool, StoreError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT chip FROM images WHERE file = $1 LIMIT 1")
            .bind(file)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }
}
