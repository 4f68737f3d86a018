//! Partition tables and otadata, frozen byte by byte. The expected bytes were made with Python's `struct`, `hashlib`
//! and `zlib`, not with this crate.

mod support;

use rootcast_image::otadata::{OtaWrite, next_sequence};
use rootcast_image::partition::{CsvCause, TABLE_BYTES};
use rootcast_image::{OtaData, OtaEntry, OtaState, Partition, PartitionError, PartitionTable, SlotId};

/// Bytes from hexadecimal digits; spaces are for the reader.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const DEFAULT: [&str; 5] = [
    "aa50 01 02 00900000 00500000 6e767300000000000000000000000000 00000000",
    "aa50 01 00 00e00000 00200000 6f746164617461000000000000000000 00000000",
    "aa50 00 10 00000100 00001600 6f74615f300000000000000000000000 00000000",
    "aa50 00 11 00001700 00001600 6f74615f310000000000000000000000 00000000",
    "ebeb ffffffffffffffffffffffffffff ede3546c5fd90abb809c921bcaaaaa72",
];

const ORIGINAL: [&str; 6] = [
    "aa50 01 02 00900000 00400000 6e767300000000000000000000000000 00000000",
    "aa50 01 00 00d00000 00200000 6f746164617461000000000000000000 00000000",
    "aa50 01 01 00f00000 00100000 7068795f696e69740000000000000000 00000000",
    "aa50 00 10 00000100 00001600 6f74615f300000000000000000000000 00000000",
    "aa50 00 11 00001700 00001600 6f74615f310000000000000000000000 00000000",
    "ebeb ffffffffffffffffffffffffffff a62e2430f305b5f23f5bed9e59bc02d5",
];

fn bytes_of(entries: &[&str]) -> Vec<u8> {
    let mut bytes = entries.iter().flat_map(|entry| hex(entry)).collect::<Vec<u8>>();
    bytes.resize(TABLE_BYTES, 0xFF);
    bytes
}

#[test]
fn the_default_table_is_these_bytes() {
    let table = PartitionTable::default_4mb();
    assert_eq!(table.to_bytes().expect("it fits").to_vec(), bytes_of(&DEFAULT));
    assert_eq!(PartitionTable::parse(&bytes_of(&DEFAULT)), Ok(table.clone()));
    assert_eq!(table.check(4 << 20), Ok(()));
}

#[test]
fn the_original_firmwares_table_is_these_bytes() {
    let table = PartitionTable::original_4mb();
    assert_eq!(table.to_bytes().expect("it fits").to_vec(), bytes_of(&ORIGINAL));
    assert_eq!(PartitionTable::parse(&bytes_of(&ORIGINAL)), Ok(table.clone()));
    assert_eq!(table.check(4 << 20), Ok(()));
}

#[test]
fn a_table_answers_where_things_are() {
    let table = PartitionTable::default_4mb();
    assert_eq!(table.ota_count(), 2);
    assert_eq!(table.nvs().map(|p| (p.offset, p.size)), Some((0x9000, 0x5000)));
    assert_eq!(table.otadata().map(|p| (p.offset, p.size)), Some((0xE000, 0x2000)));
    assert_eq!(table.slot(SlotId::Ota(1)).map(|p| (p.offset, p.size)), Some((0x17_0000, 1408 * 1024)));
    assert_eq!((table.factory(), table.find("nvs2")), (None, None));
    assert_eq!(table.slot_at(0x1_0000), Some(SlotId::Ota(0)));
    assert_eq!(table.slot_at(0x16_FFFF), Some(SlotId::Ota(0)));
    assert_eq!(table.slot_at(0x17_0000), Some(SlotId::Ota(1)));
    assert_eq!(table.slot_at(0x2D_0000), None);
    assert_eq!(table.slot_at(0x9000), None);
}

#[test]
fn the_next_slot_is_the_one_after_the_running_one() {
    let next = |table: &PartitionTable, running| table.next_update_slot(running).map(|(slot, _)| slot);
    let mut table = PartitionTable::default_4mb();
    assert_eq!(next(&table, SlotId::Ota(0)), Some(SlotId::Ota(1)));
    assert_eq!(next(&table, SlotId::Ota(1)), Some(SlotId::Ota(0)));
    assert_eq!(next(&table, SlotId::Factory), Some(SlotId::Ota(0)));
    table.partitions.push(Partition::new("ota_2", 0, 0x12, 0x2D_0000, 0x10_0000)).expect("room");
    table.partitions.swap(2, 4);
    assert_eq!(next(&table, SlotId::Ota(0)), Some(SlotId::Ota(1)));
    assert_eq!(next(&table, SlotId::Ota(1)), Some(SlotId::Ota(2)));
    assert_eq!(next(&table, SlotId::Ota(2)), Some(SlotId::Ota(0)));
    assert_eq!(next(&table, SlotId::Test), Some(SlotId::Ota(0)));
    // The running slot is never the answer.
    table.partitions.truncate(2);
    table.partitions.push(Partition::new("ota_0", 0, 0x10, 0x1_0000, 0x10_0000)).expect("room");
    assert_eq!(next(&table, SlotId::Ota(0)), None);
}

