//! Whatever two files there are, the patch between them makes the second one from the first.
#![cfg(feature = "create")]

mod common;

use common::{Flash, app_image, app_segments, apply_in_slices, finish_image, real_pair};
use proptest::prelude::*;
use rootcast_patch::{Decoder, MAX_SNAPSHOT_BYTES, Options, create, image_hash};

const ROOM: u32 = 4 << 20;

fn round_trip(old: &[u8], new: &[u8], slice: usize) -> usize {
    let made = create(old, new, &Options::default()).expect("a patch");
    assert_eq!(made.defects, 0);
    assert!(apply_in_slices(&made.patch, old, slice, ROOM).expect("it applies") == new);
    made.patch.len()
}

#[test]
fn empty_and_tiny_files_have_patches() {
    for (old, new) in
        [(&b""[..], &b""[..]), (b"", b"x"), (b"x", b""), (b"abc", b"abc"), (b"abcdefgh", b"abXdefghi")]
    {
        round_trip(old, new, 1);
    }
}

#[test]
fn a_function_added_costs_little_more_than_the_function() {
    for chip in [0, 5, 9] {
        let old = app_image(chip, 400, None);
        let new = app_image(chip, 400, Some(100));
        let len = round_trip(&old, &new, 100);
        assert!(len < 160, "chip {chip}: {len} bytes for 40 new ones and 32 of the ELF file's hash");
    }
}

#[test]
fn an_image_of_the_emulated_board_has_a_patch_without_an_old_image() {
    let image = common::finish_image(0xFFFE, &[(0x8000_0000, vec![0x13; 4096])]);
    round_trip(&[], &image, 50);
}

#[test]
fn without_read_back_nothing_is_read_back() {
    let image = app_image(5, 3000, None);
    let mut options = Options::default();
    options.read_back = false;
    let made = create(&[], &image, &options).expect("a patch");
    assert!(!rootcast_patch::PatchHeader::parse(&made.patch).expect("header").reads_back);
    let mut decoder = Decoder::new([0; 32], ROOM);
    let mut out = vec![0; image.len()];
    let progress = decoder.decode(&made.patch, &mut &[][..], &mut out, 0).expect("it applies");
    assert_eq!((progress.produced, progress.done, out == image), (image.len(), true, true));
}

#[test]
fn a_decoder_saved_after_each_page_goes_on_in_another_one() {
    let old = app_image(5, 900, None);
    let new = app_image(5, 900, Some(450));
    let patch = create(&old, &new, &Options::default()).expect("a patch").patch;
    let mut flash = Flash { old: old.clone(), slot: Vec::new() };
    let mut saved = vec![0; MAX_SNAPSHOT_BYTES];
    let mut decoder = Decoder::new(image_hash(&old), ROOM);
    let mut saved_len = decoder.save(&mut saved).expect("room");
    loop {
        // The power was off: only what was saved is left.
        let mut decoder = Decoder::new([0; 32], ROOM);
        decoder.restore(&saved[..saved_len]).expect("the saved state");
        let mut page = vec![0; 4096];
        let mut filled = 0;
        let done = loop {
            let input = &patch[decoder.patch_position() as usize..];
            let input = &input[..input.len().min(33)];
            let progress = decoder.decode(input, &mut flash, &mut page, filled).expect("it applies");
            filled += progress.produced;
            if progress.done || filled == page.len() {
                break progress.done;
            }
        };
        flash.slot.extend(&page[..filled]);
        saved_len = decoder.save(&mut saved).expect("room");
        if done {
            break;
        }
    }
    assert!(flash.slot == new);
}

#[test]
fn an_explanation_accounts_for_every_byte() {
    let old = app_image(9, 300, None);
    let new = app_image(9, 300, Some(150));
    let patch = create(&old, &new, &Options::default()).expect("a patch").patch;
    let explanation = rootcast_patch::explain(&patch, &old).expect("an account");
    let spent: f64 = explanation.spent.iter().map(|(_, bytes)| bytes).sum();
    assert!(
        (spent - f64::from(explanation.header.body_len)).abs() < 8.0,
        "{spent} of {:?}",
        explanation.header
    );
    assert!(explanation.made == new);
}

#[test]
fn a_damaged_saved_state_is_refused() {
    let mut decoder = Decoder::new([7; 32], ROOM);
    let mut saved = vec![0; MAX_SNAPSHOT_BYTES];
    let len = decoder.save(&mut saved).expect("room");
    assert!(decoder.save(&mut vec![0; len - 1]).is_none());
    for at in (0..len).step_by(97) {
        saved[at] ^= 4;
        assert_eq!(decoder.restore(&saved[..len]), Err(rootcast_patch::PatchError::BadSnapshot));
        saved[at] ^= 4;
    }
    assert!(decoder.restore(&saved[..len - 1]).is_err());
    decoder.restore(&saved[..len]).expect("the undamaged state");
}

