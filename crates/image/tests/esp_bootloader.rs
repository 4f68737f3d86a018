//! otadata beside esp-bootloader-esp-idf, the crate that Rust firmware for these chips uses: both read the same flash.
//!
//! Where that crate reads otadata at all, both choose the same slot, and each follows what the other wrote. It leaves two
//! things out: it does not look at the states INVALID and ABORTED when it chooses, and one torn record makes every
//! call fail, on a device that its bootloader starts without trouble.

use std::sync::{Mutex, MutexGuard, PoisonError};

use esp_bootloader_esp_idf::ota::{Ota, OtaImageState};
use esp_bootloader_esp_idf::ota_updater::OtaUpdater;
use esp_bootloader_esp_idf::partitions::{AppPartitionSubType as App, FlashStorage, PARTITION_TABLE_MAX_LEN};
use rootcast_image::boot::{BootRules, Slots, decide};
use rootcast_image::otadata::{OtaData, OtaEntry, OtaState};
use rootcast_image::{Partition, PartitionTable, SlotId};

const TABLE_OFFSET: u32 = 0x8000;
const SECTOR_BYTES: u32 = 0x1000;
const SLOTS: [App; 3] = [App::Ota0, App::Ota1, App::Ota2];
const STATES: [OtaState; 6] = [
    OtaState::New,
    OtaState::PendingVerify,
    OtaState::Valid,
    OtaState::Invalid,
    OtaState::Aborted,
    OtaState::Undefined,
];

/// The other crate's flash is one array of the process: whoever holds this, has it.
static FLASH: Mutex<()> = Mutex::new(());

/// A device of the other crate: partition table and otadata in its flash.
struct Device {
    table: PartitionTable,
    flash: FlashStorage<'static>,
    _alone: MutexGuard<'static, ()>,
}

impl Device {
    fn new(table: PartitionTable) -> Self {
        let alone = FLASH.lock().unwrap_or_else(PoisonError::into_inner);
        let mut flash = FlashStorage::new();
        flash.write(TABLE_OFFSET, &table.to_bytes().unwrap()).unwrap();
        Self { table, flash, _alone: alone }
    }

    fn otadata_offset(&self) -> u32 {
        self.table.otadata().unwrap().offset
    }

    fn put(&mut self, data: &OtaData) {
        let offset = self.otadata_offset();
        self.flash.erase(offset, offset + 2 * SECTOR_BYTES).unwrap();
        for (at, entry) in [offset, offset + SECTOR_BYTES].into_iter().zip(&data.entries) {
            self.flash.write(at, &entry.to_bytes()).unwrap();
        }
    }

    fn get(&mut self) -> OtaData {
        let mut entries = [[0; 32]; 2];
        let offset = self.otadata_offset();
        for (at, entry) in [offset, offset + SECTOR_BYTES].into_iter().zip(&mut entries) {
            self.flash.read(at, entry).unwrap();
        }
        OtaData::parse(&entries[0], &entries[1])
    }

    /// What the other crate makes of its flash.
    fn ask<R>(&mut self, question: impl FnOnce(&mut Ota<'_, 'static>) -> R) -> R {
        let mut buffer = [0; PARTITION_TABLE_MAX_LEN];
        let mut updater =
            OtaUpdater::new(&mut self.flash, &mut buffer).expect("it reads our partition table");
        question(&mut updater.ota_data().expect("it finds otadata"))
    }

    /// The slot that the other crate takes for the one to boot; `None` if it fails.
    fn choice(&mut self) -> Option<SlotId> {
        let app = self.ask(|ota| ota.current_app_partition()).ok()?;
        // "Factory, or OTA-0 where there is none", in its words.
        match SLOTS.iter().position(|slot| *slot == app) {
            Some(number) => Some(SlotId::Ota(number as u8)),
            None if self.table.factory().is_some() => Some(SlotId::Factory),
            None => Some(SlotId::Ota(0)),
        }
    }
}

struct AllWhole;

impl Slots for AllWhole {
    fn is_valid(&mut self, _: SlotId) -> bool {
        true
    }

    fn secure_version(&mut self, _: SlotId) -> Option<u32> {
        Some(0)
    }
}

/// What boots, by our reading of ESP-IDF's rules.
fn booted(table: &PartitionTable, data: &OtaData) -> Option<SlotId> {
    decide(table, data, &mut AllWhole, BootRules::rollback(false)).slot
}

fn tables() -> [PartitionTable; 2] {
    let mut three = PartitionTable { has_md5: true, ..PartitionTable::default() };
    for partition in [
        Partition::new("otadata", 1, 0, 0xD000, 0x2000),
        Partition::new("factory", 0, 0, 0x1_0000, 0x10_0000),
        Partition::new("ota_0", 0, 0x10, 0x11_0000, 0x10_0000),
        Partition::new("ota_1", 0, 0x11, 0x21_0000, 0x10_0000),
        Partition::new("ota_2", 0, 0x12, 0x31_0000, 0x8_0000),
    ] {
        three.partitions.push(partition).unwrap();
    }
    [PartitionTable::default_4mb(), three]
}

/// Erased, and whole records with every state.
fn intact() -> Vec<OtaEntry> {
    let whole = (1..=5).flat_map(|sequence| STATES.map(|state| OtaEntry::new(sequence, state)));
    std::iter::once(OtaEntry::ERASED).chain(whole).collect()
}

/// What a write that power cut short leaves.
fn torn() -> Vec<OtaEntry> {
    let whole = OtaEntry::new(4, OtaState::New);
    vec![
        OtaEntry { crc: u32::MAX, ..whole },
        OtaEntry { crc: whole.crc ^ 0x10, ..whole },
        OtaEntry { sequence: 0xFFFF_FF04, state: OtaState::Undefined, crc: u32::MAX, ..whole },
        OtaEntry { state: OtaState::Unknown(0xFFFF_FF00), ..whole },
    ]
}

