//! A damaged patch, or one for another image, ends in an error: no panic, nothing beyond the limit.
#![cfg(feature = "create")]

mod common;

use common::{app_image, apply_in_slices};
use proptest::prelude::*;
use rootcast_patch::{Decoder, Options, PatchError, PatchHeader, create};

const ROOM: u32 = 1 << 20;

fn pair() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let old = app_image(5, 200, None);
    let mut new = app_image(5, 202, Some(60));
    new.extend((0..300u32).map(|i| ((i * i) >> 7) as u8));
    let patch = create(&old, &new, &Options::default()).expect("a patch").patch;
    (old, new, patch)
}

#[test]
fn every_byte_flipped_is_found_or_does_no_harm() {
    let (old, new, patch) = pair();
    for at in 0..patch.len() {
        for mask in [0x01, 0x80, 0xFF] {
            let mut damaged = patch.clone();
            damaged[at] ^= mask;
            // The last bits of a range coder's last byte may not matter.
            if let Ok(made) = apply_in_slices(&damaged, &old, 4096, ROOM) {
                assert!(made == new, "byte {at} ^ {mask:#x} went unnoticed");
            }
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let (old, _, patch) = pair();
    for len in 0..patch.len() {
        assert_eq!(
            apply_in_slices(&patch[..len], &old, 4096, ROOM),
            Err(PatchError::Truncated),
            "{len} bytes"
        );
    }
}

#[test]
fn bytes_behind_the_patch_are_left_alone() {
    let (old, new, mut patch) = pair();
    let len = patch.len();
    patch.extend([1, 2, 3]);
    assert_eq!(PatchHeader::parse(&patch).expect("header").patch_len() as usize, len);
    assert!(apply_in_slices(&patch, &old, 4096, ROOM).expect("it applies") == new);
}

#[test]
fn another_base_is_refused_before_anything_is_made() {
    let (_, _, patch) = pair();
    let other = app_image(5, 201, None);
    assert!(matches!(apply_in_slices(&patch, &other, 4096, ROOM), Err(PatchError::WrongBase { .. })));
}

#[test]
fn a_base_that_changed_under_the_patch_gives_an_error() {
    let (old, _, patch) = pair();
    let hash = rootcast_patch::image_hash(&old);
    for at in (0..old.len()).step_by(61) {
        let mut changed = old.clone();
        changed[at] ^= 0x10;
        let mut flash = common::Flash { old: changed, slot: Vec::new() };
        let mut decoder = Decoder::new(hash, ROOM);
        let mut page = [0; 4096];
        let mut from = 0;
        let result = loop {
            match decoder.decode(&patch[from..], &mut flash, &mut page, 0) {
                Ok(progress) => {
                    from += progress.consumed;
                    flash.slot.extend(&page[..progress.produced]);
                    if progress.done || progress.consumed + progress.produced == 0 {
                        break decoder.finish();
                    }
                }
                Err(error) => break Err(error),
            }
        };
        // Old bytes that no copy reads may change as they like: then the result is right, hash and all.
        if result.is_ok() {
            assert_eq!(flash.slot.len() as u32, PatchHeader::parse(&patch).expect("header").new_len);
        }
    }
}

#[test]
fn an_image_longer_than_the_slot_is_refused_at_the_header() {
    let (old, new, patch) = pair();
    let length = new.len() as u32;
    let result = apply_in_slices(&patch, &old, 4096, length - 1);
    assert_eq!(result, Err(PatchError::TooLong { length, limit: length - 1 }));
}

#[test]
fn a_decoder_that_failed_stays_failed() {
    let mut decoder = Decoder::new([0; 32], ROOM);
    assert_eq!(decoder.decode(b"XX", &mut &[][..], &mut [], 0), Err(PatchError::NotAPatch));
    assert!(decoder.decode(b"RP", &mut &[][..], &mut [], 0).is_err());
}

#[test]
fn errors_say_what_was_expected_and_what_was_found() {
    let error = PatchError::TooLong { length: 10, limit: 9 };
    assert_eq!(error.to_string(), "the patch makes an image of 10 bytes, at most 9 fit");
    let error = PatchError::Version { found: 3 };
    assert_eq!(error.to_string(), "patch format version 3, this decoder knows version 2");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_bodies_neither_panic_nor_outgrow_the_limit(
        body in prop::collection::vec(any::<u8>(), 0..400),
        new_len in 0..60_000u32,
        chip in prop::sample::select(vec![0u16, 5, 9]),
        reads_back: bool,
    ) {
        let old = app_image(chip, 100, None);
        let mut patch = b"RP".to_vec();
        patch.push(if reads_back { 0x81 } else { 1 });
        patch.extend(&rootcast_patch::image_hash(&old)[..8]);
        patch.extend([0; 8]);
        for mut n in [new_len, body.len() as u32] {
            while n >= 0x80 { patch.push(n as u8 | 0x80); n >>= 7; }
            patch.push(n as u8);
        }
        patch.extend(&body);
        prop_assert!(apply_in_slices(&patch, &old, 500, 60_000).is_err());
    }
}
