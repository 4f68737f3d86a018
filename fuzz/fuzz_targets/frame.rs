//! libFuzzer on the target `frame`: `cargo xtask fuzz frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("frame", input));
