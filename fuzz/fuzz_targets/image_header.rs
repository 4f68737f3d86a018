//! libFuzzer on the target `image_header`: `cargo xtask fuzz image_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("image_header", input));
