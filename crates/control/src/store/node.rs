//! Nodes and meshes.

use super::{Store, StoreError};
use sqlx::FromRow;

/// A node as stored; see the migration for the columns.
#[derive(Clone, Debug, Default, PartialEq, FromRow)]
pub struct NodeRow {
    /// Its id.
    pub id: i64,
    /// Its mesh.
    pub mesh: String,
    /// What it is.
    pub node_type: String,
    /// Which firmware family it speaks.
    pub dialect: String,
    /// ESP-IDF's number of its chip.
    pub chip: Option<i64>,
    /// The running image's version.
    pub version: Option<String>,
    /// The running image's hash.
    pub running: Option<String>,
    /// The first half of `app_elf_sha256`.
    pub elf: Option<String>,
    /// The slot it runs from.
    pub slot: Option<String>,
    /// Bytes of the slot that an update goes into.
    pub slot_bytes: Option<i64>,
    /// Whether it is a root.
    pub is_root: i64,
    /// Its parent.
    pub parent: Option<i64>,
    /// Its layer.
    pub layer: Option<i64>,
    /// Signal in dBm.
    pub rssi: Option<i64>,
    /// Seconds since it started.
    pub uptime_s: Option<i64>,
    /// The step of its last update.
    pub state: Option<String>,
    /// How far that step is.
    pub progress: Option<i64>,
    /// Its last error.
    pub error: Option<String>,
    /// Words to that.
    pub detail: Option<String>,
    /// Whether it takes unsigned images.
    pub unsigned_allowed: Option<i64>,
    /// When it was first heard of.
    pub first_seen: i64,
    /// When it was last heard of.
    pub last_seen: i64,
    /// Whether its last will was heard since.
    pub gone: i64,
    /// What the operator calls it.
    pub name: Option<String>,
    /// Tags, as a JSON array.
    pub tags: String,
}

/// A mesh as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct MeshRow {
    /// What stands before its topics.
    pub name: String,
    /// What the operator calls it.
    pub title: Option<String>,
    /// Its time zone by IANA name; absent = UTC.
    pub zone: Option<String>,
}

/// Name and tags are an operator's: [`Store::mark_node`] changes them.
pub(super) const UPSERT: &str = "INSERT INTO nodes (id, mesh, node_type, dialect, chip, version, running, elf, slot, \
    is_root, parent, layer, rssi, uptime_s, state, progress, error, detail, unsigned_allowed, first_seen, last_seen, \
    gone, name, tags, slot_bytes) \
    VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25) \
    ON CONFLICT (id) DO UPDATE SET mesh=excluded.mesh, node_type=excluded.node_type, dialect=excluded.dialect, \
    chip=excluded.chip, version=excluded.version, running=excluded.running, elf=excluded.elf, slot=excluded.slot, \
    is_root=excluded.is_root, parent=excluded.parent, layer=excluded.layer, rssi=excluded.rssi, \
    uptime_s=excluded.uptime_s, state=excluded.state, progress=excluded.progress, error=excluded.error, \
    detail=excluded.detail, unsigned_allowed=excluded.unsigned_allowed, last_seen=excluded.last_seen, \
    gone=excluded.gone, slot_bytes=excluded.slot_bytes";

impl Store {
    /// Every node.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM nodes ORDER BY id").fetch_all(&self.pool).await?)
    }

    /// Names and tags of all nodes.
    pub async fn marks(&self) -> Result<Vec<(i64, Option<String>, String)>, StoreError> {
        Ok(sqlx::query_as("SELECT id, name, tags FROM nodes ORDER BY id").fetch_all(&self.pool).await?)
    }

    /// Gives a node a name and tags. False if there is no such node.
    pub async fn mark_node(&self, id: i64, name: Option<&str>, tags: &str) -> Result<bool, StoreError> {
        let query = sqlx::query("UPDATE nodes SET name = $1, tags = $2 WHERE id = $3");
        Ok(query.bind(name).bind(tags).bind(id).execute(&self.pool).await?.rows_affected() > 0)
    }

    /// A node.
    pub async fn node(&self, id: i64) -> Result<Option<NodeRow>, StoreError> {
        Ok(sqlx::query_as("SELECT * FROM nodes WHERE id = $1").bind(id).fetch_optional(&self.pool).await?)
    }

    /// Every mesh that was given a title or a zone.
    pub async fn meshes(&self) -> Result<Vec<MeshRow>, StoreError> {
        Ok(sqlx::query_as("SELECT name, title, zone FROM meshes ORDER BY name").fetch_all(&self.pool).await?)
    }

    /// Gives a mesh a title and a zone.
    pub async fn put_mesh(&self, mesh: &MeshRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO meshes (name, title, zone) VALUES ($1,$2,$3) \
             ON CONFLICT (name) DO UPDATE SET title=excluded.title, zone=excluded.zone",
        )
        .bind(&mesh.name)
        .bind(&mesh.title)
        .bind(&mesh.zone)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