fn must_not_boot(entry: &OtaEntry) -> bool {
    matches!(entry.state, OtaState::Invalid | OtaState::Aborted)
}

fn pairs(first: &[OtaEntry], second: &[OtaEntry]) -> Vec<OtaData> {
    first.iter().flat_map(|a| second.iter().map(|b| OtaData { entries: [*a, *b] })).collect()
}

fn state_of(state: OtaImageState) -> OtaState {
    OtaState::from(state as u32)
}

#[test]
fn both_choose_the_same_slot_and_see_the_same_state() {
    let mut compared = 0;
    for table in tables() {
        let mut device = Device::new(table.clone());
        for data in pairs(&intact(), &intact()) {
            device.put(&data);
            let choice = device.choice().expect("intact otadata is read");
            if data.entries.iter().any(must_not_boot) {
                continue;
            }
            assert_eq!(Some(choice), booted(&table, &data), "{data:?}");
            let state = device.ask(|ota| ota.current_ota_state()).ok().map(state_of);
            let [first, second] = &data.entries;
            if first.sequence != second.sequence || first == second {
                assert_eq!(state, data.active_entry().map(|entry| entry.state), "{data:?}");
            }
            compared += 1;
        }
    }
    // 21 of the 31 records may boot, or are erased.
    assert_eq!(compared, 2 * 21 * 21);
}

#[test]
fn it_follows_what_we_wrote() {
    for table in tables() {
        let count = table.ota_count();
        let mut device = Device::new(table.clone());
        for data in pairs(&intact(), &intact()) {
            for slot in 0..count {
                let writes = data.switch(slot, count, OtaState::New).unwrap();
                let after = writes.iter().fold(data, |data, write| data.with(write));
                assert_eq!(booted(&table, &after), Some(SlotId::Ota(slot)), "{data:?}");
                if after.entries.iter().any(must_not_boot) {
                    continue;
                }
                device.put(&after);
                assert_eq!(device.choice(), Some(SlotId::Ota(slot)), "{data:?}");
                let state = device.ask(|ota| ota.current_ota_state()).map(state_of);
                assert_eq!(state.ok(), Some(OtaState::New), "{data:?}");
            }
        }
    }
}

#[test]
fn we_follow_what_it_wrote() {
    for table in tables() {
        let mut device = Device::new(table.clone());
        for data in pairs(&intact(), &intact()) {
            let [first, second] = &data.entries;
            // It never writes two records with one number, and where it reads what must not boot it counts on from there.
            let twice = first.sequence == second.sequence && *first != OtaEntry::ERASED;
            if twice || data.entries.iter().any(must_not_boot) {
                continue;
            }
            for (number, app) in SLOTS.into_iter().enumerate().take(usize::from(table.ota_count())) {
                // From empty otadata it gives the last slot the number 0, which chooses another one unless there are two.
                if data == OtaData::ERASED && number + 1 == SLOTS.len() {
                    continue;
                }
                device.put(&data);
                device
                    .ask(|ota| {
                        ota.set_current_app_partition(app)?;
                        ota.set_current_ota_state(OtaImageState::New)
                    })
                    .unwrap();
                let after = device.get();
                assert_eq!(booted(&table, &after), Some(SlotId::Ota(number as u8)), "{data:?}");
                assert_eq!(after.active_entry().map(|entry| entry.state), Some(OtaState::New), "{data:?}");
            }
        }
    }
}

#[test]
fn a_torn_record_stops_it_and_not_us() {
    for table in tables() {
        let count = table.ota_count();
        let mut device = Device::new(table.clone());
        let whole: Vec<_> = intact().into_iter().filter(|entry| !must_not_boot(entry)).collect();
        let crc_torn: Vec<_> = torn().into_iter().filter(|entry| !entry.crc_ok()).collect();
        for data in pairs(&crc_torn, &whole).into_iter().chain(pairs(&whole, &crc_torn)) {
            device.put(&data);
            assert_eq!(device.choice(), None, "it reads {data:?}");

            let other = data.entries.iter().find(|entry| entry.is_valid());
            let expected = match other {
                Some(entry) => SlotId::Ota(entry.slot(count).unwrap()),
                None if table.factory().is_some() => SlotId::Factory,
                None => SlotId::Ota(0),
            };
            assert_eq!(booted(&table, &data), Some(expected), "{data:?}");
            for slot in 0..count {
                let writes = data.switch(slot, count, OtaState::New).unwrap();
                let after = writes.iter().fold(data, |data, write| data.with(write));
                assert_eq!(booted(&table, &after), Some(SlotId::Ota(slot)), "{data:?}");
                // The record in force stays; the torn one makes room, and the other crate reads again.
                if let Some(other) = other {
                    assert!(after.entries.contains(other), "{data:?}");
                    device.put(&after);
                    assert_eq!(device.choice(), Some(SlotId::Ota(slot)), "{data:?}");
                }
            }
        }
    }
}

#[test]
fn a_torn_state_stops_it_and_not_us() {
    let [_, table] = tables();
    let mut device = Device::new(table.clone());
    // The CRC does not cover the state: to the bootloader the record is as good as any.
    let data = OtaData { entries: [OtaEntry::new(3, OtaState::Valid), torn()[3]] };
    assert!(data.entries[1].crc_ok());
    device.put(&data);
    assert_eq!(device.choice(), None);
    assert_eq!(booted(&table, &data), Some(SlotId::Ota(0)));
    let after = data.switch(2, 3, OtaState::New).unwrap().iter().fold(data, |data, write| data.with(write));
    assert_eq!(booted(&table, &after), Some(SlotId::Ota(2)));
}
