//! Parsers of ESP-IDF's formats. The promises are `rootcast_image::fuzz`'s; here are seeds and checksums.

#![expect(clippy::ptr_arg, reason = "repairs may lengthen: all share one type")]

use md5::{Digest, Md5};
use rootcast_image::crc::{crc32, crc32_seed_ones};
use rootcast_image::otadata::{OTA_ENTRY_BYTES, OtaEntry};
use rootcast_image::signature::{
    EcdsaP256Parts, RsaParts, SIGNATURE_BLOCK_BYTES, SIGNATURE_MAGIC, write_ecdsa_p256_block,
    write_rsa_block, write_sector,
};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, OtaState, PartitionTable, fuzz};
use sha2::Sha256;

use crate::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target { name: "image", run: fuzz::image, seeds: images, repair: Some(seal_image) },
    Target { name: "image_header", run: fuzz::header, seeds: images, repair: None },
    Target { name: "image_inspect", run: fuzz::inspection, seeds: images, repair: Some(seal_image) },
    Target {
        name: "partition_table",
        run: fuzz::partition_table,
        seeds: partition_tables,
        repair: Some(seal_partition_table),
    },
    Target { name: "partition_csv", run: fuzz::partition_csv, seeds: partition_csvs, repair: None },
    Target { name: "otadata", run: fuzz::otadata, seeds: otadata, repair: Some(seal_otadata) },
    Target { name: "boot_decision", run: fuzz::boot, seeds: otadata, repair: Some(seal_otadata) },
    Target {
        name: "signature_sector",
        run: fuzz::signature,
        seeds: signature_sectors,
        repair: Some(seal_signature_blocks),
    },
];

fn images() -> Vec<Vec<u8>> {
    let plain = |chip| AppImageBuilder::new(chip).version("1.2.3").project("seed").size(1024).build();
    let images = [
        plain(ChipId::ESP32),
        plain(ChipId::ESP32C3),
        AppImageBuilder::new(ChipId::ESP32S3).size(2048).hash_appended(false).build(),
        AppImageBuilder::new(ChipId::VIRT).secure_version(3).revisions(1, 199).size(700).build(),
        AppImageBuilder::new(ChipId::ESP32C3)
            .segment(0x3C00_0020, &[1; 64])
            .segment(0x4200_0020, &[2; 64])
            .segment(0x3FC8_0000, &[3; 12])
            .build(),
    ];
    let mut images: Vec<Vec<u8>> = images.into_iter().flatten().collect();
    // A signed one: padded to a sector, a signature sector behind it.
    if let (Some(image), Some(sector)) = (images.first().cloned(), signature_sectors().pop()) {
        let mut signed = image;
        signed.resize(signed.len().next_multiple_of(4096), 0xFF);
        signed.extend(sector);
        images.push(signed);
    }
    // A merged factory image: nothing but 0xFF where an app image begins.
    images.push(vec![0xFF; 256]);
    images
}

fn partition_tables() -> Vec<Vec<u8>> {
    let tables = [PartitionTable::default_4mb(), PartitionTable::original_4mb()];
    tables.iter().filter_map(|table| table.to_bytes().ok()).map(|bytes| bytes.to_vec()).collect()
}

fn partition_csvs() -> Vec<Vec<u8>> {
    let mut csvs: Vec<Vec<u8>> = [PartitionTable::default_4mb(), PartitionTable::original_4mb()]
        .iter()
        .map(|table| table.to_csv().into_bytes())
        .collect();
    csvs.push(b"# Name, Type, SubType, Offset, Size, Flags\nnvs,data,nvs,,16K,\nota_0,app,ota_0,0x10000,1M,encrypted\n".to_vec());
    csvs
}

fn otadata() -> Vec<Vec<u8>> {
    let entry = |sequence, state| OtaEntry::new(sequence, state).to_bytes();
    let erased = OtaEntry::ERASED.to_bytes();
    [
        [erased, erased],
        [entry(1, OtaState::Valid), erased],
        [entry(1, OtaState::Valid), entry(2, OtaState::New)],
        [entry(3, OtaState::PendingVerify), entry(2, OtaState::Valid)],
        [entry(4, OtaState::Aborted), entry(5, OtaState::Invalid)],
        [entry(u32::MAX - 1, OtaState::Valid), entry(u32::MAX - 2, OtaState::Undefined)],
    ]
    .into_iter()
    // Behind the records: the number of slots, the slot asked for, flags of the boot decision.
    .map(|[first, second]| [&first[..], &second, &[2, 1, 0x7F]].concat())
    .collect()
}

fn signature_sectors() -> Vec<Vec<u8>> {
    let modulus = core::array::from_fn(|i| if i == 0 { 0xC5 } else { (i as u8).wrapping_mul(31) | 1 });
    let rsa = write_rsa_block(&RsaParts {
        digest: &[0x11; 32],
        modulus_be: &modulus,
        exponent: 65_537,
        signature_be: &[0x22; 384],
    });
    let ecdsa = write_ecdsa_p256_block(&EcdsaP256Parts {
        digest: &[0x33; 32],
        public_key_be: &[0x44; 64],
        signature_be: &[0x55; 64],
    });
    [&[rsa][..], &[ecdsa], &[rsa, ecdsa, rsa]]
        .into_iter()
        .filter_map(write_sector)
        .map(|sector| sector.to_vec())
        .collect()
}

/// Checksum and appended hash, where the segments lie within the bytes.
fn seal_image(bytes: &mut Vec<u8>) {
    const HEADER: usize = 24;
    let (Some(&count), Some(&hash_flag)) = (bytes.get(1), bytes.get(HEADER - 1)) else { return };
    let (mut at, mut checksum) = (HEADER, 0xEF);
    for _ in 0..count {
        let Some(length) = bytes.get(at + 4..at + 8).and_then(|field| field.try_into().ok()) else { return };
        let length = u32::from_le_bytes(length) as usize;
        let Some(data) = bytes.get(at + 8..).and_then(|rest| rest.get(..length)) else { return };
        checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
        at += 8 + length;
    }
    let end = (at + 1).next_multiple_of(16);
    bytes.resize(bytes.len().max(end), 0);
    bytes[end - 1] = checksum;
    if hash_flag == 1 {
        let hash = Sha256::digest(&bytes[..end]);
        bytes.resize(bytes.len().max(end + 32), 0);
        bytes[end..end + 32].copy_from_slice(&hash);
    }
}

/// The MD5 entry over the entries before it.
fn seal_partition_table(bytes: &mut Vec<u8>) {
    let entries = bytes.chunks_exact(32).take_while(|entry| entry.starts_with(&[0xAA, 0x50])).count();
    let end = entries * 32;
    let digest = Md5::digest(&bytes[..end]);
    if let Some(entry) = bytes.get_mut(end..end + 32) {
        entry.fill(0xFF);
        entry[..2].copy_from_slice(&[0xEB, 0xEB]);
        entry[16..].copy_from_slice(&digest);
    }
}

fn seal_otadata(bytes: &mut Vec<u8>) {
    for record in bytes.chunks_exact_mut(OTA_ENTRY_BYTES).take(2) {
        let crc = crc32_seed_ones(&record[..4]);
        record[28..].copy_from_slice(&crc.to_le_bytes());
    }
}

fn seal_signature_blocks(bytes: &mut Vec<u8>) {
    const CRC_AT: usize = 1196;
    for block in bytes.chunks_exact_mut(SIGNATURE_BLOCK_BYTES).filter(|block| block[0] == SIGNATURE_MAGIC) {
        let crc = crc32(&block[..CRC_AT]);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    }
}
