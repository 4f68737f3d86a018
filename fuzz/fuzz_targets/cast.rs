//! libFuzzer on the target `cast`: `cargo xtask fuzz cast`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("cast", input));
