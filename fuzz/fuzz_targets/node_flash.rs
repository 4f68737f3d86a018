//! libFuzzer on the target `node_flash`: `cargo xtask fuzz node_flash`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("node_flash", input));
