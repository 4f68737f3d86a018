//! libFuzzer on the target `certificate`: `cargo xtask fuzz certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("certificate", input));
