//! libFuzzer on the target `partition_csv`: `cargo xtask fuzz partition_csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("partition_csv", input));
