//! The bootloader on the chip does what ESP-IDF's rules say, and survives a cut of its own writes.

use proptest::prelude::*;
use rootcast_image::boot::{BootRules, decide};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, OtaData, OtaEntry, OtaState, PartitionTable, SlotId};
use rootcast_world::bootloader::{BootFailure, Bootloader, ImageCache};
use rootcast_world::factory::{CompactTable, Factory};
use rootcast_world::flash::{CutPoint, PowerCut, Recording, SECTOR_BYTES, Sectors, VirtualFlash};

const CHIP: ChipId = ChipId::ESP32C3;

fn image(seed: u64) -> Vec<u8> {
    AppImageBuilder::new(CHIP).size(8 * 1024).seed(seed).build().unwrap()
}

struct Scene {
    table: PartitionTable,
    sectors: Sectors,
}

impl Scene {
    fn new(factory: bool) -> Self {
        let (table, flash_bytes) = CompactTable { slot_bytes: 12 * 1024, slots: 2, factory }.build();
        let app = image(1);
        let made = Factory { flash_bytes, table: &table, app: &app, nvs: None, bootloader: None };
        Self { sectors: made.build().unwrap(), table }
    }

    fn put(&mut self, slot: SlotId, bytes: &[u8]) {
        self.sectors.load(self.table.slot(slot).unwrap().offset, bytes);
    }

    fn record(&mut self, index: usize, entry: OtaEntry) {
        let at = self.table.otadata().unwrap().offset + (index * SECTOR_BYTES) as u32;
        self.sectors.load(at, &entry.to_bytes());
    }

    fn records(&self, sectors: &Sectors) -> OtaData {
        let at = self.table.otadata().unwrap().offset;
        let entry = |at| *sectors.bytes(at..at + 32).first_chunk().unwrap();
        OtaData::parse(&entry(at), &entry(at + SECTOR_BYTES as u32))
    }

    fn flash(&self) -> VirtualFlash {
        VirtualFlash::with(self.sectors.clone())
    }
}

#[test]
fn a_chip_from_the_factory_starts_ota_0_and_gets_its_first_record() {
    let scene = Scene::new(false);
    let mut flash = scene.flash();
    let booted = Bootloader::new(CHIP, false).start(&mut flash, &mut ImageCache::new()).unwrap();
    assert_eq!(booted.slot, SlotId::Ota(0));
    assert_eq!(scene.table.slot_at(booted.code_address), Some(SlotId::Ota(0)));
    assert_eq!(booted.image.hash.0[..], image(1)[8 * 1024 - 32..]);
    assert_eq!(scene.records(flash.sectors()).entries[0], OtaEntry::new(1, OtaState::Valid));
    assert_eq!(flash.violation_count(), 0);
}

#[test]
fn a_chip_with_a_factory_app_starts_it_and_writes_nothing() {
    let scene = Scene::new(true);
    let mut flash = scene.flash();
    let booted = Bootloader::new(CHIP, true).start(&mut flash, &mut ImageCache::new()).unwrap();
    assert_eq!(booted.slot, SlotId::Factory);
    assert_eq!(flash.sectors(), &scene.sectors);
}

#[test]
fn with_rollback_a_new_image_is_tried_once_and_without_for_ever() {
    for rollback in [false, true] {
        let mut scene = Scene::new(false);
        scene.put(SlotId::Ota(1), &image(2));
        scene.record(0, OtaEntry::new(1, OtaState::Valid));
        scene.record(1, OtaEntry::new(2, OtaState::New));
        let (loader, mut images) = (Bootloader::new(CHIP, rollback), ImageCache::new());
        let mut flash = scene.flash();
        assert_eq!(loader.start(&mut flash, &mut images).unwrap().slot, SlotId::Ota(1));
        let after = if rollback { OtaState::PendingVerify } else { OtaState::New };
        assert_eq!(scene.records(flash.sectors()).entries[1].state, after);
        let second = loader.start(&mut flash, &mut images).unwrap().slot;
        assert_eq!(second, if rollback { SlotId::Ota(0) } else { SlotId::Ota(1) });
        assert_eq!(flash.violation_count(), 0);
    }
}

#[test]
fn a_damaged_slot_is_skipped_and_two_damaged_slots_are_a_brick() {
    let mut scene = Scene::new(false);
    let mut damaged = image(2);
    damaged[5000] ^= 1;
    scene.put(SlotId::Ota(1), &damaged);
    scene.record(1, OtaEntry::new(2, OtaState::Undefined));
    let (loader, mut images) = (Bootloader::new(CHIP, false), ImageCache::new());
    let booted = loader.start(&mut scene.flash(), &mut images).unwrap();
    assert_eq!((booted.slot, booted.decision.fell_back), (SlotId::Ota(0), true));
    scene.put(SlotId::Ota(0), &damaged);
    let brick = loader.start(&mut scene.flash(), &mut images).unwrap_err();
    assert_eq!(brick, BootFailure::NothingBoots);
}

