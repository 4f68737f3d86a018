//! libFuzzer on the target `boot_decision`: `cargo xtask fuzz boot_decision`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("boot_decision", input));
