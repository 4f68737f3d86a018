//! The bytes of format version 2. Do not change these tests: a new version gets a file of its own.
#![cfg(feature = "create")]

use rootcast_patch::{Options, PatchHeader, apply, create};

const OLD: &[u8] = b"the quick brown fox jumps over the lazy dog";
const NEW: &[u8] = b"the quick brown cat jumps over the lazy dog!";
const PATCH: &[u8] = &[
    82, 80, 2, 5, 198, 224, 143, 29, 159, 218, 250, 39, 158, 6, 131, 108, 213, 129, 120, 44, 8, 254, 115,
    120, 96, 23, 7, 120, 125,
];

#[test]
fn a_version_2_patch_applies() {
    assert_eq!(apply(PATCH, OLD).as_deref(), Ok(NEW));
}

#[test]
fn the_header_is_plain_bytes() {
    let header = PatchHeader::parse(PATCH).expect("a header");
    assert_eq!(&PATCH[..3], b"RP\x02");
    assert_eq!((header.new_len, header.patch_len()), (44, PATCH.len() as u32));
    assert!(header.needs_base() && !header.reads_back);
}

#[test]
fn the_encoder_is_deterministic() {
    let make = || create(OLD, NEW, &Options::default()).expect("a patch").patch;
    assert_eq!(make(), make());
}
