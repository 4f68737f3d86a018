//! An open rollout, between the store's rows and the planner's types.

use super::registry::{db_id, node_id};
use crate::clock::{from_db, to_db};
use crate::store::StoreError;
use crate::store::release::{ImageRow, ReleaseRow};
use crate::store::rollout::{RolloutRow, UpdateRow};
use rootcast_rollout::{Expected, Moment, Phase, Release, Rollout, Running, State, Update, Variant};
use rootcast_wire::NodeId;
use rootcast_wire::text::{Hex, from_hex};
use std::collections::{BTreeMap, BTreeSet};

/// An open rollout.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its row; what the planner changes is in `rollout` until [`Run::row`] puts it back.
    pub stored: RolloutRow,
    /// Its state.
    pub rollout: Rollout,
    /// The version of its release.
    pub version: String,
    /// The signed release that nodes are sent to, if it is one.
    pub manifest: Option<String>,
    /// The images of its release, in the order that variants count in.
    pub images: Vec<ImageRow>,
    /// The nodes' progress, 0 to 100.
    pub progress: BTreeMap<NodeId, u8>,
    /// Updates that changed since they were last written.
    pub dirty: BTreeSet<NodeId>,
    /// Those of them that are triggered by what is about to be written.
    pub triggered: BTreeSet<NodeId>,
}

impl Run {
    /// What the nodes of an attempt report under.
    pub fn token(&self, attempt: u32) -> String {
        format!("{}.{attempt}", self.stored.id)
    }

    /// Reads a rollout.
    pub fn from_rows(
        stored: RolloutRow,
        release: Option<ReleaseRow>,
        images: Vec<ImageRow>,
        updates: Vec<UpdateRow>,
    ) -> Result<Self, StoreError> {
        let spec = serde_json::from_str(&stored.spec).map_err(|_| unreadable("rollout", &stored.spec))?;
        let phase = Phase::from_name(&stored.phase).ok_or_else(|| unreadable("phase", &stored.phase))?;
        let baseline =
            serde_json::from_str(&stored.baseline).map_err(|_| unreadable("baseline", &stored.baseline))?;
        let mut progress = BTreeMap::new();
        let mut read = BTreeMap::new();
        for row in updates {
            let id = node_id(row.node);
            progress.insert(id, u8::try_from(row.progress).unwrap_or(0));
            read.insert(id, update_of(row)?);
        }
        let rollout = Rollout {
            spec,
            phase,
            began_at: from_db(stored.began_at),
            wave: usize::try_from(stored.wave).unwrap_or(0),
            baseline,
            updates: read,
            image_bytes: image_bytes(&images),
        };
        let (dirty, triggered) = (BTreeSet::new(), BTreeSet::new());
        let (version, manifest) = release.map(|row| (row.version, row.manifest)).unwrap_or_default();
        Ok(Self { stored, rollout, version, manifest, images, progress, dirty, triggered })
    }

    /// Takes over what another process wrote about the rollout as a whole.
    pub fn take_row(&mut self, row: RolloutRow) -> Result<(), StoreError> {
        let fresh = Self::from_rows(row, None, Vec::new(), Vec::new())?;
        let updates = std::mem::take(&mut self.rollout.updates);
        self.rollout = Rollout { updates, image_bytes: image_bytes(&self.images), ..fresh.rollout };
        self.stored = fresh.stored;
        Ok(())
    }

    /// Takes over what another process wrote about an update: of its own, everything, of ours only a new attempt.
    pub fn take_update(&mut self, row: UpdateRow, is_ours: bool) -> Result<(), StoreError> {
        let id = node_id(row.node);
        let progress = u8::try_from(row.progress).unwrap_or(0);
        let update = update_of(row)?;
        let is_newer = self.rollout.updates.get(&id).is_none_or(|old| update.attempt > old.attempt);
        if is_newer || !is_ours {
            self.progress.insert(id, progress);
            self.dirty.remove(&id);
            self.rollout.updates.insert(id, update);
        }
        Ok(())
    }

    /// The rollout's row as it is now, its revision counted on.
    pub fn row(&mut self, now: Moment) -> RolloutRow {
        let row = &mut self.stored;
        row.spec = serde_json::to_string(&self.rollout.spec).unwrap_or_default();
        self.rollout.phase.name().clone_into(&mut row.phase);
        row.wave = i64::try_from(self.rollout.wave).unwrap_or(0);
        row.baseline = serde_json::to_string(&self.rollout.baseline).unwrap_or_default();
        row.began_at = to_db(self.rollout.began_at);
        row.ended_at = match self.rollout.has_ended() {
            true => row.ended_at.or(Some(to_db(now))),
            false => None,
        };
        row.revision = row.revision.saturating_add(1);
        row.clone()
    }