#[test]
fn a_saved_state_does_not_outgrow_the_slot_of_who_takes_it_up() {
    let new = app_image(5, 300, None);
    let patch = create(&[], &new, &Options::default()).expect("a patch").patch;
    let mut decoder = Decoder::new([0; 32], ROOM);
    decoder.decode(&patch, &mut &[][..], &mut [0; 100], 0).expect("the beginning");
    let mut saved = vec![0; MAX_SNAPSHOT_BYTES];
    let len = decoder.save(&mut saved).expect("room");
    for (limit, result) in
        [(new.len() as u32, Ok(())), (new.len() as u32 - 1, Err(rootcast_patch::PatchError::BadSnapshot))]
    {
        assert_eq!(Decoder::new([0; 32], limit).restore(&saved[..len]), result);
    }
}

#[test]
fn real_pairs_make_small_patches() {
    // Limits: 0.6 of the smallest patch that bsdiff4, detools, HDiffPatch or zstd make of the pair.
    for (old, new, limit) in [
        ("ledticker_s3/2026-06-11a.bin", "ledticker_s3/2026-06-11b.bin", 66),
        ("cheapspool_esp32/csd_2026-03-11.bin", "cheapspool_esp32/csd_2026-03-12.bin", 2184),
        ("wallbox_s3/v2.5.0.bin", "wallbox_s3/v2.5.1.bin", 24467),
    ] {
        let Some((old, new)) = real_pair(old, new) else { return };
        let len = round_trip(&old, &new, 1000);
        assert!(len <= limit, "{len} bytes, at most {limit} wanted");
    }
}

/// An edit of a file: what a build does to an image, more or less.
#[derive(Clone, Debug)]
enum Edit {
    Change { at: prop::sample::Index, to: u8 },
    Insert { at: prop::sample::Index, bytes: Vec<u8> },
    Remove { at: prop::sample::Index, len: usize },
    Move { from: prop::sample::Index, to: prop::sample::Index, len: usize },
}

fn edit() -> impl Strategy<Value = Edit> {
    use prop::sample::Index;
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, to)| Edit::Change { at, to }),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..60))
            .prop_map(|(at, bytes)| Edit::Insert { at, bytes }),
        (any::<Index>(), 1..500usize).prop_map(|(at, len)| Edit::Remove { at, len }),
        (any::<Index>(), any::<Index>(), 1..800usize).prop_map(|(from, to, len)| Edit::Move {
            from,
            to,
            len
        }),
    ]
}

fn edited(mut file: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        if file.is_empty() {
            break;
        }
        match edit {
            Edit::Change { at, to } => {
                let at = at.index(file.len());
                file[at] = *to;
            }
            Edit::Insert { at, bytes } => {
                let at = at.index(file.len());
                file.splice(at..at, bytes.iter().copied());
            }
            Edit::Remove { at, len } => {
                let at = at.index(file.len());
                file.drain(at..file.len().min(at + len));
            }
            Edit::Move { from, to, len } => {
                let from = from.index(file.len());
                let part: Vec<u8> = file.drain(from..file.len().min(from + len)).collect();
                let to = if file.is_empty() { 0 } else { to.index(file.len()) };
                file.splice(to..to, part);
            }
        }
    }
    file
}

/// Cases of each property: as many as usual, or as the environment says for a long run.
fn cases(usual: u32) -> u32 {
    std::env::var("ROOTCAST_PATCH_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(48), ..ProptestConfig::default() })]

    #[test]
    fn edited_images_come_back_whole(
        chip in prop::sample::select(vec![0u16, 5, 9, 0xFFFE, 77]),
        edits in prop::collection::vec(edit(), 0..12),
        slice in 1..5000usize,
    ) {
        let old = app_image(chip, 150, None);
        let new = edited(old.clone(), &edits);
        round_trip(&old, &new, slice);
    }

    /// As a linker leaves it: whatever changed in the segments, table, checksum and hash are right again. None of
    /// them may need the way out, a patch between plain bytes.
    #[test]
    fn images_with_edited_segments_are_understood_and_come_back_whole(
        chip in prop::sample::select(vec![0u16, 5, 9, 0xFFFE]),
        data_edits in prop::collection::vec(edit(), 0..6),
        code_edits in prop::collection::vec(edit(), 0..10),
        slice in 1..5000usize,
    ) {
        let mut segments = app_segments(chip, 150, None);
        let old = finish_image(chip, &segments);
        for ((_, data), edits) in segments.iter_mut().zip([data_edits, code_edits]) {
            *data = edited(std::mem::take(data), &edits);
            data.resize(data.len().next_multiple_of(4), 0);
        }
        let new = finish_image(chip, &segments);
        let made = create(&old, &new, &Options::default()).expect("a patch");
        prop_assert!(apply_in_slices(&made.patch, &old, slice, ROOM).expect("it applies") == new);
        prop_assert_eq!(made.defects, 0);
    }

    #[test]
    fn any_two_files_have_a_patch(
        old in prop::collection::vec(any::<u8>(), 0..3000),
        new in prop::collection::vec(any::<u8>(), 0..3000),
        slice in 1..600usize,
    ) {
        round_trip(&old, &new, slice);
    }
}
