//! Each way an image can be wrong has its own error.

mod support;

use rootcast_image::verify::ImageVerifier;
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageError, ImageHash, Target};
use support::{C3, rehash, small_image, verify, verify_for, with_header};

#[test]
fn a_valid_image_says_everything_about_itself() {
    let file = small_image();
    let image = verify(&file).expect("valid");
    assert_eq!(image.header.chip, ChipId::ESP32C3);
    assert_eq!(image.descriptor.project_name, "lamp");
    assert_eq!(image.descriptor.version, "1.0.0");
    assert_eq!((image.image_len, image.file_len, image.signed_len), (4096, 4096, 4096));
    assert_eq!(image.hash.as_ref(), &file[4096 - 32..]);
    assert!(image.hash_appended);
    assert_eq!(image.segments.len(), 3);
    assert_eq!(image.signed_digest, Some(image.file_sha256));
}

#[test]
fn an_image_cut_at_any_byte_is_truncated() {
    let file = small_image();
    for length in 0..file.len() {
        match verify(&file[..length]) {
            Err(ImageError::Truncated { length: found, needed }) => {
                assert_eq!(found as usize, length);
                assert!(needed as usize > length && needed as usize <= file.len(), "{length}: {needed}");
            }
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn an_image_cut_at_any_byte_and_continued_with_erased_flash_is_refused() {
    let file = small_image();
    for length in 0..file.len() {
        let mut torn = file.clone();
        torn[length..].fill(0xFF);
        assert!(torn == file || verify(&torn).is_err(), "cut at {length}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_unless_it_takes_the_hash_away() {
    let file = small_image();
    let hash = verify(&file).expect("valid").hash;
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            let result = verify(&flipped);
            if (at, bit) == (23, 0) {
                // ESP-IDF accepts it as well: then only the checksum protects the image, and its name differs.
                let image = result.expect("legal without a hash");
                assert!(!image.hash_appended && image.hash != hash);
            } else {
                assert!(result.is_err(), "byte {at} bit {bit}");
            }
        }
    }
}

#[test]
fn a_file_that_is_something_else_is_not_an_image() {
    for (bytes, found) in [(&b"<html>"[..], b'<'), (b"\x7fELF", 0x7f), (b"PK", b'P'), (b"\0", 0)] {
        assert_eq!(verify(bytes), Err(ImageError::NotAnImage { found }));
    }
    assert_eq!(verify(b""), Err(ImageError::Truncated { length: 0, needed: 304 }));
}

#[test]
fn a_merged_factory_image_is_told_apart_from_an_app() {
    // ESP32: 0xFF up to the bootloader at 0x1000. Decided by the first byte.
    let mut merged = vec![0xFF; 0x1_0000];
    merged.extend(small_image());
    assert_eq!(verify(&merged), Err(ImageError::MergedFactoryImage));

    // ESP32-C3: the bootloader at 0, which is an image too. It is loaded to RAM and has no app descriptor.
    for descriptor in [&[0x50, 0, 0, 0][..], &[0x13, 0x05, 0x00, 0x00]] {
        let mut data = descriptor.to_vec();
        data.resize(512, 0);
        let header = rootcast_image::ImageHeader::parse(small_image().first_chunk().unwrap()).unwrap();
        let mut bootloader = rootcast_image::writer::assemble(&header, &[(0x3FCD_5820, data)]).unwrap();
        bootloader.resize(0x1_0000, 0xFF);
        bootloader.extend(small_image());
        assert_eq!(verify(&bootloader), Err(ImageError::MergedFactoryImage));
    }
}

#[test]
fn an_app_without_descriptor_is_named_as_such() {
    let mut file = small_image();
    file[32] ^= 0xFF;
    assert_eq!(verify(&file), Err(ImageError::NoAppDescriptor { found: 0xABCD_54CD }));
}

#[test]
fn an_image_has_1_to_16_segments() {
    for found in [0, 17, 255] {
        let file = with_header(&small_image(), |header| header.segment_count = found);
        assert_eq!(verify(&file), Err(ImageError::SegmentCount { found }));
        assert_eq!(
            ImageVerifier::new().push(&file[..2]),
            Err(ImageError::SegmentCount { found }),
            "at the second byte"
        );
    }
    let mut builder = AppImageBuilder::new(ChipId::ESP32C3).segment(0x3C00_0020, &[0; 64]);
    for index in 0..15 {
        builder = builder.segment(0x4038_0000 + index * 16, &[7; 16]);
    }
    assert_eq!(verify(&builder.build().expect("16 segments")).expect("16 are legal").segments.len(), 16);
}

/// Where the second segment's header lies in [`small_image`].
fn second_segment(file: &[u8]) -> usize {
    verify(file).expect("valid").segments[1].header_offset() as usize
}

#[test]
fn a_segment_is_a_multiple_of_4_long_and_under_16_mib() {
    let file = small_image();
    let at = second_segment(&file) + 4;
    for length in [1u32, 2, 3, 0x0100_0000, 0x8000_0000, 0xFFFF_FFFC, 0xFFFF_FFFF] {
        let mut wrong = file.clone();
        wrong[at..at + 4].copy_from_slice(&length.to_le_bytes());
        assert_eq!(verify(&wrong), Err(ImageError::SegmentLength { index: 1, length }));
        assert_eq!(
            ImageVerifier::new().push(&wrong[..at + 4]),
            Err(ImageError::SegmentLength { index: 1, length })
        );
    }
}

#[test]
fn the_first_segment_holds_the_descriptor() {
    for length in [0u32, 4, 252] {
        let mut file = small_image();
        file[28..32].copy_from_slice(&length.to_le_bytes());
        assert_eq!(verify(&file), Err(ImageError::FirstSegmentTooShort { length }));
    }
}

#[test]
fn a_mapped_segment_lies_where_the_mmu_can_map_it() {
    let mut file = small_image();
    file[24] += 4;
    assert_eq!(
        verify(&file),
        Err(ImageError::Unmappable { index: 0, data_offset: 32, load_address: 0x3C00_0024, page: 0x1_0000 })
    );
    // Not first: the code of a larger image, moved by four bytes.
    let mut large = AppImageBuilder::new(ChipId::ESP32).size(300_000).build().expect("it fits");
    let code = verify(&large).expect("valid").segments[3];
    assert_eq!(code.load_address, 0x400D_0020);
    large[code.header_offset() as usize] += 4;
    assert!(matches!(
        verify(&large),
        Err(ImageError::Unmappable { index: 3, load_address: 0x400D_0024, .. })
    ));
}

#[test]
fn the_mmu_page_size_is_the_descriptors() {
    let mut file = AppImageBuilder::new(ChipId::ESP32C6).size(4096).build().expect("it fits");
    // 32 KiB pages: the first segment may begin at any multiple of 32 KiB plus 0x20.
    file[24..28].copy_from_slice(&0x4280_8020u32.to_le_bytes());
    rehash(&mut file);
    assert!(matches!(verify(&file), Err(ImageError::Unmappable { page: 0x1_0000, .. })));
    let mut small_pages = file.clone();
    small_pages[32 + 180] = 15;
    fix_checksum(&mut small_pages, 16 ^ 15);
    assert!(verify(&small_pages).is_ok());
    for found in [1, 12, 19, 255] {
        file[32 + 180] = found;
        assert_eq!(verify(&file), Err(ImageError::MmuPageSize { found }));
    }
}

/// Makes checksum and hash right again after data changed by `difference`.
fn fix_checksum(file: &mut [u8], difference: u8) {
    let at = file.len() - 33;
    file[at] ^= difference;
    rehash(file);
}

#[test]
fn a_wrong_checksum_is_named_with_both_values() {
    let mut file = small_image();
    let at = file.len() - 33;
    let computed = file[at];
    fix_checksum(&mut file, 0x5A);
    assert_eq!(verify(&file), Err(ImageError::Checksum { stored: computed ^ 0x5A, computed }));
}

#[test]
fn a_wrong_hash_is_named_with_both_values() {
    let mut file = small_image();
    let computed = verify(&file).expect("valid").hash;
    let mut stored = computed;
    stored.0[31] ^= 1;
    *file.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&file), Err(ImageError::Hash { stored, computed }));
}

#[test]
fn the_hash_flag_is_0_or_1() {
    for found in [2, 255] {
        let file = with_header(&small_image(), |header| header.hash_flag = found);
        assert_eq!(verify(&file), Err(ImageError::HashFlag { found }));
    }
}

#[test]
fn an_image_without_hash_is_named_by_the_hash_it_would_have() {
    let file =
        AppImageBuilder::new(ChipId::ESP32C3).hash_appended(false).size(4096).build().expect("it fits");
    let image = verify(&file).expect("valid");
    assert!(!image.hash_appended);
    assert_eq!(image.image_len, 4096);
    assert_eq!(image.hash, ImageHash(image.file_sha256));
    for length in 0..file.len() {
        assert!(matches!(verify(&file[..length]), Err(ImageError::Truncated { .. })), "cut at {length}");
    }
}

#[test]
fn bytes_after_the_image_are_legal_and_counted() {
    let mut file = small_image();
    let alone = verify(&file).expect("valid");
    file.extend_from_slice(b"trailing garbage");
    let image = verify(&file).expect("still valid");
    assert_eq!((image.image_len, image.file_len), (4096, 4112));
    assert_eq!((image.hash, image.signed_digest), (alone.hash, alone.signed_digest));
    assert_ne!(image.file_sha256, alone.file_sha256);
}

#[test]
fn the_signed_digest_needs_all_signed_bytes() {
    let file = AppImageBuilder::new(ChipId::ESP32C3).size(4112).build().expect("it fits");
    let mut padded = file.clone();
    padded.resize(8192, 0xFF);
    let sha256 = <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(&padded));
    for length in [4112, 4113, 8191] {
        let image = verify(&padded[..length]).expect("valid");
        assert_eq!((image.signed_len, image.signed_digest), (8192, None), "{length}");
    }
    assert_eq!(verify(&padded).expect("valid").signed_digest, Some(sha256));
    padded.extend_from_slice(&[7; 5000]);
    assert_eq!(verify(&padded).expect("valid").signed_digest, Some(sha256));
}