#[test]
fn a_table_without_checksum_is_read_and_written_without() {
    let bytes = bytes_of(&DEFAULT[..4]);
    let table = PartitionTable::parse(&bytes).expect("legal");
    assert!(!table.has_md5);
    assert_eq!(table.to_bytes().expect("it fits").to_vec(), bytes);
}

#[test]
fn what_is_wrong_with_a_table_is_named() {
    let parse = |entries: &[&str]| PartitionTable::parse(&bytes_of(entries)).map(|_| ());
    assert_eq!(parse(&[]), Err(PartitionError::Empty));
    assert_eq!(PartitionTable::parse(&[]).map(|_| ()), Err(PartitionError::Unterminated));

    let mut md5_wrong = bytes_of(&DEFAULT);
    md5_wrong[10] ^= 1;
    assert_eq!(PartitionTable::parse(&md5_wrong).map(|_| ()), Err(PartitionError::Md5));

    let twice = [DEFAULT[0], DEFAULT[1], DEFAULT[2], DEFAULT[3], DEFAULT[4], DEFAULT[4]];
    assert_eq!(parse(&twice), Err(PartitionError::SecondMd5));

    let after = [DEFAULT[0], DEFAULT[1], DEFAULT[2], DEFAULT[3], DEFAULT[4], DEFAULT[3]];
    assert_eq!(parse(&after), Err(PartitionError::EntryAfterMd5 { index: 5 }));

    let mut garbage = bytes_of(&DEFAULT);
    garbage[32] = 0x55;
    assert_eq!(
        PartitionTable::parse(&garbage).map(|_| ()),
        Err(PartitionError::EntryMagic { index: 1, found: [0x55, 0x50] })
    );
    // An entry that begins erased but is not: neither a partition nor the end.
    let mut half_erased = bytes_of(&DEFAULT);
    half_erased[32..34].fill(0xFF);
    assert_eq!(
        PartitionTable::parse(&half_erased).map(|_| ()),
        Err(PartitionError::EntryMagic { index: 1, found: [0xFF, 0xFF] })
    );
}

#[test]
fn a_table_cut_anywhere_before_its_terminator_is_unterminated() {
    let bytes = bytes_of(&DEFAULT);
    for length in 0..6 * 32 {
        assert_eq!(
            PartitionTable::parse(&bytes[..length]).map(|_| ()),
            Err(PartitionError::Unterminated),
            "{length}"
        );
    }
    assert!(PartitionTable::parse(&bytes[..6 * 32]).is_ok());
}

#[test]
fn ninety_six_entries_leave_no_room_for_the_terminator() {
    let entry = hex(DEFAULT[0]);
    let full: Vec<u8> = entry.iter().copied().cycle().take(96 * 32).collect();
    assert_eq!(PartitionTable::parse(&full).map(|_| ()), Err(PartitionError::Unterminated));
    let mut most = full;
    most[95 * 32..].fill(0xFF);
    let mut table = PartitionTable::parse(&most).expect("95 are legal");
    assert_eq!(table.partitions.len(), 95);
    assert_eq!(table.to_bytes().expect("they fit").to_vec(), most);
    table.has_md5 = true;
    assert_eq!(table.to_bytes(), Err(PartitionError::TooMany { most: 94 }));
    table.partitions.pop();
    assert!(table.to_bytes().is_ok_and(|bytes| PartitionTable::parse(&bytes) == Ok(table)));
}

