//! libFuzzer on the target `image`: `cargo xtask fuzz image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("image", input));
