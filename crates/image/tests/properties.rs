//! Promises that hold for any input: round trips, and every parser on bytes that nobody foresaw.

mod support;

use proptest::prelude::*;
use rootcast_image::descriptor::AppDescriptor;
use rootcast_image::header::ImageHeader;
use rootcast_image::text::Text;
use rootcast_image::verify::ImageVerifier;
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, OtaData, OtaEntry, Partition, PartitionTable, Target, fuzz, inspect};
use support::{small_image, verify, verify_for};

fn partitions() -> impl Strategy<Value = PartitionTable> {
    let partition = (any::<u8>(), any::<u8>(), any::<u32>(), any::<u32>(), any::<[u8; 16]>(), any::<u32>())
        .prop_map(|(kind, subtype, offset, size, label, flags)| Partition {
            kind,
            subtype,
            offset,
            size,
            label: Text(label),
            flags,
        });
    (prop::collection::vec(partition, 1..=94), any::<bool>())
        .prop_map(|(list, has_md5)| PartitionTable { partitions: list.into_iter().collect(), has_md5 })
}

/// A valid structure with a few bytes changed: gets further than random bytes.
fn mutated(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = bytes.len();
    prop::collection::vec((0..length.min(600), any::<u8>()), 0..4).prop_flat_map(move |changes| {
        let mut bytes = bytes.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        (Just(bytes), 0..=length, any::<bool>()).prop_map(|(mut bytes, cut, whole)| {
            bytes.truncate(if whole { bytes.len() } else { cut });
            bytes
        })
    })
}

fn signed_bytes() -> Vec<u8> {
    let mut block = vec![0; 1216];
    (block[0], block[1], block[36]) = (0xE7, 3, 2);
    let crc = rootcast_image::crc::crc32(&block[..1196]).to_le_bytes();
    block[1196..1200].copy_from_slice(&crc);
    block.repeat(3)
}

proptest! {
    #[test]
    fn headers_and_descriptors_are_written_as_they_were_read(header: [u8; 24], descriptor: [u8; 256]) {
        let (mut header, mut descriptor) = (header, descriptor);
        header[0] = 0xE9;
        descriptor[..4].copy_from_slice(&0xABCD_5432u32.to_le_bytes());
        prop_assert_eq!(ImageHeader::parse(&header).map(|read| read.to_bytes()), Some(header));
        prop_assert_eq!(AppDescriptor::parse(&descriptor).map(|read| read.to_bytes()), Some(descriptor));
    }

    #[test]
    fn tables_are_read_as_they_were_written(table in partitions()) {
        let bytes = table.to_bytes().expect("it fits");
        prop_assert_eq!(PartitionTable::parse(&bytes), Ok(table));
    }

    #[test]
    fn records_are_written_as_they_were_read(first: [u8; 32], second: [u8; 32]) {
        let records = OtaData::parse(&first, &second);
        prop_assert_eq!(records.entries.map(|entry| entry.to_bytes()), [first, second]);
        prop_assert_eq!(OtaEntry::new(records.entries[0].sequence, records.entries[0].state).crc_ok(), true);
    }

    #[test]
    fn what_the_writer_makes_the_verifier_accepts(
        chip in prop::sample::select(ChipId::all().map(|chip| chip.id).collect::<Vec<_>>()),
        size in 1024usize..700_000,
        seed: u64,
        payload in prop::collection::vec(any::<u8>(), 0..200),
        hash_appended: bool,
        piece in 1usize..5000,
    ) {
        let file = AppImageBuilder::new(chip)
            .size(size)
            .seed(seed)
            .payload(&payload)
            .hash_appended(hash_appended)
            .build()
            .expect("it fits");
        prop_assert_eq!(file.len(), size / 16 * 16);
        prop_assert_eq!(&file[288..288 + payload.len()], &payload[..]);
        let image = verify(&file).expect("valid");
        prop_assert_eq!(image.image_len as usize, file.len());
        prop_assert_eq!(image.header.chip, chip);
        let mut verifier = ImageVerifier::new();
        for piece in file.chunks(piece) {
            verifier.push(piece).expect("valid");
        }
        prop_assert_eq!(verifier.finish(), Ok(image));
        let target = Target { chip, revision: 0, secure_version: 0, slot_size: file.len() as u32 };
        prop_assert!(verify_for(target, &file).is_ok());
        fuzz::image(&file);
    }

    #[test]
    fn mutated_images_keep_the_promises(bytes in mutated(small_image())) {
        fuzz::image(&bytes);
        fuzz::header(&bytes);
        fuzz::inspection(&bytes);
    }

    #[test]
    fn mutated_tables_keep_the_promises(
        bytes in mutated(PartitionTable::original_4mb().to_bytes().expect("it fits").to_vec()),
        text in mutated(PartitionTable::original_4mb().to_csv().into_bytes()),
    ) {
        fuzz::partition_table(&bytes);
        fuzz::partition_csv(&text);
    }

    #[test]
    fn mutated_signatures_keep_the_promises(bytes in mutated(signed_bytes())) {
        fuzz::signature(&bytes);
    }

    #[test]
    fn any_bytes_keep_the_promises(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz::image(&bytes);
        fuzz::header(&bytes);
        fuzz::inspection(&bytes);
        fuzz::partition_table(&bytes);
        fuzz::partition_csv(&bytes);
        fuzz::otadata(&bytes);
        fuzz::boot(&bytes);
        fuzz::signature(&bytes);
    }

    #[test]
    fn plausible_records_keep_the_promises(
        sequences in prop::array::uniform2(prop::sample::select(vec![0, 1, 2, 3, 9, u32::MAX - 1, u32::MAX])),
        states in prop::array::uniform2(prop::sample::select(vec![0, 1, 2, 3, 4, u32::MAX, 5])),
        rest: [u8; 2],
    ) {
        let mut bytes = Vec::new();
        for (sequence, state) in sequences.into_iter().zip(states) {
            bytes.extend(OtaEntry::new(sequence, state.into()).to_bytes());
        }
        bytes.extend(rest);
        fuzz::otadata(&bytes);
        fuzz::boot(&bytes);
    }
}

