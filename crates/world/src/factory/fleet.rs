//! The machines of a whole mesh.

use super::{Factory, FactoryError, Topology};
use crate::board::Board;
use crate::bootloader::Bootloader;
use crate::flash::VirtualFlash;
use crate::machine::Machine;
use crate::nvs::{Contents, Provisioning, ProvisioningError};
use crate::random::Random;
use rootcast_image::{ChipId, PartitionTable};

/// What the nodes of a mesh have in common.
#[derive(Clone, Debug)]
pub struct Fleet<'a> {
    /// Where things are on each chip.
    pub table: &'a PartitionTable,
    /// Bytes of each chip.
    pub flash_bytes: u32,
    /// The image that every node runs at first.
    pub app: &'a [u8],
    /// The chip, and how its bootloader was built.
    pub loader: Bootloader,
    /// What every node is told; id, type and role are each node's own.
    pub provisioning: Provisioning,
    /// What the application has put into NVS besides.
    pub application_nvs: Contents,
    /// Decides what the nodes draw.
    pub seed: u64,
}

/// Why there can be no such mesh.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum FleetError {
    /// No chip can be made so.
    #[error(transparent)]
    Factory(#[from] FactoryError),
    /// No node can be told so.
    #[error(transparent)]
    Provisioning(#[from] ProvisioningError),
}

impl<'a> Fleet<'a> {
    /// Chips of 4 MB with Rootcast's table, a bootloader without rollback, unsigned images allowed.
    #[must_use]
    pub fn new(chip: ChipId, table: &'a PartitionTable, app: &'a [u8]) -> Self {
        Self {
            table,
            flash_bytes: 4 << 20,
            app,
            loader: Bootloader::new(chip, false),
            provisioning: Provisioning { allow_unsigned: true, ..Provisioning::default() },
            application_nvs: Contents::default(),
            seed: 0,
        }
    }

    /// The machines, in the topology's order, without power. They share what is the same on all chips.
    ///
    /// # Errors
    /// [`FleetError`].
    pub fn machines(&self, topology: &Topology) -> Result<Vec<Machine>, FleetError> {
        let all: Vec<usize> = (0..topology.members.len()).collect();
        self.machines_of(topology, &all)
    }

    /// The machines of some of a topology's nodes, by their indices, where a mesh has nodes of several kinds.
    ///
    /// # Errors
    /// [`FleetError`].
    pub fn machines_of(&self, topology: &Topology, indices: &[usize]) -> Result<Vec<Machine>, FleetError> {
        let Self { table, flash_bytes, app, .. } = *self;
        let common = Factory { flash_bytes, table, app, nvs: None, bootloader: None }.build()?;
        let nvs = table.nvs().ok_or(FactoryError::NoNvsPartition)?;
        let random = Random::new(self.seed);
        let members = indices.iter().filter_map(|index| Some((*index, topology.members.get(*index)?)));
        let machines = members.map(|(index, member)| {
            let provisioning = Provisioning {
                node_id: member.id,
                node_type: member.node_type.clone(),
                is_root: member.parent.is_none(),
                ..self.provisioning.clone()
            };
            let mut sectors = common.clone();
            sectors.load(nvs.offset, &provisioning.to_partition(nvs.size, &self.application_nvs)?);
            let board = Board::new(VirtualFlash::with(sectors), random.fork(index as u64));
            Ok(Machine::new(board, self.loader, provisioning.settings(self.loader.chip)?))
        });
        machines.collect()
    }
}
