//! libFuzzer on the target `cast_fragments`: `cargo xtask fuzz cast_fragments`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("cast_fragments", input));
