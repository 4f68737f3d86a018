//! What the flash of every node says when the update is over.

use super::images::Images;
use super::stage::Before;
use crate::error::Error;
use crate::files::{self, Existing, Readers};
use crate::watch::Summary;
use rootcast_image::PartitionTable;
use rootcast_node::SettingKey;
use rootcast_world::bootloader::ImageCache;
use rootcast_world::flash::Sectors;
use rootcast_world::machine::Machine;
use rootcast_world::nvs::Contents;
use serde::Serialize;
use std::path::Path;

/// What was found on the chips.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence {
    /// Nodes whose bootloader starts the new image.
    pub boot_new_image: usize,
    /// Nodes whose `nvs` holds what it held before: the same bytes, or after a release, which a node notes there, the
    /// same entries outside the updater's own namespace.
    pub nvs_unchanged: usize,
    /// Times that a node wrote where it must not.
    pub forbidden_writes: u64,
    /// What is wrong, node by node.
    pub flaws: Vec<String>,
    /// Where there are several kinds of nodes: how many of each boot which image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindEvidence>,
    /// Where there is a patch: what it saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchEvidence>,
}

/// Nodes of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KindEvidence {
    /// What the kind is called.
    pub name: String,
    /// Nodes of this kind.
    pub nodes: usize,
    /// The image that is meant for them.
    pub image: Option<String>,
    /// How many boot it.
    pub boot_new_image: usize,
}

/// What a patch saved.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PatchEvidence {
    /// Bytes of the patch.
    pub patch_bytes: usize,
    /// Bytes of the full image.
    pub image_bytes: usize,
    /// Nodes that boot the new image and fetched less than a full one.
    pub by_patch: usize,
    /// Bytes that these fetched.
    pub by_patch_bytes: u64,
    /// Nodes that fetched the full image.
    pub in_full: usize,
    /// Bytes that these fetched.
    pub in_full_bytes: u64,
    /// Bytes that the patch saved.
    pub saved_bytes: u64,
}

impl Evidence {
    /// Looks at every chip. `before` is what they were, in the same order.
    pub fn find(
        machines: &mut [Option<Machine>],
        before: &[Before],
        table: &PartitionTable,
        images: &Images,
        summary: &Summary,
        forbidden_writes: u64,
    ) -> Self {
        let mut evidence = Self { forbidden_writes, ..Self::default() };
        let named = |kind: &super::images::Kind| KindEvidence {
            name: kind.name.clone(),
            image: kind.new_hash.map(|hash| hash.to_string()),
            ..KindEvidence::default()
        };
        let mut kinds: Vec<KindEvidence> = images.kinds.iter().map(named).collect();
        let mut patch = images.patch.map(|sizes| PatchEvidence {
            patch_bytes: sizes.patch,
            image_bytes: sizes.image,
            ..PatchEvidence::default()
        });
        let mut cache = ImageCache::new();
        for (machine, before) in machines.iter_mut().zip(before) {
            let name = before.id.mac().map(|byte| format!("{byte:02x}")).join(":");
            let mut no_kind = KindEvidence::default();
            let kind = kinds.get_mut(before.kind).unwrap_or(&mut no_kind);
            kind.nodes += 1;
            let Some(machine) = machine else {
                evidence.flaws.push(format!("{name}: the node came to a bad end"));
                continue;
            };
            match same_nvs(machine.board.flash.sectors(), &before.sectors, table, images.is_release) {
                true => evidence.nvs_unchanged += 1,
                false => evidence.flaws.push(format!("{name}: its nvs is not what it was")),
            }
            match machine.boot(&mut cache) {
                Ok(booted) if Some(booted.image.hash) == before.new => {
                    evidence.boot_new_image += 1;
                    kind.boot_new_image += 1;
                    if let Some(patch) = &mut patch {
                        patch.count(summary.bytes_of(before.id));
                    }
                }
                Ok(_) if !summary.says_updated(before.id) => {}
                Ok(booted) => {
                    evidence.flaws.push(format!("{name}: boots {} with another image", booted.slot))
                }
                Err(error) => evidence.flaws.push(format!("{name}: does not boot: {error}")),
            }
        }
        if kinds.len() > 1 {
            evidence.kinds = kinds;
        }
        evidence.patch = patch;
        evidence
    }
}

impl PatchEvidence {
    fn count(&mut self, bytes: u32) {
        let bytes = u64::from(bytes);
        match (self.image_bytes as u64).checked_sub(bytes) {
            Some(saved @ 1..) => {
                self.by_patch += 1;
                self.by_patch_bytes += bytes;
                self.saved_bytes += saved;
            }
            _ => {
                self.in_full += 1;
                self.in_full_bytes += bytes;
            }
        }
    }
}

/// Whether a node's nvs holds what it held, but for what the core itself has to remember of an update.
fn same_nvs(now: &Sectors, before: &Sectors, table: &PartitionTable, is_release: bool) -> bool {
    let Some(nvs) = table.nvs() else { return false };
    let range = nvs.offset..nvs.offset + nvs.size;
    let own = [SettingKey::Cast.name(), SettingKey::Trust.name()];
    let own = if is_release { &own[..] } else { &own[..1] };
    let rest = |sectors| Contents::read(sectors, &range).ok().map(|contents| contents.without(own));
    let before = rest(before);
    before.is_some() && rest(now) == before
}

/// Keeps every chip's content as a file named by the node's MAC address, and what was hosted beside them.
pub fn keep(folder: &Path, machines: &[Option<Machine>], images: &Images) -> Result<(), Error> {
    files::make_folder(folder)?;
    for machine in machines.iter().flatten() {
        let sectors = machine.board.flash.sectors();
        let mac = machine.settings().id.mac().map(|byte| format!("{byte:02x}")).join("");
        let path = folder.join(format!("{mac}.flash"));
        files::write(&path, &sectors.bytes(0..sectors.size()), Existing::Replace, Readers::Default)?;
    }
    let keep = |(name, bytes): &(String, Vec<u8>)| {
        files::write(&folder.join(name), bytes, Existing::Replace, Readers::Default)
    };
    images.files.iter().try_for_each(keep)
}