#[test]
fn what_makes_a_table_unfit_to_update_from_is_named() {
    let check = |change: &dyn Fn(&mut PartitionTable)| {
        let mut table = PartitionTable::default_4mb();
        change(&mut table);
        table.check(4 << 20).expect_err("broken").to_string()
    };
    assert_eq!(
        check(&|t| t.partitions[3].size = 0x30_0000),
        "partition \"ota_1\" at 0x170000 with 0x300000 bytes exceeds the flash of 0x400000"
    );
    assert!(check(&|t| t.partitions[3].offset = u32::MAX).contains("exceeds"));
    assert_eq!(check(&|t| t.partitions[0].size = 0x6000), "partitions \"nvs\" and \"otadata\" overlap");
    assert_eq!(
        check(&|t| t.partitions[0].size = 0x5800),
        "partition \"nvs\": 0x5800 is not a multiple of 0x1000"
    );
    assert_eq!(
        check(&|t| t.partitions[3].offset += 0x1000),
        "partition \"ota_1\": 0x171000 is not a multiple of 0x10000"
    );
    assert_eq!(
        check(&|t| t.partitions[0].offset = 0x8000),
        "partition \"nvs\" at 0x8000 lies in the bootloader or the partition table"
    );
    assert_eq!(check(&|t| t.partitions[3].subtype = 0x10), "partition \"ota_1\" has the type of another");
    assert_eq!(check(&|t| t.partitions[3].subtype = 0x12), "2 OTA slots, but ota_1 is missing");
    assert_eq!(
        check(&|t| t.partitions.retain(|partition| partition.label != "otadata")),
        "OTA slots but no otadata partition"
    );
    assert_eq!(check(&|t| t.partitions[1].size = 0x1000), "otadata has 0x1000 bytes, expected 0x2000");
}

#[test]
fn the_csv_form_is_read_and_printed() {
    let text = "# Name,   Type, SubType, Offset,  Size, Flags\n\
                nvs,      data, nvs,     0x9000,  16K,\n\
                otadata,  data, ota,     ,        0x2000\n\
                phy_init, data, phy,     ,        4096,\n\
                \n\
                ota_0,    app,  ota_0,   ,        0x160000, # the first\n\
                ota_1,    app,  ota_1,   ,        1408K,\n";
    let table = PartitionTable::from_csv(text).expect("legal");
    assert_eq!(table, PartitionTable::original_4mb());
    assert_eq!(
        table.to_csv(),
        "# Name, Type, SubType, Offset, Size, Flags\n\
         nvs,data,nvs,0x9000,0x4000,\n\
         otadata,data,ota,0xd000,0x2000,\n\
         phy_init,data,phy,0xf000,0x1000,\n\
         ota_0,app,ota_0,0x10000,0x160000,\n\
         ota_1,app,ota_1,0x170000,0x160000,\n"
    );
    let flags = PartitionTable::from_csv("a,0x40,1,0x10000,1M,encrypted:readonly").expect("legal");
    assert_eq!(
        (flags.partitions[0].kind, flags.partitions[0].subtype, flags.partitions[0].flags),
        (0x40, 1, 3)
    );
    assert_eq!(PartitionTable::from_csv(&flags.to_csv()), Ok(flags));
}

#[test]
fn a_wrong_line_of_csv_is_named() {
    let error = |line: &str| {
        let error = PartitionTable::from_csv(&format!("# head\n{line}\n")).expect_err("wrong");
        assert_eq!(error.line, 2);
        error.cause
    };
    assert_eq!(error("a,app,ota_0"), CsvCause::TooFewFields);
    assert_eq!(error(",app,ota_0,,1M"), CsvCause::Name(String::new()));
    assert_eq!(error("seventeen_letters,app,ota_0,,1M"), CsvCause::Name("seventeen_letters".into()));
    assert_eq!(error("a,apps,ota_0,,1M"), CsvCause::Type("apps".into()));
    assert_eq!(error("a,255,0,,1M"), CsvCause::Type("255".into()));
    assert_eq!(error("a,app,ota_16,,1M"), CsvCause::Subtype("ota_16".into()));
    assert_eq!(error("a,data,wifi,,1M"), CsvCause::Subtype("wifi".into()));
    for number in ["", "x", "-1", "+1", "0x", "0x+1", "4097M", "é"] {
        assert_eq!(error(&format!("a,app,ota_0,,{number}")), CsvCause::Number(number.into()));
    }
    assert_eq!(error("a,app,ota_0,,1M,secret"), CsvCause::Flag("secret".into()));
}

/// Sequence number, state, CRC as Python's `zlib.crc32(struct.pack("<I", sequence), 0xFFFFFFFF)` gives it.
const RECORDS: [(u32, OtaState, &str); 5] = [
    (1, OtaState::Undefined, "01000000 ffffffffffffffffffffffffffffffffffffffff ffffffff 9a984347"),
    (2, OtaState::New, "02000000 ffffffffffffffffffffffffffffffffffffffff 00000000 7437f655"),
    (3, OtaState::PendingVerify, "03000000 ffffffffffffffffffffffffffffffffffffffff 01000000 11504aed"),
    (4, OtaState::Valid, "04000000 ffffffffffffffffffffffffffffffffffffffff 02000000 a8689d70"),
    (1, OtaState::Aborted, "01000000 ffffffffffffffffffffffffffffffffffffffff 04000000 9a984347"),
];

