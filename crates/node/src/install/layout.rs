//! Where things are on this node's flash, as its partition table says.

use super::region::{FlashFault, Region};
use embedded_storage::nor_flash::NorFlash;
use rootcast_image::partition::{TABLE_BYTES, TABLE_OFFSET};
use rootcast_image::{PartitionTable, SlotId};

/// The places that an update needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The slot that the running code executes from.
    pub running: SlotId,
    /// Its place. Nothing is ever written there.
    pub running_region: Region,
    /// The slot to write to, and its place; `None` when there is no second OTA slot.
    pub staging: Option<(u8, Region)>,
    /// The factory app's place, if there is one.
    pub factory: Option<Region>,
    /// The boot record's place.
    pub otadata: Region,
    /// Number of OTA slots.
    pub ota_slots: u8,
}

/// Why a node cannot update itself at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The flash cannot be read.
    Flash(FlashFault),
    /// There is no valid partition table.
    PartitionTable,
    /// No app partition holds the address of the running code.
    RunningSlotUnknown,
    /// There is no otadata partition of two sectors.
    NoOtaData,
}

impl From<FlashFault> for LayoutError {
    fn from(fault: FlashFault) -> Self {
        Self::Flash(fault)
    }
}

impl Layout {
    /// Reads the partition table and finds the running slot by the flash address of its code, never by
    /// otadata: after a fallback of the bootloader the two differ.
    ///
    /// # Errors
    /// [`LayoutError`] says what is missing.
    pub fn read<F: NorFlash>(flash: &mut F, code_address: u32) -> Result<Self, LayoutError> {
        let table = read_table(flash)?;
        let running = table.slot_at(code_address).ok_or(LayoutError::RunningSlotUnknown)?;
        let running_partition = table.slot(running).ok_or(LayoutError::RunningSlotUnknown)?;
        let otadata = table
            .otadata()
            .map(Region::of)
            .filter(|region| region.pages() >= 2)
            .ok_or(LayoutError::NoOtaData)?;
        let staging = match table.next_update_slot(running) {
            Some((SlotId::Ota(index), partition)) => Some((index, Region::of(partition))),
            _ => None,
        };
        let ota_slots = table.ota_count();
        let factory = table.factory().map(Region::of);
        Ok(Self {
            running,
            running_region: Region::of(running_partition),
            staging,
            factory,
            otadata,
            ota_slots,
        })
    }
}

// Kept out of `read`, so that the table's bytes leave the stack before anything else comes onto it.
#[inline(never)]
fn read_table<F: NorFlash>(flash: &mut F) -> Result<PartitionTable, LayoutError> {
    let mut bytes = [0; TABLE_BYTES];
    let whole = Region { offset: TABLE_OFFSET, size: TABLE_BYTES as u32 };
    whole.read(flash, 0, &mut bytes)?;
    PartitionTable::parse(&bytes).map_err(|_| LayoutError::PartitionTable)
}
