//! libFuzzer on the target `image_inspect`: `cargo xtask fuzz image_inspect`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("image_inspect", input));
