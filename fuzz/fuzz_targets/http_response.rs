//! libFuzzer on the target `http_response`: `cargo xtask fuzz http_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("http_response", input));