#[test]
fn an_inspection_tells_what_is_wrong_where_the_verifier_refuses() {
    let mut file = small_image();
    let right = inspect::inspect(&file).expect("structure");
    assert!(right.checksum.is_valid() && right.hash.is_valid());
    file[1000] ^= 0x10;
    let wrong = inspect::inspect(&file).expect("structure");
    assert_eq!(wrong.checksum.stored, right.checksum.stored);
    assert_eq!(wrong.checksum.computed, right.checksum.computed ^ 0x10);
    assert!(!wrong.checksum.is_valid() && !wrong.hash.is_valid());
    // The hash cut off: nothing stored.
    let cut = inspect::inspect(&file[..4090]).expect("structure");
    assert_eq!((cut.hash.stored, cut.image_len), (None, 4096));
}

#[test]
fn the_writer_refuses_what_does_not_fit() {
    let builder = || AppImageBuilder::new(ChipId::ESP32C3);
    let error = |builder: AppImageBuilder| builder.build().expect_err("refused").to_string();
    assert_eq!(error(builder().size(100)), "an image of 100 bytes is too small, the least is 512");
    assert_eq!(
        error(builder().size(1000).payload(&[0; 1000])),
        "an image of 1000 bytes is too small, the least is 1488"
    );
    assert_eq!(
        error(builder().version(&"1".repeat(33))),
        format!("version \"{}\" has 33 bytes, there is room for 32", "1".repeat(33))
    );
    let many = (0..17).fold(builder(), |builder, _| builder.segment(0x4038_0000, &[0; 4]));
    assert_eq!(error(many), "17 segments with padding, an image has at most 16");
    let long = builder().segment(0x3C00_0020, &vec![0; 16 << 20]);
    assert_eq!(error(long), format!("a segment of {} bytes, the most is under 16 MiB", (16 << 20) + 256));
}

#[test]
fn the_same_inputs_make_the_same_bytes_and_other_seeds_make_others() {
    let build =
        |seed| AppImageBuilder::new(ChipId::ESP32S3).size(300_000).seed(seed).build().expect("it fits");
    assert_eq!(build(1), build(1));
    assert_ne!(build(1), build(2));
}
