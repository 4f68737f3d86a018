//! libFuzzer on the target `trust_record`: `cargo xtask fuzz trust_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("trust_record", input));
