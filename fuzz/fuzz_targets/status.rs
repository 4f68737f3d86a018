//! libFuzzer on the target `status`: `cargo xtask fuzz status`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("status", input));
