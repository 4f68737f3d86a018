//! What the flash of every node says when the update is over.

use crate::error::Error;
use crate::files::{self, Existing, Readers};
use rootcast_image::{ImageHash, PartitionTable};
use rootcast_wire::NodeId;
use rootcast_world::bootloader::ImageCache;
use rootcast_world::flash::Sectors;
use rootcast_world::machine::Machine;
use serde::Serialize;
use std::path::Path;

/// What was found on the chips.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence {
    /// Nodes whose bootloader starts the new image.
    pub boot_new_image: usize,
    /// Nodes whose `nvs` holds the bytes that it held before.
    pub nvs_unchanged: usize,
    /// Times that a node wrote where it must not.
    pub forbidden_writes: u64,
    /// What is wrong, node by node.
    pub flaws: Vec<String>,
}

impl Evidence {
    /// Looks at every chip. `before` is what they held, in the same order; `updated` says which nodes claim to run the
    /// `new` image.
    pub fn find(
        machines: &mut [Option<Machine>],
        before: &[(NodeId, Sectors)],
        table: &PartitionTable,
        new: Option<ImageHash>,
        updated: impl Fn(NodeId) -> bool,
        forbidden_writes: u64,
    ) -> Self {
        let mut evidence = Self { forbidden_writes, ..Self::default() };
        let mut images = ImageCache::new();
        for (machine, (id, before)) in machines.iter_mut().zip(before) {
            let name = id.mac().map(|byte| format!("{byte:02x}")).join(":");
            let Some(machine) = machine else {
                evidence.flaws.push(format!("{name}: the node came to a bad end"));
                continue;
            };
            let same = table.nvs().is_some_and(|nvs| {
                machine.board.flash.sectors().equal_in(before, &(nvs.offset..nvs.offset + nvs.size))
            });
            match same {
                true => evidence.nvs_unchanged += 1,
                false => evidence.flaws.push(format!("{name}: its nvs is not what it was")),
            }
            match machine.boot(&mut images) {
                Ok(booted) if Some(booted.image.hash) == new => evidence.boot_new_image += 1,
                Ok(_) if !updated(*id) => {}
                Ok(booted) => {
                    evidence.flaws.push(format!("{name}: boots {} with another image", booted.slot))
                }
                Err(error) => evidence.flaws.push(format!("{name}: does not boot: {error}")),
            }
        }
        evidence
    }
}

/// Keeps every chip's content as a file named by the node's MAC address, and the new image beside them.
pub fn keep(folder: &Path, machines: &[Option<Machine>], name: &str, image: &[u8]) -> Result<(), Error> {
    files::make_folder(folder)?;
    for machine in machines.iter().flatten() {
        let sectors = machine.board.flash.sectors();
        let mac = machine.settings().id.mac().map(|byte| format!("{byte:02x}")).join("");
        let path = folder.join(format!("{mac}.flash"));
        files::write(&path, &sectors.bytes(0..sectors.size()), Existing::Replace, Readers::Default)?;
    }
    files::write(&folder.join(name), image, Existing::Replace, Readers::Default)
}
