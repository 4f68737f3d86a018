//! libFuzzer on the target `spread_message`: `cargo xtask fuzz spread_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("spread_message", input));
