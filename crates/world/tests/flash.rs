//! The chip is as strict, and as cruel, as NOR flash.

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use proptest::prelude::*;
use rootcast_image::{PartitionTable, SlotId};
use rootcast_world::flash::{
    Access, CutPoint, Fault, FlashError, FlashFile, FlashFileError, Guard, Mixture, PowerCut, Recording,
    Rule, SECTOR_BYTES, Sectors, Snapshot, VirtualFlash,
};

const SIZE: u32 = SECTOR_BYTES as u32;

fn chip() -> VirtualFlash {
    VirtualFlash::erased(8 * SIZE)
}

fn read(chip: &mut VirtualFlash, address: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    chip.read(address, &mut bytes).unwrap();
    bytes
}

fn rules(chip: &VirtualFlash) -> Vec<Rule> {
    chip.violations().iter().map(|violation| violation.rule).collect()
}

#[test]
fn erasing_sets_a_sector_to_ones_and_programming_only_clears_bits() {
    let mut chip = chip();
    chip.write(SIZE, &[0xF0, 0x0F, 0x00, 0xFF]).unwrap();
    assert_eq!(read(&mut chip, SIZE, 4), [0xF0, 0x0F, 0x00, 0xFF]);
    chip.write(SIZE, &[0x30, 0x0F, 0x00, 0x7F]).unwrap();
    assert_eq!(read(&mut chip, SIZE, 4), [0x30, 0x0F, 0x00, 0x7F]);
    assert!(chip.violations().is_empty(), "clearing more bits of a word is what NVS does");
    chip.write(SIZE, &[0xFF, 0x0F, 0x00, 0x7F]).unwrap();
    assert_eq!(read(&mut chip, SIZE, 4), [0x30, 0x0F, 0x00, 0x7F], "a bit is not set by programming");
    assert_eq!(rules(&chip), [Rule::SetsBits]);
    chip.erase(SIZE, 2 * SIZE).unwrap();
    assert_eq!(read(&mut chip, SIZE, 4), [0xFF; 4]);
}

#[test]
fn what_is_not_aligned_or_not_on_the_chip_is_refused_and_seen() {
    let mut chip = chip();
    assert_eq!(chip.write(2, &[0; 4]), Err(FlashError::NotAligned));
    assert_eq!(chip.write(4, &[0; 3]), Err(FlashError::NotAligned));
    assert_eq!(chip.read(1, &mut [0; 4]), Err(FlashError::NotAligned));
    assert_eq!(chip.erase(4, SIZE + 4), Err(FlashError::NotAligned));
    assert_eq!(chip.write(8 * SIZE - 4, &[0; 8]), Err(FlashError::OutOfBounds));
    assert_eq!(chip.write(u32::MAX - 3, &[0; 8]), Err(FlashError::OutOfBounds));
    assert_eq!(chip.erase(8 * SIZE, 9 * SIZE), Err(FlashError::OutOfBounds));
    assert_eq!(chip.erase(SIZE, 0), Err(FlashError::OutOfBounds));
    assert_eq!(chip.violation_count(), 8);
    assert_eq!(chip.sectors(), &Sectors::erased(8 * SIZE));
}

#[test]
fn a_write_beyond_a_nodes_own_partitions_or_into_the_running_slot_is_seen() {
    let table = PartitionTable::default_4mb();
    let mut chip = VirtualFlash::erased(4 << 20);
    chip.set_guard(Guard::node(&table, SlotId::Ota(0)));
    chip.write(0x9000, &[0; 4]).unwrap();
    chip.erase(0xE000, 0x1_0000).unwrap();
    chip.write(0x17_0000, &[0; 8]).unwrap();
    assert!(chip.violations().is_empty(), "nvs, otadata and ota_1 are the updater's");
    chip.write(0x8000, &[0; 4]).unwrap();
    chip.write(0x1_0000, &[0; 4]).unwrap();
    chip.erase(0x16_F000, 0x17_1000).unwrap();
    let found: Vec<_> = chip.violations().iter().map(|v| (v.rule, v.access, v.address)).collect();
    assert_eq!(
        found,
        [
            (Rule::OutsideOwnPartitions, Access::Program, 0x8000),
            (Rule::RunningSlot, Access::Program, 0x1_0000),
            (Rule::RunningSlot, Access::Erase, 0x16_F000),
        ]
    );
}