#[test]
fn a_device_refuses_another_chips_image_at_the_24th_byte() {
    let file = AppImageBuilder::new(ChipId::ESP32).size(4096).build().expect("it fits");
    let error = ImageError::WrongChip { expected: ChipId::ESP32C3, found: ChipId::ESP32 };
    assert_eq!(verify_for(C3, &file), Err(error));
    assert_eq!(ImageVerifier::for_target(C3).push(&file[..24]), Err(error));
    assert_eq!(ImageVerifier::for_target(C3).push(&file[..23]), Ok(()));
    assert_eq!(error.to_string(), "built for ESP32, this is ESP32-C3");
}

#[test]
fn a_device_refuses_images_for_other_revisions() {
    let image =
        |min, max| AppImageBuilder::new(ChipId::ESP32C3).revisions(min, max).build().expect("it fits");
    let device = |revision| Target { revision, ..C3 };
    assert!(verify_for(device(3), &image(3, 3)).is_ok());
    let error = verify_for(device(3), &image(101, 199)).unwrap_err();
    assert_eq!(error, ImageError::RevisionTooLow { needed: 101, found: 3 });
    assert_eq!(error.to_string(), "needs chip revision v1.1, this is v0.3");
    assert_eq!(
        verify_for(device(200), &image(3, 199)),
        Err(ImageError::RevisionTooHigh { allowed: 199, found: 200 })
    );
    // 0 and 65535 are not maxima.
    assert!(verify_for(device(200), &image(0, 0)).is_ok());
    assert!(verify_for(device(200), &image(0, u16::MAX)).is_ok());
}