#[test]
fn otadata_records_are_these_bytes() {
    for (sequence, state, bytes) in RECORDS {
        let entry = OtaEntry::new(sequence, state);
        assert_eq!(entry.to_bytes().to_vec(), hex(bytes));
        assert_eq!(OtaEntry::parse(&hex(bytes).try_into().expect("32 bytes")), entry);
        assert!(entry.crc_ok());
    }
    assert_eq!(OtaEntry::ERASED.to_bytes(), [0xFF; 32]);
    assert_eq!(OtaEntry::parse(&[0xFF; 32]), OtaEntry::ERASED);
    assert_eq!(OtaEntry::new(7, OtaState::Unknown(0x55)).to_bytes()[24], 0x55);
}

#[test]
fn a_switch_writes_the_other_sector_with_the_next_number_for_the_slot() {
    let records = OtaData { entries: [OtaEntry::new(5, OtaState::Valid), OtaEntry::new(4, OtaState::Valid)] };
    let switch = |slot| records.switch(slot, 2, OtaState::New).expect("a slot").to_vec();
    assert_eq!(switch(1), [OtaWrite { index: 1, entry: OtaEntry::new(6, OtaState::New) }]);
    // The slot in force: a new record as well, never the old one rewritten.
    assert_eq!(switch(0), [OtaWrite { index: 1, entry: OtaEntry::new(7, OtaState::New) }]);
    assert_eq!(
        OtaData::ERASED.switch(1, 2, OtaState::New).expect("a slot").to_vec(),
        [OtaWrite { index: 0, entry: OtaEntry::new(2, OtaState::New) }]
    );
    assert_eq!(records.switch(2, 2, OtaState::New), None);
    assert_eq!(records.switch(0, 0, OtaState::New), None);
}

#[test]
fn sequence_numbers_that_run_out_start_afresh_without_a_gap() {
    let last = 0xFFFF_FFFE;
    let records =
        OtaData { entries: [OtaEntry::new(1, OtaState::Valid), OtaEntry::new(last, OtaState::Valid)] };
    assert_eq!(next_sequence(last, 0, 2), None);
    assert_eq!(
        records.switch(1, 2, OtaState::New).expect("a slot").to_vec(),
        [
            OtaWrite { index: 0, entry: OtaEntry::new(2, OtaState::New) },
            OtaWrite { index: 1, entry: OtaEntry::ERASED }
        ]
    );
}

#[test]
fn the_next_number_is_esp_idfs_wherever_esp_idf_takes_a_new_one() {
    for count in 1..=16u8 {
        for slot in 0..count {
            for active in (1..200).chain(0xFFFF_FF00..0xFFFF_FFFF) {
                let next = next_sequence(active, slot, count);
                // esp_ota_ops.c: the smallest (slot + 1) % count + i * count that is at least the number in force.
                let mut number = u64::from((slot + 1) % count);
                while u64::from(active) > number {
                    number += u64::from(count);
                    if number + 20 * u64::from(count) < u64::from(active) {
                        number += (u64::from(active) - number) / u64::from(count) * u64::from(count);
                    }
                }
                if number == u64::from(active) {
                    number += u64::from(count);
                }
                let expected = u32::try_from(number).ok().filter(|&number| number != u32::MAX);
                assert_eq!(next, expected, "{active} {slot} {count}");
            }
        }
    }
}

#[test]
fn a_torn_record_is_never_in_force() {
    // The CRC comes last: bytes are programmed in ascending order.
    let old = OtaEntry::new(4, OtaState::Valid);
    let records = OtaData { entries: [old, OtaEntry::new(3, OtaState::Valid)] };
    let write = records.switch(0, 2, OtaState::New).expect("a slot")[0];
    for length in 0..32 {
        let mut torn = [0xFF; 32];
        torn[..length].copy_from_slice(&write.entry.to_bytes()[..length]);
        let after = records.with(&OtaWrite { entry: OtaEntry::parse(&torn), ..write });
        assert_eq!(after.active_entry(), Some(&old), "{length} bytes");
    }
    assert_eq!(records.with(&write).active_entry(), Some(&write.entry));
}
