//! libFuzzer on the target `signature_sector`: `cargo xtask fuzz signature_sector`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("signature_sector", input));
