//! libFuzzer on the target `topic`: `cargo xtask fuzz topic`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("topic", input));
