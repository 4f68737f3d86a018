//! libFuzzer on the target `node_talk`: `cargo xtask fuzz node_talk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("node_talk", input));
