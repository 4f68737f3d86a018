//! libFuzzer on the target `spread_talk`: `cargo xtask fuzz spread_talk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("spread_talk", input));
