//! libFuzzer on the target `url`: `cargo xtask fuzz url`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("url", input));
