//! The boot decision against a second, independent reading of ESP-IDF's rules: a bootloader written as the C one is,
//! on raw flash bytes and integer indexes, run on every combination of records, slots and options.

use rootcast_image::boot::{BootRules, Slots, decide};
use rootcast_image::crc::crc32_seed_ones;
use rootcast_image::otadata::{OtaData, OtaEntry, OtaState};
use rootcast_image::{Partition, PartitionTable, SlotId};

const STATES: [u32; 7] = [0, 1, 2, 3, 4, 0xFFFF_FFFF, 0x77];
const SEQUENCES: [u32; 6] = [0, 1, 2, 3, 0xFFFF_FFFE, 0xFFFF_FFFF];

/// Index of the factory app, as in ESP-IDF.
const FACTORY: i32 = -1;
/// Index of the test app, as in ESP-IDF.
const TEST: i32 = -2;

/// What the slots hold: valid images and their secure versions.
#[derive(Clone, Copy, Debug, Default)]
struct Flash {
    app_count: i32,
    has_factory: bool,
    has_test: bool,
    /// Bit 0 factory, bit 1 test, bit 2 + n ota_n.
    valid: u32,
    /// Likewise, two bits each.
    versions: u32,
}

impl Flash {
    fn bit(index: i32) -> u32 {
        match index {
            FACTORY => 0,
            TEST => 1,
            number => 2 + number as u32,
        }
    }

    fn boots(&self, index: i32) -> bool {
        self.valid >> Self::bit(index) & 1 == 1
    }

    fn version(&self, index: i32) -> u32 {
        self.versions >> (2 * Self::bit(index)) & 3
    }

    fn exists(&self, index: i32) -> bool {
        match index {
            FACTORY => self.has_factory,
            TEST => self.has_test,
            number => number < self.app_count,
        }
    }

    fn table(&self) -> PartitionTable {
        let mut table = PartitionTable::default();
        let mut add = |partition| table.partitions.push(partition).expect("room");
        add(Partition::new("otadata", 1, 0, 0xD000, 0x2000));
        if self.has_factory {
            add(Partition::new("factory", 0, 0, 0x1_0000, 0x10_0000));
        }
        for number in 0..self.app_count as u32 {
            add(Partition::new("ota", 0, 0x10 + number as u8, 0x11_0000 + number * 0x10_0000, 0x10_0000));
        }
        if self.has_test {
            add(Partition::new("test", 0, 0x20, 0x1000_0000, 0x10_0000));
        }
        table
    }
}

fn index_of(slot: SlotId) -> i32 {
    match slot {
        SlotId::Factory => FACTORY,
        SlotId::Test => TEST,
        SlotId::Ota(number) => i32::from(number),
    }
}

impl Slots for Flash {
    fn is_valid(&mut self, slot: SlotId) -> bool {
        self.boots(index_of(slot))
    }

    fn secure_version(&mut self, slot: SlotId) -> Option<u32> {
        Some(self.version(index_of(slot)))
    }
}

/// The second reading. Records are raw bytes; each write is logged and applied.
struct Reference {
    sectors: [[u8; 32]; 2],
    log: Vec<(usize, [u8; 32])>,
    rollback: bool,
    anti_rollback: Option<u32>,
    burned: Option<u32>,
    start: i32,
    flash: Flash,
}

impl Reference {
    fn word(&self, sector: usize, at: usize) -> u32 {
        u32::from_le_bytes(self.sectors[sector][at..at + 4].try_into().unwrap())
    }

    fn seq(&self, sector: usize) -> u32 {
        self.word(sector, 0)
    }

    fn state(&self, sector: usize) -> u32 {
        self.word(sector, 24)
    }

    fn crc_bad(&self, sector: usize) -> bool {
        self.word(sector, 28) != crc32_seed_ones(&self.sectors[sector][..4])
    }

    fn write_state(&mut self, sector: usize, state: u32) {
        self.sectors[sector][24..28].copy_from_slice(&state.to_le_bytes());
        self.log.push((sector, self.sectors[sector]));
    }

    fn select_invalid(&self, sector: usize) -> bool {
        self.seq(sector) == 0xFFFF_FFFF || self.state(sector) == 3 || self.state(sector) == 4
    }

    fn usable(&self, sector: usize) -> bool {
        if self.select_invalid(sector) || self.crc_bad(sector) {
            return false;
        }
        match self.anti_rollback {
            None => true,
            Some(fuses) => {
                let slot = self.seq(sector).wrapping_sub(1) % self.flash.app_count as u32;
                self.flash.version(slot as i32) >= fuses
            }
        }
    }

    fn active(&self) -> i32 {
        match (self.usable(0), self.usable(1)) {
            (false, false) => -1,
            (true, false) => 0,
            (false, true) => 1,
            (true, true) if self.seq(0) == self.seq(0).max(self.seq(1)) => 0,
            (true, true) => 1,
        }
    }

