//! libFuzzer on the target `patch_state`: `cargo xtask fuzz patch_state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("patch_state", input));