#[test]
fn after_a_cut_nothing_works_until_power_returns() {
    let mut chip = chip();
    chip.cut_power_at(PowerCut { operation: 1, point: CutPoint::After, unstable: None });
    chip.write(0, &[1; 4]).unwrap();
    assert_eq!(chip.write(4, &[2; 4]), Err(FlashError::NoPower));
    assert_eq!(chip.read(0, &mut [0; 4]), Err(FlashError::NoPower));
    assert_eq!(chip.write(8, &[3; 4]), Err(FlashError::NoPower));
    assert_eq!(chip.erase(0, SIZE), Err(FlashError::NoPower));
    chip.power_on();
    assert_eq!(read(&mut chip, 0, 12), [1, 1, 1, 1, 2, 2, 2, 2, 255, 255, 255, 255]);
}

#[test]
fn a_program_can_stop_after_any_byte_and_within_the_next() {
    let data = [0x00, 0x5A, 0x0F, 0xFF, 0x12, 0x34, 0x56, 0x78];
    for bytes in 0..8 {
        for bits in 0..=255u8 {
            let mut chip = chip();
            chip.cut_power_at(PowerCut {
                operation: 0,
                point: CutPoint::Programming { bytes, bits },
                unstable: None,
            });
            assert_eq!(chip.write(0, &data), Err(FlashError::NoPower));
            chip.power_on();
            let found = read(&mut chip, 0, 8);
            let done = bytes as usize;
            assert_eq!(found[..done], data[..done]);
            assert_eq!(found[done], !(!data[done] & bits));
            assert!(found[done + 1..].iter().all(|byte| *byte == 0xFF));
        }
    }
}

#[test]
fn an_interrupted_erase_leaves_old_words_beside_erased_ones() {
    let mut chip = chip();
    chip.write(0, &[0; 128]).unwrap();
    chip.cut_power_at(PowerCut {
        operation: 0,
        point: CutPoint::Erasing(Mixture::Words(0b101)),
        unstable: None,
    });
    assert_eq!(chip.erase(0, SIZE), Err(FlashError::NoPower));
    chip.power_on();
    let found = read(&mut chip, 0, 16);
    assert_eq!(found, [255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]);
}

#[test]
fn uncertain_bits_read_as_they_please_until_programmed_or_erased() {
    let mut chip = chip();
    let torn =
        PowerCut { operation: 0, point: CutPoint::Programming { bytes: 0, bits: 0x0F }, unstable: Some(1) };
    chip.cut_power_at(torn);
    chip.write(0, &[0x00; 4]).unwrap_err();
    chip.power_on();
    let found: Vec<_> = (0..64).map(|_| read(&mut chip, 0, 4)[0]).collect();
    assert!(found.iter().any(|byte| *byte != found[0]), "the torn byte is uncertain");
    assert!((0..64).all(|_| read(&mut chip, 0, 4)[1..] == [0xFF; 3]), "its neighbours are not");
    chip.write(0, &[0; 4]).unwrap();
    assert!((0..64).all(|_| read(&mut chip, 0, 4) == [0; 4]), "a bit programmed to 0 is 0");

    chip.write(SIZE, &[0; 4]).unwrap();
    let erase = CutPoint::Erasing(Mixture::Bits { seed: 5, ones: 128 });
    for unstable in 0..16 {
        chip.cut_power_at(PowerCut { operation: 0, point: erase.clone(), unstable: Some(unstable) });
        chip.erase(SIZE, 2 * SIZE).unwrap_err();
        chip.power_on();
        chip.erase(SIZE, 2 * SIZE).unwrap();
        assert_eq!(read(&mut chip, SIZE, 4), [0xFF; 4]);
        chip.write(SIZE, &[0; 4]).unwrap();
        assert_eq!(read(&mut chip, SIZE, 4), [0; 4]);
    }
}