    fn boot(&mut self) -> Option<i32> {
        let mut initial_contents = false;
        if self.rollback {
            for sector in 0..2 {
                if self.state(sector) == 1 {
                    self.write_state(sector, 4);
                }
            }
        }
        let blank = |r: &Self, s| r.seq(s) == 0xFFFF_FFFF || r.crc_bad(s);
        let both_blank = blank(self, 0) && blank(self, 1);
        let start;
        if self.anti_rollback.is_none()
            && (self.select_invalid(0) && self.select_invalid(1) || self.flash.app_count == 0)
        {
            if self.flash.has_factory {
                start = FACTORY;
            } else {
                start = 0;
                initial_contents = both_blank;
            }
        } else if self.anti_rollback.is_some() && both_blank {
            start = FACTORY;
            initial_contents = true;
        } else {
            let active = self.active();
            if active >= 0 {
                let active = active as usize;
                start = (self.seq(active).wrapping_sub(1) % self.flash.app_count as u32) as i32;
                if self.rollback && self.state(active) == 0 {
                    self.write_state(active, 1);
                }
                if self.anti_rollback.is_some() && self.state(active) == 2 {
                    self.burned = Some(self.flash.version(start));
                }
            } else {
                start = FACTORY;
            }
        }
        self.start = start;
        let mut index = start;
        while index >= FACTORY {
            if self.try_boot(index) {
                return Some(self.started(index, initial_contents));
            }
            index -= 1;
        }
        index = start + 1;
        while index < self.flash.app_count {
            if self.try_boot(index) {
                return Some(self.started(index, initial_contents));
            }
            index += 1;
        }
        self.try_boot(TEST).then_some(TEST)
    }

    fn try_boot(&self, index: i32) -> bool {
        let recent = self.anti_rollback.is_none_or(|fuses| self.flash.version(index) >= fuses);
        self.flash.exists(index) && recent && self.flash.boots(index)
    }

    fn started(&mut self, index: i32, initial_contents: bool) -> i32 {
        if index > FACTORY && initial_contents {
            let seq = (index as u32 + 1).to_le_bytes();
            let mut record = [0xFF; 32];
            record[..4].copy_from_slice(&seq);
            record[24..28].copy_from_slice(&2u32.to_le_bytes());
            record[28..].copy_from_slice(&crc32_seed_ones(&seq).to_le_bytes());
            self.sectors[0] = record;
            self.log.push((0, record));
            if self.anti_rollback.is_some() {
                self.burned = Some(self.flash.version(index));
            }
        }
        index
    }
}

fn records() -> Vec<[u8; 32]> {
    let mut records = Vec::new();
    for sequence in SEQUENCES {
        for state in STATES {
            for crc_ok in [true, false] {
                let mut record = [0xFF; 32];
                record[..4].copy_from_slice(&sequence.to_le_bytes());
                record[24..28].copy_from_slice(&state.to_le_bytes());
                let crc = crc32_seed_ones(&sequence.to_le_bytes()) ^ u32::from(!crc_ok);
                record[28..].copy_from_slice(&crc.to_le_bytes());
                records.push(record);
            }
        }
    }
    records
}

fn compare(first: &[u8; 32], second: &[u8; 32], flash: Flash, table: &PartitionTable, rules: BootRules) {
    let mut reference = Reference {
        sectors: [*first, *second],
        log: Vec::new(),
        rollback: rules.rollback,
        anti_rollback: rules.secure_version,
        burned: None,
        start: FACTORY,
        flash,
    };
    let expected = reference.boot();
    let decision = decide(table, &OtaData::parse(first, second), &mut { flash }, rules);
    let writes: Vec<_> = decision.writes.iter().map(|write| (write.index, write.entry.to_bytes())).collect();
    let context = || format!("{first:02x?} {second:02x?} {flash:?} {rules:?}");
    assert_eq!(decision.slot.map(index_of), expected, "{}", context());
    assert_eq!(writes, reference.log, "{}", context());
    assert_eq!(decision.burn_secure_version, reference.burned, "{}", context());
    let selects_a_slot = reference.start > FACTORY || flash.has_factory;
    assert_eq!(decision.selected.map(index_of), selects_a_slot.then_some(reference.start), "{}", context());
    let fell_back = selects_a_slot && expected.is_some_and(|index| index != reference.start);
    assert_eq!(decision.fell_back, fell_back, "{}", context());
}

#[test]
fn every_combination_boots_and_writes_as_esp_idf_does() {
    let records = records();
    let mut compared = 0u32;
    for app_count in 1..=3 {
        for has_factory in [false, true] {
            for slots in 0..1u32 << (app_count + 1) {
                // Bit 0 is the factory app: without one, half of these say the same again.
                if !has_factory && slots & 1 == 1 {
                    continue;
                }
                let valid = slots & 1 | (slots >> 1) << 2;
                let flash = Flash { app_count, has_factory, valid, ..Flash::default() };
                let table = flash.table();
                for first in &records {
                    for second in &records {
                        for rollback in [false, true] {
                            compare(first, second, flash, &table, BootRules::rollback(rollback));
                            compared += 1;
                        }
                    }
                }
            }
        }
    }
    // 84 records each, (2 + 4 + 8) validities without and twice as many with factory, rollback on and off.
    assert_eq!(compared, 84 * 84 * (14 + 28) * 2);
}

