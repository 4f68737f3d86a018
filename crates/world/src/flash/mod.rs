//! A NOR flash chip as cruel as the real thing, cheap enough to have ten thousand of.
//!
//! | module | what it knows |
//! |---|---|
//! | [`chip`](VirtualFlash) | the chip: the driver's view (`embedded_storage`), power, noise, faults |
//! | [`sectors`](Sectors) | the bytes: copy-on-write sectors, erased ones take no memory |
//! | [`cut`](PowerCut) | what is left when power goes in the middle of an operation |
//! | [`guard`](Guard) | where a node may write, and what it did wrong |
//! | [`fault`](Fault) | worn sectors and read errors |
//! | [`record`](Recording) | the operations in order, so that every one of them can be cut |
//! | [`file`](FlashFile) | a chip whose content outlives the process |
//!
//! Rules of the chip (any SPI NOR flash, for example Winbond W25Q32): erasing sets the 4,096 bytes of a sector to
//! 0xFF; programming clears bits and never sets one; both take time, and power may go in the middle.

mod chip;
mod cut;
mod fault;
mod file;
mod guard;
mod record;
mod sectors;

pub(crate) use guard::range_of;

pub use chip::{FlashError, Tally, VirtualFlash};
pub use cut::{CutPoint, Mixture, PowerCut};
pub use fault::Fault;
pub use file::{FlashFile, FlashFileError};
pub use guard::{Access, Guard, Rule, Violation};
pub use record::{Operation, OperationKind, Recorded, Recording};
pub use sectors::{SECTOR_BYTES, Sector, Sectors, Snapshot};
