//! libFuzzer on the target `patch`: `cargo xtask fuzz patch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("patch", input));
