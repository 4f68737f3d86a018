//! Firmware of published projects, as their owners built it; and an image of the same shape, cut at every byte.

mod support;

use rootcast_image::verify::ImageVerifier;
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageError, Target, fuzz};
use sha2::{Digest, Sha256};
use support::{real_images, verify, verify_for};

/// The slot of Rootcast's default table.
const SLOT: u32 = 1408 * 1024;

#[test]
fn real_images_verify_in_pieces_of_any_size() {
    for file in real_images() {
        let bytes = std::fs::read(&file).expect("readable");
        let image = verify(&bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(image.hash.as_ref(), &bytes[bytes.len() - 32..]);
        assert_eq!(image.file_sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
        for piece in [1, 7, 1460, 4096] {
            let mut verifier = ImageVerifier::new();
            bytes.chunks(piece).for_each(|piece| verifier.push(piece).expect("valid"));
            assert_eq!(verifier.finish().as_ref(), Ok(&image), "pieces of {piece}");
        }
        fuzz::image(&bytes);
    }
}

#[test]
fn real_images_fit_the_slot_or_are_refused_for_their_size_before_they_are_whole() {
    for file in real_images() {
        let bytes = std::fs::read(&file).expect("readable");
        let chip = verify(&bytes).expect("valid").header.chip;
        let target = Target { chip, revision: 300, secure_version: 0, slot_size: SLOT };
        let result = verify_for(target, &bytes).map(|image| image.image_len);
        if bytes.len() <= SLOT as usize {
            assert_eq!(result, Ok(bytes.len() as u32));
            continue;
        }
        assert!(matches!(result, Err(ImageError::TooLarge { slot_size: SLOT, .. })), "{result:?}");
        let mut verifier = ImageVerifier::for_target(target);
        let refused_at = bytes.iter().position(|byte| verifier.push(&[*byte]).is_err()).expect("refused");
        // At the header of the segment that does not fit, not at the first byte that does not.
        let segments = verify(&bytes).expect("valid").segments;
        assert!(
            segments.iter().any(|segment| segment.data_offset as usize == refused_at + 1),
            "{refused_at}"
        );
        assert!(refused_at < SLOT as usize);
        let other = Target { chip: ChipId::ESP32C3, ..target };
        assert_eq!(
            verify_for(other, &bytes),
            Err(ImageError::WrongChip { expected: ChipId::ESP32C3, found: chip })
        );
    }
}

#[test]
fn an_image_of_five_segments_cut_at_any_byte_is_truncated() {
    let file = AppImageBuilder::new(ChipId::ESP32).size(200_000).build().expect("it fits");
    let mut verifier = ImageVerifier::new();
    for (length, byte) in file.iter().enumerate() {
        match verifier.clone().finish() {
            Err(ImageError::Truncated { length: found, needed }) => {
                assert_eq!(found as usize, length);
                assert!((length + 1..=file.len()).contains(&(needed as usize)), "{length}: {needed}");
            }
            other => panic!("cut at {length}: {other:?}"),
        }
        verifier.push(&[*byte]).expect("so far");
    }
    assert_eq!(verifier.finish().expect("whole").segments.len(), 5);
}
