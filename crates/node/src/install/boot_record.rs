//! Which slot boots: the two otadata entries, changed so that no cut leaves the node without a way back.
//!
//! An entry is replaced by clearing its CRC, erasing its sector and programming state, sequence and CRC in this order,
//! so that an entry only becomes valid (its CRC, which covers the sequence alone, comes last) when its
//! state is already there. The rules that keep promise 3 of the design:
//!
//! * Before a switch, one sector holds a valid record of the *running* slot ([`BootRecord::hold_running`]
//!   makes one where there is none); the switch writes the other sector.
//! * Confirming rewrites the new image's sector while the old image's record stands in the other one: a cut
//!   there boots the old image, whose journal then leads back to the new one. Only where the other sector
//!   holds no valid record does the confirmation go there, since then nothing can be lost.
//! * Rejecting marks the entry invalid; the record of the image to return to is made valid first.
//!
//! The bootloader reads 32 bytes of each sector (ESP-IDF bootloader_common_loader.c). What follows is ours:
//!
//! | offset in the sector | what |
//! |---|---|
//! | 0x40 | starts of the image on trial: eight words, each cleared by one start |
//! | 0x80 | why the image was rejected: code (u16), its complement (u16) |

use super::layout::Layout;
use super::region::{FlashFault, Region};
use crate::PAGE_BYTES;
use crate::mutation::{self, Mutation};
use embedded_storage::nor_flash::NorFlash;
use rootcast_image::otadata::{ERASED_SEQUENCE, next_sequence};
use rootcast_image::{OtaData, OtaEntry, OtaState, SlotId};
use rootcast_wire::ErrorCode;

const STARTS_AT: u32 = 0x40;
const STARTS: u32 = 8;
const REASON_AT: u32 = 0x80;
const ENTRY_BYTES: usize = 32;
/// How often an entry is read: cells that a power cut left between 0 and 1 betray themselves by reading differently.
const READS: usize = 8;
const STATE_AT: usize = 24;
const CRC_AT: usize = 28;

/// Highest sequence number from which a switch still counts on; beyond it the record is renumbered.
const HIGHEST_SEQUENCE: u32 = u32::MAX - 64;

/// The otadata partition of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootRecord {
    region: Region,
    slots: u8,
    running: SlotId,
}

/// What the record says about one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRecord {
    /// Which of the two sectors.
    pub index: usize,
    /// The recorded state.
    pub state: OtaState,
    /// Whether the bootloader takes this entry first.
    pub active: bool,
}

impl BootRecord {
    /// The record of a flash layout.
    #[must_use]
    pub const fn of(layout: &Layout) -> Self {
        Self { region: layout.otadata, slots: layout.ota_slots, running: layout.running }
    }

    fn load<F: NorFlash>(&self, flash: &mut F) -> Result<OtaData, FlashFault> {
        let mut entries = [[0; ENTRY_BYTES]; 2];
        for (index, bytes) in entries.iter_mut().enumerate() {
            self.region.read(flash, sector(index), bytes)?;
            for _ in 1..READS {
                let mut again = [0; ENTRY_BYTES];
                self.region.read(flash, sector(index), &mut again)?;
                if again != *bytes {
                    // Nothing to rely on, whatever it reads as next time: taken as torn.
                    let right = OtaEntry::new(OtaEntry::parse(bytes).sequence, OtaState::New).to_bytes();
                    bytes[CRC_AT..].iter_mut().zip(&right[CRC_AT..]).for_each(|(crc, right)| *crc = !right);
                    break;
                }
            }
        }
        Ok(OtaData::parse(&entries[0], &entries[1]))
    }

    fn slot_of(&self, entry: &OtaEntry) -> Option<SlotId> {
        entry.slot(self.slots).map(SlotId::Ota)
    }

    /// The sequence above `above` that means `slot`. Numbers never run out here: see [`BootRecord::hold_running`].
    fn sequence_after(&self, above: u32, slot: u8) -> Result<u32, FlashFault> {
        next_sequence(above, slot, self.slots).ok_or(FlashFault::OutOfRegion)
    }

