//! libFuzzer on the target `release_manifest`: `cargo xtask fuzz release_manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("release_manifest", input));