#[test]
fn a_device_refuses_an_older_secure_version_at_the_288th_byte() {
    let file = AppImageBuilder::new(ChipId::ESP32C3).secure_version(2).build().expect("it fits");
    let device = |secure_version| Target { secure_version, ..C3 };
    assert!(verify_for(device(2), &file).is_ok());
    let error = ImageError::SecureVersion { required: 3, found: 2 };
    assert_eq!(verify_for(device(3), &file), Err(error));
    assert_eq!(ImageVerifier::for_target(device(3)).push(&file[..288]), Err(error));
}

#[test]
fn an_image_may_fill_its_slot_exactly_and_no_byte_more() {
    let file = small_image();
    let device = |slot_size| Target { slot_size, ..C3 };
    assert!(verify_for(device(4096), &file).is_ok());
    let error = ImageError::TooLarge { needed: 4096, slot_size: 4095 };
    assert_eq!(verify_for(device(4095), &file), Err(error));
    // Known as soon as the last segment header has arrived; a single huge segment is known at its own.
    let last = verify(&file).expect("valid").segments[2].data_offset as usize;
    assert_eq!(ImageVerifier::for_target(device(4095)).push(&file[..last]), Err(error));
    assert!(matches!(
        ImageVerifier::for_target(device(1024)).push(&file[..32]),
        Err(ImageError::TooLarge { slot_size: 1024, .. })
    ));
    // Trailing bytes need room as well.
    let mut longer = file;
    longer.push(0);
    assert_eq!(
        verify_for(device(4096), &longer),
        Err(ImageError::TooLarge { needed: 4097, slot_size: 4096 })
    );
}

#[test]
fn a_failed_verifier_stays_failed() {
    let mut verifier = ImageVerifier::new();
    let error = ImageError::NotAnImage { found: 0 };
    assert_eq!(verifier.push(&[0]), Err(error));
    assert_eq!(verifier.push(&small_image()), Err(error));
    assert_eq!(verifier.push(&[]), Err(error));
    assert_eq!(verifier.finish(), Err(error));
}

#[test]
fn what_is_known_is_told_as_soon_as_it_is_known() {
    let file = small_image();
    let mut verifier = ImageVerifier::new();
    verifier.push(&file[..23]).expect("so far");
    assert_eq!(verifier.header(), None);
    verifier.push(&file[23..24]).expect("so far");
    assert_eq!(verifier.header().map(|header| header.chip), Some(ChipId::ESP32C3));
    verifier.push(&file[24..287]).expect("so far");
    assert_eq!(verifier.descriptor(), None);
    verifier.push(&file[287..288]).expect("so far");
    assert!(verifier.descriptor().is_some_and(|descriptor| descriptor.version == "1.0.0"));
    assert_eq!(verifier.image_len(), None);
    verifier.push(&file[288..4095]).expect("so far");
    assert_eq!(verifier.image_len(), Some(4096));
    assert_eq!((verifier.is_complete(), verifier.image_hash()), (false, None));
    verifier.push(&file[4095..]).expect("complete");
    assert!(verifier.is_complete() && verifier.image_hash().is_some());
}

#[test]
fn the_verifier_is_small_enough_to_clone_and_keep() {
    assert!(size_of::<ImageVerifier>() <= 1024 + 128, "{}", size_of::<ImageVerifier>());
}
