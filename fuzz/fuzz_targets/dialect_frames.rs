//! libFuzzer on the target `dialect_frames`: `cargo xtask fuzz dialect_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("dialect_frames", input));
