//! otadata: two records, one per flash sector, that choose the slot to boot.
//!
//! Predicates are ESP-IDF's (`bootloader_common_loader.c`). The record's CRC covers the sequence number only, *not* the
//! state; and a write is an erase followed by a program, between which power may go. So Rootcast never rewrites the
//! record in force: [`OtaData::switch`] puts every change into the *other* sector with a higher sequence number.

use crate::crc::crc32_seed_ones;
use crate::descriptor::Fields;
use crate::partition::MAX_OTA_SLOTS;
use heapless::Vec;

/// Bytes of a record at the start of its sector (`esp_ota_select_entry_t`, `esp_flash_partitions.h`).
pub const OTA_ENTRY_BYTES: usize = 32;
/// Sequence number of erased flash: no record.
pub const ERASED_SEQUENCE: u32 = u32::MAX;

/// How far an image has got. Source: `esp_ota_img_states_t` (`esp_flash_partitions.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OtaState {
    /// Installed, not yet booted.
    New,
    /// Booted on trial, not yet confirmed.
    PendingVerify,
    /// Confirmed.
    Valid,
    /// Found unhealthy by the application.
    Invalid,
    /// The trial ended without confirmation.
    Aborted,
    /// Erased: a bootloader without rollback never sets a state.
    Undefined,
    /// A value ESP-IDF does not know: a torn write. The bootloader treats it as bootable.
    Unknown(u32),
}

impl From<u32> for OtaState {
    fn from(word: u32) -> Self {
        match word {
            0 => Self::New,
            1 => Self::PendingVerify,
            2 => Self::Valid,
            3 => Self::Invalid,
            4 => Self::Aborted,
            u32::MAX => Self::Undefined,
            other => Self::Unknown(other),
        }
    }
}

impl From<OtaState> for u32 {
    fn from(state: OtaState) -> Self {
        match state {
            OtaState::New => 0,
            OtaState::PendingVerify => 1,
            OtaState::Valid => 2,
            OtaState::Invalid => 3,
            OtaState::Aborted => 4,
            OtaState::Undefined => u32::MAX,
            OtaState::Unknown(other) => other,
        }
    }
}

/// One record, 32 bytes. Source: `esp_ota_select_entry_t` (`esp_flash_partitions.h`).
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | [`sequence`](Self::sequence) |
/// | 4 | 20 | [`label`](Self::label) |
/// | 24 | 4 | [`state`](Self::state) |
/// | 28 | 4 | [`crc`](Self::crc) |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtaEntry {
    /// The higher one counts; it chooses slot (sequence - 1) modulo the number of OTA slots.
    pub sequence: u32,
    /// Not used by ESP-IDF, erased.
    pub label: [u8; 20],
    /// How far the image has got. Not covered by the CRC.
    pub state: OtaState,
    /// CRC over the sequence number, as read.
    pub crc: u32,
}

impl OtaEntry {
    /// A record as erased flash shows it.
    pub const ERASED: Self =
        Self { sequence: ERASED_SEQUENCE, label: [0xFF; 20], state: OtaState::Undefined, crc: u32::MAX };

    /// A record with the right CRC.
    pub const fn new(sequence: u32, state: OtaState) -> Self {
        Self { sequence, label: [0xFF; 20], state, crc: crc32_seed_ones(&sequence.to_le_bytes()) }
    }

    /// Reads a record; any 32 bytes are one.
    pub fn parse(bytes: &[u8; OTA_ENTRY_BYTES]) -> Self {
        let mut fields = Fields(bytes);
        Self {
            sequence: u32::from_le_bytes(fields.take()),
            label: fields.take(),
            state: u32::from_le_bytes(fields.take()).into(),
            crc: u32::from_le_bytes(fields.take()),
        }
    }

