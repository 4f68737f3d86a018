//! The content of a chip that a factory, or `rootcast flash`, programs.

use crate::flash::Sectors;
use rootcast_image::partition::TABLE_OFFSET;
use rootcast_image::{ImageError, ImageVerifier, Partition, PartitionError, PartitionTable, SlotId};

/// What goes onto a chip. The rest stays erased: with erased otadata, the bootloader starts the factory app or ota_0.
#[derive(Clone, Copy, Debug)]
pub struct Factory<'a> {
    /// Bytes of the chip.
    pub flash_bytes: u32,
    /// Where things go.
    pub table: &'a PartitionTable,
    /// The app image. It goes to the factory partition if there is one, else to ota_0.
    pub app: &'a [u8],
    /// The NVS partition's content, if any.
    pub nvs: Option<&'a [u8]>,
    /// The second-stage bootloader's image, for chips that are to boot outside this simulation.
    pub bootloader: Option<&'a [u8]>,
}

/// Why a chip cannot be made so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactoryError {
    /// The table cannot be written.
    #[error("partition table: {0}")]
    Table(#[from] PartitionError),
    /// The app is none.
    #[error("app image: {0}")]
    App(#[from] ImageError),
    /// The table has no place for an app.
    #[error("the partition table has neither a factory partition nor ota_0")]
    NoAppPartition,
    /// The table has no NVS partition.
    #[error("the partition table has no nvs partition")]
    NoNvsPartition,
    /// Something is larger than its place.
    #[error("{what} has {found} bytes, its place has {room}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its bytes.
        found: usize,
        /// Bytes of its place.
        room: u32,
    },
    /// A partition reaches beyond the chip.
    #[error("partition \"{label}\" ends at {end:#x}, the flash at {flash_bytes:#x}")]
    BeyondFlash {
        /// The partition.
        label: String,
        /// Its end.
        end: u64,
        /// The chip's end.
        flash_bytes: u32,
    },
    /// The chip of the app is not known, so neither is the bootloader's place.
    #[error("where the bootloader of this chip lies is not known")]
    UnknownChip,
}

impl Factory<'_> {
    /// The chip's content.
    ///
    /// # Errors
    /// [`FactoryError`].
    pub fn build(&self) -> Result<Sectors, FactoryError> {
        let mut verifier = ImageVerifier::new();
        verifier.push(self.app)?;
        let app = verifier.finish()?;
        let mut sectors = Sectors::erased(self.flash_bytes);
        for partition in &self.table.partitions {
            let end = u64::from(partition.offset) + u64::from(partition.size);
            if end > u64::from(sectors.size()) {
                let (label, flash_bytes) = (partition.label.to_string(), sectors.size());
                return Err(FactoryError::BeyondFlash { label, end, flash_bytes });
            }
        }
        if let Some(bootloader) = self.bootloader {
            let at = app.header.chip.facts().ok_or(FactoryError::UnknownChip)?.bootloader_offset;
            place(&mut sectors, "the bootloader", at, TABLE_OFFSET.saturating_sub(at), bootloader)?;
        }
        sectors.load(TABLE_OFFSET, &self.table.to_bytes()?);
        let slot = self.table.factory().or_else(|| self.table.slot(SlotId::Ota(0)));
        put(&mut sectors, "the app", slot.ok_or(FactoryError::NoAppPartition)?, self.app)?;
        if let Some(nvs) = self.nvs {
            put(&mut sectors, "nvs", self.table.nvs().ok_or(FactoryError::NoNvsPartition)?, nvs)?;
        }
        Ok(sectors)
    }
}

fn put(sectors: &mut Sectors, what: &'static str, to: &Partition, bytes: &[u8]) -> Result<(), FactoryError> {
    place(sectors, what, to.offset, to.size, bytes)
}

fn place(
    sectors: &mut Sectors,
    what: &'static str,
    at: u32,
    room: u32,
    bytes: &[u8],
) -> Result<(), FactoryError> {
    if bytes.len() > room as usize {
        return Err(FactoryError::TooLarge { what, found: bytes.len(), room });
    }
    sectors.load(at, bytes);
    Ok(())
}
