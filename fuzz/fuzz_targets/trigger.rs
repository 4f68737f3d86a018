//! libFuzzer on the target `trigger`: `cargo xtask fuzz trigger`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("trigger", input));
