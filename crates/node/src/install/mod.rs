//! Bringing an image onto flash and making it boot: regions, slots, journal, boot record.

mod boot_record;
mod journal;
mod layout;
mod region;
mod running;

pub use boot_record::{BootRecord, SlotRecord};
pub use journal::{InstalledImage, Journal, JournalHead};
pub use layout::{Layout, LayoutError};
pub use region::{FlashFault, Region};
pub use running::{ImageFacts, MAX_VERSION_BYTES};

pub(crate) use running::holds_sound_image;