    /// The 32 bytes.
    pub fn to_bytes(&self) -> [u8; OTA_ENTRY_BYTES] {
        let parts: [&[u8]; 4] = [
            &self.sequence.to_le_bytes(),
            &self.label,
            &u32::from(self.state).to_le_bytes(),
            &self.crc.to_le_bytes(),
        ];
        let mut bytes = [0; OTA_ENTRY_BYTES];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// Whether the CRC is that of the sequence number.
    pub fn crc_ok(&self) -> bool {
        self.crc == crc32_seed_ones(&self.sequence.to_le_bytes())
    }

    /// `bootloader_common_ota_select_invalid`: erased, or its image must not boot. Does not look at the CRC.
    pub fn is_invalid(&self) -> bool {
        self.sequence == ERASED_SEQUENCE || matches!(self.state, OtaState::Invalid | OtaState::Aborted)
    }

    /// `bootloader_common_ota_select_valid`: not [invalid](Self::is_invalid), and the CRC is right.
    pub fn is_valid(&self) -> bool {
        !self.is_invalid() && self.crc_ok()
    }

    /// What the bootloader takes for "nothing written yet": erased, or the CRC is wrong.
    pub fn is_initial(&self) -> bool {
        self.sequence == ERASED_SEQUENCE || !self.crc_ok()
    }

    /// The number of the OTA slot it chooses among `ota_count`; `None` if there are none.
    pub fn slot(&self, ota_count: u8) -> Option<u8> {
        self.sequence.wrapping_sub(1).checked_rem(u32::from(ota_count)).map(|slot| slot as u8)
    }
}

/// One step of a change: erase the sector of entry `index`, then program `entry` unless it is
/// [`OtaEntry::ERASED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtaWrite {
    /// Which of the two sectors.
    pub index: usize,
    /// What it holds afterwards.
    pub entry: OtaEntry,
}

/// Both records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtaData {
    /// Record 0 in the first sector, record 1 in the second.
    pub entries: [OtaEntry; 2],
}

impl OtaData {
    /// Erased flash.
    pub const ERASED: Self = Self { entries: [OtaEntry::ERASED; 2] };

    /// Reads the records from the first 32 bytes of each sector.
    pub fn parse(first: &[u8; OTA_ENTRY_BYTES], second: &[u8; OTA_ENTRY_BYTES]) -> Self {
        Self { entries: [OtaEntry::parse(first), OtaEntry::parse(second)] }
    }

    /// `bootloader_common_get_active_otadata`: which record is in force. The higher sequence number if both are valid
    /// (the first if equal), the valid one if only one is.
    pub fn active(&self) -> Option<usize> {
        let [first, second] = &self.entries;
        match (first.is_valid(), second.is_valid()) {
            (true, true) => Some(usize::from(second.sequence > first.sequence)),
            (true, false) => Some(0),
            (false, true) => Some(1),
            (false, false) => None,
        }
    }

    /// The record in force.
    pub fn active_entry(&self) -> Option<&OtaEntry> {
        self.entries.get(self.active()?)
    }

    /// The records after a write.
    pub fn with(mut self, write: &OtaWrite) -> Self {
        if let Some(entry) = self.entries.get_mut(write.index) {
            *entry = write.entry;
        }
        self
    }

    /// The writes, in order, after which a record with `state` that chooses ota_`slot` is in force. Used for every
    /// change: to install, to confirm and to roll back. `None` if there is no such slot among `ota_count`.
    ///
    /// One write into the sector that is *not* in force, so that a cut at any point leaves the old record in force or
    /// the new one. When sequence numbers run out (only damaged or hostile flash gets there) they start afresh: the new
    /// record with a low number first, then the old one is erased.
    pub fn switch(&self, slot: u8, ota_count: u8, state: OtaState) -> Option<Vec<OtaWrite, 2>> {
        let active = self.active();
        let in_force = active.and_then(|index| self.entries.get(index));
        let index = active.map_or(0, |index| 1 - index.min(1));
        let mut writes = Vec::new();
        let mut add = |index, entry| writes.push(OtaWrite { index, entry }).ok();
        match next_sequence(in_force.map_or(0, |entry| entry.sequence), slot, ota_count) {
            Some(sequence) => add(index, OtaEntry::new(sequence, state))?,
            None => {
                add(index, OtaEntry::new(next_sequence(0, slot, ota_count)?, state))?;
                add(active?, OtaEntry::ERASED)?;
            }
        }
        Some(writes)
    }
}

/// The smallest sequence number above `active` (0 if none is in force) that chooses ota_`slot` among `ota_count`.
/// `None` if there is no such slot, or if numbers run out.
///
/// Equal to ESP-IDF's choice in `esp_ota_set_boot_partition`, except that the slot in force gets a new number too,
/// where ESP-IDF rewrites its record in place.
pub fn next_sequence(active: u32, slot: u8, ota_count: u8) -> Option<u32> {
    if slot >= ota_count || ota_count > MAX_OTA_SLOTS {
        return None;
    }
    let count = u32::from(ota_count);
    // Steps from `active`, whose successor chooses slot `active % count`, to the next number that chooses `slot`.
    let steps = (u32::from(slot) + count - active % count) % count;
    active.checked_add(1 + steps).filter(|&sequence| sequence != ERASED_SEQUENCE)
}