#[test]
fn a_worn_cell_keeps_its_value_and_a_bad_area_says_so() {
    let mut chip = chip();
    chip.add_fault(Fault::StuckBit { address: 5, bit: 3, value: false });
    chip.add_fault(Fault::StuckBit { address: 6, bit: 0, value: true });
    chip.erase(0, SIZE).unwrap();
    assert_eq!(read(&mut chip, 4, 4), [0xFF, 0xF7, 0xFF, 0xFF]);
    chip.write(4, &[0; 4]).unwrap();
    assert_eq!(read(&mut chip, 4, 4), [0, 0, 1, 0]);
    chip.clear_faults();
    chip.add_fault(Fault::ReadError { range: 0..8, skip: 1, times: 1 });
    chip.read(0, &mut [0; 4]).unwrap();
    chip.read(8, &mut [0; 4]).unwrap();
    assert_eq!(chip.read(4, &mut [0; 4]), Err(FlashError::Damaged));
    chip.read(4, &mut [0; 4]).unwrap();
    chip.add_fault(Fault::EraseError { range: SIZE..SIZE + 1 });
    chip.add_fault(Fault::ProgramError { range: 2 * SIZE..3 * SIZE });
    assert_eq!(chip.erase(SIZE, 2 * SIZE), Err(FlashError::Damaged));
    assert_eq!(chip.write(2 * SIZE, &[0; 4]), Err(FlashError::Damaged));
}

#[test]
fn a_copy_shares_its_sectors_and_keeps_its_own_changes() {
    let mut original = chip();
    original.write(0, &[7; 4]).unwrap();
    original.write(SIZE, &[8; 4]).unwrap();
    let mut copy = original.clone();
    copy.write(4, &[9; 4]).unwrap();
    assert_eq!(read(&mut original, 4, 4), [0xFF; 4]);
    let sector = |chip: &VirtualFlash, index| std::sync::Arc::as_ptr(chip.sectors().sector(index).unwrap());
    assert_ne!(sector(&original, 0), sector(&copy, 0));
    assert_eq!(sector(&original, 1), sector(&copy, 1), "what did not change is shared");
    assert!(original.sectors().sector(2).is_none(), "erased sectors take no memory");
}

#[test]
fn every_recorded_operation_can_be_replayed_and_cut_afterwards() {
    let mut chip = chip();
    chip.record(Recording::Snapshots);
    chip.write(0, &[0x12; 8]).unwrap();
    chip.erase(0, 2 * SIZE).unwrap();
    chip.write(SIZE, &[0x34; 4]).unwrap();
    let recorded = chip.take_recorded();
    let erases: Vec<_> = recorded.iter().map(|recorded| recorded.operation.is_erase()).collect();
    assert_eq!(erases, [false, true, true, false], "an erase of two sectors is two operations");
    let mut replayed = Snapshot::new(Sectors::erased(8 * SIZE));
    for recorded in &recorded {
        assert_eq!(recorded.before.as_ref().unwrap().sectors(), replayed.sectors());
        replayed.complete(&recorded.operation);
    }
    assert_eq!(replayed.sectors(), chip.sectors());
    let mut cut = recorded[0].before.clone().unwrap();
    cut.cut(&recorded[0].operation, &CutPoint::Programming { bytes: 1, bits: 0 }, None);
    assert_eq!(cut.sectors().bytes(0..4), [0x12, 0xFF, 0xFF, 0xFF]);
}

