//! otadata: the two records that choose the slot to boot.

use super::rows::row;
use rootcast_image::otadata::OTA_ENTRY_BYTES;
use rootcast_image::{OtaData, OtaEntry, OtaState, PAGE_BYTES};
use serde::Serialize;
use std::fmt;

/// Slots assumed where no partition table is at hand: nearly every table has two.
const USUAL_SLOTS: u8 = 2;

/// Both records.
#[derive(Clone, Debug, Serialize)]
pub struct Records {
    records: [Record; 2],
    /// Which record is in force; `None` if neither.
    in_force: Option<usize>,
    /// How many OTA slots the table has; `None` where no table is at hand.
    ota_slots: Option<u8>,
}

#[derive(Clone, Debug, Serialize)]
struct Record {
    /// `None` if erased.
    sequence: Option<u32>,
    state: String,
    crc: u32,
    crc_valid: bool,
    /// Whether the bootloader would follow it.
    usable: bool,
    /// The slot it chooses, among the table's slots or, without a table, among two.
    slot: Option<String>,
}

/// Reads the records of an otadata partition; `None` if the bytes are too few.
pub fn parse(partition: &[u8]) -> Option<OtaData> {
    let first = partition.first_chunk::<OTA_ENTRY_BYTES>()?;
    let second = partition.get(PAGE_BYTES as usize..)?.first_chunk::<OTA_ENTRY_BYTES>()?;
    Some(OtaData::parse(first, second))
}

/// Whether the bytes of a file are most likely an otadata partition: two sectors, each with nothing but a record that
/// is erased or has the right CRC.
pub fn looks_like_it(file: &[u8]) -> bool {
    let sectors: Vec<_> = file.chunks(PAGE_BYTES as usize).collect();
    let is_record = |sector: &&[u8]| {
        sector.split_first_chunk::<OTA_ENTRY_BYTES>().is_some_and(|(record, rest)| {
            let record = OtaEntry::parse(record);
            (record == OtaEntry::ERASED || record.crc_ok()) && rest.iter().all(|&byte| byte == 0xFF)
        })
    };
    file.len() == 2 * PAGE_BYTES as usize && sectors.iter().all(is_record)
}

impl Records {
    /// Describes the records; `ota_slots` is the table's number of slots, where a table is at hand.
    pub fn of(otadata: &OtaData, ota_slots: Option<u8>) -> Self {
        let record = |entry: &OtaEntry| Record {
            sequence: (entry.sequence != u32::MAX).then_some(entry.sequence),
            state: state_name(entry.state),
            crc: entry.crc,
            crc_valid: entry.crc_ok(),
            usable: entry.is_valid(),
            slot: entry
                .slot(ota_slots.unwrap_or(USUAL_SLOTS))
                .filter(|_| entry.is_valid())
                .map(|slot| format!("ota_{slot}")),
        };
        let [first, second] = &otadata.entries;
        Self { records: [record(first), record(second)], in_force: otadata.active(), ota_slots }
    }
}

/// ESP-IDF's name of a state.
pub fn state_name(state: OtaState) -> String {
    match state {
        OtaState::New => "NEW".to_string(),
        OtaState::PendingVerify => "PENDING_VERIFY".to_string(),
        OtaState::Valid => "VALID".to_string(),
        OtaState::Invalid => "INVALID".to_string(),
        OtaState::Aborted => "ABORTED".to_string(),
        OtaState::Undefined => "UNDEFINED".to_string(),
        OtaState::Unknown(word) => format!("{word:#010x}"),
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, record) in self.records.iter().enumerate() {
            let name = format!("record {index}");
            let Some(sequence) = record.sequence else {
                row(f, &name, "erased")?;
                continue;
            };
            let crc = if record.crc_valid { "" } else { ", CRC WRONG" };
            let chooses = match &record.slot {
                Some(slot) if self.ota_slots.is_none() => format!(" → {slot} (with two slots)"),
                Some(slot) => format!(" → {slot}"),
                None => String::new(),
            };
            let force = if self.in_force == Some(index) { ", in force" } else { "" };
            row(f, &name, format_args!("sequence {sequence}, {}{crc}{chooses}{force}", record.state))?;
        }
        Ok(())
    }
}
