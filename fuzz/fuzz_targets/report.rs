//! libFuzzer on the target `report`: `cargo xtask fuzz report`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("report", input));
