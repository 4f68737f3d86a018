//! libFuzzer on the target `otadata`: `cargo xtask fuzz otadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("otadata", input));