#[test]
fn an_image_for_another_chip_does_not_boot() {
    let mut scene = Scene::new(false);
    let foreign = AppImageBuilder::new(ChipId::ESP32).size(8 * 1024).build().unwrap();
    scene.put(SlotId::Ota(0), &foreign);
    let brick = Bootloader::new(CHIP, false).start(&mut scene.flash(), &mut ImageCache::new()).unwrap_err();
    assert_eq!(brick, BootFailure::NothingBoots);
}

#[test]
fn a_chip_without_a_partition_table_says_so() {
    let found =
        Bootloader::new(CHIP, false).start(&mut VirtualFlash::erased(1 << 16), &mut ImageCache::new());
    assert!(matches!(found, Err(BootFailure::PartitionTable(_))));
}

#[test]
fn a_remembered_verdict_is_forgotten_when_a_byte_of_the_slot_changes() {
    let scene = Scene::new(false);
    let (loader, mut images) = (Bootloader::new(CHIP, false), ImageCache::new());
    let mut flash = scene.flash();
    loader.start(&mut flash, &mut images).unwrap();
    let read = flash.tally().bytes_read;
    loader.start(&mut flash, &mut images).unwrap();
    assert!(flash.tally().bytes_read - read < 1024, "the image is not read again");
    let at = scene.table.slot(SlotId::Ota(0)).unwrap().offset;
    let mut sectors = flash.sectors().clone();
    sectors.load(at + 6000, &[0x55]);
    let mut worn = VirtualFlash::with(sectors);
    assert_eq!(loader.start(&mut worn, &mut images).unwrap_err(), BootFailure::NothingBoots);
    assert!(loader.start(&mut flash, &mut images).is_ok());
}

/// Any record that flash can hold: every state, right and wrong CRC, first and last sequence numbers.
fn any_entry() -> impl Strategy<Value = OtaEntry> {
    let sequence = prop_oneof![0..6u32, Just(u32::MAX - 1), Just(u32::MAX), any::<u32>()];
    let state = prop_oneof![0..6u32, Just(u32::MAX), any::<u32>()];
    (sequence, state, prop::bool::weighted(0.8)).prop_map(|(sequence, state, right)| {
        let entry = OtaEntry::new(sequence, state.into());
        OtaEntry { crc: if right { entry.crc } else { entry.crc ^ 0x10 }, ..entry }
    })
}

proptest! {
    #[test]
    fn the_chip_boots_and_holds_what_the_boot_decision_says(
        entries in [any_entry(), any_entry()],
        valid in [any::<bool>(), any::<bool>()],
        factory: bool,
        rollback: bool,
    ) {
        let mut scene = Scene::new(factory);
        for (number, valid) in (0u8..).zip(valid) {
            let mut bytes = image(10 + u64::from(number));
            if !valid {
                bytes[4100] ^= 0x80;
            }
            scene.put(SlotId::Ota(number), &bytes);
        }
        for (index, entry) in entries.into_iter().enumerate() {
            scene.record(index, entry);
        }
        let otadata = OtaData { entries };
        let mut is_valid = |slot| match slot {
            SlotId::Ota(number) => valid[usize::from(number)],
            _ => factory,
        };
        let decision = decide(&scene.table, &otadata, &mut is_valid, BootRules::rollback(rollback));
        let mut flash = scene.flash();
        let started = Bootloader::new(CHIP, rollback).start(&mut flash, &mut ImageCache::new());
        prop_assert_eq!(started.as_ref().ok().map(|booted| booted.slot), decision.slot);
        let expected = decision.writes.iter().fold(otadata, |data, write| data.with(write));
        prop_assert_eq!(scene.records(flash.sectors()), expected);
        prop_assert_eq!(flash.violation_count(), 0);
    }

    #[test]
    fn a_cut_of_the_bootloaders_own_writes_leaves_a_chip_that_boots(
        entries in [any_entry(), any_entry()],
        seed: u64,
        rollback: bool,
        unstable: Option<u64>,
    ) {
        let mut scene = Scene::new(false);
        scene.put(SlotId::Ota(1), &image(2));
        for (index, entry) in entries.into_iter().enumerate() {
            scene.record(index, entry);
        }
        let (loader, mut images) = (Bootloader::new(CHIP, rollback), ImageCache::new());
        let mut whole = scene.flash();
        whole.record(Recording::Operations);
        loader.start(&mut whole, &mut images).unwrap();
        for operation in 0..whole.recorded().len() as u64 {
            let mut flash = scene.flash();
            flash.cut_power_at(PowerCut { operation, point: CutPoint::Seeded(seed), unstable });
            prop_assert!(matches!(loader.start(&mut flash, &mut images), Err(BootFailure::Flash(_))));
            flash.power_on();
            prop_assert!(loader.start(&mut flash, &mut images).is_ok());
        }
    }
}