#[test]
fn every_combination_with_anti_rollback_boots_and_writes_as_esp_idf_does() {
    // Fuses at 1; each slot's image has version 0, 1 or 2.
    let records = records();
    for versions in 0..9u32 {
        for valid in 0..4u32 {
            let versions = (versions % 3) | ((versions / 3) << 2);
            let flash =
                Flash { app_count: 2, valid: valid << 2, versions: versions << 4, ..Flash::default() };
            let table = flash.table();
            for first in &records {
                for second in &records {
                    let rules = BootRules { rollback: true, secure_version: Some(1) };
                    compare(first, second, flash, &table, rules);
                }
            }
        }
    }
}

#[test]
fn without_ota_slots_factory_boots_and_the_test_app_is_the_last_resort() {
    let records = records();
    for valid in 0..4u32 {
        for has_factory in [false, true] {
            let flash = Flash { app_count: 0, has_factory, has_test: true, valid, ..Flash::default() };
            let table = flash.table();
            for record in &records {
                compare(record, record, flash, &table, BootRules::rollback(true));
            }
        }
    }
}

#[test]
fn without_otadata_factory_boots() {
    let mut table = Flash { app_count: 2, has_factory: true, ..Flash::default() }.table();
    table.partitions.remove(0);
    let selects_1 = OtaData { entries: [OtaEntry::new(2, OtaState::New), OtaEntry::ERASED] };
    let decision = decide(&table, &selects_1, &mut |_| true, BootRules::rollback(true));
    assert_eq!((decision.slot, decision.writes.len()), (Some(SlotId::Factory), 0));
    let decision = decide(&table, &selects_1, &mut |slot| slot == SlotId::Ota(1), BootRules::default());
    assert_eq!((decision.slot, decision.fell_back), (Some(SlotId::Ota(1)), true));
}

#[test]
fn otadata_of_less_than_two_sectors_boots_nothing() {
    let mut table = Flash { app_count: 2, ..Flash::default() }.table();
    table.partitions[0].size = 0x1000;
    let decision = decide(&table, &OtaData::ERASED, &mut |_| true, BootRules::default());
    assert_eq!((decision.slot, decision.writes.len()), (None, 0));
}

#[test]
fn a_trial_is_granted_one_start() {
    let table = PartitionTable::default_4mb();
    let rules = BootRules::rollback(true);
    let mut records =
        OtaData { entries: [OtaEntry::new(1, OtaState::Valid), OtaEntry::new(2, OtaState::New)] };
    let mut starts = Vec::new();
    for _ in 0..3 {
        let decision = decide(&table, &records, &mut |_| true, rules);
        records = decision.writes.iter().fold(records, |records, write| records.with(write));
        starts.push((decision.slot, records.entries[1].state));
    }
    assert_eq!(
        starts,
        [
            (Some(SlotId::Ota(1)), OtaState::PendingVerify),
            (Some(SlotId::Ota(0)), OtaState::Aborted),
            (Some(SlotId::Ota(0)), OtaState::Aborted)
        ]
    );
}

#[test]
fn the_fallback_boots_even_an_aborted_image_and_leaves_otadata_alone() {
    let table = PartitionTable::default_4mb();
    let records =
        OtaData { entries: [OtaEntry::new(1, OtaState::Valid), OtaEntry::new(2, OtaState::Aborted)] };
    let decision = decide(&table, &records, &mut |slot| slot == SlotId::Ota(1), BootRules::rollback(true));
    assert_eq!((decision.slot, decision.selected), (Some(SlotId::Ota(1)), Some(SlotId::Ota(0))));
    assert!(decision.fell_back && decision.writes.is_empty());
}

#[test]
fn slots_numbered_with_a_gap_are_out_of_the_bootloaders_reach() {
    // ota_1 and ota_2 only: two slots, so the bootloader looks at indexes 0 and 1.
    let mut table = PartitionTable::default();
    for partition in [
        Partition::new("otadata", 1, 0, 0xD000, 0x2000),
        Partition::new("ota_1", 0, 0x11, 0x1_0000, 0x10_0000),
        Partition::new("ota_2", 0, 0x12, 0x11_0000, 0x10_0000),
    ] {
        table.partitions.push(partition).expect("room");
    }
    let asked = std::cell::RefCell::new(Vec::new());
    let mut slots = |slot| {
        asked.borrow_mut().push(slot);
        false
    };
    assert_eq!(decide(&table, &OtaData::ERASED, &mut slots, BootRules::default()).slot, None);
    assert_eq!(*asked.borrow(), [SlotId::Ota(1)]);
}