    /// What the record says about `slot`: the entry with a right CRC and the highest sequence, whatever its state.
    pub(crate) fn record_of<F: NorFlash>(
        &self,
        flash: &mut F,
        slot: SlotId,
    ) -> Result<Option<SlotRecord>, FlashFault> {
        let data = self.load(flash)?;
        let active = data.active();
        let about = |index: &usize| {
            let entry = &data.entries[*index];
            entry.sequence != ERASED_SEQUENCE && entry.crc_ok() && self.slot_of(entry) == Some(slot)
        };
        let index = [0, 1].into_iter().filter(about).max_by_key(|index| data.entries[*index].sequence);
        Ok(index.map(|index| SlotRecord {
            index,
            state: data.entries[index].state,
            active: active == Some(index),
        }))
    }

    /// Writes the record of the running slot anew, as unproved, where one stands that reads as torn: the bootloader has
    /// booted by it, so cells that a power cut left in doubt read otherwise then. `false` where there is none.
    pub(crate) fn renew_torn<F: NorFlash>(&self, flash: &mut F) -> Result<bool, FlashFault> {
        let SlotId::Ota(running) = self.running else { return Ok(false) };
        let data = self.load(flash)?;
        // Only its CRC is in doubt: it is written last.
        let torn = |entry: &OtaEntry| {
            entry.sequence != ERASED_SEQUENCE
                && !entry.is_valid()
                && self.slot_of(entry) == Some(self.running)
        };
        let Some(index) = data.entries.iter().position(torn) else { return Ok(false) };
        let other = data.entries[1 - index];
        let highest = if other.is_valid() { other.sequence } else { 0 };
        if highest >= HIGHEST_SEQUENCE {
            return Ok(false);
        }
        let sequence = self.sequence_after(highest, running)?;
        self.replace(flash, index, &OtaEntry::new(sequence, OtaState::New), None)?;
        Ok(true)
    }

    /// Erases one sector. Its entry loses its CRC first: an erase that is cut can leave sequence and CRC as they were and
    /// an erased state, which means an image that need not prove itself.
    fn erase_entry<F: NorFlash>(&self, flash: &mut F, index: usize) -> Result<(), FlashFault> {
        if self.load(flash)?.entries[index].crc_ok() {
            self.region.write(flash, sector(index) + CRC_AT as u32, &[0; 4])?;
        }
        self.region.erase_page(flash, index as u32)
    }

    /// Erases one sector and writes an entry, its state before its sequence and its CRC last.
    fn replace<F: NorFlash>(
        &self,
        flash: &mut F,
        index: usize,
        entry: &OtaEntry,
        reason: Option<ErrorCode>,
    ) -> Result<(), FlashFault> {
        let at = sector(index);
        let bytes = entry.to_bytes();
        self.erase_entry(flash, index)?;
        if let Some(reason) = reason {
            let code = reason.number().to_le_bytes();
            self.region.write_checked(flash, at + REASON_AT, &[code[0], code[1], !code[0], !code[1]])?;
        }
        self.region.write_checked(flash, at + 4, &bytes[4..CRC_AT])?;
        self.region.write_checked(flash, at, &bytes[..4])?;
        self.region.write_checked(flash, at + CRC_AT as u32, &bytes[CRC_AT..])
    }

    /// Sees to it that the running slot has a valid record that boots it, and says in which sector (`None`
    /// for a running factory app, which boots when no entry is valid).
    pub(crate) fn hold_running<F: NorFlash>(&self, flash: &mut F) -> Result<Option<usize>, FlashFault> {
        let data = self.load(flash)?;
        let active = data.active();
        let SlotId::Ota(running) = self.running else {
            for index in [0, 1] {
                if data.entries[index].is_valid() {
                    self.erase_entry(flash, index)?;
                }
            }
            return Ok(None);
        };
        if let Some(active) = active
            && self.slot_of(&data.entries[active]) == Some(self.running)
            && data.entries[active].sequence < HIGHEST_SEQUENCE
        {
            return Ok(Some(active));
        }
        let (index, highest) = match active {
            Some(active) => (1 - active, data.entries[active].sequence),
            None => (0, 0),
        };
        if highest >= HIGHEST_SEQUENCE {
            // Too high to count on from: a low entry is ignored while the high one stands, and boots once it is gone.
            self.replace(
                flash,
                index,
                &OtaEntry::new(self.sequence_after(0, running)?, OtaState::Valid),
                None,
            )?;
            self.erase_entry(flash, 1 - index)?;
        } else {
            let sequence = self.sequence_after(highest, running)?;
            self.replace(flash, index, &OtaEntry::new(sequence, OtaState::Valid), None)?;
        }
        Ok(Some(index))
    }

