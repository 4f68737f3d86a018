//! libFuzzer on the target `release_envelope`: `cargo xtask fuzz release_envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("release_envelope", input));