    /// The rows of updates that changed since this was last asked.
    pub fn dirty_rows(&mut self) -> Vec<UpdateRow> {
        let dirty = std::mem::take(&mut self.dirty);
        let rows = dirty.into_iter().filter_map(|id| self.update_row(id)).collect();
        self.triggered.clear();
        rows
    }

    fn update_row(&self, id: NodeId) -> Option<UpdateRow> {
        let update = self.rollout.updates.get(&id)?;
        let Update { expected, .. } = update;
        Some(UpdateRow {
            rollout_id: self.stored.id.clone(),
            node: db_id(id),
            wave: i64::try_from(update.wave).unwrap_or(0),
            variant: i64::try_from(update.variant).unwrap_or(0),
            image_hash: Hex(&expected.image).to_string(),
            elf: expected.elf.map(|elf| Hex(&elf).to_string()),
            before_image: update.before.map(write_running),
            state: update.state.name().to_owned(),
            since: to_db(update.since),
            attempt: update.attempt.into(),
            triggered_at: update.triggered_at.map(to_db),
            last_trigger_at: update.last_trigger_at.map(to_db),
            triggers: update.triggers.into(),
            answered: update.answered.into(),
            dropped_at: update.dropped_at.map(to_db),
            progress: self.progress.get(&id).copied().unwrap_or(0).into(),
            reason: update.reason.clone(),
            code: update.code.clone(),
            is_triggered: self.triggered.contains(&id),
        })
    }
}

fn unreadable(what: &'static str, value: &str) -> StoreError {
    StoreError::Content { what, value: value.to_owned() }
}

fn update_of(row: UpdateRow) -> Result<Update, StoreError> {
    let state = State::from_name(&row.state).ok_or_else(|| unreadable("state", &row.state))?;
    let image = from_hex(&row.image_hash).ok_or_else(|| unreadable("hash", &row.image_hash))?;
    Ok(Update {
        wave: usize::try_from(row.wave).unwrap_or(0),
        variant: usize::try_from(row.variant).unwrap_or(0),
        expected: Expected { image, elf: row.elf.as_deref().and_then(from_hex) },
        before: row.before_image.as_deref().and_then(read_running),
        state,
        since: from_db(row.since),
        attempt: u32::try_from(row.attempt).unwrap_or(1),
        triggered_at: row.triggered_at.map(from_db),
        last_trigger_at: row.last_trigger_at.map(from_db),
        triggers: u32::try_from(row.triggers).unwrap_or(0),
        answered: row.answered != 0,
        dropped_at: row.dropped_at.map(from_db),
        reason: row.reason,
        code: row.code,
    })
}

/// Bytes of a release's images, in the order that variants count in.
pub(super) fn image_bytes(images: &[ImageRow]) -> Vec<u64> {
    images.iter().map(|image| u64::try_from(image.size).unwrap_or(0)).collect()
}

/// A release as the planner sees it. An image whose row cannot be read is left out.
pub fn planner_release(version: &str, images: &[ImageRow]) -> Release {
    let variant = |row: &ImageRow| {
        Some(Variant {
            chip: u16::try_from(row.chip).ok()?,
            node_type: Some(row.node_type.clone()).filter(|name| !name.is_empty()),
            size: u64::try_from(row.size).ok()?,
            expected: Expected {
                image: from_hex(&row.image_hash)?,
                elf: row.elf.as_deref().and_then(from_hex),
            },
        })
    };
    Release { version: version.to_owned(), variants: images.iter().filter_map(variant).collect() }
}

/// What runs, from a node's image hash and the first half of its `app_elf_sha256`.
pub fn running_of(image: Option<&str>, elf: Option<&str>) -> Option<Running> {
    let image = image.and_then(from_hex).map(Running::Image);
    image.or_else(|| elf.and_then(from_hex).map(Running::Elf))
}

fn write_running(running: Running) -> String {
    match running {
        Running::Image(hash) => Hex(&hash).to_string(),
        Running::Elf(hash) => format!("elf:{}", Hex(&hash)),
    }
}

fn read_running(text: &str) -> Option<Running> {
    match text.strip_prefix("elf:") {
        Some(elf) => from_hex(elf).map(Running::Elf),
        None => from_hex(text).map(Running::Image),
    }
}