    /// Makes `target` the slot that boots next, as new and unproved.
    pub(crate) fn switch_to<F: NorFlash>(&self, flash: &mut F, target: u8) -> Result<(), FlashFault> {
        let held = self.hold_running(flash)?;
        let data = self.load(flash)?;
        let (index, highest) = held.map_or((0, 0), |held| (1 - held, data.entries[held].sequence));
        let sequence = self.sequence_after(highest, target)?;
        let index = if mutation::is_on(Mutation::SwitchInPlace) { held.unwrap_or(index) } else { index };
        self.replace(flash, index, &OtaEntry::new(sequence, OtaState::New), None)
    }

    /// Marks the running image as proved.
    pub(crate) fn confirm<F: NorFlash>(&self, flash: &mut F) -> Result<(), FlashFault> {
        let SlotId::Ota(running) = self.running else { return Ok(()) };
        let Some(record) = self.record_of(flash, self.running)? else { return Ok(()) };
        if record.state == OtaState::Valid {
            return Ok(());
        }
        let data = self.load(flash)?;
        let sequence = data.entries[record.index].sequence;
        if mutation::is_on(Mutation::ConfirmInPlace) {
            self.region.erase_page(flash, 1 - record.index as u32)?;
            return self.replace(flash, record.index, &OtaEntry::new(sequence, OtaState::Valid), None);
        }
        if data.entries[1 - record.index].is_valid() {
            self.replace(flash, record.index, &OtaEntry::new(sequence, OtaState::Valid), None)
        } else {
            let sequence = self.sequence_after(sequence, running)?;
            self.replace(flash, 1 - record.index, &OtaEntry::new(sequence, OtaState::Valid), None)
        }
    }

    /// Gives the running image up in favour of `back_to`, for `reason`.
    pub(crate) fn reject<F: NorFlash>(
        &self,
        flash: &mut F,
        back_to: SlotId,
        reason: ErrorCode,
    ) -> Result<(), FlashFault> {
        let Some(record) = self.record_of(flash, self.running)? else { return Ok(()) };
        let data = self.load(flash)?;
        let sequence = data.entries[record.index].sequence;
        let other = &data.entries[1 - record.index];
        match back_to {
            SlotId::Ota(old) if !(other.is_valid() && self.slot_of(other) == Some(back_to)) => {
                let sequence = self.sequence_after(sequence, old)?;
                self.replace(flash, 1 - record.index, &OtaEntry::new(sequence, OtaState::Valid), None)?;
            }
            // The factory app boots when no record is valid.
            SlotId::Factory | SlotId::Test if other.is_valid() => {
                self.erase_entry(flash, 1 - record.index)?;
            }
            _ => {}
        }
        self.replace(flash, record.index, &OtaEntry::new(sequence, OtaState::Invalid), Some(reason))
    }

    /// How often the image recorded in sector `index` was started on trial.
    pub(crate) fn trial_starts<F: NorFlash>(&self, flash: &mut F, index: usize) -> Result<u32, FlashFault> {
        for start in 0..STARTS {
            let mut word = [0; 4];
            self.region.read(flash, sector(index) + STARTS_AT + start * 4, &mut word)?;
            if word == [0xFF; 4] {
                return Ok(start);
            }
        }
        Ok(STARTS)
    }

    /// Counts a start on trial. Nothing is erased for it: no moment in which the entry is gone.
    pub(crate) fn count_trial_start<F: NorFlash>(
        &self,
        flash: &mut F,
        index: usize,
    ) -> Result<(), FlashFault> {
        let starts = self.trial_starts(flash, index)?;
        if starts < STARTS && !mutation::is_on(Mutation::TrialNotCounted) {
            self.region.write(flash, sector(index) + STARTS_AT + starts * 4, &[0; 4])?;
        }
        Ok(())
    }

    /// Why the image recorded in sector `index` was rejected, where it said so itself.
    pub(crate) fn rejection<F: NorFlash>(
        &self,
        flash: &mut F,
        index: usize,
    ) -> Result<Option<ErrorCode>, FlashFault> {
        let mut word = [0; 4];
        self.region.read(flash, sector(index) + REASON_AT, &mut word)?;
        let (code, complement) =
            (u16::from_le_bytes([word[0], word[1]]), u16::from_le_bytes([word[2], word[3]]));
        Ok(if code == !complement { ErrorCode::from_number(code) } else { None })
    }
}

const _: () = assert!(STATE_AT < CRC_AT && STARTS_AT as usize >= ENTRY_BYTES);

const fn sector(index: usize) -> u32 {
    index as u32 * PAGE_BYTES as u32
}
