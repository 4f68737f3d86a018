//! A virtual board: what the node core is lent.

use crate::flash::VirtualFlash;
use crate::nvs::Store;
use crate::random::Random;
use rootcast_image::PartitionTable;
use rootcast_node::{Platform, SettingKey, SettingLost};

/// Flash, the NVS store on it, and a source of random numbers.
#[derive(Clone, Debug)]
pub struct Board {
    /// The flash chip.
    pub flash: VirtualFlash,
    random: Random,
    store: Store,
}

impl Board {
    /// A board with this chip.
    #[must_use]
    pub const fn new(flash: VirtualFlash, random: Random) -> Self {
        Self { flash, random, store: Store::new(None) }
    }

    /// Finds the NVS partition, at every start.
    pub(crate) fn mount(&mut self, table: &PartitionTable) {
        self.store = Store::new(table.nvs().map(crate::flash::range_of));
    }
}

impl Platform for Board {
    type Flash = VirtualFlash;

    fn flash(&mut self) -> &mut VirtualFlash {
        &mut self.flash
    }

    fn random(&mut self) -> u32 {
        self.random.next_u32()
    }

    fn load(&mut self, key: SettingKey, into: &mut [u8]) -> Option<usize> {
        let value = self.store.load(&mut self.flash, key.name()).ok()??;
        into.get_mut(..value.len())?.copy_from_slice(&value);
        Some(value.len())
    }

    fn store(&mut self, key: SettingKey, value: &[u8]) -> Result<(), SettingLost> {
        self.store.store(&mut self.flash, key.name(), value).map_err(|_| SettingLost)
    }
}