#[test]
fn a_chip_on_a_file_is_there_again_after_the_process_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.bin");
    let mut content = Sectors::erased(4 * SIZE);
    content.load(4090, b"across sectors");
    drop(FlashFile::create(&path, &content).unwrap());
    assert!(
        matches!(FlashFile::create(&path, &content), Err(FlashFileError::Io { .. })),
        "never overwritten"
    );

    let (file, sectors) = FlashFile::open(&path).unwrap();
    assert_eq!(sectors, content);
    assert!(matches!(FlashFile::open(&path), Err(FlashFileError::InUse { .. })), "one process a chip");
    let mut chip = VirtualFlash::on_file(file, sectors);
    chip.write(2 * SIZE, &[0xA5; 8]).unwrap();
    chip.erase(0, SIZE).unwrap();
    chip.cut_power_at(PowerCut {
        operation: 0,
        point: CutPoint::Programming { bytes: 3, bits: 1 },
        unstable: None,
    });
    chip.write(3 * SIZE, &[0; 8]).unwrap_err();
    let expected = chip.sectors().clone();
    drop(chip);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes, expected.bytes(0..4 * SIZE));
    assert_eq!(&bytes[3 * SECTOR_BYTES..][..5], [0, 0, 0, 0xFE, 0xFF]);

    std::fs::write(&path, [0; 100]).unwrap();
    assert!(matches!(FlashFile::open(&path), Err(FlashFileError::Size { found: 100, .. })));
}

#[derive(Clone, Debug)]
enum Step {
    Erase(u32),
    Program(u32, Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4u32).prop_map(Step::Erase),
        (0..4096u32, proptest::collection::vec(any::<u8>(), 0..700)).prop_map(|(at, mut bytes)| {
            bytes.truncate(bytes.len() / 4 * 4);
            Step::Program(at * 4 % (4 * SIZE - 700) / 4 * 4, bytes)
        }),
    ];
    proptest::collection::vec(step, 1..20)
}

proptest! {
    #[test]
    fn the_chip_does_what_an_array_of_bytes_does(steps in steps()) {
        let mut chip = VirtualFlash::erased(4 * SIZE);
        let mut model = vec![0xFFu8; 4 * SECTOR_BYTES];
        for step in &steps {
            match step {
                Step::Erase(sector) => {
                    chip.erase(sector * SIZE, (sector + 1) * SIZE).unwrap();
                    model[*sector as usize * SECTOR_BYTES..][..SECTOR_BYTES].fill(0xFF);
                }
                Step::Program(at, bytes) => {
                    chip.write(*at, bytes).unwrap();
                    model[*at as usize..].iter_mut().zip(bytes).for_each(|(old, new)| *old &= new);
                }
            }
        }
        prop_assert_eq!(read(&mut chip, 0, model.len()), model);
    }

    #[test]
    fn a_cut_program_lies_between_before_and_after(
        old in proptest::collection::vec(any::<u8>(), 600),
        new in proptest::collection::vec(any::<u8>(), 600),
        seed: u64,
    ) {
        let mut chip = chip();
        chip.write(512, &old).unwrap();
        let mut whole = chip.clone();
        whole.write(512, &new).unwrap();
        let (before, after) = (read(&mut chip, 0, 2048), read(&mut whole, 0, 2048));
        chip.cut_power_at(PowerCut { operation: 0, point: CutPoint::Seeded(seed), unstable: None });
        prop_assert_eq!(chip.write(512, &new), Err(FlashError::NoPower));
        chip.power_on();
        for ((cut, before), after) in read(&mut chip, 0, 2048).iter().zip(&before).zip(&after) {
            prop_assert!(cut & !before == 0, "no bit rises");
            prop_assert!(!cut & after == 0, "no bit falls that was not to");
        }
    }

    #[test]
    fn a_cut_erase_touches_its_sector_only(
        old in proptest::collection::vec(any::<u8>(), 3 * SECTOR_BYTES),
        seed: u64,
    ) {
        let mut chip = VirtualFlash::with(Sectors::from_bytes(&old));
        chip.cut_power_at(PowerCut { operation: 0, point: CutPoint::Seeded(seed), unstable: Some(seed) });
        prop_assert_eq!(chip.erase(SIZE, 2 * SIZE), Err(FlashError::NoPower));
        chip.power_on();
        let found = read(&mut chip, 0, old.len());
        prop_assert_eq!(&found[..SECTOR_BYTES], &old[..SECTOR_BYTES]);
        prop_assert_eq!(&found[2 * SECTOR_BYTES..], &old[2 * SECTOR_BYTES..]);
    }
}
